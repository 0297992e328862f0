//! Deletes copies of the local environment.

use std::{collections::BTreeMap, fs, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Runner, volumes::FOLDER};
use crate::{
    adapters::{
        cluster::{Cluster, NamespaceState},
        docker::ForwarderOwner,
        wait::{Wait, every},
    },
    domain::Problem,
    engine::{Reporter, StepFailure},
    plan::CopyStep,
};

/// How long the provisioner of the node may delete the volumes of a namespace.
const VOLUMES: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(250);

impl Runner {
    pub(super) async fn of_copy(
        &self,
        step: &CopyStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match step {
            CopyStep::Volumes(copied) => self.copy_volumes(copied, reporter, cancel).await,
            CopyStep::Delete { name, namespace } => self.delete_copy(name, namespace, reporter, cancel).await,
        }
    }

    /// Waits until everything is deleted: the next copy of this name must not find old data.
    async fn delete_copy(
        &self,
        name: &str,
        namespace: &str,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        local.docker.remove_forwarder(ForwarderOwner { workspace: &local.name, copy: Some(name) }).await?;
        let cluster = &self.connected()?.cluster;
        if cluster.namespace_state(namespace).await? == NamespaceState::Active {
            cluster.delete_namespace(namespace).await?;
        }
        // Their data is deleted: there is nothing that they could bring to an end.
        cluster.end_pods(namespace).await?;
        reporter.progress("waiting until its pods have ended");
        cluster.wait_until_deleted(namespace, cancel).await?;
        reporter.progress("waiting until its volumes are deleted");
        volumes_deleted(cluster, namespace, cancel).await?;
        // What an interrupted run copied has no volume yet, so the provisioner does not know it.
        let script = format!("rm -rf {FOLDER}/{namespace}_*");
        local.docker.exec(&local.node(), &["sh", "-c", &script]).await?;
        // Without the file, the next copy of this name has no builds.
        let _ = fs::remove_file(local.folder.builds(Some(name)));
        Ok(None)
    }
}

/// Waits until a namespace that no longer exists has no volumes.
pub(super) async fn volumes_deleted(
    cluster: &Cluster,
    namespace: &str,
    cancel: &CancellationToken,
) -> Result<(), StepFailure> {
    let mut wait = Wait::new(every(LOOK), VOLUMES);
    loop {
        let left = cluster.claim_folders(namespace).await?;
        if left.is_empty() {
            return Ok(());
        }
        wait.pause_or(not_deleted(namespace, &left), cancel).await?;
    }
}

fn not_deleted(namespace: &str, left: &BTreeMap<String, String>) -> Problem {
    let claims: Vec<&str> = left.keys().map(String::as_str).collect();
    Problem::new(format!("volumes of the deleted namespace {namespace} still exist: {}", claims.join(", ")))
        .help("check the provisioner: kubectl logs --namespace local-path-storage deployment/local-path-provisioner")
}
