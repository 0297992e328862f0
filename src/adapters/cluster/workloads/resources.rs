//! What the pods of a workspace request, may use and use.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;

use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::{
        pressure::{Amounts, Demand},
        quantity::{parse_cpu_millis, parse_memory_bytes},
    },
};

/// The label of a pod with the name of its project.
const PROJECT: &str = "app.kubernetes.io/name";

impl Cluster {
    /// Returns the running pods of a workspace, one by one. Without a metrics API, their usage is unknown.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn demands(&self, workspace: &str, namespace: &str) -> Result<Vec<Demand>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let own = ListParams::default().labels(&format!("app.kubernetes.io/part-of={workspace}"));
        let (pods, usage) = futures::join!(pods.list(&own), self.usage(namespace));
        let pods = pods.map_err(ClusterError::asking("list pods"))?;
        let is_running = |pod: &&Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Running" | "Pending")) && pod.metadata.deletion_timestamp.is_none()
        };
        Ok(pods.iter().filter(is_running).map(|pod| demand(pod, usage.get(&pod.name_any()).copied())).collect())
    }

    /// What each pod of a namespace uses; nothing without a metrics API.
    async fn usage(&self, namespace: &str) -> BTreeMap<String, Amounts> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { return BTreeMap::new() };
        let found: Value = self.client.request(request).await.unwrap_or_default();
        usage_in(&found)
    }
}

fn usage_in(metrics: &Value) -> BTreeMap<String, Amounts> {
    let items = metrics["items"].as_array().into_iter().flatten();
    items
        .filter_map(|item| {
            let usage = item["containers"].as_array()?.iter().map(|container| &container["usage"]);
            let used = usage.map(|usage| amounts(|name| usage[name].as_str()));
            Some((item["metadata"]["name"].as_str()?.to_owned(), used.sum()))
        })
        .collect()
}

fn demand(pod: &Pod, used: Option<Amounts>) -> Demand {
    let spec = pod.spec.clone().unwrap_or_default();
    // A sidecar runs as long as the pod; another init container runs before its containers.
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let containers: Vec<&Container> = spec.containers.iter().chain(sidecars).collect();
    let resources = || containers.iter().map(|container| container.resources.clone().unwrap_or_default());
    let requests: Amounts = resources().filter_map(|own| own.requests).map(|own| quantities(&own)).sum();
    let limits = resources().map(|own| own.limits.filter(|limits| limits.contains_key("memory")));
    let limits: Option<Vec<Amounts>> = limits.map(|own| own.map(|own| quantities(&own))).collect();
    Demand {
        project: pod.labels().get(PROJECT).cloned().unwrap_or_default(),
        pods: 1,
        qos: pod.status.as_ref().and_then(|status| status.qos_class.clone()).unwrap_or_default(),
        priority: spec.priority.unwrap_or_default(),
        requests,
        limits: limits.map(|limits| limits.into_iter().sum()),
        used,
        exceeds_requests: used.map_or(requests.memory_bytes == 0, |used| used.memory_bytes > requests.memory_bytes),
    }
}

fn quantities(map: &BTreeMap<String, Quantity>) -> Amounts {
    amounts(|name| Some(map.get(name)?.0.as_str()))
}

fn amounts<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Amounts {
    Amounts {
        cpu_millis: text("cpu").and_then(|text| parse_cpu_millis(text).ok()).unwrap_or_default(),
        memory_bytes: text("memory").and_then(|text| parse_memory_bytes(text).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_requests_what_its_containers_and_sidecars_do() {
        let resources = |memory: &str| json!({"requests": {"cpu": "10m", "memory": memory}});
        let pod = json!({
            "metadata": {"name": "shop-1", "labels": {"app.kubernetes.io/name": "shop"}},
            "spec": {"priority": 7, "containers": [{"name": "shop", "resources": resources("64Mi")}],
                "initContainers": [
                    {"name": "proxy", "restartPolicy": "Always", "resources": resources("32Mi")},
                    {"name": "migrate", "resources": resources("1Gi")},
                ]},
            "status": {"qosClass": "Burstable"},
        });
        let used = json!({"items": [{"metadata": {"name": "shop-1"}, "containers": [
            {"usage": {"cpu": "5m", "memory": "90Mi"}}, {"usage": {"cpu": "1234567n", "memory": "10240Ki"}}]}]});
        let used = usage_in(&used).get("shop-1").copied();
        let demand = demand(&serde_json::from_value(pod).unwrap(), used);
        assert_eq!(demand.requests, Amounts { cpu_millis: 20, memory_bytes: 96 << 20 });
        assert_eq!(demand.used, Some(Amounts { cpu_millis: 7, memory_bytes: 100 << 20 }));
        assert_eq!((demand.limits, demand.priority, demand.exceeds_requests), (None, 7, true));
    }
}
