//! CustomResourceDefinitions of charts: which the cluster has, and how newer ones are applied.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ListParams, Patch},
};
use serde_json::Value;

use super::apply::apply;
use crate::{
    adapters::cluster::{Cluster, ClusterError, releases::objects::checksum},
    domain::labels,
};

/// How long the API server may serve the previous schema after it has stored a new one.
const SERVED: Duration = Duration::from_secs(1);

impl Cluster {
    /// Returns the definitions in the cluster, with the checksum of what cmdr applied; `None` if the account may not
    /// list them.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn definitions(&self) -> Result<Option<BTreeMap<String, Option<String>>>, ClusterError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let list = api.list_metadata(&ListParams::default()).await;
        match list.map_err(ClusterError::asking("list CustomResourceDefinitions")) {
            Ok(list) => {
                let known =
                    list.items.into_iter().filter_map(|it| Some((it.metadata.name.clone()?, checksum(&it.metadata))));
                Ok(Some(known.collect()))
            }
            Err(error) if error.is_status(403) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies definitions, each with the checksum of its content.
    ///
    /// # Errors
    /// If the API rejects a definition.
    pub async fn apply_definitions(&self, definitions: Vec<(Value, String)>) -> Result<(), ClusterError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for (mut definition, checksum) in definitions {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            definition["metadata"]["annotations"][labels::CHECKSUM] = checksum.into();
            let applied = api.patch(&name, &apply(), &Patch::Apply(definition)).await;
            applied.map_err(ClusterError::asking(format!("apply the CustomResourceDefinition {name}")))?;
        }
        tokio::time::sleep(SERVED).await;
        Ok(())
    }
}
