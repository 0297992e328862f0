use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn object(kind: &str) -> Object {
    Object {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        namespace: "tunes".to_owned(),
        name: "shop".to_owned(),
        ..Object::default()
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn deployment(updated: i32, available: i32) -> Value {
    json!({
        "metadata": {"name": "shop", "uid": "d", "generation": 2, "annotations": {(REVISION): "2"}},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {"observedGeneration": 2, "replicas": updated, "updatedReplicas": updated, "availableReplicas": available},
    })
}

fn replica_set(uid: &str, revision: &str) -> Arc<k8s_openapi::api::apps::v1::ReplicaSet> {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": "d"}]);
    parse(
        json!({"metadata": {"name": uid, "uid": uid, "annotations": {(REVISION): revision}, "ownerReferences": owner},
        "spec": {"selector": {}}}),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
fn pod(owner: &str, container: Value) -> Arc<Pod> {
    let owners =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]);
    let mut status = json!({"name": "shop", "image": "shop:1", "imageID": "", "ready": false, "restartCount": 0});
    status.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    parse(
        json!({"metadata": {"name": format!("{owner}-1"), "ownerReferences": owners}, "status": {"containerStatuses": [status]}}),
    )
}

fn snapshot(deployment: Value, pods: Vec<Arc<Pod>>) -> WorkloadSnapshot {
    WorkloadSnapshot {
        deployments: vec![parse(deployment)],
        replica_sets: vec![replica_set("old", "1"), replica_set("new", "2")],
        pods,
        ..WorkloadSnapshot::default()
    }
}

/// The code of a problem in the catalogue of causes.
fn code(problem: &RolloutProblem) -> &str {
    problem.cause.code.as_deref().unwrap_or_default()
}

fn first_problem(pods: Vec<Arc<Pod>>) -> Option<(String, GiveUpAfter)> {
    let progress = assess(&snapshot(deployment(2, 0), pods), &object("Deployment"), None).unwrap();
    progress.problems.first().map(|problem| (problem.cause.message.clone(), problem.patience))
}

#[test]
fn a_deployment_is_complete_when_all_new_pods_are_available() {
    let complete = |updated, available| {
        assess(&snapshot(deployment(updated, available), Vec::new()), &object("Deployment"), None).unwrap().is_complete
    };
    assert!(complete(2, 2));
    assert!(!complete(2, 1));
    assert!(!complete(1, 1));
}

#[test]
fn a_generation_not_yet_seen_is_not_complete() {
    let mut unseen = deployment(2, 2);
    unseen["metadata"]["generation"] = json!(3);
    assert!(!assess(&snapshot(unseen, Vec::new()), &object("Deployment"), None).unwrap().is_complete);
}

#[test]
fn only_pods_of_the_newest_revision_count() {
    let missing = json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "shop:1: not found"}}});
    assert_eq!(first_problem(vec![pod("old", missing.clone())]), None);
    let expected = ("image not found: shop:1".to_owned(), GiveUpAfter::Seconds(12));
    assert_eq!(first_problem(vec![pod("new", missing)]), Some(expected));
}

#[test]
fn a_problem_names_its_pod_in_its_own_namespace() {
    let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "new", "uid": "new"}]);
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "taint"});
    let metadata = json!({"name": "new-1", "namespace": "other", "ownerReferences": owners});
    let pod = parse(json!({"metadata": metadata, "status": {"conditions": [condition]}}));
    let progress = assess(&snapshot(deployment(2, 0), vec![pod]), &object("Deployment"), None).unwrap();
    let expected = PodName { namespace: "other".to_owned(), name: "new-1".to_owned() };
    assert_eq!(progress.problems[0].pod, Some(expected));
}

#[test]
fn messages_of_kubernetes_become_causes() {
    let waiting = |reason: &str, message: &str| {
        first_problem(vec![pod("new", json!({"state": {"waiting": {"reason": reason, "message": message}}}))]).unwrap()
    };
    assert_eq!(
        waiting("CreateContainerConfigError", "secret \"db\" not found").0,
        "a Secret is missing: secret \"db\" not found"
    );
    assert_eq!(waiting("ImagePullBackOff", "401 unauthorized").0, "the registry denied access: shop:1");
    assert_eq!(waiting("ErrImagePull", "connection refused").1, GiveUpAfter::Timeout);
    assert_eq!(waiting("InvalidImageName", "x").1, GiveUpAfter::Seconds(0));
    let missing = waiting(
        "RunContainerError",
        "runc: unable to start container process: exec: \"/x\": no such file or directory",
    );
    let shown = "the container cannot start: exec: \"/x\": no such file or directory";
    assert_eq!(missing, (shown.to_owned(), GiveUpAfter::Seconds(10)));
    let foreign = waiting("RunContainerError", "exec /shop: exec format error");
    assert_eq!(foreign.0, "the image of the container is for another CPU architecture: shop:1");
}

#[test]
fn a_crash_is_reported_by_its_exit_code_while_waiting_and_while_running_again() {
    let last = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    let waiting = json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": last, "restartCount": 2});
    assert_eq!(first_problem(vec![pod("new", waiting)]).unwrap().0, "the container exits: exit code 3");
    let running = json!({"state": {"running": {}}, "lastState": last, "restartCount": 2});
    assert_eq!(first_problem(vec![pod("new", running)]).unwrap().0, "the container exits: exit code 3");
    let recovered = json!({"state": {"running": {}}, "lastState": last, "restartCount": 2, "ready": true});
    assert_eq!(first_problem(vec![pod("new", recovered)]), None);
}

#[test]
fn an_unschedulable_pod_has_a_cause() {
    let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "new", "uid": "new"}]);
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient memory"});
    let pod =
        parse(json!({"metadata": {"name": "p", "ownerReferences": owners}, "status": {"conditions": [condition]}}));
    assert_eq!(first_problem(vec![pod]).unwrap().0, "no node has enough memory: 0/1 nodes: Insufficient memory");
}

#[test]
fn a_job_is_complete_when_it_has_succeeded_and_failed_when_its_condition_is() {
    let job = |condition: &str| {
        let status = json!({"conditions": [{"type": condition, "status": "True", "message": "backoff limit"}]});
        let job = json!({"metadata": {"name": "shop", "uid": "j"}, "spec": {"template": {}}, "status": status});
        assess(&WorkloadSnapshot { jobs: vec![parse(job)], ..WorkloadSnapshot::default() }, &object("Job"), None)
            .unwrap()
    };
    assert!(job("Complete").is_complete);
    let failed = job("Failed");
    assert!(!failed.is_complete);
    assert_eq!(code(&failed.problems[0]), "C059");
    assert_eq!(failed.problems[0].patience, GiveUpAfter::Seconds(0));
}

#[test]
fn a_stateful_set_waits_for_its_new_revision() {
    let set = |updated: i32, current: &str| {
        let set = json!({"metadata": {"name": "shop", "uid": "s", "generation": 1},
            "spec": {"replicas": 2, "selector": {}, "serviceName": "", "template": {}},
            "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": updated,
                "currentRevision": current, "updateRevision": "new"}});
        assess(
            &WorkloadSnapshot { stateful_sets: vec![parse(set)], ..WorkloadSnapshot::default() },
            &object("StatefulSet"),
            None,
        )
        .unwrap()
    };
    assert!(set(2, "old").is_complete);
    assert!(set(0, "new").is_complete);
    assert!(!set(1, "old").is_complete);
}

#[test]
fn a_running_container_that_is_not_ready_is_compared_only_with_its_own_pods() {
    let running = json!({"state": {"running": {}}});
    let unready = |pods| assess(&snapshot(deployment(2, 0), pods), &object("Deployment"), None).unwrap().unready;
    assert!(unready(vec![pod("new", running.clone())]).is_some());
    assert!(unready(vec![pod("other", running)]).is_none());
}

#[test]
fn what_was_before_is_not_taken_for_what_is_meant() {
    let seen = |uid: &str, number| {
        let meant = Generation { uid: uid.to_owned(), number };
        assess(&snapshot(deployment(2, 2), Vec::new()), &object("Deployment"), Some(&meant)).is_some()
    };
    assert!(seen("d", 2));
    assert!(!seen("d", 3), "the watch has not reported the new generation yet");
    assert!(!seen("e", 1), "another object with the same name");
}

/// A pod of one container without probes, `ran` seconds after its start.
fn unprobed(ran: i64, status: &Value) -> Arc<Pod> {
    let start = Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_secs(ran);
    let running = json!({"ready": true, "state": {"running": {"startedAt": start.to_string()}}});
    let mut container = running;
    container.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    let mut found = Pod::clone(&pod("new", container));
    found.spec = Some(serde_json::from_value(json!({"containers": [{"name": "shop"}]})).unwrap());
    Arc::new(found)
}

#[test]
fn containers_without_a_probe_must_run_for_a_while() {
    let is_complete = |ran: i64, status: Value| {
        let snapshot = snapshot(deployment(2, 2), vec![unprobed(ran, &status)]);
        assess(&snapshot, &object("Deployment"), None).unwrap().is_complete
    };
    assert!(!is_complete(0, json!({})));
    assert!(is_complete(3, json!({})));
    let again = json!({"restartCount": 1, "lastState": {"terminated": {"exitCode": 3}}});
    assert!(!is_complete(3, again.clone()));
    assert!(is_complete(7, again));
    // After a crash it must run longer than before.
    let times = json!({"exitCode": 3, "startedAt": "2026-01-01T12:00:00Z", "finishedAt": "2026-01-01T12:00:08Z"});
    let slow = json!({"restartCount": 1, "lastState": {"terminated": times}});
    assert!(!is_complete(13, slow.clone()));
    assert!(is_complete(15, slow));
    // It did not exit by itself: its node was stopped.
    let stopped = json!({"exitCode": 255, "reason": "Unknown", "startedAt": "2026-01-01T12:00:00Z",
        "finishedAt": "2026-01-01T12:00:08Z"});
    assert!(is_complete(3, json!({"restartCount": 1, "lastState": {"terminated": stopped}})));
    // A node's clock may be ahead.
    assert!(is_complete(-60, json!({})));
}

#[test]
fn a_crash_is_a_problem_until_what_runs_again_has_settled() {
    let again = json!({"restartCount": 1, "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}});
    let shown = |ran| first_problem(vec![unprobed(ran, &again)]);
    assert_eq!(shown(1).unwrap().0, "the container exits: exit code 3");
    assert_eq!(shown(7), None);
}

#[test]
fn a_container_that_ended_with_its_node_is_no_problem() {
    let stopped = json!({"terminated": {"exitCode": 255, "reason": "Unknown"}});
    let state = |state: Value| {
        let mut pod =
            Pod::clone(&pod("new", json!({"restartCount": 1, "ready": false, "state": state, "lastState": stopped})));
        pod.spec = Some(serde_json::from_value(json!({"containers": [{"name": "shop"}]})).unwrap());
        first_problem(vec![Arc::new(pod)])
    };
    assert_eq!(state(stopped.clone()), None);
    assert_eq!(state(json!({"waiting": {"reason": "ContainerCreating"}})), None);
    assert_eq!(state(json!({"running": {"startedAt": Timestamp::now().to_string()}})), None);
}

#[test]
fn a_program_that_ends_well_may_have_been_ended_by_its_probe() {
    let shown = |finished: &str, liveness: Value| {
        let times =
            json!({"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T12:00:00Z", "finishedAt": finished});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let mut pod =
            Pod::clone(&pod("new", json!({"restartCount": 2, "state": waiting, "lastState": {"terminated": times}})));
        pod.spec =
            Some(serde_json::from_value(json!({"containers": [{"name": "shop", "livenessProbe": liveness}]})).unwrap());
        first_problem(vec![Arc::new(pod)]).unwrap().0
    };
    let quick = json!({"periodSeconds": 1, "failureThreshold": 2});
    assert!(shown("2026-01-01T12:00:02Z", quick).starts_with("the probe of the container failed"));
    assert!(shown("2026-01-01T12:00:02Z", json!({})).starts_with("the container exits: exit code 0"));
    assert!(shown("2026-01-01T12:00:31Z", json!({})).starts_with("the probe of the container failed"));
}

#[test]
fn wrapped_messages_are_reported_by_their_core() {
    let pull = "Failed to pull image \"a/b:1\": rpc error: code = NotFound desc = failed to pull and unpack image \
                \"a/b:1\": failed to resolve reference \"a/b:1\": a/b:1: not found";
    assert_eq!(essence(pull), "a/b:1: not found");
    let trust =
        "failed to pull and unpack image \"a/b:1\": failed to do request: Head \"https://a/v2/b\": tls: unknown";
    assert_eq!(essence(trust), "tls: unknown");
    let start = "failed to create containerd task: OCI runtime create failed: unable to start container process: \
                 exec: \"x\": executable file not found in $PATH";
    assert_eq!(essence(start), "exec: \"x\": executable file not found in $PATH");
    let room = "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1";
    assert_eq!(essence(room), "0/1 nodes are available: 1 Insufficient memory");
}

#[test]
fn a_pull_with_secrets_gets_a_third_try() {
    let waiting = json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "shop:1: not found"}}});
    let with_secrets = |secrets: Value| {
        let mut pod = (*pod("new", waiting.clone())).clone();
        pod.spec =
            serde_json::from_value(json!({"containers": [{"name": "shop"}], "imagePullSecrets": secrets})).unwrap();
        first_problem(vec![Arc::new(pod)]).unwrap().1
    };
    assert_eq!(with_secrets(json!([{"name": "cmdr-pull"}])), GiveUpAfter::Seconds(25));
    assert_eq!(with_secrets(Value::Null), GiveUpAfter::Seconds(12));
}

#[test]
fn only_pods_that_wait_for_an_image_pull_it_again() {
    let waiting = |owner, reason| pod(owner, json!({"state": {"waiting": {"reason": reason}}}));
    let found = |kind: &str, pods| waiting_for_image(&snapshot(deployment(2, 0), pods), &object(kind));
    let name = PodName { namespace: String::new(), name: "new-1".to_owned() };
    assert_eq!(found("Deployment", vec![waiting("new", "ErrImagePull"), waiting("other", "ErrImagePull")]), [name]);
    assert_eq!(found("Deployment", vec![waiting("new", "CrashLoopBackOff")]), Vec::new());
    assert_eq!(found("StatefulSet", vec![waiting("new", "ErrImagePull")]), Vec::new());
}

#[test]
fn the_status_of_a_controller_must_match_its_pods() {
    let is_complete = |ready: &str| {
        let mut started = Pod::clone(&unprobed(60, &json!({})));
        started.status.as_mut().unwrap().conditions =
            Some(vec![serde_json::from_value(json!({"type": "Ready", "status": ready})).unwrap()]);
        let pods = vec![unprobed(60, &json!({})), Arc::new(started)];
        assess(&snapshot(deployment(2, 2), pods), &object("Deployment"), None).unwrap().is_complete
    };
    assert!(is_complete("True"));
    // After the node was started it has new containers, which its controllers have not checked yet.
    assert!(!is_complete("False"));
}

/// A pod that is being prepared, with these conditions, init containers and their status.
#[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
fn starting(conditions: &[&str], initial: Value, initial_status: Value) -> Arc<Pod> {
    let waiting =
        json!({"waiting": {"reason": if initial.is_null() { "ContainerCreating" } else { "PodInitializing" }}});
    let mut found = Pod::clone(&pod("new", json!({"state": waiting})));
    let containers = json!([{"name": "shop", "image": "shop:1"}]);
    found.spec = Some(serde_json::from_value(json!({"containers": containers, "initContainers": initial})).unwrap());
    let status = found.status.as_mut().unwrap();
    status.phase = Some("Pending".to_owned());
    status.init_container_statuses = serde_json::from_value(initial_status).unwrap();
    let conditions =
        conditions.iter().map(|kind| serde_json::from_value(json!({"type": kind, "status": "True"})).unwrap());
    status.conditions = Some(conditions.collect());
    Arc::new(found)
}

fn progress_of(pods: Vec<Arc<Pod>>) -> Progress {
    assess(&snapshot(deployment(2, 0), pods), &object("Deployment"), None).unwrap()
}

#[test]
fn a_pull_is_work_and_unmounted_volumes_are_silent() {
    let pulling = progress_of(vec![starting(&["PodScheduled", "PodReadyToStartContainers"], Value::Null, Value::Null)]);
    let waits_for = pulling.waits_for.map(|reason| reason.to_string());
    assert_eq!((waits_for.as_deref(), pulling.work.is_some()), (Some("pulling shop:1"), true));
    assert_eq!(pulling.silent, None);
    let mounting = progress_of(vec![starting(&["PodScheduled"], Value::Null, Value::Null)]);
    assert_eq!((mounting.work, mounting.silent), (None, Some(EventSource::new("Pod", "new-1".to_owned()))));
}

#[test]
fn an_exceeded_deadline_does_not_count_during_a_pull_or_soon_after() {
    let mut late = deployment(2, 0);
    late["spec"]["progressDeadlineSeconds"] = json!(60);
    late["status"]["conditions"] =
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]);
    let problems =
        |pod: Arc<Pod>| assess(&snapshot(late.clone(), vec![pod]), &object("Deployment"), None).unwrap().problems.len();
    let without_pods = assess(&snapshot(late.clone(), Vec::new()), &object("Deployment"), None).unwrap();
    assert_eq!(code(&without_pods.problems[0]), "C063");
    assert_eq!(problems(starting(&["PodScheduled", "PodReadyToStartContainers"], Value::Null, Value::Null)), 0);
    let unready = json!({"ready": false});
    assert_eq!(problems(unprobed(10, &unready)), 0);
    assert_eq!(problems(unprobed(70, &unready)), 1);
    let mut again = snapshot(late.clone(), vec![unprobed(70, &unready)]);
    let newest = again.replica_sets.iter_mut().max_by_key(|set| set.metadata.uid == Some("new".to_owned())).unwrap();
    Arc::make_mut(newest).metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now()));
    let progress = assess(&again, &object("Deployment"), None).unwrap();
    assert_eq!(progress.problems.len(), 0, "the deadline of the previous ReplicaSet");
}

#[test]
fn init_containers_and_sidecars_that_hold_up_their_pod_are_named() {
    let status = |started: bool| {
        json!([{"name": "first", "image": "", "imageID": "", "ready": false, "restartCount": 0, "started": started,
            "state": {"running": {}}}])
    };
    let unready = |initial: Value, status: Value| {
        let pod = starting(&["PodScheduled", "PodReadyToStartContainers"], json!([initial]), status);
        let progress = progress_of(vec![pod]);
        let problem = progress.unready.unwrap();
        assert_eq!(problem.container.as_deref(), Some("first"));
        problem.cause.headline()
    };
    assert_eq!(unready(json!({"name": "first"}), status(true)), "the init container 'first' is still running (C058)");
    let sidecar = json!({"name": "first", "restartPolicy": "Always", "startupProbe": {}});
    let starting = unready(sidecar.clone(), status(false));
    assert_eq!(starting, "the sidecar 'first' is running, but its startup probe fails (C102)");
    assert_eq!(unready(sidecar, status(true)), "the sidecar 'first' is running, but its probe fails (C101)");
}

#[test]
fn a_paused_deployment_is_reported() {
    let mut paused = deployment(0, 0);
    paused["spec"]["paused"] = json!(true);
    let progress = assess(&snapshot(paused, Vec::new()), &object("Deployment"), None).unwrap();
    assert_eq!(progress.problems[0].cause.headline(), "the rollouts of the Deployment are paused (C062)");
}

#[test]
fn a_running_job_with_its_own_deadline_is_in_work() {
    let work = |deadline: Value| {
        let job = json!({"metadata": {"name": "shop", "uid": "j"}, "spec": {"template": {}, "activeDeadlineSeconds": deadline},
            "status": {"active": 1}});
        let pods = vec![unprobed(9, &json!({}))];
        let pods = pods.into_iter().map(|pod| {
            let mut pod = Pod::clone(&pod);
            pod.metadata.owner_references.as_mut().unwrap()[0].uid = "j".to_owned();
            Arc::new(pod)
        });
        let snapshot = WorkloadSnapshot { jobs: vec![parse(job)], pods: pods.collect(), ..WorkloadSnapshot::default() };
        let progress = assess(&snapshot, &object("Job"), None).unwrap();
        assert_eq!(progress.running.unwrap().cause.headline(), "the job is still running (C060)");
        (progress.work.is_some(), progress.waits_for.map(|reason| reason.to_string()))
    };
    let shown = Some("job shop is running".to_owned());
    assert_eq!(work(Value::Null), (false, shown.clone()));
    assert_eq!(work(json!(900)), (true, shown));
}

#[test]
fn a_job_whose_program_is_done_is_held_by_its_other_container() {
    let status = |name: &str, state: Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let statuses = [status("shop", json!({"terminated": {"exitCode": 0}})), status("proxy", json!({"running": {}}))];
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "shop-1"},
        "spec": {"containers": [{"name": "shop"}, {"name": "proxy"}]}, "status": {"containerStatuses": statuses}}))
    .unwrap();
    let problem = causes::running_job(&[&pod]).unwrap();
    assert_eq!((code(&problem), problem.container.as_deref()), ("C061", Some("proxy")));
}

#[test]
fn a_suspended_job_is_healthy_since_it_was_suspended() {
    let at = "2026-01-02T03:04:05Z";
    let suspended = json!({"type": "Suspended", "status": "True", "lastTransitionTime": at});
    let job = json!({"metadata": {"name": "shop", "uid": "j"}, "spec": {"template": {}, "suspend": true},
        "status": {"conditions": [suspended]}});
    let snapshot = WorkloadSnapshot { jobs: vec![parse(job)], ..WorkloadSnapshot::default() };
    assert!(assess(&snapshot, &object("Job"), None).unwrap().is_complete);
    assert_eq!(healthy_since(&snapshot, &object("Job")), Some(at.parse().unwrap()));
}
