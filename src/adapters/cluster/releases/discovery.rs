//! The plural and the scope of a kind, as the API server reports them: a plural does not always follow a rule.

use kube::{
    api::{ApiResource, GroupVersionKind},
    discovery::{Scope, pinned_kind},
};

use crate::adapters::cluster::{Cluster, ClusterError, releases::objects::group_version_kind};

impl Cluster {
    /// Returns the API resource of a kind and whether its objects are in namespaces; `None` if the kind is not
    /// installed.
    ///
    /// # Errors
    /// If the API does not respond.
    pub(in crate::adapters::cluster) async fn discover(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<(ApiResource, Scope)>, ClusterError> {
        let found = pinned_kind(&self.client, &group_version_kind(api_version, kind)).await;
        match found {
            Ok((resource, capabilities)) => Ok(Some((resource, capabilities.scope))),
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(error) => match ClusterError::asking(format!("read the kinds of {api_version}"))(error) {
                error if error.is_status(404) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// As [`Cluster::discover`], without a request for the kinds of Kubernetes itself, whose plurals follow the rule.
    pub(in crate::adapters::cluster) async fn resource_of(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<ApiResource>, ClusterError> {
        let GroupVersionKind { group, .. } = group_version_kind(api_version, kind);
        // The groups of custom resources have a dot.
        if !group.contains('.') {
            return Ok(Some(ApiResource::from_gvk(&group_version_kind(api_version, kind))));
        }
        Ok(self.discover(api_version, kind).await?.map(|(resource, _)| resource))
    }
}
