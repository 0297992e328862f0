//! The plan of `run`: one run of a Job on demand, made from what a release contains.

use serde_json::{Map, Value, json};

use super::{Plan, Step};
use crate::domain::{ReleaseKey, labels};

/// How long a finished run and its log are kept, in seconds, unless the project has a `ttl`.
const KEPT_SECONDS: u64 = 86_400;

/// What a run changes of the Job that is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunChanges {
    /// The arguments of the main container; as deployed if empty.
    pub arguments: Vec<String>,
    /// The requested CPU, and its limit if it has one: `500m`.
    pub cpu: Option<String>,
    /// The requested memory, which is also its limit: `2Gi`.
    pub memory: Option<String>,
    /// Seconds after which the run is ended.
    pub timeout_seconds: Option<u64>,
    /// The number of parts, and how many run at once.
    pub array: Option<(u32, u32)>,
    /// Ends as soon as the run has been created.
    pub is_detached: bool,
}

/// A run of a Job.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    pub release: ReleaseKey,
    /// The Job to create. Kubernetes completes its name.
    pub job: Value,
    /// The container whose log and exit code are those of the run.
    pub container: String,
    /// The number of parts; one without an array.
    pub parts: u64,
    pub is_detached: bool,
}

/// Starts a run.
pub fn run(spec: RunSpec) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    plan.add(Step::Run(Box::new(spec)), "cmdr run", [connected]);
    plan
}

/// Returns a run of what `object` describes; `None` if it is neither a Job nor a `CronJob`, or has no container.
///
/// A run has one attempt for each part, whatever the Job says: its exit code is that of the container.
pub fn run_spec(release: &ReleaseKey, workspace: &str, object: &Value, options: &RunChanges) -> Option<RunSpec> {
    let mut spec = job_spec(object)?.as_object()?.clone();
    let template = spec.get_mut("template")?;
    let pod = template.get_mut("spec")?;
    pod["restartPolicy"] = json!("Never");
    let container = main_container(pod, &release.name)?;
    let name = container.get("name")?.as_str()?.to_owned();
    change_container(container, options);
    let labels = run_labels(release, workspace);
    if let Some(own) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        own.extend(labels.clone());
    }
    change_job(&mut spec, options);
    let parts = spec.get("completions").and_then(Value::as_u64).unwrap_or(1);
    let metadata = json!({
        "generateName": format!("{}-run-", release.name), "namespace": release.namespace, "labels": labels,
    });
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec});
    Some(RunSpec { release: release.clone(), job, container: name, parts, is_detached: options.is_detached })
}

fn job_spec(object: &Value) -> Option<&Value> {
    match object.get("kind")?.as_str()? {
        "Job" => object.get("spec"),
        "CronJob" => object.pointer("/spec/jobTemplate/spec"),
        _ => None,
    }
}

/// The container that has the name of the project, or the first one.
fn main_container<'a>(pod: &'a mut Value, project: &str) -> Option<&'a mut Value> {
    let containers = pod.get_mut("containers")?.as_array_mut()?;
    let index = containers.iter().position(|container| container["name"] == project).unwrap_or_default();
    containers.get_mut(index)
}

fn run_labels(release: &ReleaseKey, workspace: &str) -> Map<String, Value> {
    let labels = [
        ("app.kubernetes.io/name", release.name.as_str()),
        ("app.kubernetes.io/part-of", workspace),
        ("app.kubernetes.io/managed-by", "cmdr"),
        (labels::PURPOSE, "run"),
    ];
    labels.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

fn change_container(container: &mut Value, options: &RunChanges) {
    if !options.arguments.is_empty() {
        container["args"] = json!(options.arguments);
    }
    if let Some(cpu) = &options.cpu {
        container["resources"]["requests"]["cpu"] = json!(cpu);
        if container.pointer("/resources/limits/cpu").is_some() {
            container["resources"]["limits"]["cpu"] = json!(cpu);
        }
    }
    if let Some(memory) = &options.memory {
        container["resources"]["requests"]["memory"] = json!(memory);
        container["resources"]["limits"]["memory"] = json!(memory);
    }
}

fn change_job(spec: &mut Map<String, Value>, options: &RunChanges) {
    spec.remove("suspend");
    spec.entry("ttlSecondsAfterFinished").or_insert_with(|| json!(KEPT_SECONDS));
    if let Some(seconds) = options.timeout_seconds {
        spec.insert("activeDeadlineSeconds".to_owned(), json!(seconds));
    }
    if let Some((parts, parallel)) = options.array {
        spec.insert("completions".to_owned(), json!(parts));
        spec.insert("parallelism".to_owned(), json!(parallel));
        spec.insert("completionMode".to_owned(), json!("Indexed"));
    }
    let is_indexed = spec.get("completionMode").is_some_and(|mode| mode == "Indexed");
    // A part that fails does not end the others.
    let limit = if is_indexed { "backoffLimitPerIndex" } else { "backoffLimit" };
    spec.remove("backoffLimit");
    spec.insert(limit.to_owned(), json!(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> ReleaseKey {
        ReleaseKey::new("tunes", "import")
    }

    fn cron_job() -> Value {
        let container = json!({"name": "import", "image": "import:1", "args": ["daily"],
            "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}}});
        let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "proxy"}, container]});
        let template = json!({"metadata": {"labels": {"app.kubernetes.io/name": "import"}}, "spec": pod});
        json!({"kind": "CronJob", "spec": {"suspend": true,
            "jobTemplate": {"spec": {"backoffLimit": 3, "template": template}}}})
    }

    #[test]
    fn a_run_has_one_attempt_with_its_own_resources_and_arguments() {
        let options = RunChanges {
            arguments: vec!["--date".to_owned(), "today".to_owned()],
            cpu: Some("2".to_owned()),
            memory: Some("1Gi".to_owned()),
            timeout_seconds: Some(60),
            ..RunChanges::default()
        };
        let run = run_spec(&release(), "tunes", &cron_job(), &options).unwrap();
        assert_eq!((run.container.as_str(), run.parts), ("import", 1));
        assert_eq!(run.job["metadata"]["generateName"], "import-run-");
        let spec = &run.job["spec"];
        assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(0), &json!(60)));
        assert_eq!(spec["ttlSecondsAfterFinished"], json!(KEPT_SECONDS));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let container = &pod["containers"][1];
        assert_eq!(container["args"], json!(["--date", "today"]));
        let resources = json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}});
        assert_eq!(container["resources"], resources);
        assert_eq!(spec["template"]["metadata"]["labels"][labels::PURPOSE], "run");
    }

    #[test]
    fn a_failed_part_of_an_array_does_not_end_the_others() {
        let options = RunChanges { array: Some((20, 4)), ..RunChanges::default() };
        let run = run_spec(&release(), "tunes", &cron_job(), &options).unwrap();
        let spec = &run.job["spec"];
        assert_eq!((run.parts, &spec["parallelism"]), (20, &json!(4)));
        assert_eq!((&spec["completionMode"], &spec["backoffLimitPerIndex"]), (&json!("Indexed"), &json!(0)));
        assert_eq!((spec.get("backoffLimit"), spec.get("suspend")), (None, None));
    }

    #[test]
    fn a_server_cannot_be_run() {
        let object = json!({"kind": "Deployment", "spec": {"template": {}}});
        assert_eq!(run_spec(&release(), "tunes", &object, &RunChanges::default()), None);
    }
}
