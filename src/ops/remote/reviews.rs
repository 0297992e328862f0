//! Review environments: one copy for each merge request, marked as such and deleted when it has expired.

use jiff::{SignedDuration, Timestamp};

use crate::{
    adapters::cluster::{NamespaceState, reviews::ReviewNamespace},
    domain::{Problem, ReviewInstance},
    error::{CommandError, ErrorKind},
    ops::{
        remote::access::{RemoteAccess, failed, may_write},
        session::Session,
    },
};

/// Marks the namespace of the review environment, creates it if needed, and extends its expiry; deletes expired ones.
///
/// # Errors
/// When a namespace of that name exists and is not a review environment of this workspace.
pub async fn mark(session: &Session) -> Result<(), CommandError> {
    let (Some(review), Some(copy)) = (&session.environment.review, &session.environment.copy) else { return Ok(()) };
    may_write(session)?;
    let access = RemoteAccess::open(session).await?;
    let (now, namespace) = (Timestamp::now(), &session.environment.namespace);
    if access.cluster.namespace_state(namespace).await? == NamespaceState::Terminating {
        session.note(&format!("waiting until the earlier review environment '{}' is deleted", copy.slug));
        access.cluster.wait_until_deleted(namespace, &session.cancel).await?;
    }
    let own = own(session, &access).await?;
    let state = access.cluster.namespace_state(namespace).await?;
    if state != NamespaceState::Absent && !own.iter().any(|it| it.name == *namespace) {
        return Err(foreign(namespace));
    }
    let lifetime = SignedDuration::try_from(review.expires).unwrap_or(SignedDuration::MAX);
    let expires = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let wanted = ReviewNamespace { name: namespace.clone(), slug: copy.slug.to_string(), expires };
    access.cluster.mark_review(session.workspace().as_str(), &wanted).await?;
    for over in own.iter().filter(|it| it.expires < now && it.name != *namespace) {
        access.cluster.delete_namespace(&over.name).await?;
        session.note(&format!("deleted the expired review environment '{}'", over.slug));
    }
    Ok(())
}

/// Deletes the review environment, and never another namespace.
///
/// # Errors
/// When a namespace of that name exists and is not a review environment of this workspace.
pub async fn down(session: &Session) -> Result<(), CommandError> {
    let Some(ReviewInstance { slug, .. }) = &session.environment.copy else { return Ok(()) };
    let namespace = &session.environment.namespace;
    let access = RemoteAccess::open(session).await?;
    let absent = match access.cluster.namespace_state(namespace).await? {
        NamespaceState::Absent => Some("not found: nothing to delete"),
        NamespaceState::Terminating => Some("is already being deleted"),
        NamespaceState::Active => None,
    };
    if let Some(absent) = absent {
        session.note(&format!("review environment '{slug}' {absent}"));
        return Ok(());
    }
    if !own(session, &access).await?.iter().any(|it| it.name == *namespace) {
        return Err(foreign(namespace));
    }
    if session.settings.dry_run {
        session.note(&format!("would delete the review environment '{slug}' and its namespace {namespace}"));
        return Ok(());
    }
    may_write(session)?;
    access.cluster.delete_namespace(namespace).await?;
    session.note(&format!("deleted the review environment '{slug}'"));
    Ok(())
}

async fn own(session: &Session, access: &RemoteAccess) -> Result<Vec<ReviewNamespace>, CommandError> {
    access.cluster.reviews(session.workspace().as_str()).await.map_err(failed)
}

fn foreign(namespace: &str) -> CommandError {
    let cause = format!("the namespace {namespace} exists, but is not a review environment of this workspace");
    let help = "use another --slug, or another 'namespace' in projects.yaml";
    CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help))
}
