//! What the pods of a workspace request, may use and use.

use std::collections::{BTreeMap, BTreeSet};

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

const NANOS_PER_MILLI: u64 = 1_000_000;

impl Cluster {
    /// Returns the running pods of a namespace that belong to a project, by their labels, one by one. Their usage is that
    /// of the metrics API, or without one that of the kubelets, if the account may read it.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn demands(
        &self,
        namespace: &str,
        project_of: impl Fn(&BTreeMap<String, String>) -> Option<String>,
    ) -> Result<Vec<Demand>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let pods = pods.list(&ListParams::default()).await.map_err(ClusterError::asking("list pods"))?;
        let nodes = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        let usage = self.usage(namespace, nodes).await;
        let is_running = |pod: &&Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Running" | "Pending")) && pod.metadata.deletion_timestamp.is_none()
        };
        let running = pods.iter().filter(is_running);
        let own = running.filter_map(|pod| Some((project_of(pod.labels())?, pod)));
        Ok(own.map(|(project, pod)| demand(project, pod, usage.get(&pod.name_any()).copied())).collect())
    }

    /// What each pod of a namespace uses, as far as it is known.
    async fn usage(&self, namespace: &str, nodes: BTreeSet<String>) -> BTreeMap<String, Amounts> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
        let measured = usage_in(&self.value_at(path).await);
        if !measured.is_empty() {
            return measured;
        }
        let summary = |node: String| self.value_at(format!("/api/v1/nodes/{node}/proxy/stats/summary"));
        let summaries = futures::future::join_all(nodes.into_iter().map(summary)).await;
        summaries.iter().flat_map(|summary| usage_in_summary(summary, namespace)).collect()
    }

    /// What the API server responds to a request for a path; nothing after an error.
    async fn value_at(&self, path: String) -> Value {
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { return Value::Null };
        self.client.request(request).await.unwrap_or_default()
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

/// What a kubelet reports about the pods of a namespace on its node.
fn usage_in_summary(summary: &Value, namespace: &str) -> BTreeMap<String, Amounts> {
    let pods = summary["pods"].as_array().into_iter().flatten();
    let own = pods.filter(|pod| pod["podRef"]["namespace"] == namespace);
    own.filter_map(|pod| {
        let used = Amounts {
            cpu_millis: pod["cpu"]["usageNanoCores"].as_u64()?.div_ceil(NANOS_PER_MILLI),
            memory_bytes: pod["memory"]["workingSetBytes"].as_u64()?,
        };
        Some((pod["podRef"]["name"].as_str()?.to_owned(), used))
    })
    .collect()
}

fn demand(project: String, pod: &Pod, used: Option<Amounts>) -> Demand {
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
        project,
        pod: Some(pod.name_any()),
        pods: 1,
        qos: pod.status.as_ref().and_then(|status| status.qos_class.clone()).unwrap_or_default(),
        priority: spec.priority.unwrap_or_default(),
        requests,
        limits: limits.map(|limits| limits.into_iter().sum()),
        used,
        exceeds_requests: used.map_or(requests.memory_bytes == 0, |used| used.memory_bytes > requests.memory_bytes),
    }
}

pub(super) fn quantities(map: &BTreeMap<String, Quantity>) -> Amounts {
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
    fn a_kubelet_reports_the_pods_of_all_namespaces() {
        let pod = |namespace: &str, name: &str| {
            json!({"podRef": {"name": name, "namespace": namespace},
                "cpu": {"usageNanoCores": 2_500_001}, "memory": {"workingSetBytes": 1 << 20}})
        };
        let starting = json!({"podRef": {"name": "shop-2", "namespace": "tunes"}});
        let summary = json!({"pods": [pod("tunes", "shop-1"), pod("kube-system", "coredns-1"), starting]});
        let expected = Amounts { cpu_millis: 3, memory_bytes: 1 << 20 };
        assert_eq!(usage_in_summary(&summary, "tunes"), BTreeMap::from([("shop-1".to_owned(), expected)]));
    }

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
        let demand = demand("shop".to_owned(), &serde_json::from_value(pod).unwrap(), used);
        assert_eq!(demand.requests, Amounts { cpu_millis: 20, memory_bytes: 96 << 20 });
        assert_eq!(demand.used, Some(Amounts { cpu_millis: 7, memory_bytes: 100 << 20 }));
        assert_eq!((demand.limits, demand.priority, demand.exceeds_requests), (None, 7, true));
    }
}
