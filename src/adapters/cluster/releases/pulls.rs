//! What the pods of a rendered manifest need to pull their images: registries and service accounts.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::adapters::cluster::store::pull_secrets::DEFAULT_ACCOUNT;
use crate::domain::ImageReference;

/// A service account whose pods pull images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PullAccount {
    pub namespace: String,
    pub name: String,
    /// The manifest contains the account. Helm would delete accounts of hooks, so these do not count.
    pub is_rendered: bool,
}

/// Returns the service accounts of all pods in rendered objects, each with the registries of its images. Left out are
/// pods and accounts that name their own pull secrets.
pub fn pull_accounts<'a>(
    objects: impl IntoIterator<Item = &'a Value> + Clone,
    namespace: &str,
) -> BTreeMap<PullAccount, Vec<String>> {
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let namespace_of = |object: &Value| text(object, "/metadata/namespace").unwrap_or_else(|| namespace.to_owned());
    let rendered: BTreeMap<(String, String), &Value> = objects
        .clone()
        .into_iter()
        .filter(|object| object["kind"] == "ServiceAccount")
        .filter_map(|object| Some(((namespace_of(object), text(object, "/metadata/name")?), object)))
        .collect();
    let mut accounts: BTreeMap<PullAccount, Vec<String>> = BTreeMap::new();
    for object in objects {
        let mut pods = Vec::new();
        pods_of(object, &mut pods);
        for pod in pods.into_iter().filter(|pod| !has_secrets(pod)) {
            let name = text(pod, "/serviceAccountName").filter(|name| !name.is_empty());
            let key = (namespace_of(object), name.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()));
            let account = rendered.get(&key).copied();
            if account.is_some_and(has_secrets) {
                continue;
            }
            let is_rendered =
                account.is_some_and(|account| account.pointer("/metadata/annotations/helm.sh~1hook").is_none());
            let (namespace, name) = key;
            let hosts = accounts.entry(PullAccount { namespace, name, is_rendered }).or_default();
            hosts.extend(registries_of(pod));
            hosts.sort();
            hosts.dedup();
        }
    }
    accounts
}

/// Finds pod specs, wherever they are in a kind: maps with a list of containers.
fn pods_of<'a>(value: &'a Value, pods: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) if map.get("containers").is_some_and(Value::is_array) => pods.push(value),
        Value::Object(map) => map.values().for_each(|value| pods_of(value, pods)),
        Value::Array(items) => items.iter().for_each(|item| pods_of(item, pods)),
        _ => (),
    }
}

fn has_secrets(value: &Value) -> bool {
    value["imagePullSecrets"].as_array().is_some_and(|secrets| !secrets.is_empty())
}

fn registries_of(pod: &Value) -> impl Iterator<Item = String> {
    let containers = ["containers", "initContainers"].into_iter().filter_map(|key| pod[key].as_array()).flatten();
    let images = containers.filter_map(|container| ImageReference::parse(container["image"].as_str()?).ok());
    images.map(|image| image.registry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accounts_are_found_with_the_registries_of_their_pods() {
        let pod =
            |account: Value, image: &str| json!({"serviceAccountName": account, "containers": [{"image": image}]});
        let objects = [
            json!({"kind": "ServiceAccount", "metadata": {"name": "own"}}),
            json!({"kind": "ServiceAccount", "metadata": {"name": "hook", "annotations": {"helm.sh/hook": "pre-install"}}}),
            json!({"kind": "ServiceAccount", "metadata": {"name": "set"}, "imagePullSecrets": [{"name": "mine"}]}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod(json!("own"), "r.example/a:1")}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod(json!("own"), "redis")}}}}}),
            json!({"kind": "Job", "spec": {"template": {"spec": pod(json!("hook"), "r.example/a:1")}}}),
            json!({"kind": "Pod", "metadata": {"namespace": "other"}, "spec": pod(json!(null), "q.example/b")}),
            json!({"kind": "Pod", "spec": pod(json!("set"), "r.example/a:1")}),
            json!({"kind": "Pod", "spec": {"imagePullSecrets": [{"name": "mine"}], "containers": [{"image": "r.example/a"}]}}),
        ];
        let found: Vec<String> = pull_accounts(&objects, "tunes")
            .into_iter()
            .map(|(account, hosts)| {
                let PullAccount { namespace, name, is_rendered } = account;
                format!("{namespace}/{name} {is_rendered} {}", hosts.join(" "))
            })
            .collect();
        let expected =
            ["other/default false q.example", "tunes/hook false r.example", "tunes/own true docker.io r.example"];
        assert_eq!(found, expected);
    }
}
