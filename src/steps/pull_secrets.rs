//! Pull secrets for the pods of a release, read from what the chart renders.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{Cluster, ClusterError, PullAccount, pull_accounts},
        credentials::RegistryCredential,
        helm::{Template, TemplateCluster},
    },
    domain::{ReleaseKey, yaml},
    engine::{Reporter, StepFailure},
    plan::ReleaseSpec,
};

impl Runner {
    /// Writes the credentials of these registries, as far as there are any, to a namespace's pull secret.
    pub(super) async fn write_pull_secret(
        &self,
        namespace: &str,
        hosts: &[&str],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let credentials = self.pull_credentials(hosts, reporter, cancel).await;
        if credentials.is_empty() {
            return Ok(());
        }
        let cluster = &self.connected()?.cluster;
        let _one_at_a_time = self.pull_warnings.lock().await;
        Ok(cluster.apply_pull_secret(namespace, hosts, &credentials).await?)
    }

    /// Before a release is deployed: renders it, and gives its pods the credentials of their registries.
    pub(super) async fn provide_pull_secrets(
        &self,
        spec: &ReleaseSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let ReleaseSpec { name, namespace, chart, content, .. } = spec;
        // The namespace's default account already has the credentials for the images in values.
        let uses_default_account = spec.universal && !content.values.contains_key("serviceAccount");
        if self.credentials.is_empty() || uses_default_account {
            return Ok(());
        }
        let target = &self.release.target;
        let for_cluster = Some(TemplateCluster { target, is_upgrade: true });
        let template = |cluster| Template { name, namespace, chart, values: &content.values, cluster };
        let helm = &self.release.helm;
        let manifest = match helm.template(&template(for_cluster), cancel).await {
            Ok(manifest) => Ok(manifest),
            Err(_) => helm.template(&template(None), cancel).await,
        };
        // What cannot be rendered cannot be deployed either: Helm reports why.
        let Ok(manifest) = manifest else { return Ok(()) };
        let objects = yaml::read_documents(&manifest).unwrap_or_default();
        self.provide_for(&spec.key(), &objects, reporter, cancel).await
    }

    /// Gives the pods of rendered objects the credentials of their registries. If the account may not do that, a
    /// warning is enough: nodes may have their own login.
    pub(super) async fn provide_for(
        &self,
        release: &ReleaseKey,
        objects: &[Value],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        if self.credentials.is_empty() {
            return Ok(());
        }
        let accounts = pull_accounts(objects, &release.namespace);
        let hosts: BTreeSet<&str> = accounts.values().flatten().map(String::as_str).collect();
        let hosts: Vec<&str> = hosts.into_iter().collect();
        let credentials = self.pull_credentials(&hosts, reporter, cancel).await;
        let cluster = &self.connected()?.cluster;
        for (account, hosts) in &accounts {
            let of_account = |it: &&RegistryCredential| hosts.contains(&it.host);
            let credentials: Vec<RegistryCredential> = credentials.iter().filter(of_account).cloned().collect();
            if !credentials.is_empty() {
                let provided = self.provide(cluster, (account, release), hosts, &credentials).await;
                provided.unwrap_or_else(|error| reporter.warn(error.problem()));
            }
        }
        Ok(())
    }

    async fn provide(
        &self,
        cluster: &Cluster,
        (account, release): (&PullAccount, &ReleaseKey),
        hosts: &[String],
        credentials: &[RegistryCredential],
    ) -> Result<(), ClusterError> {
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let _one_at_a_time = self.pull_warnings.lock().await;
        cluster.apply_pull_secret(&account.namespace, &hosts, credentials).await?;
        cluster.use_pull_secret_in(account, release).await
    }

    /// Returns the credentials for pull secrets, and reports each warning once in a run.
    async fn pull_credentials(
        &self,
        hosts: &[&str],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Vec<RegistryCredential> {
        let found = self.credentials.for_pulls(hosts, self.local.is_some(), cancel).await;
        let mut reported = self.pull_warnings.lock().await;
        for warning in found.warnings {
            if reported.insert(warning.message.clone()) {
                reporter.warn(warning);
            }
        }
        found.credentials
    }
}
