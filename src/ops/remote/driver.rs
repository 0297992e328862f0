//! The driver of an environment, which continues the rollouts that `--detach` leaves.

use crate::{
    adapters::cluster::Cluster,
    domain::{
        Problem,
        pipeline::PipelineRun,
        rollout::{DRIVER, DriverSpec, RolloutState},
    },
    error::{CommandError, ErrorKind},
    ops::{
        options::ChangeRequest,
        remote::{
            access::RemoteAccess,
            apply::{apply, is_preview},
            deploy_request::DeployRequest,
        },
        session::Session,
    },
};

/// The most bytes of a workspace's files: the API accepts 1 MiB in a ConfigMap.
const MOST_BYTES: usize = 900_000;

/// A driver whose needs are met.
#[derive(Debug)]
struct Driver {
    spec: DriverSpec,
    cluster: Cluster,
}

/// Brings an environment to the requested state, and leaves the rollouts of a detached run to its driver, if it has one.
/// Returns the URLs whose checks passed.
///
/// # Errors
/// As [`apply`], and before anything is changed, when the driver could not run.
pub async fn apply_driven(
    session: &Session,
    request: &DeployRequest,
    options: &ChangeRequest,
) -> Result<Vec<String>, CommandError> {
    let is_driven = request.is_detached && !is_preview(session, options);
    let driver = if is_driven { find(session).await? } else { None };
    let urls = apply(session, request, options).await?;
    if let Some(driver) = driver {
        driver.start(session).await?;
    }
    Ok(urls)
}

/// Returns the driver of the environment, before anything is changed; `None` if it has none.
///
/// # Errors
/// When its account does not exist, or the files of the workspace are too large.
async fn find(session: &Session) -> Result<Option<Driver>, CommandError> {
    let (environment, sources) = (&session.environment, &session.loaded.sources);
    let Some(driver) = environment.traffic.clone() else { return Ok(None) };
    let access = RemoteAccess::open(session).await?;
    let (account, namespace) = (driver.account().to_owned(), environment.namespace.clone());
    if !access.cluster.has_account(&namespace, &account).await? {
        let cause = format!("the ServiceAccount '{account}' of the driver does not exist in '{namespace}'");
        let help = "create it with templates/rbac/deployer.yaml, or name another as `account` under `traffic`";
        return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
    }
    let files: std::collections::BTreeMap<String, String> = sources.texts().collect();
    let bytes: usize = files.values().map(String::len).sum();
    if bytes > MOST_BYTES {
        let cause = format!("the files of the workspace have {bytes} bytes; a driver can have {MOST_BYTES}");
        let help = "remove `traffic` from this environment, and run cmdr traffic continue in scheduled pipelines";
        return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
    }
    let spec = DriverSpec {
        driver,
        environment: environment.name.to_string(),
        context: environment.context.clone().unwrap_or_default(),
        namespace,
        files,
        variables: session.settings.variables.pipeline.as_ref().map(PipelineRun::variables).unwrap_or_default(),
    };
    Ok(Some(Driver { spec, cluster: access.cluster }))
}

impl Driver {
    /// Starts the driver, if it has something to do.
    ///
    /// # Errors
    /// When the API refuses its objects.
    async fn start(&self, session: &Session) -> Result<(), CommandError> {
        let DriverSpec { namespace, .. } = &self.spec;
        if !has_rollouts(&self.cluster, namespace).await? {
            return Ok(());
        }
        self.cluster.apply_driver(namespace, self.spec.objects()).await?;
        session.note(&format!("the CronJob {DRIVER} continues the rollouts each minute"));
        Ok(())
    }
}

/// Suspends the driver when no rollout is in progress any longer.
///
/// # Errors
/// When the API does not respond.
pub async fn end(session: &Session, cluster: &Cluster) -> Result<(), CommandError> {
    let namespace = &session.environment.namespace;
    if session.environment.traffic.is_some() && !has_rollouts(cluster, namespace).await? {
        cluster.suspend_driver(namespace, DRIVER).await?;
    }
    Ok(())
}

async fn has_rollouts(cluster: &Cluster, namespace: &str) -> Result<bool, CommandError> {
    Ok(cluster.rollouts(namespace).await?.values().any(RolloutState::is_in_progress))
}
