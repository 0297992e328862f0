//! The second release of a rollout: the values with which the same chart deploys the new version beside the old one.

use serde_json::{Value, json};

use crate::domain::{Values, project_secret::name_of};

/// What the name of the second release ends with.
const SUFFIX: &str = "-next";
/// The kinds of objects that the second release has, too: their patches apply to it.
const PATCHED: [&str; 6] =
    ["Deployment", "Service", "ConfigMap", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"];
/// Keys of what exists once: routes, further names, and objects beside the workload, except its NetworkPolicy.
const ONCE: [&str; 3] = ["routes", "aliases", "extraObjects"];
/// The NetworkPolicy among the further objects.
const POLICY: &str = "network-policy";
/// Keys of a volume that describe a new claim.
const OF_CLAIM: [&str; 3] = ["size", "accessMode", "storageClass"];
/// Keys of `service` that make it reachable from outside, or share it.
const SERVICE: [&str; 4] = ["type", "sourceRanges", "loadBalancerClass", "shared"];

/// Returns the name of the second release of a project.
pub fn next_name(project: &str) -> String {
    format!("{project}{SUFFIX}")
}

/// Returns the values of the second release. It uses the Secrets, the account and the claims of the project.
pub fn next_values(project: &str, values: &Values) -> Values {
    let mut next = values.clone();
    let policy = own_policy(project, values);
    next.retain(|key, _| !ONCE.contains(&key.as_str()));
    share_secrets(project, &mut next);
    share_account(project, &mut next);
    share_claims(project, &mut next);
    for port in entries(&mut next, "ports") {
        if let Value::Object(port) = port.1 {
            port.remove("nodePort");
        }
    }
    if let Some(service) = next.get_mut("service").and_then(Value::as_object_mut) {
        service.retain(|key, _| !SERVICE.contains(&key.as_str()));
    }
    if let Some(policy) = policy {
        next.insert("extraObjects".to_owned(), json!({(POLICY): policy}));
    }
    if let Some(Value::Object(patches)) = next.remove("patches") {
        let renamed = patches.into_iter().filter_map(|(path, patch)| Some((renamed(project, &path)?, patch)));
        next.insert("patches".to_owned(), Value::Object(renamed.collect()));
    }
    next
}

/// The project's NetworkPolicy, for the pods of the second release.
fn own_policy(project: &str, values: &Values) -> Option<Value> {
    let mut policy = values.get("extraObjects")?.get(POLICY)?.clone();
    policy["metadata"]["name"] = json!(next_name(project));
    let selected = policy.pointer_mut("/spec/podSelector/matchLabels").and_then(Value::as_object_mut);
    let own = selected.into_iter().flatten().map(|(_, value)| value).filter(|value| **value == json!(project));
    own.for_each(|value| *value = json!(next_name(project)));
    Some(policy)
}

/// The path of a patch in the second release; `None` if the object exists only once.
fn renamed(project: &str, path: &str) -> Option<String> {
    let (kind, name) = path.split_once('/')?;
    let rest = name.strip_prefix(project).filter(|rest| rest.is_empty() || rest.starts_with('-'))?;
    PATCHED.contains(&kind).then(|| format!("{kind}/{}{rest}", next_name(project)))
}

fn share_secrets(project: &str, next: &mut Values) {
    let own = next.clone();
    for (name, secret) in entries(next, "secrets").filter(|(_, secret)| !secret.is_null()) {
        *secret = json!({"existing": name_of(project, &own, name)});
    }
}

fn share_account(project: &str, next: &mut Values) {
    let has_identity = ["aws", "gcp", "azure"].iter().any(|cloud| next.get(*cloud).is_some_and(|it| !it.is_null()));
    let account = next.get("serviceAccount").cloned().unwrap_or_default();
    let has = |key: &str| account.get(key).is_some_and(|value| !value.is_null() && *value != json!(false));
    let has_rules = has("rules") || has("clusterRules");
    if !(has_identity || has_rules || has("create")) {
        return;
    }
    let name = account.get("name").filter(|name| !name.is_null()).cloned().unwrap_or_else(|| json!(project));
    let automount = account.get("automount").cloned().unwrap_or_else(|| json!(has_rules));
    next.insert("serviceAccount".to_owned(), json!({"create": false, "name": name, "automount": automount}));
}

fn share_claims(project: &str, next: &mut Values) {
    for (name, volume) in entries(next, "volumes").filter(|(_, volume)| is_claim(volume)) {
        if let Value::Object(volume) = volume {
            let claim = volume.remove("claim").unwrap_or_else(|| json!(format!("{project}-{name}")));
            volume.retain(|key, _| !OF_CLAIM.contains(&key.as_str()));
            volume.insert("claim".to_owned(), claim);
        }
    }
}

fn is_claim(volume: &Value) -> bool {
    let has = |key: &&str| volume.get(*key).is_some_and(|value| !value.is_null() && *value != json!(false));
    volume.is_object() && !["temporary", "secret", "config", "source"].iter().any(has)
}

/// The entries of a map in the values.
fn entries<'a>(values: &'a mut Values, key: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    values.get_mut(key).and_then(Value::as_object_mut).into_iter().flatten()
}

/// Why two versions of a project cannot run side by side; `None` if they can.
pub fn unfit_values(values: &Values) -> Option<String> {
    let text = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(values.get(*first)?, |value, key| value.get(*key))?.as_str()
    };
    let kind = text(&["kind"]).unwrap_or("Deployment");
    if kind != "Deployment" {
        return Some(format!("it is a {kind}: only a Deployment can run in two versions side by side"));
    }
    if text(&["strategy"]) == Some("Recreate") {
        return Some("its `strategy: Recreate` says that two versions must not run side by side".to_owned());
    }
    if let Some(owner) = text(&["service", "of"]) {
        return Some(format!("it is behind the Service of '{owner}', which has no weights"));
    }
    let volumes = values.get("volumes").and_then(Value::as_object).into_iter().flatten();
    let mode = |volume: &Value| volume.get("accessMode").and_then(Value::as_str).unwrap_or_default().to_owned();
    let own = |volume: &Value| is_claim(volume) && volume.get("claim").is_none_or(Value::is_null);
    let mut single = volumes.filter(|(_, volume)| own(volume) && !mode(volume).ends_with("Many"));
    single.next().map(|(name, _)| format!("one version at a time can write to the volume '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(value: Value) -> Values {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_second_release_shares_what_exists_once() {
        let written = values(json!({
            "image": "shop:2", "replicas": 3, "env": {"A": {"secret": "db", "key": "password"}},
            "secrets": {"db": {"generate": "password"}, "tls": {"existing": "wildcard"}},
            "serviceAccount": {"rules": [{"resources": ["pods"]}]},
            "ports": {"http": 8080, "admin": {"port": 9000, "nodePort": 30000}},
            "service": {"type": "NodePort", "sessionAffinity": "None"},
            "volumes": {"shared": {"path": "/s", "size": "1Gi", "accessMode": "ReadWriteMany"}, "tmp": {"temporary": true}},
            "routes": {"web": {"host": "shop.localhost"}},
            "extraObjects": {"config": {}, "network-policy": {"metadata": {"name": "shop"}, "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop"}}, "policyTypes": ["Ingress"]}}},
            "patches": {"Deployment/shop": {"a": 1}, "ConfigMap/shop-files": {"b": 1}, "Ingress/shop": {"c": 1}},
        }));
        let next = values(json!({
            "image": "shop:2", "replicas": 3, "env": {"A": {"secret": "db", "key": "password"}},
            "secrets": {"db": {"existing": "shop-db"}, "tls": {"existing": "wildcard"}},
            "serviceAccount": {"create": false, "name": "shop", "automount": true},
            "ports": {"http": 8080, "admin": {"port": 9000}},
            "service": {"sessionAffinity": "None"},
            "volumes": {"shared": {"path": "/s", "claim": "shop-shared"}, "tmp": {"temporary": true}},
            "extraObjects": {"network-policy": {"metadata": {"name": "shop-next"}, "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop-next"}}, "policyTypes": ["Ingress"]}}},
            "patches": {"Deployment/shop-next": {"a": 1}, "ConfigMap/shop-next-files": {"b": 1}},
        }));
        assert_eq!(Value::Object(next_values("shop", &written)), Value::Object(next));
    }

    #[test]
    fn what_cannot_run_twice_is_named() {
        let why = |value: Value| unfit_values(&values(value));
        assert_eq!(why(json!({"volumes": {"cache": {"temporary": true}, "s": {"claim": "x"}}})), None);
        assert!(why(json!({"kind": "CronJob"})).unwrap().starts_with("it is a CronJob"));
        assert!(why(json!({"strategy": "Recreate"})).unwrap().contains("`strategy: Recreate`"));
        assert!(why(json!({"service": {"of": "reviews"}})).unwrap().contains("'reviews'"));
        assert!(why(json!({"volumes": {"data": {"path": "/d", "size": "1Gi"}}})).unwrap().contains("'data'"));
    }
}
