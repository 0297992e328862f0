//! Questions about environments, answered from the objects of their clusters.

mod exposed;
pub mod expression;
mod findings;
mod images;
mod pods;
mod resource;

pub use exposed::exposures;
pub use expression::{Expression, ExpressionError, Selected};
pub use findings::{
    Exposure, FoundObject, ObservedEvent, ProjectDifference, ProjectResources, QueryFinding, Restarts, RunningImage,
    UnpinnedImage, WhyUnpinned,
};
pub use images::{images, unpinned};
pub use pods::{events, found, restarts, shown};
pub use resource::{ResourceKind, UnknownKind, find_kind};

use serde_json::Value;

/// A question that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Images,
    Exposed,
    Differs,
    Unpinned,
    Restarts,
    Events,
    Resources,
}

/// Every question with its name and its meaning.
pub const QUESTIONS: [(&str, Question, &str); 7] = [
    ("images", Question::Images, "every version of each image that is in use, and which projects use it"),
    ("exposed", Question::Exposed, "what is reachable from outside the cluster, how, and with which TLS"),
    ("differs", Question::Differs, "what differs from projects.yaml, and why"),
    ("unpinned", Question::Unpinned, "images without a digest, first those whose tag moves"),
    ("restarts", Question::Restarts, "containers that restarted, and how they ended last"),
    ("events", Question::Events, "the events of Kubernetes, the oldest first"),
    ("resources", Question::Resources, "what each project requests, may use and uses"),
];

/// The annotation of Helm with the name of the release that an object belongs to.
const RELEASE: &str = "meta.helm.sh/release-name";
/// The kinds of objects with their API groups.
const PODS: (&str, &str) = ("", "Pod");
const TEMPLATES: [(&str, &str); 5] =
    [("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("batch", "CronJob"), ("batch", "Job")];
const ENTRANCES: [(&str, &str); 11] = [
    ("", "Service"),
    ("networking.k8s.io", "Ingress"),
    ("traefik.io", "IngressRoute"),
    ("traefik.io", "IngressRouteTCP"),
    ("traefik.io", "IngressRouteUDP"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("gateway.networking.k8s.io", "GRPCRoute"),
    ("gateway.networking.k8s.io", "TLSRoute"),
    ("gateway.networking.k8s.io", "TCPRoute"),
    ("gateway.networking.k8s.io", "UDPRoute"),
];

impl Question {
    /// Returns the question with this name.
    pub fn find(name: &str) -> Option<Self> {
        QUESTIONS.iter().find(|(known, ..)| *known == name).map(|(_, question, _)| *question)
    }

    /// Returns the kinds, as API group and kind, whose objects answer the question; kinds that a cluster does not have
    /// are left out.
    pub fn kinds(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Images | Self::Unpinned | Self::Differs | Self::Restarts => {
                [PODS].into_iter().chain(TEMPLATES).collect()
            }
            Self::Exposed => [PODS].into_iter().chain(ENTRANCES).collect(),
            Self::Resources => vec![PODS],
            Self::Events => vec![("", "Event")],
        }
    }

    /// Answers the question from the objects of [`Self::kinds`]; `None` if they are not sufficient.
    pub fn answer(self, objects: &[Value]) -> Option<Vec<QueryFinding>> {
        let objects = &with_releases(objects);
        match self {
            Self::Images => Some(images(objects).into_iter().map(QueryFinding::Image).collect()),
            Self::Exposed => Some(exposures(objects).into_iter().map(QueryFinding::Exposed).collect()),
            Self::Unpinned => Some(unpinned(objects).into_iter().map(QueryFinding::Unpinned).collect()),
            Self::Restarts => Some(restarts(objects).into_iter().map(QueryFinding::Restarts).collect()),
            Self::Events => Some(events(objects).into_iter().map(QueryFinding::Event).collect()),
            Self::Differs | Self::Resources => None,
        }
    }
}

/// Text at a key; empty without it.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The same, or `None` if it is empty.
fn some_text(value: &Value, key: &str) -> Option<String> {
    Some(text(value, key)).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"], "name")
}

fn namespace(object: &Value) -> Option<String> {
    some_text(&object["metadata"], "namespace")
}

/// Gives each pod the release of the workload that selects it: pods have labels of their chart only.
fn with_releases(objects: &[Value]) -> Vec<Value> {
    let selectors: Vec<_> = objects
        .iter()
        .filter_map(|workload| {
            let labels = workload.pointer("/spec/selector/matchLabels")?.as_object()?;
            Some((namespace(workload), labels, some_text(&workload["metadata"]["annotations"], RELEASE)?))
        })
        .collect();
    let release_of = |pod: &Value| {
        let has_all = |labels: &serde_json::Map<String, Value>| {
            labels.iter().all(|(name, value)| pod["metadata"]["labels"].get(name) == Some(value))
        };
        let own = selectors.iter().find(|(place, labels, _)| *place == namespace(pod) && has_all(labels));
        own.map(|(.., release)| release.clone())
    };
    let mut objects = objects.to_vec();
    for pod in objects.iter_mut().filter(|object| is_pod(object)) {
        if let Some(release) = release_of(pod) {
            pod["metadata"]["annotations"][RELEASE] = Value::String(release);
        }
    }
    objects
}

/// The project or the platform release that an object belongs to: its release, else its labels, else its owner.
fn project(object: &Value) -> String {
    let metadata = &object["metadata"];
    if let Some(release) = some_text(&metadata["annotations"], RELEASE) {
        return release;
    }
    let labels = &metadata["labels"];
    let label = |name: &str| some_text(labels, name);
    let instance = label("app.kubernetes.io/instance").map(|instance| {
        // Some charts add the namespace to the name of the release.
        let namespace = text(metadata, "namespace");
        instance.strip_suffix(&format!("-{namespace}")).map_or_else(|| instance.clone(), str::to_owned)
    });
    let named = instance.or_else(|| ["app.kubernetes.io/name", "app", "k8s-app"].into_iter().find_map(label));
    let owner = || items(&object["metadata"]["ownerReferences"]).find_map(|owner| some_text(owner, "name"));
    named.or_else(owner).unwrap_or_else(|| name(object).to_owned())
}

/// The containers of a pod: its own, then init and ephemeral ones.
fn containers(pod_spec: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(|key| items(&pod_spec[key]))
}

/// The states of a pod's containers.
fn container_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let keys = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    keys.into_iter().flat_map(|key| items(&pod["status"][key]))
}

fn is_pod(object: &Value) -> bool {
    text(object, "kind") == "Pod"
}

/// The specification of the pods of a workload; `None` for other kinds.
fn pod_template(object: &Value) -> Option<&Value> {
    let spec = match text(object, "kind") {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => &object["spec"]["template"]["spec"],
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => return None,
    };
    Some(spec)
}

/// Whether another object created this one.
fn is_owned(object: &Value) -> bool {
    items(&object["metadata"]["ownerReferences"]).next().is_some()
}
