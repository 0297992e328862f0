//! The rules: from what a cluster has to what is wrong.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::ServiceReference,
        core::v1::{ContainerStatus, Node, PersistentVolumeClaim, Pod, Secret, Service},
    },
};
use kube::ResourceExt;

use super::{ExaminedObjects, Symptom};
use crate::{
    adapters::cluster::workloads::rollout::{PodName, ended_with_node, essence, is_ready},
    domain::{
        causes::{self, CauseSource, KnownCause, metallb, network, node},
        dns,
        validity::not_after,
    },
};

/// A certificate that ends sooner is reported.
const SOON_EXPIRED: SignedDuration = SignedDuration::from_hours(14 * 24);
/// A new claim is bound within seconds.
const PENDING: SignedDuration = SignedDuration::from_mins(2);
/// A pod restarts if it did so this often, the last time within an hour.
const RESTARTS: i32 = 3;
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// Tokens are refused if clocks differ by more; the date of a response has no fractions.
const CLOCK: i64 = 5;
/// The conditions of a node that are a problem if they are true.
const PRESSURES: [(&str, &KnownCause); 3] = [
    ("DiskPressure", &node::NODE_DISK_PRESSURE),
    ("MemoryPressure", &node::NODE_MEMORY_PRESSURE),
    ("PIDPressure", &node::NODE_PID_PRESSURE),
];
/// The label of an EndpointSlice with its Service.
const SERVICE: &str = "kubernetes.io/service-name";

impl ExaminedObjects {
    /// Returns all symptoms: failures first, otherwise causes before what they cause.
    pub(super) fn symptoms(&self, now: Timestamp) -> Vec<Symptom> {
        let mut found: Vec<Symptom> = self.nodes.iter().flat_map(node_symptoms).collect();
        found.extend(self.clock());
        found.extend(self.dns());
        found.extend(self.webhooks());
        found.extend(self.api_certificate.and_then(|end| api_certificate(end, now)));
        found.extend(self.secrets.iter().filter_map(|secret| certificate(secret, now)));
        found.extend(self.claims.iter().filter_map(|claim| pending_claim(claim, now)));
        found.extend(self.services.iter().filter_map(|service| self.address(service)));
        found.extend(self.pods.iter().filter_map(|pod| failed_pod(pod).or_else(|| restarting_pod(pod, now))));
        found.sort_by_key(|symptom| !symptom.is_failure);
        found
    }

    fn clock(&self) -> Option<Symptom> {
        let ahead = self.clock_ahead.filter(|ahead| ahead.abs() >= CLOCK)?;
        Some(warning("clock", &node::CLOCK_DIFFERENCE, &[("age", &format!("{} s", ahead.abs()))]))
    }

    fn dns(&self) -> Vec<Symptom> {
        let unready: Vec<&Pod> = self.dns.iter().filter(|pod| !is_ready(pod)).collect();
        if !self.dns.is_empty() && unready.len() == self.dns.len() {
            let of = |pod: &&Pod| {
                let crashes = pod_statuses(pod).any(|status| status.restart_count > 0 && !status.ready);
                let symptom = failure("dns", &network::DNS_UNREADY, &[("name", &pod.name_any())]);
                Symptom { delete: crashes.then(|| PodName::from(*pod)), ..symptom }
            };
            return unready.iter().map(of).collect();
        }
        let fails = self.lookup == Some(false);
        fails.then(|| failure("dns", &network::DNS_LOOKUP_FAILS, &[("name", dns::NAME)])).into_iter().collect()
    }

    fn webhooks(&self) -> Vec<Symptom> {
        let validating = self.validating.iter().flat_map(|all| {
            let own = all.webhooks.iter().flatten();
            own.map(|hook| {
                (
                    all.name_any(),
                    "validatingwebhookconfiguration",
                    &hook.name,
                    &hook.client_config,
                    &hook.failure_policy,
                )
            })
        });
        let mutating = self.mutating.iter().flat_map(|all| {
            let own = all.webhooks.iter().flatten();
            own.map(|hook| {
                (all.name_any(), "mutatingwebhookconfiguration", &hook.name, &hook.client_config, &hook.failure_policy)
            })
        });
        let broken = validating.chain(mutating).filter_map(|(configuration, kind, name, client, policy)| {
            let service = client.service.as_ref().filter(|service| !self.has_endpoints(service))?;
            let object = format!("{}/{}", service.namespace, service.name);
            let values =
                [("name", name.as_str()), ("object", &object), ("kind", kind), ("configuration", &configuration)];
            let symptom = warning("webhook", &network::WEBHOOK_WITHOUT_ENDPOINTS, &values);
            Some(Symptom { is_failure: policy.as_deref() != Some("Ignore"), ..symptom })
        });
        broken.collect()
    }

    fn has_endpoints(&self, service: &ServiceReference) -> bool {
        let own = self.slices.iter().filter(|slice| {
            slice.namespace().as_ref() == Some(&service.namespace) && slice.labels().get(SERVICE) == Some(&service.name)
        });
        own.flat_map(|slice| &slice.endpoints)
            .any(|endpoint| endpoint.conditions.as_ref().is_none_or(|it| it.ready.unwrap_or(true)))
    }

    /// A Service of type LoadBalancer without an address.
    fn address(&self, service: &Service) -> Option<Symptom> {
        let is_balanced = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let has_address = balancer.is_some_and(|it| it.ingress.as_ref().is_some_and(|all| !all.is_empty()));
        if !is_balanced || has_address {
            return None;
        }
        let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
        let own = self.events.iter().filter(|event| {
            event.involved_object.name.as_ref() == Some(&name) && event.metadata.namespace.as_ref() == Some(&namespace)
        });
        let messages: Vec<&str> = own.filter_map(|event| event.message.as_deref()).collect();
        let known = messages.iter().find_map(|message| causes::find(CauseSource::Service, message));
        let values = [("name", name.as_str()), ("namespace", namespace.as_str())];
        let cause = known.unwrap_or(if messages.is_empty() {
            &network::LOAD_BALANCER_MISSING
        } else {
            &metallb::METALLB_NO_ADDRESS
        });
        let symptom = failure("address", cause, &values);
        let problem = messages.last().map_or(symptom.problem.clone(), |message| symptom.problem.detail(*message));
        Some(Symptom { problem, ..symptom })
    }
}

fn failure(check: &'static str, cause: &KnownCause, values: &[(&str, &str)]) -> Symptom {
    Symptom { check, is_failure: true, problem: cause.problem(values), delete: None }
}

fn warning(check: &'static str, cause: &KnownCause, values: &[(&str, &str)]) -> Symptom {
    Symptom { is_failure: false, ..failure(check, cause, values) }
}

fn node_symptoms(node: &Node) -> Vec<Symptom> {
    let name = node.name_any();
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let found = conditions.filter_map(|condition| {
        let message = condition.message.as_deref().unwrap_or_default();
        let values = [("name", name.as_str()), ("message", message)];
        if condition.type_ == "Ready" {
            return (condition.status != "True").then(|| failure("node", &node::NODE_UNREADY, &values));
        }
        let (_, cause) = PRESSURES.iter().find(|(kind, _)| *kind == condition.type_)?;
        (condition.status == "True").then(|| failure("node", cause, &values))
    });
    found.collect()
}

fn api_certificate(end: Timestamp, now: Timestamp) -> Option<Symptom> {
    let expiry = expiry(end, now)?;
    let symptom = failure("certificate", &network::CLUSTER_CERTIFICATE_EXPIRED, &[("expiry", &expiry)]);
    Some(Symptom { is_failure: end <= now, ..symptom })
}

/// Describes the end of a certificate, if it has expired or soon will.
fn expiry(end: Timestamp, now: Timestamp) -> Option<String> {
    let date = end.strftime("%Y-%m-%d");
    let verb = if end <= now { "expired" } else { "expires" };
    (end.duration_since(now) <= SOON_EXPIRED).then(|| format!("{verb} on {date}"))
}

fn certificate(secret: &Secret, now: Timestamp) -> Option<Symptom> {
    let ByteString(pem) = secret.data.as_ref()?.get("tls.crt")?;
    let end = not_after(pem)?;
    let expiry = expiry(end, now)?;
    let name = format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
    let symptom = failure("certificate", &network::CERTIFICATE_EXPIRED, &[("name", &name), ("expiry", &expiry)]);
    Some(Symptom { is_failure: end <= now, ..symptom })
}

fn pending_claim(claim: &PersistentVolumeClaim, now: Timestamp) -> Option<Symptom> {
    let is_pending = claim.status.as_ref()?.phase.as_deref() == Some("Pending");
    let age = now.duration_since(claim.creation_timestamp()?.0);
    if !is_pending || age < PENDING {
        return None;
    }
    let (object, namespace) = (claim.name_any(), claim.namespace().unwrap_or_default());
    let values = [
        ("name", format!("{namespace}/{object}")),
        ("age", format!("{} min", age.as_mins())),
        ("namespace", namespace),
        ("object", object),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Some(warning("volume", &causes::volumes::CLAIM_PENDING, &values))
}

fn pod_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|it| it.init_container_statuses.iter().flatten().chain(it.container_statuses.iter().flatten()))
}

/// A pod that has failed and was replaced, such as an evicted one. A Job counts its failed pods.
fn failed_pod(pod: &Pod) -> Option<Symptom> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let is_replaced = pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.kind != "Job");
    if !is_replaced {
        return None;
    }
    let message = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("failed");
    let name = shown(pod);
    let symptom = warning("pod", &node::POD_FAILED, &[("name", &name), ("message", message)]);
    Some(Symptom { delete: Some(PodName::from(pod)), ..symptom })
}

fn restarting_pod(pod: &Pod, now: Timestamp) -> Option<Symptom> {
    let restarts = |status: &&ContainerStatus| {
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let crashed = last.filter(|ended| !ended_with_node(ended)).and_then(|ended| ended.finished_at.as_ref());
        status.restart_count >= RESTARTS && crashed.is_some_and(|at| now.duration_since(at.0) < RECENT)
    };
    let status = pod_statuses(pod).find(restarts)?;
    let ended = status.last_state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let code = format!("{} times, exit code {}", status.restart_count, ended.exit_code);
    let message = if reason == "Error" { code } else { format!("{code}, {reason}") };
    let project = pod.labels().get("app.kubernetes.io/name").cloned().unwrap_or_else(|| pod.name_any());
    let values = [("name", shown(pod)), ("message", essence(&message).to_owned()), ("project", project)];
    let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let symptom = warning("pod", &node::POD_RESTARTS, &values);
    let decided = causes::find_state(reason, &format!("exit code {}", ended.exit_code));
    let problem = decided.map_or(symptom.problem.clone(), |cause| symptom.problem.detail(cause.explanation));
    Some(Symptom { problem, ..symptom })
}

fn shown(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-26T20:00:00Z".parse().unwrap()
    }

    fn codes(observed: &ExaminedObjects) -> Vec<String> {
        observed.symptoms(now()).into_iter().filter_map(|symptom| symptom.problem.code).collect()
    }

    /// A pod that restarts, and one that was evicted and replaced.
    fn broken_pods() -> Vec<Pod> {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "a", "controller": true}]);
        let ended = json!({"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-26T19:50:00Z"});
        let restarting = json!({"containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true,
            "restartCount": 4, "lastState": {"terminated": ended}}]});
        let evicted =
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
        let replaced = json!({"name": "a-2", "namespace": "shop", "ownerReferences": owner});
        // Its node was stopped again and again.
        let ended = json!({"exitCode": 255, "reason": "Unknown", "finishedAt": "2026-11-26T19:50:00Z"});
        let stopped = json!({"containerStatuses": [{"name": "b", "image": "", "imageID": "", "ready": true,
            "restartCount": 9, "lastState": {"terminated": ended}}]});
        vec![
            read(json!({"metadata": {"name": "b-1", "namespace": "shop"}, "status": stopped})),
            read(json!({"metadata": {"name": "a-1", "namespace": "shop"}, "status": restarting})),
            read(json!({"metadata": replaced, "status": evicted})),
        ]
    }

    /// A cluster in which everything is wrong, as captured objects.
    fn broken() -> ExaminedObjects {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "message": "kubelet has it"});
        let conditions =
            [("Ready", "False"), ("DiskPressure", "True"), ("MemoryPressure", "True"), ("PIDPressure", "True")];
        let conditions = conditions.map(|(kind, status)| condition(kind, status));
        let hook = json!({"name": "w.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"name": "w", "namespace": "w"}}});
        let mut parameters = rcgen::CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2026, 11, 1);
        let pem = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let tls = Secret {
            data: Some([("tls.crt".to_owned(), ByteString(pem.into_bytes()))].into()),
            ..read(json!({"metadata": {"name": "tls", "namespace": "shop"}}))
        };
        ExaminedObjects {
            nodes: vec![read(json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}}))],
            dns: vec![read(json!({"metadata": {"name": "coredns-1", "namespace": "kube-system"}, "status":
                {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 3}]}}))],
            pods: broken_pods(),
            claims: vec![read(json!({"metadata": {"name": "data", "namespace": "shop",
                "creationTimestamp": "2026-11-26T19:00:00Z"}, "status": {"phase": "Pending"}}))],
            services: vec![read(
                json!({"metadata": {"name": "lb", "namespace": "shop"}, "spec": {"type": "LoadBalancer"}}),
            )],
            events: vec![read(json!({"metadata": {"namespace": "shop"}, "involvedObject": {"name": "lb"},
                "message": "Failed to allocate IP for \"shop/lb\": no available IPs"}))],
            secrets: vec![tls],
            validating: vec![read(json!({"metadata": {"name": "w"}, "webhooks": [hook]}))],
            clock_ahead: Some(-90),
            api_certificate: Some("2026-12-01T00:00:00Z".parse().unwrap()),
            ..ExaminedObjects::default()
        }
    }

    #[test]
    fn each_symptom_has_its_cause_and_failures_come_first() {
        let expected =
            ["C243", "C244", "C245", "C246", "C141", "C145", "C143", "C230", "C247", "C144", "C120", "C248", "C249"];
        assert_eq!(codes(&broken()), expected);
        let found = broken().symptoms(now());
        let deleted: Vec<&str> = found.iter().filter_map(|it| Some(it.delete.as_ref()?.name.as_str())).collect();
        assert_eq!(deleted, ["coredns-1", "a-2"]);
    }

    #[test]
    fn every_cause_of_a_running_environment_is_found_in_captured_objects() {
        let mut seen: BTreeSet<String> = codes(&broken()).into_iter().collect();
        let lookup = ExaminedObjects { lookup: Some(false), ..ExaminedObjects::default() };
        assert_eq!(codes(&lookup), ["C142"]);
        seen.extend(codes(&lookup));
        for cause in causes::all().filter(|cause| cause.sources.contains(&CauseSource::Environment)) {
            assert!(seen.contains(cause.code), "{} has no case", cause.code);
        }
    }

    #[test]
    fn a_healthy_cluster_has_no_symptoms() {
        let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]);
        let observed = ExaminedObjects {
            nodes: vec![read(json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}}))],
            dns: vec![read(
                json!({"metadata": {"name": "c"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            )],
            lookup: Some(true),
            clock_ahead: Some(1),
            ..ExaminedObjects::default()
        };
        assert_eq!(observed.symptoms(now()), Vec::new());
    }
}
