//! Namespaces of copies of a local environment, identified by their labels.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PartialObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::purpose};
use crate::domain::{
    labels,
    local_copy::{CopyMark, CopyOwner, ObservedCopy},
};

/// The label with the name of a copy.
const COPY: &str = "cmdr.dev/copy";
/// The annotations with the worktree and the branch that a copy is brought up from.
const WORKTREE: &str = "cmdr.dev/worktree";
const BRANCH: &str = "cmdr.dev/branch";
const PURPOSE: &str = "copy";
/// The field manager of these labels: other patches of the namespace by cmdr must not remove them.
const MANAGER: &str = "cmdr-copy";

impl Cluster {
    /// Returns the copies of a workspace by name, without those that are being deleted.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn copies(&self, workspace: &str) -> Result<Vec<ObservedCopy>, ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let own = format!("{}={PURPOSE},{}={workspace}", labels::PURPOSE, labels::WORKSPACE);
        let list = namespaces.list_metadata(&ListParams::default().labels(&own)).await;
        let items = list.map_err(ClusterError::asking("list namespaces"))?.items;
        let active = items.into_iter().filter(|item| item.metadata.deletion_timestamp.is_none());
        let mut copies: Vec<ObservedCopy> = active.filter_map(copy_of).collect();
        copies.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(copies)
    }

    /// Creates the namespace of a copy, or writes who owns it now.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn mark_copy(&self, workspace: &str, namespace: &str, mark: &CopyMark) -> Result<(), ClusterError> {
        let mut own = purpose(PURPOSE);
        own.insert(labels::WORKSPACE.to_owned(), workspace.to_owned());
        own.insert(COPY.to_owned(), mark.name.clone());
        let mut annotations = json!({WORKTREE: mark.owner.worktree});
        if let Some(branch) = &mark.owner.branch {
            annotations[BRANCH] = json!(branch);
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": own, "annotations": annotations},
        });
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let marked = namespaces.patch(namespace, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
        marked.map(drop).map_err(ClusterError::asking(format!("create namespace {namespace}")))
    }

    /// Ends all pods of a namespace that is being deleted after one second, whatever time they have to end.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn end_pods(&self, namespace: &str) -> Result<(), ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let soon = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        let ended = pods.delete_collection(&soon, &ListParams::default()).await;
        ended.map(drop).map_err(ClusterError::asking(format!("delete the pods of namespace {namespace}")))
    }
}

fn copy_of(item: PartialObjectMeta<Namespace>) -> Option<ObservedCopy> {
    let metadata = item.metadata;
    let name = metadata.labels?.remove(COPY)?;
    let mut annotations = metadata.annotations.unwrap_or_default();
    let worktree = annotations.remove(WORKTREE).unwrap_or_default().into();
    let owner = CopyOwner { worktree, branch: annotations.remove(BRANCH) };
    let created = metadata.creation_timestamp.map(|time| time.0);
    Some(ObservedCopy { name, namespace: metadata.name?, owner, created })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_from_the_metadata_of_its_namespace() {
        let metadata = json!({
            "metadata": {
                "name": "tunes-fix-42", "labels": {COPY: "fix-42"},
                "annotations": {WORKTREE: "/work/fix", BRANCH: "fix/42"},
            },
        });
        let found = copy_of(serde_json::from_value(metadata).unwrap()).unwrap();
        let owner = CopyOwner { worktree: "/work/fix".into(), branch: Some("fix/42".to_owned()) };
        assert_eq!((found.name.as_str(), found.namespace.as_str()), ("fix-42", "tunes-fix-42"));
        assert_eq!(found.owner, owner);
    }
}
