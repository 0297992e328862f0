//! Pull secrets: the credentials with which pods pull images, and the service accounts that pass them to pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{LocalObjectReference, Secret, ServiceAccount},
};
use kube::{Api, api::Patch, core::ObjectMeta};
use serde_json::json;

use crate::adapters::{
    cluster::{
        Cluster, ClusterError, PullAccount,
        store::apply::{apply, purpose},
    },
    credentials::{RegistryCredential, pull_secret_content},
};
use crate::domain::ReleaseKey;

/// The Secret with the credentials that pods of a namespace use to pull images.
const PULL_SECRET: &str = "cmdr-pull";
const CONTENT: &str = ".dockerconfigjson";
/// The service account of pods that do not name one.
pub(in crate::adapters::cluster) const DEFAULT_ACCOUNT: &str = "default";

impl Cluster {
    /// Writes the credentials of `hosts` to the namespace's pull secret, and adds it to the default service account.
    /// Credentials of other registries are kept.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn apply_pull_secret(
        &self,
        namespace: &str,
        hosts: &[&str],
        credentials: &[RegistryCredential],
    ) -> Result<(), ClusterError> {
        let secrets: Api<Secret> = self.namespaced(namespace);
        let what = || format!("create the pull secret of namespace {namespace}");
        let found = secrets.get_opt(PULL_SECRET).await.map_err(ClusterError::asking(what()))?;
        let found = found.and_then(|secret| secret.data?.remove(CONTENT)).map(|content| content.0);
        let content = pull_secret_content(found.as_deref(), hosts, credentials);
        if found.as_ref() != Some(&content) {
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(PULL_SECRET.to_owned()),
                    labels: Some(purpose("pull-secret")),
                    ..ObjectMeta::default()
                },
                type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
                data: Some(BTreeMap::from([(CONTENT.to_owned(), ByteString(content))])),
                ..Secret::default()
            };
            secrets.patch(PULL_SECRET, &apply(), &Patch::Apply(secret)).await.map_err(ClusterError::asking(what()))?;
        }
        self.use_pull_secret(namespace, DEFAULT_ACCOUNT, None).await
    }

    /// Adds the pull secret to the service account that pods of a release use. An account that the release creates is
    /// created in advance, because pods get the pull secrets that their account has at that moment. An account whose
    /// pull secrets the chart sets itself is left unchanged.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn use_pull_secret_in(&self, account: &PullAccount, release: &ReleaseKey) -> Result<(), ClusterError> {
        let creator = account.is_rendered.then_some(release);
        self.use_pull_secret(&account.namespace, &account.name, creator).await
    }

    async fn use_pull_secret(
        &self,
        namespace: &str,
        name: &str,
        creator: Option<&ReleaseKey>,
    ) -> Result<(), ClusterError> {
        let accounts: Api<ServiceAccount> = self.namespaced(namespace);
        let what = || format!("add the pull secret to service account {name} in namespace {namespace}");
        let found = accounts.get_opt(name).await.map_err(ClusterError::asking(what()))?;
        // The controller creates the default account some time after its namespace.
        if found.is_none() && creator.is_none() && name != DEFAULT_ACCOUNT {
            return Ok(());
        }
        let mut secrets = found.and_then(|account| account.image_pull_secrets).unwrap_or_default();
        if secrets.iter().any(|secret| secret.name == PULL_SECRET) {
            return Ok(());
        }
        secrets.push(LocalObjectReference { name: PULL_SECRET.to_owned() });
        let metadata = match creator {
            // Helm takes over objects with these marks.
            Some(release) => json!({
                "name": name,
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": release.name,
                    "meta.helm.sh/release-namespace": release.namespace,
                },
            }),
            None => json!({"name": name}),
        };
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": secrets,
        });
        accounts.patch(name, &apply(), &Patch::Apply(account)).await.map_err(ClusterError::asking(what()))?;
        Ok(())
    }
}
