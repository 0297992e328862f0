//! What the projects of an environment request and use.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::cluster::Cluster,
    domain::pressure::{self, Demand},
    error::CommandError,
    ops::{
        project_pods::{named_releases, pod_selectors},
        session::Session,
    },
};

/// The projects, first what a node under memory pressure loses first.
///
/// # Errors
/// When the cluster does not respond.
pub(crate) async fn demands(session: &Session, cluster: &Cluster) -> Result<Vec<Demand>, CommandError> {
    let mut demands = sum(pod_demands(session, cluster, &[]).await?);
    pressure::sort(&mut demands);
    Ok(demands)
}

/// The running pods of the named projects and platform releases; without names those of all projects.
///
/// # Errors
/// When a name is unknown, or the cluster does not respond.
pub(crate) async fn pod_demands(
    session: &Session,
    cluster: &Cluster,
    names: &[String],
) -> Result<Vec<Demand>, CommandError> {
    let releases = named_releases(session, names)?;
    let selectors = pod_selectors(session, cluster, &releases, false).await?;
    let namespaces: BTreeSet<&str> = selectors.iter().map(|selector| selector.key.namespace.as_str()).collect();
    let mut demands = Vec::new();
    for namespace in namespaces {
        let project_of = |labels: &BTreeMap<String, String>| {
            let own = selectors.iter().find(|selector| selector.matches(namespace, labels));
            own.map(|selector| selector.key.name.clone())
        };
        demands.extend(cluster.demands(namespace, project_of).await?);
    }
    Ok(demands)
}

/// Adds up the pods of each project.
pub(crate) fn sum(pods: Vec<Demand>) -> Vec<Demand> {
    let mut by_project: BTreeMap<String, Demand> = BTreeMap::new();
    for pod in pods {
        let all = match by_project.remove(&pod.project) {
            Some(others) => others.and(pod),
            None => Demand { pod: None, ..pod },
        };
        by_project.insert(all.project.clone(), all);
    }
    by_project.into_values().collect()
}
