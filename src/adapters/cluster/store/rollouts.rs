//! Rollouts: their states, and the objects of Traefik that split the requests.

use std::collections::BTreeMap;

use k8s_openapi::api::{batch::v1::CronJob, core::v1::ServiceAccount};
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::adapters::cluster::{Cluster, ClusterError, releases::objects::api_resource, store::apply::purpose};
use crate::domain::{
    ReleaseKey, labels,
    objects::{TRAEFIK, http_path, observer_name, tcp_path},
    rollout::RolloutState,
};

const PURPOSE: &str = "rollout";
const DRIVER_PURPOSE: &str = "traffic";
/// The kinds that route requests.
const ROUTES: [&str; 2] = ["IngressRoute", "IngressRouteTCP"];
/// The kind with the weights of HTTP. Those of TCP are in the route.
const WEIGHTS: &str = "TraefikService";

impl Cluster {
    /// Returns the state of each rollout in the namespace, by project; also of those that have ended.
    ///
    /// # Errors
    /// If the API does not respond, or a state is not valid.
    pub async fn rollouts(&self, namespace: &str) -> Result<BTreeMap<String, RolloutState>, ClusterError> {
        self.contents(namespace, PURPOSE).await
    }

    /// Returns the state of the rollout of a project, also of one that has ended.
    ///
    /// # Errors
    /// If the API does not respond, or the state is not valid.
    pub async fn rollout(&self, project: &ReleaseKey) -> Result<Option<RolloutState>, ClusterError> {
        self.content_of(&project.namespace, PURPOSE, &project.name).await
    }

    /// Changes the state of a rollout. Without a new state, nothing is written. Concurrent changes are serialized.
    ///
    /// # Errors
    /// If the API returns an error, or others keep changing the state.
    pub async fn update_rollout(
        &self,
        project: &ReleaseKey,
        change: impl Fn(Option<RolloutState>) -> Option<RolloutState>,
    ) -> Result<(), ClusterError> {
        self.update_content(&project.namespace, (PURPOSE, &project.name), change).await
    }

    /// Deletes the state of a rollout.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn forget_rollout(&self, project: &ReleaseKey) -> Result<(), ClusterError> {
        self.forget_content(&project.namespace, PURPOSE, &project.name).await
    }

    /// Whether the cluster has the kinds of Traefik with which requests are split.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not list them.
    pub async fn can_split(&self, namespace: &str) -> Result<bool, ClusterError> {
        let resource = api_resource(TRAEFIK, "TraefikService");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let found = api.list_metadata(&ListParams::default().limit(1)).await;
        match found.map_err(ClusterError::asking("list TraefikServices")) {
            Err(error) if error.is_status(404) => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Applies the objects that split the requests of a project.
    ///
    /// # Errors
    /// If the API returns an error, or another tool has created an object with such a name.
    pub async fn split_traffic(
        &self,
        project: &ReleaseKey,
        workspace: &str,
        objects: Vec<Value>,
    ) -> Result<(), ClusterError> {
        let mut own = purpose(PURPOSE);
        own.insert(labels::PROJECT.to_owned(), project.name.clone());
        own.insert(labels::WORKSPACE.to_owned(), labels::value(workspace));
        for mut object in objects {
            object["metadata"]["namespace"] = json!(project.namespace);
            object["metadata"]["labels"] = json!(own);
            self.apply_own(&object).await?;
        }
        Ok(())
    }

    /// Deletes the routes that split the requests of a project: it gets all of them again by its own routes. Returns the
    /// paths of Traefik's API that answer when no router uses the weights any longer.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn unsplit_traffic(&self, project: &ReleaseKey) -> Result<Vec<String>, ClusterError> {
        let mut paths = Vec::new();
        for (kind, path) in [(WEIGHTS, http_path as fn(&str, &str) -> String), ("IngressRouteTCP", tcp_path)] {
            let names = self.names_of_own((TRAEFIK, kind), PURPOSE, (&project.namespace, Some(&project.name))).await;
            let names = names.or_else(|error| if error.is_status(404) { Ok(Vec::new()) } else { Err(error) })?;
            paths.extend(names.into_iter().map(|name| path(&project.namespace, &name)));
        }
        let observer = observer_name(&project.name);
        for kind in ROUTES {
            self.delete_split(kind, project, &[&observer]).await?;
        }
        Ok(paths)
    }

    /// Deletes what no route uses any longer after [`Self::unsplit_traffic`]: the weights, and the route to Traefik's API.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn remove_weights(&self, project: &ReleaseKey) -> Result<(), ClusterError> {
        self.delete_split(WEIGHTS, project, &[]).await?;
        self.delete_split(ROUTES[0], project, &[]).await
    }

    /// Returns whether a namespace has a ServiceAccount.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not read it.
    pub async fn has_account(&self, namespace: &str, name: &str) -> Result<bool, ClusterError> {
        let accounts: Api<ServiceAccount> = self.namespaced(namespace);
        let found = accounts.get_metadata_opt(name).await;
        Ok(found.map_err(ClusterError::asking(format!("read ServiceAccount {name}")))?.is_some())
    }

    /// Applies the objects that continue rollouts.
    ///
    /// # Errors
    /// If the API returns an error, or another tool has created an object with such a name.
    pub async fn apply_driver(&self, namespace: &str, objects: [Value; 2]) -> Result<(), ClusterError> {
        for mut object in objects {
            object["metadata"]["namespace"] = json!(namespace);
            object["metadata"]["labels"] = json!(purpose(DRIVER_PURPOSE));
            self.apply_own(&object).await?;
        }
        Ok(())
    }

    /// Suspends the CronJob that continues rollouts, if it exists.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn suspend_driver(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let jobs: Api<CronJob> = self.namespaced(namespace);
        let patched =
            jobs.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"suspend": true}}))).await;
        match patched.map_err(ClusterError::asking(format!("suspend CronJob {name}"))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete_split(&self, kind: &str, project: &ReleaseKey, kept: &[&str]) -> Result<(), ClusterError> {
        match self.delete_own((TRAEFIK, kind), PURPOSE, (&project.namespace, Some(&project.name)), kept).await {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }
}
