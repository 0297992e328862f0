//! Review environments: copies that live for one merge request, marked as such, and swept when their time is over.

use jiff::{SignedDuration, Timestamp};

use crate::{
    adapters::cluster::reviews::ReviewNamespace,
    domain::{Copy, Diagnosis},
    error::{CommandError, ErrorKind},
    ops::{
        remote::access::{RemoteAccess, failed, may_write},
        session::Session,
    },
};

/// Marks the copy's namespace, makes it when it is not there, and lets it live on; sweeps copies whose time is over.
///
/// # Errors
/// When a namespace of that name is no copy of this workspace's.
pub async fn mark(session: &Session) -> Result<(), CommandError> {
    let (Some(review), Some(copy)) = (&session.environment.review, &session.environment.copy) else { return Ok(()) };
    may_write(session)?;
    let access = RemoteAccess::open(session).await?;
    let (now, namespace) = (Timestamp::now(), &session.environment.namespace);
    let own = own(session, &access).await?;
    if access.cluster.has_namespace(namespace).await.map_err(failed)? && !own.iter().any(|it| it.name == *namespace) {
        return Err(foreign(namespace));
    }
    let lifetime = SignedDuration::try_from(review.expires).unwrap_or(SignedDuration::MAX);
    let expires = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let wanted = ReviewNamespace { name: namespace.clone(), slug: copy.slug.clone(), expires };
    access.cluster.mark_review(session.workspace().as_str(), &wanted).await.map_err(failed)?;
    for over in own.iter().filter(|it| it.expires < now && it.name != *namespace) {
        access.cluster.delete_namespace(&over.name).await.map_err(failed)?;
        session.note(&format!("swept the review '{}': its time was over", over.slug));
    }
    Ok(())
}

/// Deletes the copy, and nothing that is not one.
///
/// # Errors
/// When a namespace of that name is no copy of this workspace's.
pub async fn down(session: &Session) -> Result<(), CommandError> {
    let Some(Copy { slug, .. }) = &session.environment.copy else { return Ok(()) };
    let namespace = &session.environment.namespace;
    let access = RemoteAccess::open(session).await?;
    if !access.cluster.has_namespace(namespace).await.map_err(failed)? {
        session.note(&format!("there is no review '{slug}'"));
        return Ok(());
    }
    if !own(session, &access).await?.iter().any(|it| it.name == *namespace) {
        return Err(foreign(namespace));
    }
    if session.settings.dry_run {
        session.note(&format!("would delete the review '{slug}' (namespace {namespace}) and everything in it"));
        return Ok(());
    }
    may_write(session)?;
    access.cluster.delete_namespace(namespace).await.map_err(failed)?;
    session.note(&format!("the review '{slug}' is deleted"));
    Ok(())
}

async fn own(session: &Session, access: &RemoteAccess) -> Result<Vec<ReviewNamespace>, CommandError> {
    access.cluster.reviews(session.workspace().as_str()).await.map_err(failed)
}

fn foreign(namespace: &str) -> CommandError {
    let cause = format!("the namespace {namespace} exists, and is no review of this workspace");
    let remedy = "take another --slug, or another 'namespace' in projects.yaml";
    CommandError::new(ErrorKind::WrongCluster, Diagnosis::new(cause).remedy(remedy))
}
