//! The keys `patches`, `pod`, `container`, `source` of a volume, and `metrics` and `behavior` of autoscaling: fragments of
//! Kubernetes' own API, checked against its schema.

use std::sync::LazyLock;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, MetricSpec},
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Container, PersistentVolumeClaim, PodSpec, Service, ServiceAccount, Volume},
    networking::v1::Ingress,
    policy::v1::PodDisruptionBudget,
};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::SCHEMA;
use crate::{config::values::ValuesSchema, domain::Values};

/// The schema with Kubernetes' types, for values with a fragment. It is much larger than that of most values.
pub(super) static WITH_FRAGMENTS: LazyLock<ValuesSchema<'static>> = LazyLock::new(|| ValuesSchema::new(&EXTENDED));
static EXTENDED: LazyLock<Value> = LazyLock::new(|| with_fragments(&SCHEMA));

const POD: &str = "io.k8s.api.core.v1.PodSpec";
const CONTAINER: &str = "io.k8s.api.core.v1.Container";
const VOLUME: &str = "io.k8s.api.core.v1.Volume";

/// Keys of Kubernetes' types that a fragment cannot have, because cmdr must know their content: it resolves, promotes
/// and pulls images, and adds pull secrets to service accounts. Each with its replacement.
const EXCLUDED: [(&str, &str, &str); 8] = [
    (POD, "containers", "use the key `container` for the main container, and `sidecars` for others"),
    (POD, "initContainers", "use the key `initContainers` of the values"),
    (POD, "ephemeralContainers", "add them to a running pod with kubectl debug"),
    (POD, "serviceAccountName", "use `serviceAccount.name` of the values"),
    (POD, "serviceAccount", "use `serviceAccount.name` of the values"),
    (CONTAINER, "image", "use `image` beside this key"),
    (CONTAINER, "name", "containers are named by cmdr"),
    (VOLUME, "image", "copy the files from an init container with this image"),
];
/// The types of which nothing is required, beside objects and each `...Spec`: what a fragment leaves out is there already.
const FRAGMENTS: [&str; 2] = [CONTAINER, VOLUME];

type SchemaOfKind = fn(&mut SchemaGenerator) -> Schema;

/// The kinds of the chart's objects, each with its type. Those of `extraObjects` may be of any kind.
const KINDS: [(&str, SchemaOfKind); 12] = [
    ("ConfigMap", SchemaGenerator::subschema_for::<ConfigMap>),
    ("CronJob", SchemaGenerator::subschema_for::<CronJob>),
    ("DaemonSet", SchemaGenerator::subschema_for::<DaemonSet>),
    ("Deployment", SchemaGenerator::subschema_for::<Deployment>),
    ("HorizontalPodAutoscaler", SchemaGenerator::subschema_for::<HorizontalPodAutoscaler>),
    ("Ingress", SchemaGenerator::subschema_for::<Ingress>),
    ("Job", SchemaGenerator::subschema_for::<Job>),
    ("PersistentVolumeClaim", SchemaGenerator::subschema_for::<PersistentVolumeClaim>),
    ("PodDisruptionBudget", SchemaGenerator::subschema_for::<PodDisruptionBudget>),
    ("Service", SchemaGenerator::subschema_for::<Service>),
    ("ServiceAccount", SchemaGenerator::subschema_for::<ServiceAccount>),
    ("StatefulSet", SchemaGenerator::subschema_for::<StatefulSet>),
];

/// Types that are a number or text, of which Kubernetes' schema says nothing.
const NUMBERS_OR_TEXT: [&str; 2] =
    ["io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"];

/// Returns whether values have a fragment.
pub(super) fn has_fragments(values: &Values) -> bool {
    let has = |values: &Map<String, Value>| values.contains_key("pod") || values.contains_key("container");
    let beside = ["sidecars", "initContainers"].into_iter().filter_map(|key| values.get(key)?.as_object());
    let volumes = values.get("volumes").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let scaling = values.get("autoscaling").and_then(Value::as_object);
    values.contains_key("patches")
        || scaling.is_some_and(|scaling| ["metrics", "behavior"].iter().any(|key| scaling.contains_key(*key)))
        || has(values)
        || beside.flat_map(Map::values).filter_map(Value::as_object).any(has)
        || volumes.into_iter().any(|volume| volume.get("source").is_some())
}

/// Returns the schema of the chart's values, with the types of Kubernetes in place of its definitions of fragments.
pub(crate) fn with_fragments(schema: &Value) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let pod = generator.subschema_for::<PodSpec>();
    let container = generator.subschema_for::<Container>();
    let volume = generator.subschema_for::<Volume>();
    let metric = generator.subschema_for::<MetricSpec>();
    let behavior = generator.subschema_for::<HorizontalPodAutoscalerBehavior>();
    let of_kinds: Map<String, Value> = KINDS
        .iter()
        .map(|(kind, of_kind)| (format!("^{kind}/"), json!({"anyOf": [of_kind(&mut generator), {"type": "null"}]})))
        .collect();
    let mut types = generator.take_definitions(true);
    for (name, definition) in &mut types {
        restrict(name, definition);
        keep_first_paragraphs(definition);
    }
    types.insert("podFragment".to_owned(), pod.to_value());
    types.insert("containerFragment".to_owned(), container.to_value());
    types.insert("volumeFragment".to_owned(), volume.to_value());
    types.insert("metricFragment".to_owned(), metric.to_value());
    types.insert("behaviorFragment".to_owned(), behavior.to_value());
    let mut schema = schema.clone();
    schema["definitions"]["patches"]["patternProperties"] = Value::Object(of_kinds);
    if let Some(definitions) = schema["definitions"].as_object_mut() {
        definitions.extend(types);
    }
    schema
}

/// Shortens descriptions to their first paragraph: editors show them while a user types, and the schema stays small.
fn keep_first_paragraphs(definition: &mut Value) {
    match definition {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description")
                && let Some(end) = text.find("\n\n")
            {
                text.truncate(end);
            }
            map.values_mut().for_each(keep_first_paragraphs);
        }
        Value::Array(items) => items.iter_mut().for_each(keep_first_paragraphs),
        _ => {}
    }
}

/// Refuses unknown keys, which Kubernetes' schema allows, and those of [`EXCLUDED`].
fn restrict(name: &str, definition: &mut Value) {
    if NUMBERS_OR_TEXT.contains(&name) {
        *definition = json!({"type": ["number", "string"]});
    }
    let Some(map) = definition.as_object_mut().filter(|map| map.contains_key("properties")) else { return };
    map.insert("additionalProperties".to_owned(), json!(false));
    let is_object = map["properties"].get("apiVersion").is_some() && map["properties"].get("metadata").is_some();
    if is_object || FRAGMENTS.contains(&name) || name.ends_with("Spec") {
        map.remove("required");
    }
    for (_, key, instead) in EXCLUDED.iter().filter(|(of_type, ..)| *of_type == name) {
        map["properties"][*key] = json!({"not": {}, "description": instead});
    }
}
