//! The Kubernetes API: reads and watches objects, and applies those that cmdr manages itself.

pub mod context;
mod identity;
mod logged;
mod queries;
mod releases;
mod requests;
mod store;
mod workloads;

pub use releases::{
    Deviation, Generation, Object, PullAccount, Rendered, StoredRelease, images_of_manifest, parse_manifest,
    pull_accounts,
};
pub use requests::requests_sent;
pub use store::{
    ExternalState, LocalVolume, NamespaceState, SAVED_DATA, SavedData, external_objects, external_secret, file_maps,
    lease, ledger, reviews,
};
pub use workloads::{
    BalancedService, Balancer, ClusterView, PodRequest, PodView, ProbeState, StatusUpdates, WorkloadSnapshot,
    Workloads, examine, exec, is_from_before, jobs, local_run, logs, resources, rollout, runs, trial,
};

use std::{path::Path, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Config,
    api::ListParams,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    core::{PartialObjectMeta, Status},
};
use serde::de::DeserializeOwned;

use self::logged::LogLayer;
use super::{Cause, forbidden::missing_rule, refusals};
use crate::domain::{Problem, redact::masked_url};

/// A client for a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// For requests that pods answer: an error of a pod, such as 503, is an answer, and the request is not repeated.
    once: Client,
    /// The namespaces that the account may access; `None` means all.
    reach: Option<Vec<String>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cluster")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("cannot read the kubeconfig")]
    Kubeconfig(#[source] Cause),
    #[error("invalid value of {variable}")]
    Proxy {
        variable: &'static str,
        #[source]
        source: Cause,
    },
    #[error("cannot {what}")]
    Request {
        /// The request, as an infinitive: `list releases`.
        what: String,
        source: Box<kube::Error>,
    },
    #[error("cannot read the release '{0}'")]
    BadRelease(String, #[source] Cause),
    #[error("cannot read {0} in the ledger")]
    BadLedger(String, #[source] Cause),
    #[error("{0}")]
    BadManifest(String),
    #[error("the namespace {namespace} is still being deleted")]
    Terminating {
        namespace: String,
        /// What the deletion waits for, in the words of Kubernetes.
        waits_for: Option<String>,
    },
    #[error("the node has removed the log of an earlier container of {pod}")]
    LogRemoved { pod: String },
    #[error("{kind} '{name}' already exists and was not created by cmdr")]
    Foreign { kind: String, name: String },
}

impl ClusterError {
    /// For `map_err`: adds the request to the error.
    fn asking(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Request { what, source: Box::new(source) }
    }

    /// Returns whether the API responded with this HTTP status.
    pub fn is_status(&self, code: u16) -> bool {
        matches!(self, Self::Request { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == code))
    }

    /// The HTTP status with which the API responded.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether there was no response or a temporary error: a retry may succeed.
    pub fn is_unreachable(&self) -> bool {
        let Self::Request { source, .. } = self else { return false };
        match &**source {
            kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502..=504),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::HttpError(_) => true,
            _ => false,
        }
    }

    /// Returns what happened and how to fix it.
    pub fn problem(&self) -> Problem {
        let (what, source) = match self {
            Self::Request { what, source } => (what, source),
            Self::Foreign { kind, name } => {
                let help = if kind.ends_with("Secret") {
                    format!("use it with {{existing: {name}}}, or delete it")
                } else {
                    "delete it, or give the project another name".to_owned()
                };
                return Problem::new(self.to_string()).help(help);
            }
            Self::Terminating { namespace, waits_for } => {
                let mut problem = Problem::new(self.to_string()).help(format!(
                    "remove what blocks its deletion: kubectl get namespace {namespace} -o yaml shows it"
                ));
                problem.details.extend(waits_for.clone());
                return problem;
            }
            Self::Proxy { .. } => {
                let help = "write a URL, or in NO_PROXY a comma-separated list of hosts, domains and networks";
                return Problem::of(self).help(help);
            }
            _ => return Problem::of(self),
        };
        match &**source {
            kube::Error::Api(status) => refused(what, status),
            other => Problem::new(format!("cannot {what}: no response from the cluster"))
                .causes(Some(other))
                .help("check that the cluster is running: cmdr doctor"),
        }
    }
}

/// What the API server answered to a request, and how to fix it.
fn refused(what: &str, status: &Status) -> Problem {
    let problem = Problem::new(format!("cannot {what}: {}", status.message));
    if let Some(explained) = refusals::explain(&status.message) {
        return Problem { help: explained.help, ..problem };
    }
    match status.code {
        401 => problem.help("log in again: the credentials of the context were rejected"),
        403 => problem.help(
            missing_rule(&status.message)
                .unwrap_or_else(|| "fix the error in the message, or ask the owner of the cluster".to_owned()),
        ),
        _ => problem,
    }
}

impl Cluster {
    /// Reads a kubeconfig. It does not connect yet. A proxy is used only if the file names one: variables are not read
    /// here, because a local cluster is never reached through a proxy.
    ///
    /// # Errors
    /// If the file cannot be read or does not contain the context.
    pub async fn open(kubeconfig: &Path, context: Option<&str>) -> Result<Self, ClusterError> {
        let file = Kubeconfig::read_from(kubeconfig).map_err(|error| ClusterError::Kubeconfig(error.into()))?;
        let proxy = file.clusters.iter().find_map(|cluster| cluster.cluster.as_ref()?.proxy_url.clone());
        let proxy = proxy.map(|url| url.parse::<http::Uri>()).transpose();
        let proxy = proxy.map_err(|error| ClusterError::Kubeconfig(error.into()))?;
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let loaded = Config::from_custom_kubeconfig(file, &options).await;
        let mut config = loaded.map_err(|error| match error {
            KubeconfigError::ParseProxyUrl(_) => ClusterError::Proxy { variable: "HTTPS_PROXY", source: error.into() },
            KubeconfigError::ParseNoProxy(_) => ClusterError::Proxy { variable: "NO_PROXY", source: error.into() },
            _ => ClusterError::Kubeconfig(error.into()),
        })?;
        config.proxy_url = proxy;
        // Requests end, but a watch does not; the server ends it after some minutes.
        config.connect_timeout = Some(Duration::from_secs(5));
        tracing::debug!(server = %masked_url(&config.cluster_url.to_string()), context, "read {}", kubeconfig.display());
        let mut of_pods = config.clone();
        of_pods.default_retry = false;
        let once = connected(of_pods)?;
        Ok(Self { client: connected(config)?, once, reach: None })
    }

    /// Limits all requests to these namespaces, for an account without access to others.
    #[must_use]
    pub fn within(mut self, namespaces: Vec<String>) -> Self {
        self.reach = Some(namespaces);
        self
    }

    /// Returns whether the API responds and a node is registered.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn has_node(&self) -> Result<bool, ClusterError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let list = nodes.list(&ListParams::default().limit(1)).await;
        Ok(!list.map_err(ClusterError::asking("list nodes"))?.items.is_empty())
    }

    /// Returns the URL of the issuer of the cluster's tokens.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not read it.
    pub async fn issuer(&self) -> Result<String, ClusterError> {
        #[derive(serde::Deserialize)]
        struct Discovery {
            issuer: String,
        }
        let what = "read the issuer of its tokens (/.well-known/openid-configuration)";
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new());
        let request = request.map_err(|error| ClusterError::asking(what)(kube::Error::HttpError(error)))?;
        let found: Discovery = self.client.request(request).await.map_err(ClusterError::asking(what))?;
        Ok(found.issuer)
    }

    /// Returns the APIs to query for objects of a kind.
    fn reached<K>(&self) -> Vec<Api<K>>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.reach {
            None => vec![Api::all(self.client.clone())],
            Some(namespaces) => namespaces.iter().map(|namespace| self.namespaced(namespace)).collect(),
        }
    }

    /// Lists all objects of a kind in the accessible namespaces.
    async fn list<K>(&self, parameters: &ListParams, what: &str) -> Result<Vec<K>, ClusterError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let apis = self.reached::<K>();
        let lists = futures::future::try_join_all(apis.iter().map(|api| api.list(parameters))).await;
        let lists = lists.map_err(ClusterError::asking(format!("list {what}")))?;
        Ok(lists.into_iter().flat_map(|list| list.items).collect())
    }

    /// Lists the metadata of all objects of a kind in the accessible namespaces.
    async fn list_metadata<K>(
        &self,
        parameters: &ListParams,
        what: &str,
    ) -> Result<Vec<PartialObjectMeta<K>>, ClusterError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let apis = self.reached::<K>();
        let lists = futures::future::try_join_all(apis.iter().map(|api| api.list_metadata(parameters))).await;
        let lists = lists.map_err(ClusterError::asking(format!("list {what}")))?;
        Ok(lists.into_iter().flat_map(|list| list.items).collect())
    }

    fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn connected(config: Config) -> Result<Client, ClusterError> {
    let builder = ClientBuilder::try_from(config).map_err(|error| ClusterError::Kubeconfig(error.into()))?;
    Ok(builder.with_layer(&LogLayer).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_of_an_error_are_kept() {
        let source = Box::new(kube::Error::Service(
            std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused").into(),
        ));
        let problem = ClusterError::Request { what: "list pods".to_owned(), source }.problem();
        assert_eq!(problem.message, "cannot list pods: no response from the cluster");
        assert_eq!(problem.details, ["ServiceError: connection refused"]);
        let problem = ClusterError::BadRelease("shop".to_owned(), "no payload".into()).problem();
        assert_eq!(
            (problem.message.as_str(), problem.details),
            ("cannot read the release 'shop'", vec!["no payload".to_owned()])
        );
    }
}
