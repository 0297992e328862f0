//! Locks on an environment: Kubernetes Leases that prevent runs on different machines from changing the same objects.
//!
//! A run on a project takes that project's lease; a run on the whole environment takes the environment's. Both kinds
//! exclude each other: a run first writes its own lease, then checks for the others. If both are written at the same
//! moment, the run on the project releases its lease and the run on the environment checks again, so one of them
//! succeeds.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster::{Cluster, ClusterError, store::apply::purpose},
        process::interrupt_all,
        wait::{Wait, WaitError, every},
    },
    domain::labels,
};

/// A lease that was not renewed for this time is expired, in seconds.
const DURATION_SECONDS: i32 = 20;
/// The interval at which a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// The interval at which a lease of another run is checked.
const LOOK: Duration = Duration::from_secs(1);
/// How often a run on the environment checks whether a run on a project, started at the same moment, has released its
/// lease.
const LOOKS_FOR_WAY: u32 = 3;
const ENVIRONMENT: &str = "cmdr.environment";

/// The objects that a run changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Environment,
    Projects(BTreeSet<String>),
}

impl Scope {
    /// Whether runs on the two cannot work at the same time.
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Projects(own), Self::Projects(other)) => !own.is_disjoint(other),
            _ => true,
        }
    }
}

/// The leases that a run requests.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRequest<'a> {
    pub namespace: &'a str,
    pub scope: &'a Scope,
    /// The run, as other runs report it.
    pub holder: &'a str,
}

/// Why leases could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("{holder} has held the lock on {what} since {since}")]
    Held { what: String, holder: String, since: String },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("interrupted while waiting for the lock")]
    Interrupted,
}

impl From<WaitError<Self>> for LeaseError {
    fn from(error: WaitError<Self>) -> Self {
        match error {
            WaitError::Limit(error) => error,
            WaitError::Interrupted => Self::Interrupted,
        }
    }
}

/// Leases that are renewed until they are released. If they are dropped instead, they expire.
#[derive(Debug)]
pub struct HeldLeases {
    cluster: Cluster,
    namespace: String,
    holder: String,
    names: Vec<String>,
    renewal: JoinHandle<()>,
}

impl Drop for HeldLeases {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl HeldLeases {
    /// Releases the leases.
    pub async fn give_back(self) {
        self.renewal.abort();
        self.cluster.release_leases(&self.namespace, &self.names, &self.holder).await;
    }
}

impl Cluster {
    /// Takes the requested leases, and waits up to `patience` for their holders. `lost` is cancelled if a renewal is
    /// too late: the run must then stop, because another run may have started.
    ///
    /// # Errors
    /// If another run holds a lease, or the API returns an error.
    pub async fn take_leases(
        &self,
        request: LeaseRequest<'_>,
        patience: Duration,
        lost: &CancellationToken,
    ) -> Result<HeldLeases, LeaseError> {
        let names = names_of(request.scope);
        let mut wait = Wait::new(every(LOOK), patience);
        while let Err(error) = self.try_leases(request, &names).await {
            match error {
                LeaseError::Held { .. } => wait.pause_or(error, lost).await?,
                error => return Err(error),
            }
        }
        let (namespace, holder) = (request.namespace.to_owned(), request.holder.to_owned());
        let renewal = tokio::spawn(renew(self.clone(), namespace.clone(), names.clone(), holder.clone(), lost.clone()));
        Ok(HeldLeases { cluster: self.clone(), namespace, holder, names, renewal })
    }

    async fn try_leases(&self, request: LeaseRequest<'_>, names: &[String]) -> Result<(), LeaseError> {
        let LeaseRequest { namespace, scope, holder } = request;
        for (index, name) in names.iter().enumerate() {
            if let Err(error) = self.take_lease(namespace, name, holder).await {
                self.release_leases(namespace, &names[..index], holder).await;
                return Err(error);
            }
        }
        let mut refused = self.others(namespace, scope, holder).await;
        let mut looks = if *scope == Scope::Environment { LOOKS_FOR_WAY } else { 0 };
        while looks > 0 && matches!(refused, Ok(Some(_))) {
            // A run on a project that sees this lease releases its own at once; an earlier one keeps its lease.
            tokio::time::sleep(LOOK).await;
            refused = self.others(namespace, scope, holder).await;
            looks -= 1;
        }
        if !matches!(refused, Ok(None)) {
            self.release_leases(namespace, names, holder).await;
        }
        match refused? {
            Some(held) => Err(held),
            None => Ok(()),
        }
    }

    /// Creates the lease, or takes over an expired one.
    async fn take_lease(&self, namespace: &str, name: &str, holder: &str) -> Result<(), LeaseError> {
        let leases = self.leases(namespace);
        let asking = || ClusterError::asking(format!("take lease {name}"));
        let now = Timestamp::now();
        let found = leases.get_opt(name).await.map_err(asking())?;
        let mut lease = lease(name, holder, now);
        let written = match found {
            Some(found) if is_alive(&found, now) && holder_of(&found) != holder => return Err(held(&found)),
            Some(found) => {
                lease.metadata.resource_version = found.metadata.resource_version;
                leases.replace(name, &PostParams::default(), &lease).await
            }
            None => leases.create(&PostParams::default(), &lease).await,
        };
        match written.map_err(asking()) {
            // Another run was faster: its lease contains the holder.
            Err(error) if error.is_status(409) => match leases.get_opt(name).await.map_err(asking())? {
                Some(found) => Err(held(&found)),
                None => Err(error.into()),
            },
            other => Ok(other.map(drop)?),
        }
    }

    /// Returns a lease of the other kind that another run holds.
    async fn others(&self, namespace: &str, scope: &Scope, holder: &str) -> Result<Option<LeaseError>, ClusterError> {
        let own = ListParams::default().labels(&format!("{}=lease", labels::PURPOSE));
        let list = self.leases(namespace).list(&own).await.map_err(ClusterError::asking("list leases"))?;
        let now = Timestamp::now();
        let matters = |lease: &&Lease| match scope {
            Scope::Environment => true,
            Scope::Projects(_) => lease.metadata.name.as_deref() == Some(ENVIRONMENT),
        };
        let others = list.items.iter().filter(matters).filter(|lease| is_alive(lease, now));
        Ok(others.into_iter().find(|lease| holder_of(lease) != holder).map(held))
    }

    /// Returns what all runs currently hold leases on.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn held_scopes(&self, namespace: &str) -> Result<Vec<Scope>, ClusterError> {
        let own = ListParams::default().labels(&format!("{}=lease", labels::PURPOSE));
        let list = self.leases(namespace).list(&own).await.map_err(ClusterError::asking("list leases"))?;
        let now = Timestamp::now();
        let held = list.items.iter().filter(|lease| is_alive(lease, now));
        Ok(held.filter_map(|lease| scope_of(lease.metadata.name.as_deref()?)).collect())
    }

    /// Releases leases; errors are ignored, because leases expire.
    async fn release_leases(&self, namespace: &str, names: &[String], holder: &str) {
        let leases = self.leases(namespace);
        for name in names {
            if let Ok(Some(found)) = leases.get_opt(name).await
                && holder_of(&found) == holder
            {
                let preconditions = kube::api::Preconditions {
                    resource_version: found.metadata.resource_version,
                    uid: found.metadata.uid,
                };
                let _ = leases.delete(name, &DeleteParams::default().preconditions(preconditions)).await;
            }
        }
    }

    fn leases(&self, namespace: &str) -> Api<Lease> {
        self.namespaced(namespace)
    }

    async fn renew_lease(&self, namespace: &str, name: &str, holder: &str) -> Result<bool, ClusterError> {
        let leases = self.leases(namespace);
        let asking = || ClusterError::asking(format!("renew lease {name}"));
        let Some(mut found) = leases.get_opt(name).await.map_err(asking())? else { return Ok(false) };
        if holder_of(&found) != holder {
            return Ok(false);
        }
        found.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        leases.replace(name, &PostParams::default(), &found).await.map_err(asking())?;
        Ok(true)
    }
}

/// Renews the leases until the task is aborted. Cancels the run if a lease belongs to another run or was not renewed in
/// time.
async fn renew(cluster: Cluster, namespace: String, names: Vec<String>, holder: String, lost: CancellationToken) {
    let limit = lifetime().saturating_sub(RENEWAL);
    let mut renewed = std::time::Instant::now();
    loop {
        tokio::time::sleep(RENEWAL).await;
        let renewals = names.iter().map(|name| cluster.renew_lease(&namespace, name, &holder));
        let started = std::time::Instant::now();
        let left = lifetime().saturating_sub(LOOK).saturating_sub(renewed.elapsed());
        // On a connection that is silently dead, a request would hang for minutes.
        match tokio::time::timeout(left, futures::future::try_join_all(renewals)).await {
            Ok(Ok(ours)) if ours.iter().all(|ours| *ours) => renewed = started,
            // The API is unavailable: the run continues as long as no other run can take the lease.
            Ok(Err(_)) if renewed.elapsed() < limit => (),
            _ => break,
        }
    }
    lost.cancel();
    // Interrupts child processes at once, without their grace_period.
    interrupt_all();
}

fn lifetime() -> Duration {
    Duration::from_secs(DURATION_SECONDS.unsigned_abs().into())
}

fn names_of(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::Environment => vec![ENVIRONMENT.to_owned()],
        Scope::Projects(projects) => projects.iter().map(|project| format!("cmdr.project.{project}")).collect(),
    }
}

fn scope_of(name: &str) -> Option<Scope> {
    if name == ENVIRONMENT {
        return Some(Scope::Environment);
    }
    name.strip_prefix("cmdr.project.").map(|project| Scope::Projects(BTreeSet::from([project.to_owned()])))
}

fn lease(name: &str, holder: &str, now: Timestamp) -> Lease {
    Lease {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(purpose("lease")), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_duration_seconds: Some(DURATION_SECONDS),
            ..LeaseSpec::default()
        }),
    }
}

fn is_alive(lease: &Lease, now: Timestamp) -> bool {
    let Some(spec) = &lease.spec else { return false };
    let Some(renewed) = &spec.renew_time else { return false };
    let seconds = spec.lease_duration_seconds.unwrap_or(DURATION_SECONDS);
    !holder_of(lease).is_empty() && now.duration_since(renewed.0) < SignedDuration::from_secs(seconds.into())
}

fn holder_of(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn held(lease: &Lease) -> LeaseError {
    let name = lease.metadata.name.as_deref().unwrap_or_default();
    let what = name.strip_prefix("cmdr.project.").map_or_else(|| "this environment".to_owned(), str::to_owned);
    let since = lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref());
    LeaseError::Held {
        what,
        holder: holder_of(lease).to_owned(),
        since: since.map(|at| at.0.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_what_it_is_about() {
        let of = |names: &[&str]| Scope::Projects(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(of(&["blue"]).excludes(&of(&["blue", "database"])));
        assert!(!of(&["blue"]).excludes(&of(&["shop"])), "one held lock stops no other project");
        assert!(!of(&["procedure.shop"]).excludes(&of(&["shop"])));
        assert!(Scope::Environment.excludes(&of(&["shop"])) && of(&["shop"]).excludes(&Scope::Environment));
    }

    #[test]
    fn dead_holders_are_reported_from_living_ones() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let lease = lease("cmdr.project.shop", "anna", now);
        assert!(is_alive(&lease, now));
        assert!(is_alive(&lease, now + SignedDuration::from_secs(19)));
        assert!(!is_alive(&lease, now + SignedDuration::from_secs(20)));
        let shown = held(&lease).to_string();
        assert_eq!(shown, "anna has held the lock on shop since 2026-11-21 12:00:00 UTC");
    }
}
