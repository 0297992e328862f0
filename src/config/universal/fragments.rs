//! The keys `patches`, `pod`, `container`, `source` of a volume, and `metrics` and `behavior` of autoscaling: fragments of
//! Kubernetes' own API, checked against its schema.

use std::sync::LazyLock;

use k8s_openapi::{
    Resource,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, MetricSpec},
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, Container, PersistentVolumeClaim, PodSpec, Service, ServiceAccount, Volume},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{SCHEMA, containers::entries};
use crate::{
    config::{
        tables::kubernetes::{add_rules, tighten},
        values::ValuesSchema,
    },
    domain::Values,
};

/// The schema with Kubernetes' types, for values with a fragment. It is much larger than that of most values.
pub(super) static WITH_FRAGMENTS: LazyLock<ValuesSchema<'static>> =
    LazyLock::new(|| ValuesSchema::universal(&EXTENDED));
static EXTENDED: LazyLock<Value> = LazyLock::new(|| {
    let kinds = [KINDS.as_slice(), &FURTHER_KINDS].concat();
    let mut schema = with_kinds(&SCHEMA, &kinds);
    schema["properties"]["extraObjects"]["additionalProperties"]["allOf"] = extra_objects(&schema, &kinds);
    tighten(&mut schema);
    let definitions = schema["definitions"].as_object_mut().into_iter().flatten();
    definitions.filter(|(name, _)| name.starts_with(OF_KUBERNETES)).for_each(|(name, it)| add_rules(name, it));
    schema
});

/// How the names of Kubernetes' types begin.
const OF_KUBERNETES: &str = "io.k8s.";

const POD: &str = "io.k8s.api.core.v1.PodSpec";
const CONTAINER: &str = "io.k8s.api.core.v1.Container";
const VOLUME: &str = "io.k8s.api.core.v1.Volume";

const DAEMON_SET: &str = "io.k8s.api.apps.v1.DaemonSetSpec";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.DeploymentSpec";
const STATEFUL_SET: &str = "io.k8s.api.apps.v1.StatefulSetSpec";
const SELECTOR: &str = "it selects the labels of the pods, and cannot change";

/// Keys of Kubernetes' types that a fragment cannot have, because cmdr must know their content: it resolves, promotes
/// and pulls images, adds pull secrets to service accounts, and finds pods. Each with its replacement.
const EXCLUDED: [(&str, &str, &str); 11] = [
    (DAEMON_SET, "selector", SELECTOR),
    (DEPLOYMENT, "selector", SELECTOR),
    (STATEFUL_SET, "selector", SELECTOR),
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

/// A kind of objects.
#[derive(Clone, Copy)]
struct FragmentKind {
    name: &'static str,
    api_version: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

const fn kind<T: Resource + JsonSchema>() -> FragmentKind {
    FragmentKind { name: T::KIND, api_version: T::API_VERSION, schema: SchemaGenerator::subschema_for::<T> }
}

/// The kinds of the chart's objects. Those of `extraObjects` may be of any kind.
const KINDS: [FragmentKind; 12] = [
    kind::<ConfigMap>(),
    kind::<CronJob>(),
    kind::<DaemonSet>(),
    kind::<Deployment>(),
    kind::<HorizontalPodAutoscaler>(),
    kind::<Ingress>(),
    kind::<Job>(),
    kind::<PersistentVolumeClaim>(),
    kind::<PodDisruptionBudget>(),
    kind::<Service>(),
    kind::<ServiceAccount>(),
    kind::<StatefulSet>(),
];
/// Kinds that are checked, and that the schema for editors leaves out to stay small.
const FURTHER_KINDS: [FragmentKind; 5] = [
    kind::<ClusterRole>(),
    kind::<ClusterRoleBinding>(),
    kind::<NetworkPolicy>(),
    kind::<Role>(),
    kind::<RoleBinding>(),
];
/// Kinds of `extraObjects` that are not checked: those with pods, whose containers cmdr need not know, and the one that
/// cmdr writes.
const UNCHECKED: [&str; 6] = ["CronJob", "DaemonSet", "Deployment", "Job", "NetworkPolicy", "StatefulSet"];

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
        || entries(values.get("extraObjects")).any(|(_, object)| is_checked(object))
        || scaling.is_some_and(|scaling| ["metrics", "behavior"].iter().any(|key| scaling.contains_key(*key)))
        || has(values)
        || beside.flat_map(Map::values).filter_map(Value::as_object).any(has)
        || volumes.into_iter().any(|volume| volume.get("source").is_some())
}

/// Returns the schema of the chart's values, with the types of Kubernetes in place of its definitions of fragments.
pub(crate) fn with_fragments(schema: &Value) -> Value {
    with_kinds(schema, &KINDS)
}

/// The schemas of `extraObjects`, which the kind and version of the API choose.
fn extra_objects(schema: &Value, kinds: &[FragmentKind]) -> Value {
    let of_patches = &schema["definitions"]["patches"]["patternProperties"];
    let checked = kinds.iter().filter(|kind| !UNCHECKED.contains(&kind.name));
    let rules = checked.map(|kind| {
        let of_kind = json!({"kind": {"const": kind.name}, "apiVersion": {"const": kind.api_version}});
        json!({"if": {"properties": of_kind}, "then": of_patches[kind.patches()]["anyOf"][0]})
    });
    rules.collect()
}

/// Whether an object of `extraObjects` has a schema here.
fn is_checked(object: &Value) -> bool {
    let kind = object.get("kind").and_then(Value::as_str).filter(|kind| !UNCHECKED.contains(kind));
    kind.is_some_and(|kind| KINDS.iter().chain(&FURTHER_KINDS).any(|known| known.name == kind))
}

impl FragmentKind {
    /// The keys of `patches` for objects of this kind.
    fn patches(&self) -> String {
        format!("^{}/", self.name)
    }
}

fn with_kinds(schema: &Value, kinds: &[FragmentKind]) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let pod = generator.subschema_for::<PodSpec>();
    let container = generator.subschema_for::<Container>();
    let volume = generator.subschema_for::<Volume>();
    let metric = generator.subschema_for::<MetricSpec>();
    let behavior = generator.subschema_for::<HorizontalPodAutoscalerBehavior>();
    let of_kind =
        |kind: &FragmentKind| (kind.patches(), json!({"anyOf": [(kind.schema)(&mut generator), {"type": "null"}]}));
    let of_kinds: Map<String, Value> = kinds.iter().map(of_kind).collect();
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
