//! The certificate of a local cluster, which Traefik uses for every host.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{DynamicObject, Patch},
    core::ObjectMeta,
};
use serde_json::json;

use crate::adapters::cluster::{
    Cluster, ClusterError,
    releases::objects::api_resource,
    store::{apply::apply, apply::purpose, secrets::refuse_foreign},
};
use crate::domain::{labels, local_certificate::SECRET, objects::TRAEFIK, secret::SecretData};

/// The only name that Traefik reads.
const STORE: &str = "default";

impl Cluster {
    /// Makes Traefik use this certificate for hosts that have none of their own. `checksum` is stored to detect later
    /// changes; it is written last.
    ///
    /// # Errors
    /// If the API returns an error, Traefik's kinds are not installed (404), or another tool has set a certificate.
    pub async fn apply_local_certificate(
        &self,
        namespace: &str,
        checksum: &str,
        data: &SecretData,
    ) -> Result<(), ClusterError> {
        let stores: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &api_resource(TRAEFIK, "TLSStore"));
        refuse_foreign(&stores, "TLSStore", STORE).await?;
        let store = json!({
            "apiVersion": TRAEFIK, "kind": "TLSStore",
            "metadata": {"name": STORE, "labels": purpose("local-certificate")},
            "spec": {"defaultCertificate": {"secretName": SECRET}},
        });
        let applied = stores.patch(STORE, &apply(), &Patch::Apply(store)).await;
        applied.map_err(ClusterError::asking("write Traefik's TLSStore"))?;
        let bytes = data.iter().map(|(key, value)| (key.clone(), ByteString(value.expose().as_bytes().to_vec())));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                labels: Some(purpose("local-certificate")),
                annotations: Some(BTreeMap::from([(labels::CHECKSUM.to_owned(), checksum.to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(bytes.collect()),
            ..Secret::default()
        };
        let secrets: Api<Secret> = self.namespaced(namespace);
        let applied = secrets.patch(SECRET, &apply(), &Patch::Apply(secret)).await;
        applied.map(drop).map_err(ClusterError::asking(format!("write secret {SECRET}")))
    }
}
