//! Access to a cluster that cmdr does not own: its context, read once, and the guard that it is the expected cluster.

use std::sync::Arc;

use crate::{
    adapters::{
        cluster::{
            Cluster, ClusterError,
            context::{ContextFile, read_context},
        },
        helm::{Helm, HelmTarget},
        http::Resolver,
    },
    domain::{Problem, Writer},
    error::{CommandError, ErrorKind},
    ops::{describe::namespaces_of, session::Session},
    steps::Runner,
};

/// An environment's cluster.
#[derive(Debug, Clone)]
pub struct RemoteAccess {
    /// The context with its credentials, kept until the run ends.
    pub file: Arc<ContextFile>,
    pub cluster: Cluster,
    /// UID of namespace `kube-system`.
    pub identity: String,
}

impl RemoteAccess {
    /// Connects to the cluster of the environment's context.
    ///
    /// # Errors
    /// When the context does not exist, the cluster does not respond, or it is not the cluster in projects.yaml.
    pub async fn open(session: &Session) -> Result<Self, CommandError> {
        let access = Self::follow(session).await?;
        if let Some(wanted) = session.environment.cluster_id.as_ref().filter(|wanted| **wanted != access.identity) {
            let environment = &session.environment.name;
            let cause = format!(
                "the context '{}' points to the cluster {}, but the environment '{environment}' is pinned to {wanted}",
                access.file.context, access.identity
            );
            let help = format!("correct the context, or run cmdr env pin {environment} if this is the right cluster");
            return Err(CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help)));
        }
        Ok(access)
    }

    /// Connects without checking which cluster it is.
    ///
    /// # Errors
    /// When the context does not exist or the cluster does not respond.
    pub async fn follow(session: &Session) -> Result<Self, CommandError> {
        let environment = &session.environment;
        let context = environment.context.as_deref().ok_or_else(|| {
            let cause = format!("the environment '{}' has no context", environment.name);
            CommandError::usage(Problem::new(cause).help("set its context in projects.yaml to deploy to a cluster"))
        })?;
        let folder = session.settings.folders.state.join("runs");
        let file =
            read_context(&session.settings.user_kubeconfigs(), context, &folder, &session.settings.variables.proxies)
                .map_err(|error| CommandError::usage(error.problem()))?;
        let at_environment = |error: ClusterError| {
            let mut error = CommandError::from(error);
            for problem in &mut error.problems {
                problem.message = format!("environment '{}': {}", environment.name, problem.message);
            }
            error
        };
        let cluster = Cluster::open(file.path(), Some(context)).await.map_err(at_environment)?;
        let cluster = cluster.within(namespaces_of(session));
        let identity = cluster.identity().await.map_err(at_environment)?;
        Ok(Self { file: Arc::new(file), cluster, identity })
    }

    /// The cluster for Helm.
    pub fn target(&self) -> HelmTarget {
        HelmTarget { kubeconfig: self.file.path().to_owned(), context: Some(self.file.context.clone()) }
    }

    /// Returns the runner for plans on this cluster.
    ///
    /// # Errors
    /// When the user's certificates or Docker's configuration cannot be read.
    pub async fn runner(&self, session: &Session, helm: Helm) -> Result<Runner, CommandError> {
        let (target, resolver) = (self.target(), Resolver::SystemElse(Arc::default()));
        let mut runner = session.runner_at(helm, target, resolver, None).await?;
        runner.ledger = Some(session.environment.namespace.clone());
        runner.reach = Some(namespaces_of(session));
        Ok(runner)
    }

    /// Refuses to continue if the context points to another cluster by now: the plan was reviewed for this one.
    ///
    /// # Errors
    /// When it does, or the cluster is no longer reachable.
    pub async fn confirm(&self, session: &Session) -> Result<(), CommandError> {
        Self::follow(session).await?.is_still(&self.identity)
    }

    /// Refuses any cluster other than the one that was found before.
    ///
    /// # Errors
    /// When the context points to another cluster.
    pub fn is_still(&self, identity: &str) -> Result<(), CommandError> {
        if self.identity == identity {
            return Ok(());
        }
        let cause = format!(
            "the context '{}' pointed to the cluster {identity} when the plan was created, but now points to {}",
            self.file.context, self.identity
        );
        let help = "nothing was changed; check the context and run the command again";
        Err(CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help)))
    }
}

/// Refuses to write from a laptop to an environment that only pipelines may write to.
///
/// # Errors
/// When this is not a CI job and the environment has `only: ci`.
pub fn may_write(session: &Session) -> Result<(), CommandError> {
    let environment = &session.environment;
    if environment.only != Some(Writer::Ci) || session.settings.variables.pipeline.is_some() {
        return Ok(());
    }
    let cause = format!("only pipelines may write to the environment '{}' (only: ci)", environment.name);
    let help = "start the pipeline's job instead with cmdr promote --via gitlab, or preview changes with --dry-run";
    Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)))
}

/// For `map_err`: an unreachable cluster may be reachable later, and nothing was changed yet.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
pub fn failed(error: ClusterError) -> CommandError {
    let kind = if error.is_unreachable() { ErrorKind::Transient } else { ErrorKind::Failed };
    CommandError::new(kind, error.problem())
}

/// Refuses the environment `local`, which has no ledger.
///
/// # Errors
/// When it is the requested environment.
pub fn refuse_local(session: &Session, help: &str) -> Result<(), CommandError> {
    if !session.environment.is_local() {
        return Ok(());
    }
    let known: Vec<&str> = session
        .loaded
        .workspace
        .environments
        .values()
        .filter(|environment| !environment.is_local())
        .map(|environment| environment.name.as_str())
        .collect();
    let cause = match known.as_slice() {
        [] => "projects.yaml has no environment other than 'local'".to_owned(),
        known => format!("not supported in the environment 'local': choose another with --env: {}", known.join(", ")),
    };
    Err(CommandError::usage(Problem::new(cause).help(help)))
}
