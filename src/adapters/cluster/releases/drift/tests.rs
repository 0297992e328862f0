//! Objects as returned by a real API server, shortened.

use serde_json::json;

use super::*;

fn rendered() -> Value {
    json!({
        "metadata": {"name": "shop", "labels": {"app": "shop", "tier": "web"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{
            "name": "shop", "image": "shop:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "ports": [{"containerPort": 8080, "name": "http"}],
        }]}}},
    })
}

fn entry(manager: &str, subresource: Option<&str>, fields: &Value) -> ManagedFieldsEntry {
    let entry = json!({"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields});
    serde_json::from_value(entry).unwrap()
}

fn of_helm() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:app": {}, "f:tier": {}}},
        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"shop\"}": {
            ".": {}, "f:name": {}, "f:image": {},
            "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:value": {}}, "k:{\"name\":\"B\"}": {".": {}, "f:value": {}}},
            "f:ports": {"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:name": {}}},
        }}}}},
    })
}

/// Removes a field from those that Helm owns.
fn without(pointer: &str, key: &str) -> Value {
    let mut fields = of_helm();
    fields.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    fields
}

const CONTAINER: &str = "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"shop\"}";

#[test]
fn what_helm_holds_is_as_it_should_be() {
    assert!(drift(&rendered(), &[entry("helm", None, &of_helm())]).is_empty());
    // Another manager applied the same value, or a field that no chart renders.
    let same = entry("kubectl", None, &json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}));
    assert!(drift(&rendered(), &[entry("helm", None, &of_helm()), same]).is_empty());
}

#[test]
fn a_field_that_another_took_is_named_with_who() {
    let scaled = json!({"f:spec": {"f:replicas": {}}});
    let helm = || entry("helm", None, &without("/f:spec", "f:replicas"));
    let found = |manager| drift(&rendered(), &[helm(), entry(manager, Some("scale"), &scaled)]);
    assert_eq!(found("kubectl"), ["spec.replicas (kubectl)"]);
    assert!(found("kube-controller-manager").is_empty(), "an autoscaler may change this field");
    let env = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"shop\"}": {"f:env": {
        "k:{\"name\":\"A\"}": {"f:value": {}}}}}}}}});
    let helm = entry("helm", None, &without(&format!("{CONTAINER}/f:env/k:{{\"name\":\"A\"}}"), "f:value"));
    let found = drift(&rendered(), &[helm, entry("kubectl-edit", None, &env)]);
    assert_eq!(found, ["spec.template.spec.containers[shop].env[A].value (kubectl-edit)"]);
}

#[test]
fn the_protocol_of_a_port_need_not_be_rendered() {
    let port = "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}";
    let helm = entry("helm", None, &without(&format!("{CONTAINER}/f:ports/{port}"), "f:name"));
    let name = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"shop\"}": {"f:ports": {
        (port): {"f:name": {}}}}}}}}});
    let found = drift(&rendered(), &[helm, entry("kubectl", None, &name)]);
    assert_eq!(found, ["spec.template.spec.containers[shop].ports[8080/TCP].name (kubectl)"]);
}

#[test]
fn what_was_taken_out_is_named() {
    let helm = |fields: Value| [entry("helm", None, &fields)];
    let found = drift(&rendered(), &helm(without("/f:metadata/f:labels", "f:app")));
    assert_eq!(found, ["metadata.labels.app (removed)"]);
    let found = drift(&rendered(), &helm(without(&format!("{CONTAINER}/f:env"), "k:{\"name\":\"B\"}")));
    assert_eq!(found, ["spec.template.spec.containers[shop].env[B] (removed)"]);
}

#[test]
fn a_status_and_an_object_that_helm_has_not_written_say_nothing() {
    let status = entry("kubelet", Some("status"), &json!({"f:spec": {"f:replicas": {}}}));
    assert!(drift(&rendered(), &[entry("helm", None, &without("/f:spec", "f:replicas")), status]).is_empty());
    assert!(drift(&rendered(), &[entry("kubectl", None, &json!({"f:spec": {"f:replicas": {}}}))]).is_empty());
}
