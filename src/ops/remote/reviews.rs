//! Review environments: one copy for each merge request, marked as such and deleted when it has expired.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    adapters::cluster::{
        NamespaceState,
        lease::{LeaseRequest, Scope},
        reviews::ReviewNamespace,
    },
    domain::{Problem, Review, ReviewInstance},
    error::{CommandError, ErrorKind},
    ops::{
        remote::access::{RemoteAccess, failed},
        session::Session,
    },
};

/// Creates the namespace of an environment if needed. That of a review environment is marked as such and its expiry
/// extended, and expired review environments are deleted.
///
/// # Errors
/// When it is a review environment, and the namespace exists and is not a review environment of this workspace.
pub(super) async fn create_namespace(session: &Session, access: &RemoteAccess) -> Result<(), CommandError> {
    let environment = &session.environment;
    match (&environment.review, &environment.copy) {
        (Some(review), Some(copy)) => mark(session, access, review, copy).await,
        _ => Ok(access.cluster.ensure_namespace(&environment.namespace, &session.cancel).await?),
    }
}

async fn mark(
    session: &Session,
    access: &RemoteAccess,
    review: &Review,
    copy: &ReviewInstance,
) -> Result<(), CommandError> {
    let (now, namespace) = (Timestamp::now(), &session.environment.namespace);
    if access.cluster.namespace_state(namespace).await? == NamespaceState::Terminating {
        session.note(&format!("waiting until the earlier review environment '{}' is deleted", copy.slug));
        access.cluster.wait_until_deleted(namespace, &session.cancel).await?;
    }
    let own = own(session, access).await?;
    let state = access.cluster.namespace_state(namespace).await?;
    if state != NamespaceState::Absent && !own.iter().any(|it| it.name == *namespace) {
        return Err(foreign(namespace));
    }
    let lifetime = SignedDuration::try_from(review.expires).unwrap_or(SignedDuration::MAX);
    let expires = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let wanted = ReviewNamespace { name: namespace.clone(), slug: copy.slug.to_string(), expires };
    access.cluster.mark_review(session.workspace().as_str(), &wanted).await?;
    for expired in own.iter().filter(|it| it.expires < now && it.name != *namespace) {
        delete_expired(session, access, expired).await?;
    }
    Ok(())
}

/// Deletes an expired review environment, unless it is held or another run works on it.
async fn delete_expired(
    session: &Session,
    access: &RemoteAccess,
    expired: &ReviewNamespace,
) -> Result<(), CommandError> {
    let ReviewNamespace { name: namespace, slug, .. } = expired;
    let histories = access.cluster.histories(namespace).await?;
    if let Some(hold) = histories.values().find_map(|history| history.hold.as_ref()) {
        session.note(&format!("kept the expired review environment '{slug}': held by {}: {}", hold.by, hold.because));
        return Ok(());
    }
    let request = LeaseRequest { namespace, scope: &Scope::Environment, holder: &session.settings.holder() };
    let Ok(leases) = access.cluster.take_leases(request, Duration::ZERO, &session.cancel.child_token()).await else {
        session.note(&format!("kept the expired review environment '{slug}': another cmdr run holds the lock"));
        return Ok(());
    };
    let deleted = access.cluster.delete_namespace(namespace).await;
    leases.give_back().await;
    deleted?;
    session.note(&format!("deleted the expired review environment '{slug}'"));
    Ok(())
}

/// Whether the session's review environment exists; a note says why not.
///
/// # Errors
/// When a namespace of that name exists and is not a review environment of this workspace.
pub(super) async fn exists(session: &Session, access: &RemoteAccess) -> Result<bool, CommandError> {
    let Some(ReviewInstance { slug, .. }) = &session.environment.copy else { return Ok(false) };
    let namespace = &session.environment.namespace;
    let absent = match access.cluster.namespace_state(namespace).await? {
        NamespaceState::Absent => "not found: nothing to delete",
        NamespaceState::Terminating => "is already being deleted",
        NamespaceState::Active if own(session, access).await?.iter().any(|it| it.name == *namespace) => {
            return Ok(true);
        }
        NamespaceState::Active => return Err(foreign(namespace)),
    };
    session.note(&format!("review environment '{slug}' {absent}"));
    Ok(false)
}

async fn own(session: &Session, access: &RemoteAccess) -> Result<Vec<ReviewNamespace>, CommandError> {
    access.cluster.reviews(session.workspace().as_str()).await.map_err(failed)
}

fn foreign(namespace: &str) -> CommandError {
    let cause = format!("the namespace {namespace} exists, but is not a review environment of this workspace");
    let help = "use another --slug, or another 'namespace' in projects.yaml";
    CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help))
}
