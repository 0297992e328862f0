//! Reaches into running containers: commands, shells, files, and connections to ports.

pub mod copy;
pub mod exec;
pub mod forward;
pub mod open;

use jiff::Timestamp;

use crate::{
    adapters::cluster::{
        Cluster,
        exec::{ExecTarget, ReachablePod},
    },
    domain::{
        Problem,
        ledger::{OperationEntry, OperationOutcome},
    },
    error::CommandError,
    ops::{
        connect,
        local::refuse_change_options,
        options::ChangeRequest,
        project_pods::{PodSelector, named_releases, pod_selectors},
        remote::deploy_request::ChangeContext,
        session::Session,
    },
};

/// The image of debug containers: small, with a shell, `tar` and the usual tools.
const DEBUG_IMAGE: &str = "docker.io/library/busybox:1.36";

/// Where to reach into, and why.
#[derive(Debug, Clone, Default)]
pub struct ReachRequest {
    pub project: String,
    /// By default the main one.
    pub container: Option<String>,
    /// Where a reason is needed, or wanted in the ledger.
    pub because: Option<String>,
    /// The image of a debug container, if one is needed.
    pub image: Option<String>,
}

impl ReachRequest {
    /// Connects to the cluster, and finds the container.
    ///
    /// # Errors
    /// When the project is unknown, has no running container, or a reason is missing.
    async fn open(&self, session: &Session, verb: &str) -> Result<(Cluster, ExecTarget), CommandError> {
        self.check_reason(session, verb)?;
        let selector = self.named(session)?;
        let cluster = connect(session).await?;
        let selector = pod_selectors(session, &cluster, &selector, true).await?;
        let target = self.target(session, &cluster, &selector).await?;
        self.note_in_ledger(session, &cluster, verb).await?;
        Ok((cluster, target))
    }

    fn named(&self, session: &Session) -> Result<Vec<crate::ops::project_pods::NamedRelease>, CommandError> {
        named_releases(session, std::slice::from_ref(&self.project))
    }

    /// An environment that only promotions or pipelines change is entered only for a reason.
    fn check_reason(&self, session: &Session, verb: &str) -> Result<(), CommandError> {
        let environment = &session.environment;
        if environment.is_local() {
            return refuse_change_options(&self.change());
        }
        if self.because.is_some() || !(environment.promote.is_some() || environment.only.is_some()) {
            return Ok(());
        }
        let cause = format!("cmdr {verb} in the environment '{}' needs a reason", environment.name);
        Err(CommandError::usage(Problem::new(cause).help("add --because REASON, which the ledger keeps")))
    }

    fn change(&self) -> ChangeRequest {
        ChangeRequest { because: self.because.clone(), ..ChangeRequest::default() }
    }

    async fn target(
        &self,
        session: &Session,
        cluster: &Cluster,
        selectors: &[PodSelector],
    ) -> Result<ExecTarget, CommandError> {
        let pod = first_pod(cluster, selectors).await?.ok_or_else(|| not_running(session, &self.project))?;
        let container = match &self.container {
            None => pod.containers[0].clone(),
            Some(name) if pod.containers.contains(name) => name.clone(),
            Some(name) => {
                let cause = format!("'{}' has no running container '{name}'", self.project);
                let help = format!("running containers: {}", pod.containers.join(", "));
                return Err(CommandError::usage(Problem::new(cause).help(help)));
            }
        };
        Ok(ExecTarget { namespace: pod.namespace, pod: pod.name, container })
    }

    /// Writes who reaches into the environment and why, before it happens.
    async fn note_in_ledger(&self, session: &Session, cluster: &Cluster, verb: &str) -> Result<(), CommandError> {
        if session.environment.is_local() || self.because.is_none() {
            return Ok(());
        }
        let now = Timestamp::now();
        let entry = OperationEntry {
            verb: verb.to_owned(),
            record: None,
            version: None,
            started: now,
            ended: Some(now),
            outcome: OperationOutcome::Done,
            origin: ChangeContext::read(session, &self.change(), session.commit().await)?.origin,
        };
        let namespace = &session.environment.namespace;
        let note = move |history: &mut crate::domain::ledger::History| history.note_operation(entry.clone());
        cluster.update_history(namespace, &self.project, note).await?;
        Ok(())
    }
}

/// The pod to reach: a ready one, of these the newest.
async fn first_pod(cluster: &Cluster, selectors: &[PodSelector]) -> Result<Option<ReachablePod>, CommandError> {
    for selector in selectors {
        let pods = cluster.reachable_pods(&selector.key.namespace).await?;
        let own = pods.into_iter().find(|pod| selector.matches(&pod.namespace, &pod.labels));
        if own.is_some() {
            return Ok(own);
        }
    }
    Ok(None)
}

fn not_running(session: &Session, project: &str) -> CommandError {
    let cause = format!("no container of '{project}' is running in '{}'", session.environment.name);
    CommandError::failed(Problem::new(cause).help("cmdr status shows what is deployed, and what it waits for"))
}
