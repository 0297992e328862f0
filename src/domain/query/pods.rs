//! Restarts, events, and objects of any kind.

use std::cmp::Reverse;

use serde_json::Value;

use super::{
    FoundObject, ObservedEvent, Restarts, container_statuses, is_pod, items, name, namespace, project, some_text, text,
};
use crate::domain::redact::masked_urls;

/// An annotation that repeats the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Returns the containers that restarted, most often first.
pub fn restarts(objects: &[Value]) -> Vec<Restarts> {
    let pods = objects.iter().filter(|object| is_pod(object));
    let mut found: Vec<Restarts> = pods
        .flat_map(|pod| container_statuses(pod).map(move |status| (pod, status)))
        .filter(|(_, status)| status["restartCount"].as_u64().is_some_and(|count| count > 0))
        .map(|(pod, status)| {
            let last = &status["lastState"]["terminated"];
            Restarts {
                project: project(pod),
                namespace: namespace(pod),
                pod: name(pod).to_owned(),
                container: text(status, "name").to_owned(),
                restarts: status["restartCount"].as_u64().unwrap_or_default(),
                state: state_of_container(&status["state"]),
                last_reason: some_text(last, "reason"),
                last_exit_code: last["exitCode"].as_i64(),
                last_ended: some_text(last, "finishedAt"),
            }
        })
        .collect();
    found.sort_by_key(|row| (Reverse(row.restarts), row.pod.clone(), row.container.clone()));
    found
}

fn state_of_container(state: &Value) -> String {
    let waits = some_text(&state["waiting"], "reason");
    let plain = || ["running", "terminated", "waiting"].into_iter().find(|key| state.get(key).is_some());
    waits.or_else(|| plain().map(str::to_owned)).unwrap_or_else(|| "unknown".to_owned())
}

/// Returns events, the oldest first.
pub fn events(objects: &[Value]) -> Vec<ObservedEvent> {
    let event = |object: &Value| {
        let involved = &object["involvedObject"];
        let times =
            [text(object, "lastTimestamp"), text(&object["series"], "lastObservedTime"), text(object, "eventTime")];
        ObservedEvent {
            namespace: namespace(object),
            object: format!("{}/{}", text(involved, "kind"), text(involved, "name")),
            r#type: text(object, "type").to_owned(),
            reason: text(object, "reason").to_owned(),
            message: masked_urls(text(object, "message").trim()),
            count: object["count"].as_u64().or_else(|| object["series"]["count"].as_u64()).unwrap_or(1),
            last: times.into_iter().find(|time| !time.is_empty()).unwrap_or_default().to_owned(),
        }
    };
    let mut found: Vec<ObservedEvent> = objects.iter().map(event).collect();
    found.sort_by(|one, other| one.last.cmp(&other.last));
    found
}

/// Returns an object of any kind as a row; [`shown`] removes first what is not to be shown.
pub fn found(object: Value) -> FoundObject {
    FoundObject {
        kind: text(&object, "kind").to_owned(),
        namespace: namespace(&object),
        name: name(&object).to_owned(),
        state: state(&object),
        created: some_text(&object["metadata"], "creationTimestamp"),
        object,
    }
}

/// Without what only the API server needs, and without the values of a Secret.
pub fn shown(mut object: Value) -> Value {
    let is_secret = text(&object, "kind") == "Secret";
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    for key in ["data", "stringData"].into_iter().filter(|_| is_secret) {
        let values = object.get_mut(key).and_then(Value::as_object_mut).into_iter().flatten();
        values.for_each(|(_, value)| *value = Value::from("***"));
    }
    object
}

fn state(object: &Value) -> Option<String> {
    let status = &object["status"];
    let condition = |wanted: &str| {
        let found = items(&status["conditions"]).find(|condition| text(condition, "type") == wanted)?;
        match text(found, "status") {
            "True" => Some(wanted.to_owned()),
            _ => Some(some_text(found, "reason").unwrap_or_else(|| format!("not {wanted}"))),
        }
    };
    some_text(status, "phase").or_else(|| ["Ready", "Available", "Complete"].into_iter().find_map(condition))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_that_restart_most_come_first() {
        let pod = |name: &str, count: u64| {
            json!({"kind": "Pod", "metadata": {"name": name}, "status": {"containerStatuses": [{
                "name": "main", "restartCount": count, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-02T03:04:05Z"}}}]}})
        };
        let found = restarts(&[pod("a", 1), pod("b", 7), pod("c", 0)]);
        let shown: Vec<_> = found.iter().map(|row| (row.pod.as_str(), row.restarts, row.last_exit_code)).collect();
        assert_eq!(shown, [("b", 7, Some(1)), ("a", 1, Some(1))]);
        assert_eq!((found[0].state.as_str(), found[0].last_reason.as_deref()), ("CrashLoopBackOff", Some("Error")));
    }

    #[test]
    fn events_are_in_order_whatever_names_their_time() {
        let event = |time: &str, key: &str| json!({"involvedObject": {"kind": "Pod", "name": key}, key: time});
        let found =
            events(&[event("2026-01-02T03:04:06Z", "eventTime"), event("2026-01-02T03:04:05Z", "lastTimestamp")]);
        let shown: Vec<&str> = found.iter().map(|row| row.object.as_str()).collect();
        assert_eq!(shown, ["Pod/lastTimestamp", "Pod/eventTime"]);
    }

    #[test]
    fn the_values_of_a_secret_are_not_shown() {
        let secret = json!({"kind": "Secret", "data": {"password": "Y2FuYXJ5"}, "stringData": {"a": "canary"},
            "metadata": {"name": "db", "managedFields": [1], "annotations": {LAST_APPLIED: "canary"}}});
        let shown = serde_json::to_string(&found(shown(secret))).unwrap();
        assert!(
            !shown.contains("Y2FuYXJ5") && !shown.contains("canary") && !shown.contains("managedFields"),
            "{shown}"
        );
        assert!(shown.contains("password"), "{shown}");
    }

    #[test]
    fn the_state_is_the_phase_or_the_condition() {
        let of = |status: Value| state(&json!({"status": status}));
        assert_eq!(of(json!({"phase": "Running"})).as_deref(), Some("Running"));
        let condition =
            |status: &str| json!({"conditions": [{"type": "Ready", "status": status, "reason": "Issuing"}]});
        assert_eq!(of(condition("True")).as_deref(), Some("Ready"));
        assert_eq!(of(condition("False")).as_deref(), Some("Issuing"));
        assert_eq!(of(json!({})), None);
    }
}
