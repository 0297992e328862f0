//! The objects that the universal chart renders, by kind and name: `patches` can change only these.

use serde_json::Value;

use super::{Mistake, aliases::aliases, containers::entries};
use crate::{
    config::error::{choice, quoted},
    domain::{ResolvedProject, Values},
};

/// Returns the objects of a project, such as `Service/shop`. The hash in the name of a Job is left out, as in `patches`.
/// `tests/charts.rs` compares them with the rendered chart.
pub fn rendered_objects(name: &str, values: &Values) -> Vec<String> {
    let own = |kind: &str| format!("{kind}/{name}");
    let kind = values.get("kind").and_then(Value::as_str).unwrap_or("Deployment");
    let is_set = |key: &str| values.get(key).is_some_and(|value| !value.is_null());
    let has = |key: &str| entries(values.get(key)).next().is_some();
    let has_files = entries(values.get("files")).any(|(_, content)| content.is_string());
    let is_server = !["Job", "CronJob"].contains(&kind) && has("ports");
    let optional = [
        (has("config"), own("ConfigMap")),
        (has_files, own("ConfigMap") + "-files"),
        (is_set("autoscaling"), own("HorizontalPodAutoscaler")),
        (is_set("podDisruptionBudget"), own("PodDisruptionBudget")),
        (is_server, own("Service")),
        (kind == "StatefulSet", own("Service") + "-pods"),
    ];
    let mut objects = vec![own(kind)];
    objects.extend(optional.into_iter().filter(|(is_there, _)| *is_there).map(|(_, object)| object));
    if is_server {
        objects.extend(aliases(values).map(|alias| format!("Service/{alias}")));
    }
    if kind != "StatefulSet" {
        objects.extend(claims(values).map(|volume| format!("PersistentVolumeClaim/{name}-{volume}")));
    }
    [objects, account(name, values), ingresses(name, values), extra_objects(name, values)].concat()
}

/// The volumes with storage of their own.
fn claims(values: &Values) -> impl Iterator<Item = &str> {
    let is_claim = |volume: &Value| volume.get("size").is_some() && volume.get("temporary") != Some(&Value::Bool(true));
    entries(values.get("volumes")).filter(move |(_, volume)| is_claim(volume)).map(|(name, _)| name)
}

/// The service account, and what it may do.
fn account(name: &str, values: &Values) -> Vec<String> {
    let account = values.get("serviceAccount");
    let key = |key: &str| account.and_then(|account| account.get(key)).filter(|value| !value.is_null());
    let rules = |key_of_rules: &str| key(key_of_rules).is_some_and(|rules| *rules != Value::Array(Vec::new()));
    let is_known_to_cloud =
        ["aws", "azure", "gcp"].iter().any(|cloud| values.get(*cloud).is_some_and(Value::is_object));
    let has_rules = rules("rules") || rules("clusterRules");
    let creates = key("create").map_or(is_known_to_cloud || has_rules, |create| *create == Value::Bool(true));
    let own_name = key("name").and_then(Value::as_str).unwrap_or(name);
    let optional = [
        (creates, vec![format!("ServiceAccount/{own_name}")]),
        (rules("rules"), vec![format!("Role/{name}"), format!("RoleBinding/{name}")]),
    ];
    optional.into_iter().filter(|(is_there, _)| *is_there).flat_map(|(_, objects)| objects).collect()
}

/// A route with a class or annotations of its own has an Ingress of its own.
fn ingresses(name: &str, values: &Values) -> Vec<String> {
    let routes = entries(values.get("routes"));
    let own = routes.filter(|(_, route)| route.get("kind").is_none_or(|kind| kind == "Ingress"));
    let mut names: Vec<String> = own
        .map(|(route, settings)| {
            let is_apart = settings.get("class").is_some_and(Value::is_string)
                || entries(settings.get("annotations")).next().is_some();
            if is_apart { format!("Ingress/{name}-{route}") } else { format!("Ingress/{name}") }
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn extra_objects(name: &str, values: &Values) -> Vec<String> {
    let extra = entries(values.get("extraObjects")).filter_map(|(short, object)| {
        let written = object.pointer("/metadata/name").and_then(Value::as_str);
        let name = written.map_or_else(|| format!("{name}-{short}"), str::to_owned);
        Some(format!("{}/{name}", object.get("kind")?.as_str()?))
    });
    extra.collect()
}

/// Returns a mistake for each patch of an object that the project does not have, and for each one that renames its object.
pub(super) fn unfit_patches(project: &ResolvedProject) -> Vec<Mistake> {
    let rendered = rendered_objects(project.name.as_str(), &project.values);
    // The names of cluster roles contain the namespace.
    let is_known = |patched: &str| patched.starts_with("ClusterRole") || rendered.iter().any(|known| known == patched);
    let known = || rendered.iter().map(String::as_str);
    let patches = || entries(project.values.get("patches"));
    // The schema refuses other keys.
    let is_object = |patched: &str| patched.starts_with(|first: char| first.is_ascii_uppercase());
    let absent = patches().map(|(patched, _)| patched).filter(|patched| is_object(patched) && !is_known(patched));
    let absent = absent.map(|patched| {
        let message = format!("{} renders no {}", quoted(project.name.as_str()), quoted(patched));
        let expected = format!("expected {}", choice(patched, known()));
        let path = ["patches", patched].map(str::to_owned).to_vec();
        Mistake::new(path, message, expected).with_nearest(patched, known())
    });
    let renamed = patches().flat_map(|(patched, patch)| {
        let has = move |path: &&&[&str]| path.iter().try_fold(patch, |map, key| map.get(key)).is_some();
        IDENTITY.iter().filter(has).map(move |path| {
            let message = format!("a patch cannot change `{}` of {}", path.join("."), quoted(patched));
            let path = ["patches", patched].iter().chain(*path).map(|key| (*key).to_owned()).collect();
            Mistake::new(
                path,
                message,
                "expected other fields: by this one the object or its pods are found".to_owned(),
            )
        })
    });
    absent.chain(renamed).collect()
}

/// The fields by which an object or its pods are found.
const IDENTITY: [&[&str]; 7] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "labels", "app.kubernetes.io/instance"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["spec", "template", "metadata", "labels", "app.kubernetes.io/instance"],
    &["spec", "template", "metadata", "labels", "app.kubernetes.io/name"],
];
