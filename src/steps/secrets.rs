//! Secrets: generated, written from files that sops decrypted, or created by External Secrets.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{Cluster, ClusterError, ExternalState},
        wait::{Wait, every},
    },
    domain::{Problem, secret::SecretData},
    engine::{Reporter, StepFailure},
    plan::{DataPlace, DataSource, ExternalSecretSpec, NamespaceSpec, SecretContent, SecretSpec},
};

/// The content of decrypted files, by their path in the workspace. It is not part of the plan, because plans are
/// printed.
pub type Decrypted = BTreeMap<PathBuf, SecretData>;

/// The polling interval for External Secrets; its objects are not watched.
const LOOK: Duration = Duration::from_millis(500);
/// The timeout for External Secrets' webhook, which may be unavailable after its pod is ready.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(30);
/// How long External Secrets may report an error: at first it may concern the previous version, or be temporary.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long External Secrets may report no status.
const SILENCE_PATIENCE: Duration = Duration::from_mins(1);

impl Runner {
    pub(super) async fn write_secret(&self, of: &NamespaceSpec, secret: &SecretSpec) -> Result<(), StepFailure> {
        let cluster = &self.connected()?.cluster;
        let namespace = of.name.as_str();
        match &secret.content {
            SecretContent::Random { key } => {
                if let Some(source) = &of.secrets_from {
                    self.copy_generated_secret(source, namespace, &secret.name).await?;
                }
                // An existing one is kept.
                cluster.generate_secret(namespace, &secret.name, key).await?;
            }
            SecretContent::Sops(file) => {
                let missing = || Problem::new(format!("{} was not decrypted", file.path.display()));
                let data = self.decrypted.get(&file.path).ok_or_else(missing)?;
                cluster.apply_secret(namespace, &secret.name, &file.checksum, data).await?;
            }
        }
        Ok(())
    }

    async fn copy_generated_secret(&self, source: &DataSource, namespace: &str, name: &str) -> Result<(), StepFailure> {
        let cluster = &self.connected()?.cluster;
        match &source.place {
            DataPlace::Cluster { .. } => cluster.copy_generated_secret((&source.namespace, namespace), name).await?,
            DataPlace::Snapshot(snapshot) => {
                let saved = self.saved_data(snapshot).await?;
                if let Some(found) = saved.generated_secret(&source.namespace, name) {
                    cluster.create_generated_secret(namespace, name, found.clone()).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn external_secret(
        &self,
        spec: &ExternalSecretSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        ask_for(cluster, spec, cancel).await?;
        reporter.progress(format!("waiting for External Secrets to read '{}'", spec.content.store));
        await_ready(cluster, spec, cancel).await?;
        Ok(Some(format!("from {} '{}'", spec.content.store_kind, spec.content.store)))
    }
}

async fn ask_for(cluster: &Cluster, spec: &ExternalSecretSpec, cancel: &CancellationToken) -> Result<(), StepFailure> {
    let mut wait = Wait::new(every(LOOK), WEBHOOK_PATIENCE);
    loop {
        let asked = cluster.apply_external_secret(&spec.namespace, &spec.name, &spec.checksum, &spec.content).await;
        match asked {
            Ok(()) => return Ok(()),
            Err(error) if error.is_status(404) => return Err(unknown_kind(&error).into()),
            Err(error) if error.is_status(500) => wait.pause_or(error, cancel).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn unknown_kind(error: &ClusterError) -> Problem {
    Problem::new("the kind ExternalSecret (external-secrets.io/v1) is not installed in the cluster")
        .detail(error.problem().message)
        .help(
            "install External Secrets 0.16 or later, in the cluster or under 'platform' in projects.yaml: \
             https://external-secrets.io",
        )
}

async fn await_ready(
    cluster: &Cluster,
    spec: &ExternalSecretSpec,
    cancel: &CancellationToken,
) -> Result<(), StepFailure> {
    let mut wait = Wait::new(every(LOOK), SILENCE_PATIENCE);
    let mut refused: Option<Wait<_>> = None;
    loop {
        match cluster.external_state(&spec.namespace, &spec.name).await? {
            ExternalState::Ready => return Ok(()),
            ExternalState::Refused(detail) => {
                let wait = refused.get_or_insert_with(|| Wait::new(every(LOOK), REFUSAL_PATIENCE));
                wait.pause_or(refusal(spec, &detail), cancel).await?;
            }
            ExternalState::Waiting => {
                refused = None;
                wait.pause_or(silent(spec), cancel).await?;
            }
        }
    }
}

fn refusal(spec: &ExternalSecretSpec, detail: &str) -> Problem {
    let store = format!("{} '{}'", spec.content.store_kind, spec.content.store);
    Problem::new(format!("External Secrets cannot create secret {}: {detail}", spec.name))
        .help(format!("check that the {store} is ready and contains the requested keys"))
}

fn silent(spec: &ExternalSecretSpec) -> Problem {
    let seconds = SILENCE_PATIENCE.as_secs();
    Problem::new(format!("External Secrets has not reported a status of secret {} for {seconds} seconds", spec.name))
        .help("check that its controller is running and watches this namespace")
}
