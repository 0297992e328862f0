//! The way to a cluster that cmdr does not own: its context, read once, and the guard that it is the one that was
//! meant.

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
    domain::{Diagnosis, Writer},
    error::{CommandError, ErrorKind},
    ops::{describe::namespaces_of, session::Session},
    steps::Runner,
};

/// An environment's cluster.
#[derive(Debug, Clone)]
pub struct RemoteAccess {
    /// The context with its credentials, until the run ends.
    pub file: Arc<ContextFile>,
    pub cluster: Cluster,
    /// UID of namespace `kube-system`.
    pub identity: String,
}

impl RemoteAccess {
    /// Follows the environment's context to its cluster.
    ///
    /// # Errors
    /// When the context is gone, the cluster does not answer, or it is another one than projects.yaml says.
    pub async fn open(session: &Session) -> Result<Self, CommandError> {
        let access = Self::follow(session).await?;
        if let Some(wanted) = session.environment.cluster_id.as_ref().filter(|wanted| **wanted != access.identity) {
            let environment = &session.environment.name;
            let cause = format!(
                "the context '{}' leads to the cluster {}, and the environment '{environment}' is the cluster {wanted}",
                access.file.context, access.identity
            );
            let remedy =
                format!("correct the context; cmdr env pin {environment} if it is the right cluster after all");
            return Err(CommandError::new(ErrorKind::WrongCluster, Diagnosis::new(cause).remedy(remedy)));
        }
        Ok(access)
    }

    /// Follows the context without asking where it should lead.
    ///
    /// # Errors
    /// When the context is gone or the cluster does not answer.
    pub async fn follow(session: &Session) -> Result<Self, CommandError> {
        let environment = &session.environment;
        let context = environment.context.as_deref().ok_or_else(|| {
            let cause = format!("the environment '{}' has no context", environment.name);
            CommandError::usage(Diagnosis::new(cause).remedy("it is no cluster that one can deploy to"))
        })?;
        let folder = session.settings.folders.state.join("runs");
        let file = read_context(&session.settings.user_kubeconfigs(), context, &folder)
            .map_err(|error| CommandError::usage(error.diagnosis()))?;
        let cluster = Cluster::open(file.path(), Some(context)).await.map_err(failed)?;
        let cluster = cluster.within(namespaces_of(session));
        let identity = cluster.identity().await.map_err(failed)?;
        Ok(Self { file: Arc::new(file), cluster, identity })
    }

    /// What runs plans here.
    ///
    /// # Errors
    /// When the user's certificates or Docker's configuration cannot be read.
    pub async fn runner(&self, session: &Session, helm: Helm) -> Result<Runner, CommandError> {
        let target = HelmTarget { kubeconfig: self.file.path().to_owned(), context: Some(self.file.context.clone()) };
        let resolver = Resolver::SystemElse(Arc::default());
        let mut runner = session.runner_at(helm, target, resolver, None).await?;
        runner.ledger = Some(session.environment.namespace.clone());
        runner.reach = Some(namespaces_of(session));
        Ok(runner)
    }

    /// Refuses to go on when the context leads elsewhere by now, since somebody has read a plan for this cluster.
    ///
    /// # Errors
    /// When it does, or cannot be followed any more.
    pub async fn confirm(&self, session: &Session) -> Result<(), CommandError> {
        Self::follow(session).await?.is_still(&self.identity)
    }

    /// Refuses another cluster than the one that was found before.
    ///
    /// # Errors
    /// When the context leads elsewhere.
    pub fn is_still(&self, identity: &str) -> Result<(), CommandError> {
        if self.identity == identity {
            return Ok(());
        }
        let cause = format!(
            "the context '{}' led to the cluster {identity} when the plan was made, and leads to {} now",
            self.file.context, self.identity
        );
        Err(CommandError::new(ErrorKind::WrongCluster, Diagnosis::new(cause).remedy("nothing was changed; look again")))
    }
}

/// Refuses a laptop where only pipelines write.
///
/// # Errors
/// When this is no job of GitLab's and `only: ci` stands.
pub fn may_write(session: &Session) -> Result<(), CommandError> {
    let environment = &session.environment;
    if environment.only != Some(Writer::Ci) || session.settings.variables.gitlab {
        return Ok(());
    }
    let cause = format!("only pipelines write to the environment '{}' (only: ci)", environment.name);
    let remedy = "start the pipeline's job instead: cmdr promote --via gitlab; --dry-run shows what would be done";
    Err(CommandError::new(ErrorKind::Refused, Diagnosis::new(cause).remedy(remedy)))
}

/// For `map_err`: what cannot be reached may be reached later, and nothing was changed yet.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
pub fn failed(error: ClusterError) -> CommandError {
    let kind = if error.is_unreachable() { ErrorKind::Transient } else { ErrorKind::Failed };
    CommandError::new(kind, error.diagnosis())
}

/// The environment `local` has no ledger.
///
/// # Errors
/// When it is the one that is asked for.
pub fn refuse_local(session: &Session, remedy: &str) -> Result<(), CommandError> {
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
        [] => "projects.yaml has no environment beside 'local'".to_owned(),
        known => format!("the environment 'local' is not one of these: name one with --env: {}", known.join(", ")),
    };
    Err(CommandError::usage(Diagnosis::new(cause).remedy(remedy)))
}
