//! Keys that have no effect beside, or without, others: Kubernetes or the chart would refuse or ignore them.

use serde_json::Value;

use super::{Mistake, containers::BESIDE};
use crate::{
    config::error::{listed, quoted},
    domain::{ResolvedProject, Values, quantity},
};

/// A rule about the keys of a map. A key can be a path from this map on.
enum KeyRule {
    /// Only one of the keys.
    One(&'static [&'static str]),
    /// A key that has no effect beside the others.
    Beside(&'static str, &'static [&'static str]),
    /// A key that has no effect unless one of the others is set.
    Needs(&'static str, &'static [&'static str]),
    /// A key that has no effect unless another one has one of these words; the first word of all is the default.
    NeedsWord { key: &'static str, other: &'static str, words: &'static [&'static str], default: &'static str },
    /// A key that can be disabled with `false`, but not enabled with `true`.
    OnlyOff(&'static str),
    /// A number or quantity that is at most another one, with the default of the other.
    AtMost(&'static str, &'static str, Option<u64>),
}

use KeyRule::{AtMost, Beside, Needs, NeedsWord, One, OnlyOff};

const NODE_SERVICES: &[&str] = &["NodePort", "LoadBalancer"];
const LOAD_BALANCER: &[&str] = &["LoadBalancer"];

const fn of_service(key: &'static str, words: &'static [&'static str]) -> KeyRule {
    NeedsWord { key, other: "service.type", words, default: "ClusterIP" }
}

const OF_PROJECT: &[KeyRule] = &[
    Needs("aliases", &["ports"]),
    Needs("service.annotations", &["ports"]),
    Needs("service.headless", &["ports"]),
    Needs("service.sessionAffinity", &["ports"]),
    Needs("service.type", &["ports"]),
    of_service("ports.*.nodePort", NODE_SERVICES),
    of_service("service.externalTrafficPolicy", NODE_SERVICES),
    of_service("service.headless", &["ClusterIP"]),
    of_service("service.loadBalancerClass", LOAD_BALANCER),
    of_service("service.sourceRanges", LOAD_BALANCER),
    NeedsWord { key: "monitor.interval", other: "monitor.kind", words: &["ServiceMonitor"], default: "annotations" },
    Needs(
        "serviceAccount.annotations",
        &["serviceAccount.create", "serviceAccount.rules", "serviceAccount.clusterRules", "aws", "azure", "gcp"],
    ),
    AtMost("drain", "grace", Some(30)),
    Beside("drain", &["container.lifecycle.preStop"]),
];
const OF_PROBE: &[KeyRule] = &[
    One(&["path", "tcp", "grpc", "exec"]),
    Beside("port", &["tcp", "grpc", "exec"]),
    Needs("headers", &["path"]),
    Needs("scheme", &["path"]),
    Needs("service", &["grpc"]),
];
const OF_PEER: &[KeyRule] = &[Needs("protocol", &["port"])];
const OF_RESOURCES: &[KeyRule] = &[
    AtMost("requests.cpu", "limits.cpu", None),
    AtMost("requests.ephemeral-storage", "limits.ephemeral-storage", None),
    AtMost("requests.memory", "limits.memory", None),
];
const OF_VOLUME: &[KeyRule] = &[
    One(&["temporary", "secret", "config", "source", "claim"]),
    Beside("size", &["secret", "config", "source", "claim"]),
    Needs("storageClass", &["size", "temporary"]),
    Needs("accessMode", &["size", "temporary"]),
    Beside("storageClass", &["temporary"]),
    Beside("accessMode", &["temporary"]),
    Needs("medium", &["temporary"]),
    Needs("subPath", &["path"]),
    Needs("readOnly", &["path"]),
];
const OF_TOLERATION: &[KeyRule] = &[
    NeedsWord { key: "tolerationSeconds", other: "effect", words: &["NoExecute"], default: "" },
    NeedsWord { key: "value", other: "operator", words: &["Equal"], default: "Equal" },
];
const OF_SPREAD: &[KeyRule] = &[NeedsWord {
    key: "minDomains",
    other: "whenUnsatisfiable",
    words: &["DoNotSchedule"],
    default: "ScheduleAnyway",
}];

/// The maps of a project with their rules. `*` is any name, and the maps of `@` are those of every container.
const RULES: [(&str, &[KeyRule]); 10] = [
    ("", OF_PROJECT),
    ("@.probes", &[OnlyOff("startup"), OnlyOff("liveness")]),
    ("@.probes.*", OF_PROBE),
    ("@.resources", OF_RESOURCES),
    ("autoscaling", &[AtMost("min", "max", None)]),
    ("networkPolicy.*.*", OF_PEER),
    ("routes.*", &[Beside("sticky", &["weights"])]),
    ("spread.*", OF_SPREAD),
    ("tolerations.*", OF_TOLERATION),
    ("volumes.*", OF_VOLUME),
];

/// A value and its path, from the values on.
type ValueAt<'a> = (Vec<&'a str>, &'a Value);

/// Returns a mistake for each combination of keys that is ignored or refused, unless the defaults of the workspace contain
/// it: those are for all projects.
pub(super) fn check(project: &ResolvedProject, defaults: &Values) -> Vec<Mistake> {
    let values = Value::Object(project.values.clone());
    let found = RULES.iter().flat_map(|(pattern, rules)| {
        let maps = places(&values, pattern);
        maps.into_iter().flat_map(move |map| rules.iter().flat_map(move |rule| rule.mistakes(&map)).collect::<Vec<_>>())
    });
    found.filter(|mistake| !is_default(mistake, &values, defaults)).collect()
}

fn is_default(mistake: &Mistake, values: &Value, defaults: &Values) -> bool {
    let (first, rest) = (mistake.path.first().and_then(|key| defaults.get(key)), mistake.path.get(1..));
    let at = |value: Option<&'_ Value>, path: &[String]| {
        path.iter().try_fold(value?.clone(), |map, key| map.get(key).cloned())
    };
    let default = at(first, rest.unwrap_or_default());
    default.is_some() && default == at(Some(values), &mistake.path)
}

/// Returns all values that that match a pattern.
fn places<'a>(values: &'a Value, pattern: &'a str) -> Vec<ValueAt<'a>> {
    if let Some(below) = pattern.strip_prefix("@.") {
        let beside = BESIDE.iter().flat_map(|kind| places(values, kind)).flat_map(|(path, map)| each(path, map));
        let containers = beside.chain([(Vec::new(), values)]);
        return containers.flat_map(|(path, container)| joined(&path, places(container, below))).collect();
    }
    let keys = pattern.split('.').filter(|key| !key.is_empty());
    keys.fold(vec![(Vec::new(), values)], |places, key| {
        let below = places.into_iter().flat_map(|(path, map)| each(path, map));
        below.filter(|(path, _)| key == "*" || path.last() == Some(&key)).collect()
    })
}

/// The entries of a map that are not null.
fn each<'a>(path: Vec<&'a str>, map: &'a Value) -> impl Iterator<Item = ValueAt<'a>> {
    let entries = map.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    entries.map(move |(key, value)| (path.iter().copied().chain([key.as_str()]).collect(), value))
}

fn joined<'a>(above: &[&'a str], below: Vec<ValueAt<'a>>) -> Vec<ValueAt<'a>> {
    below.into_iter().map(|(path, value)| ([above, &path].concat(), value)).collect()
}

/// The value of a key that is set: neither `false` nor empty.
fn set<'a>(map: &'a Value, key: &'a str) -> Option<ValueAt<'a>> {
    let is_set = |value: &Value| match value {
        Value::Bool(value) => *value,
        Value::Object(map) => map.values().any(|value| !value.is_null()),
        _ => true,
    };
    places(map, key).into_iter().find(|(_, value)| is_set(value))
}

impl KeyRule {
    fn mistakes(&self, (path, map): &ValueAt<'_>) -> Vec<Mistake> {
        let found: Vec<Mistake> = match *self {
            One(keys) => {
                let mut found = keys.iter().filter_map(|key| set(map, key));
                let first = found.next();
                found.map(|(key, _)| beside(&key, first.as_ref().map_or("", |(first, _)| first[0]))).collect()
            }
            Beside(key, others) => {
                let other = others.iter().find(|other| set(map, other).is_some());
                set(map, key).zip(other).map(|((key, _), other)| beside(&key, other)).into_iter().collect()
            }
            Needs(key, others) => {
                let is_needed = others.iter().all(|other| set(map, other).is_none());
                let key = set(map, key).filter(|_| is_needed);
                key.map(|(key, _)| needs(&key, &format!("expected {} beside it", listed(others.iter().copied()))))
                    .into_iter()
                    .collect()
            }
            NeedsWord { key, other, words, default } => {
                let word = set(map, other).and_then(|(_, word)| word.as_str()).unwrap_or(default);
                let keys = places(map, key)
                    .into_iter()
                    .filter(|(_, value)| !words.contains(&word) && **value != Value::Bool(false));
                let expected = format!("expected `{other}`: {}", listed(words.iter().copied()));
                keys.map(|(key, _)| needs(&key, &expected)).collect()
            }
            OnlyOff(key) => {
                let is_on = map.get(key) == Some(&Value::Bool(true));
                is_on.then(|| only_off(key)).into_iter().collect()
            }
            AtMost(key, other, default) => at_most(map, key, other, default).into_iter().collect(),
        };
        found.into_iter().map(|mistake| mistake.below(path)).collect()
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

fn beside(key: &[&str], other: &str) -> Mistake {
    let name = quoted(&key.join("."));
    Mistake::new(owned(key), format!("{name} has no effect beside `{other}`"), format!("expected {name} or `{other}`"))
}

fn needs(key: &[&str], expected: &str) -> Mistake {
    Mistake::new(owned(key), format!("{} has no effect here", quoted(&key.join("."))), expected.to_owned())
}

fn only_off(probe: &str) -> Mistake {
    let message = format!("`{probe}: true` does not say what to check");
    Mistake::new(owned(&[probe]), message, "expected a check such as `{path: /healthz}`, or `false`".to_owned())
}

/// A mistake if the first of two quantities is larger than the second one.
fn at_most(map: &Value, key: &str, other: &str, default: Option<u64>) -> Option<Mistake> {
    let text = |key: &str| Some(plain(places(map, key).into_iter().next()?.1));
    let (path, _) = places(map, key).into_iter().next()?;
    let (value, limit) = (text(key)?, text(other).or_else(|| default.map(|limit| limit.to_string()))?);
    if !is_larger(&value, &limit)? {
        return None;
    }
    let message = format!("`{key}` is {value}, and `{other}` is {limit}");
    Some(Mistake::new(owned(&path), message, format!("expected at most {limit}")))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Compares two quantities; `None` if one of them is invalid. Bytes do not fit into thousandths.
fn is_larger(one: &str, other: &str) -> Option<bool> {
    let both = |read: fn(&str) -> Result<u64, quantity::InvalidQuantity>| read(one).ok().zip(read(other).ok());
    let (one, other) = both(quantity::parse_cpu_millis).or_else(|| both(quantity::parse_memory_bytes))?;
    Some(one > other)
}
