//! Namespaces, and those that are being deleted: nothing can be created in them, and their name is free only when they
//! are gone.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch},
    core::PartialObjectMeta,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::adapters::{
    cluster::{Cluster, ClusterError, releases::objects::checksum, store::apply::apply},
    wait::{Wait, WaitError, every},
};
use crate::domain::labels;

/// How long a namespace may take to be deleted: its pods get 30 seconds to end, and volumes are detached after that.
const DELETION: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(500);

/// The state of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceState {
    Absent,
    Active,
    /// It is being deleted.
    Terminating,
}

impl Cluster {
    /// Returns every namespace that is not being deleted, with the Secrets that cmdr created in it: their names and
    /// checksums, if any.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn namespaces(&self) -> Result<BTreeMap<String, BTreeMap<String, Option<String>>>, ClusterError> {
        let own = ListParams::default().labels(labels::PURPOSE);
        let secrets = self.list_metadata::<Secret>(&own, "secrets");
        let (namespaces, secrets) = futures::try_join!(self.active_namespaces(), secrets)?;
        let mut result: BTreeMap<String, BTreeMap<String, Option<String>>> =
            namespaces.into_iter().map(|name| (name, BTreeMap::new())).collect();
        for secret in secrets {
            let made_from = checksum(&secret.metadata);
            let namespace = secret.metadata.namespace.unwrap_or_default();
            if let Some(known) = result.get_mut(&namespace) {
                known.extend(secret.metadata.name.map(|name| (name, made_from)));
            }
        }
        Ok(result)
    }

    async fn active_namespaces(&self) -> Result<Vec<String>, ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = match &self.reach {
            None => {
                let list = namespaces.list_metadata(&ListParams::default()).await;
                list.map_err(ClusterError::asking("list namespaces"))?.items
            }
            Some(reach) => {
                let found = reach.iter().map(|name| namespaces.get_metadata_opt(name));
                let found = futures::future::try_join_all(found).await;
                found.map_err(ClusterError::asking("read namespaces"))?.into_iter().flatten().collect()
            }
        };
        let active = found.into_iter().filter(|item| state_of(item) == NamespaceState::Active);
        Ok(active.filter_map(|item| item.metadata.name).collect())
    }

    /// # Errors
    /// If the API does not respond.
    pub async fn namespace_state(&self, name: &str) -> Result<NamespaceState, ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata_opt(name).await;
        let found = found.map_err(ClusterError::asking(format!("read namespace {name}")))?;
        Ok(found.as_ref().map_or(NamespaceState::Absent, state_of))
    }

    /// Waits until a namespace that is being deleted is gone. Returns at once for any other.
    ///
    /// # Errors
    /// If it is not deleted in time; the error says why.
    pub async fn wait_until_deleted(
        &self,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError<ClusterError>> {
        let mut wait = Wait::new(every(LOOK), DELETION);
        while self.namespace_state(name).await.map_err(WaitError::Limit)? == NamespaceState::Terminating {
            match wait.pause_or((), cancel).await {
                Ok(()) => (),
                Err(WaitError::Interrupted) => return Err(WaitError::Interrupted),
                Err(WaitError::Limit(())) => return Err(WaitError::Limit(self.blocked_deletion(name).await?)),
            }
        }
        Ok(())
    }

    async fn blocked_deletion(&self, name: &str) -> Result<ClusterError, WaitError<ClusterError>> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_opt(name).await.map_err(ClusterError::asking(format!("read namespace {name}")));
        let waits_for = found.map_err(WaitError::Limit)?.as_ref().and_then(waits_for);
        Ok(ClusterError::Terminating { namespace: name.to_owned(), waits_for })
    }

    /// Creates the namespace, when one of the same name that is being deleted is gone. In an existing one, only cmdr's
    /// labels are set.
    ///
    /// # Errors
    /// If the API returns an error, or as [`Self::wait_until_deleted`].
    pub async fn apply_namespace(
        &self,
        name: &str,
        privileged: bool,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError<ClusterError>> {
        self.wait_until_deleted(name, cancel).await?;
        let mut wanted = BTreeMap::from([("app.kubernetes.io/managed-by", "cmdr")]);
        if privileged {
            wanted.insert("pod-security.kubernetes.io/enforce", "privileged");
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let applied = namespaces.patch(name, &apply(), &Patch::Apply(namespace)).await;
        let applied = applied.map(drop).map_err(ClusterError::asking(format!("create namespace {name}")));
        applied.map_err(WaitError::Limit)
    }

    /// Creates a namespace if it does not exist. An existing one is not changed, because an account that may only
    /// deploy cannot change namespaces.
    ///
    /// # Errors
    /// As [`Self::apply_namespace`].
    pub async fn ensure_namespace(
        &self,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError<ClusterError>> {
        match self.namespace_state(name).await.map_err(WaitError::Limit)? {
            NamespaceState::Active => Ok(()),
            NamespaceState::Absent | NamespaceState::Terminating => self.apply_namespace(name, false, cancel).await,
        }
    }

    /// Deletes a namespace with all its objects.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn delete_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let deleted = namespaces.delete(name, &DeleteParams::background()).await;
        deleted.map(drop).map_err(ClusterError::asking(format!("delete namespace {name}")))
    }
}

fn state_of(namespace: &PartialObjectMeta<Namespace>) -> NamespaceState {
    match namespace.metadata.deletion_timestamp {
        Some(_) => NamespaceState::Terminating,
        None => NamespaceState::Active,
    }
}

/// What the deletion of a namespace waits for, in the words of Kubernetes: objects that remain, or finalizers.
fn waits_for(namespace: &Namespace) -> Option<String> {
    let conditions = namespace.status.as_ref()?.conditions.as_ref()?;
    let holds = conditions.iter().filter(|condition| condition.status == "True");
    let messages: Vec<&str> = holds.filter_map(|condition| condition.message.as_deref()).collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_deletion_reports_what_it_waits_for() {
        let status = json!({"phase": "Terminating", "conditions": [
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted"},
            {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods."},
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content has finalizers: a/b."},
        ]});
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap();
        let expected = "Some resources are remaining: pods.; Some content has finalizers: a/b.";
        assert_eq!(waits_for(&namespace).as_deref(), Some(expected));
    }
}
