//! The plural and the scope of a kind, as the API server reports them: a plural does not always follow a rule.

use kube::{
    api::ApiResource,
    discovery::{Scope, pinned_kind},
};

use crate::adapters::cluster::{Cluster, ClusterError, releases::objects::group_version_kind};

/// The API groups of Kubernetes whose names have a dot, as those of custom resources have.
const BUILT_IN: [&str; 12] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

fn is_built_in(group: &str) -> bool {
    !group.contains('.') || BUILT_IN.contains(&group)
}

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
        if is_built_in(&group_version_kind(api_version, kind).group) {
            return Ok(Some(ApiResource::from_gvk(&group_version_kind(api_version, kind))));
        }
        Ok(self.discover(api_version, kind).await?.map(|(resource, _)| resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_kubernetes_have_plurals_by_rule() {
        let plural = |api_version: &str, kind: &str| {
            let of = group_version_kind(api_version, kind);
            is_built_in(&of.group).then(|| ApiResource::from_gvk(&of).plural)
        };
        for (api_version, kind, expected) in [
            ("v1", "Service", "services"),
            ("apps/v1", "Deployment", "deployments"),
            ("networking.k8s.io/v1", "Ingress", "ingresses"),
            ("networking.k8s.io/v1", "IngressClass", "ingressclasses"),
            ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
            ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
            ("storage.k8s.io/v1", "StorageClass", "storageclasses"),
            ("apiregistration.k8s.io/v1", "APIService", "apiservices"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ] {
            assert_eq!(plural(api_version, kind).as_deref(), Some(expected));
        }
        assert_eq!(plural("gateway.networking.k8s.io/v1", "Gateway"), None, "an API server may not have it");
        assert_eq!(plural("traefik.io/v1alpha1", "Middleware"), None);
    }
}
