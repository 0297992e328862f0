//! Namespaces of review environments, identified by their labels.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::purpose};
use crate::domain::labels;

/// The annotation with the expiry time of a review environment.
const EXPIRES: &str = "cmdr.dev/expires";
/// The label with the slug of a review environment, which is part of names.
const SLUG: &str = "cmdr.dev/slug";
const PURPOSE: &str = "review";
/// The field manager of these labels: other patches of the namespace by cmdr must not remove them.
const MANAGER: &str = "cmdr-review";

/// The namespace of a review environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewNamespace {
    pub name: String,
    pub slug: String,
    pub expires: Timestamp,
}

impl Cluster {
    /// Returns the review environments of a workspace.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn reviews(&self, workspace: &str) -> Result<Vec<ReviewNamespace>, ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let own = format!("{}={PURPOSE},{}={workspace}", labels::PURPOSE, labels::WORKSPACE);
        let list = namespaces.list_metadata(&ListParams::default().labels(&own)).await;
        let items = list.map_err(ClusterError::asking("list namespaces"))?.items;
        let read = items.into_iter().filter(|item| item.metadata.deletion_timestamp.is_none()).filter_map(|item| {
            let slug = item.metadata.labels?.remove(SLUG)?;
            let expires = item.metadata.annotations?.get(EXPIRES)?.parse().ok()?;
            Some(ReviewNamespace { name: item.metadata.name?, slug, expires })
        });
        Ok(read.collect())
    }

    /// Creates the namespace of a review environment, or extends its expiry time.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn mark_review(&self, workspace: &str, review: &ReviewNamespace) -> Result<(), ClusterError> {
        let mut own = purpose(PURPOSE);
        own.insert(labels::WORKSPACE.to_owned(), workspace.to_owned());
        own.insert(SLUG.to_owned(), review.slug.clone());
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": review.name, "labels": own, "annotations": {EXPIRES: review.expires.to_string()}},
        });
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let marked =
            namespaces.patch(&review.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(namespace)).await;
        marked.map(drop).map_err(ClusterError::asking(format!("create namespace {}", review.name)))
    }
}
