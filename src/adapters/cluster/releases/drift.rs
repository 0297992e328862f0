//! Detects drift: rendered fields that another manager has changed or that no manager owns any more. Uses only an
//! object's `managedFields`, in which the API server records who set which field (structured-merge-diff's `FieldsV1`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::domain::labels;

/// Helm's name as a field manager, in Helm 3 and 4.
const HELM: &str = "helm";
/// Managers that change rendered fields legitimately: cmdr's own annotations, autoscalers, and controllers that write
/// certificates into webhooks.
const AT_THEIR_WORK: &[&str] = &[
    labels::FIELD_MANAGER,
    "kube-controller-manager",
    "keda",
    "vpa-updater",
    "vpa-admission-controller",
    "cainjector",
    "cert-manager-cainjector",
];
/// Fields that controllers always set.
const FILLED_IN: &[&str] = &["caBundle"];
/// Fields whose keys were removed manually if no manager owns them; elsewhere the API server may have dropped them.
const KEPT_WHOLE: &[&[&str]] = &[
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["data"],
    &["spec", "selector"],
    &["spec", "template", "metadata", "labels"],
    &["spec", "template", "metadata", "annotations"],
];
/// The same, in each container of a pod template.
const KEPT_IN_CONTAINERS: &[&str] = &["image", "args", "command"];

/// Returns each field of `rendered` that Helm no longer owns, with its manager: `spec.replicas (kubectl)`.
pub(in crate::adapters::cluster) fn drift(rendered: &Value, managed: &[ManagedFieldsEntry]) -> Vec<String> {
    let fields = |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().map(|fields| fields.0.clone());
    let is_status = |entry: &ManagedFieldsEntry| entry.subresource.as_deref() == Some("status");
    let manager = |entry: &ManagedFieldsEntry| entry.manager.clone().unwrap_or_default();
    let helm: Vec<Value> = managed.iter().filter(|entry| manager(entry) == HELM).filter_map(fields).collect();
    // An object without fields of Helm cannot be compared.
    if helm.is_empty() {
        return Vec::new();
    }
    let helm: Vec<&Value> = helm.iter().collect();
    let mut found = Vec::new();
    for entry in managed.iter().filter(|entry| manager(entry) != HELM && !is_status(entry)) {
        let name = manager(entry);
        if !AT_THEIR_WORK.iter().any(|own| name.starts_with(own)) {
            let theirs = fields(entry).unwrap_or_default();
            taken(&theirs, rendered, &helm, "", &mut |path| found.push(format!("{path} ({name})")));
        }
    }
    let all: Vec<Value> = managed.iter().filter_map(fields).collect();
    let all: Vec<&Value> = all.iter().collect();
    lost(rendered, &all, &mut |path| found.push(format!("{path} (removed)")));
    found.sort();
    found.dedup();
    found
}

/// Reports each leaf of `theirs` that is rendered and that Helm does not own as well.
fn taken(theirs: &Value, rendered: &Value, helm: &[&Value], path: &str, tell: &mut impl FnMut(String)) {
    for (key, below) in theirs.as_object().into_iter().flatten() {
        let Some((name, rendered)) = step(key, rendered) else { continue };
        let path = format!("{path}{name}");
        let helm: Vec<&Value> = helm.iter().filter_map(|fields| fields.get(key)).collect();
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        if !is_leaf {
            taken(below, rendered, &helm, &path, tell);
        } else if helm.is_empty() && !rendered.is_null() && !FILLED_IN.iter().any(|field| path.ends_with(field)) {
            tell(path.trim_start_matches('.').to_owned());
        }
    }
}

/// Reports each rendered key that no manager owns, in the fields listed in [`KEPT_WHOLE`] and [`KEPT_IN_CONTAINERS`].
fn lost(rendered: &Value, all: &[&Value], tell: &mut impl FnMut(String)) {
    for place in KEPT_WHOLE {
        let wanted = place.iter().try_fold(rendered, |value, key| value.get(key)).and_then(Value::as_object);
        let held = below(all, place);
        for (key, value) in wanted.into_iter().flatten() {
            if !value.is_null() && below(&held, &[key]).is_empty() && !is_whole(&held) {
                tell(format!("{}.{key}", place.join(".")));
            }
        }
    }
    let containers = rendered.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let held = below(all, &["spec", "template", "spec", "containers"]);
    for container in containers.into_iter().flatten() {
        let Some(name) = container.get("name").and_then(Value::as_str) else { continue };
        let item = format!("k:{}", serde_json::json!({"name": name}));
        let held: Vec<&Value> = held.iter().filter_map(|fields| fields.get(&item)).collect();
        let place = format!("spec.template.spec.containers[{name}]");
        for key in KEPT_IN_CONTAINERS.iter().filter(|key| container.get(**key).is_some_and(|it| !is_empty(it))) {
            if below(&held, &[key]).is_empty() {
                tell(format!("{place}.{key}"));
            }
        }
        let environment = container.get("env").and_then(Value::as_array);
        let held = below(&held, &["env"]);
        for variable in environment.into_iter().flatten().filter_map(|it| it.get("name")) {
            let item = format!("k:{}", serde_json::json!({"name": variable}));
            if !held.iter().any(|fields| fields.get(&item).is_some()) {
                tell(format!("{place}.env[{}]", variable.as_str().unwrap_or_default()));
            }
        }
    }
}

/// Returns the owned fields below a path of field names, of all managers.
fn below<'a>(held: &[&'a Value], path: &[&str]) -> Vec<&'a Value> {
    let one = |fields: &&'a Value| path.iter().try_fold(*fields, |fields, key| fields.get(format!("f:{key}")));
    held.iter().filter_map(one).collect()
}

/// Returns whether a manager owns a map as one value.
fn is_whole(held: &[&Value]) -> bool {
    held.iter().any(|fields| is_empty(fields))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Returns the part of the rendered object that a key of `FieldsV1` refers to, and its path as shown to users; `None`
/// if it is not rendered.
fn step<'a>(key: &str, rendered: &'a Value) -> Option<(String, &'a Value)> {
    let (kind, name) = key.split_once(':')?;
    match kind {
        "f" => Some((format!(".{name}"), rendered.get(name)?)),
        "k" => {
            let wanted: Map<String, Value> = serde_json::from_str(name).ok()?;
            // The server sets keys that a chart omits, such as a port's protocol.
            let is_meant = |item: &&Value| wanted.iter().all(|(key, value)| item.get(key).is_none_or(|it| it == value));
            let text: Vec<String> =
                wanted.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
            Some((format!("[{}]", text.join("/")), rendered.as_array()?.iter().find(is_meant)?))
        }
        "v" => {
            let wanted: Value = serde_json::from_str(name).ok()?;
            Some((format!("[{name}]"), rendered.as_array()?.iter().find(|item| **item == wanted)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
