//! Runs of Jobs: started on demand by `cmdr run`, by a schedule, or by a deployment.

use std::collections::{BTreeMap, BTreeSet};

use futures::{AsyncBufReadExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    adapters::cluster::{Cluster, ClusterError, Object, logs::whole_second},
    domain::{labels, quantity::parse_memory_bytes},
};

/// The label of a pod with the name of its Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The label and annotation of a pod with the number of its part.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The annotation of a run with the most memory that a container of it used, in bytes.
const PEAK: &str = "cmdr.dev/peak-memory";
/// The exit code of a run that was ended by its deadline, as that of `timeout`.
const DEADLINE_EXCEEDED: u8 = 124;

/// A pod of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPod {
    pub name: String,
    pub node: Option<String>,
    /// The number of its part, if the Job is indexed.
    pub part: Option<u32>,
    /// Whether the container has started, so that it has a log.
    pub has_log: bool,
    pub exit_code: Option<i32>,
}

/// What started a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunOrigin {
    /// `cmdr run`.
    Run,
    /// Its `CronJob`.
    Schedule,
    Deployment,
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobResult {
    Suspended,
    Running,
    Succeeded,
    Failed,
    DeadlineExceeded,
}

/// One run of a Job.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunState {
    /// The name of the Job.
    pub name: String,
    pub project: String,
    pub origin: RunOrigin,
    pub started: Option<Timestamp>,
    /// Until now, if it has not ended.
    pub seconds: Option<f64>,
    pub result: JobResult,
    /// That of the container; of several parts, the first one that is not 0.
    pub exit_code: Option<i32>,
    pub parts_done: i32,
    pub parts: i32,
    /// The most memory that a container used, if it is known.
    pub peak_memory_bytes: Option<u64>,
}

impl Cluster {
    /// Creates the Job of a run. Returns the object to wait for.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn create_run(&self, namespace: &str, job: &Value) -> Result<Object, ClusterError> {
        let jobs: Api<Job> = self.namespaced(namespace);
        let job: Job =
            serde_json::from_value(job.clone()).map_err(|error| ClusterError::BadManifest(error.to_string()))?;
        let created = jobs.create(&PostParams::default(), &job).await;
        let name = created.map_err(ClusterError::asking("create the Job of the run"))?.name_any();
        Ok(Object {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            namespace: namespace.to_owned(),
            name,
            wants_address: false,
            expires: true,
        })
    }

    /// Returns the pods of a run, in the order of their parts.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn run_pods(&self, job: &Object, container: &str) -> Result<Vec<RunPod>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(&job.namespace);
        let own = ListParams::default().labels(&format!("{JOB_NAME}={}", job.name));
        let list = pods.list(&own).await.map_err(ClusterError::asking(format!("list the pods of {}", job.name)))?;
        let mut found: Vec<RunPod> = list.iter().map(|pod| run_pod(pod, container)).collect();
        found.sort_by_key(|pod| pod.part);
        Ok(found)
    }

    /// Passes the lines of a container's log to `line`, from after `since` on, until it ends. Returns the time of the last
    /// line.
    ///
    /// # Errors
    /// If the API returns an error, or the connection ends.
    pub async fn follow_log(
        &self,
        pod: (&str, &str),
        container: &str,
        since: Option<Timestamp>,
        line: impl Fn(&str),
    ) -> Result<Option<Timestamp>, ClusterError> {
        let (namespace, name) = pod;
        let pods: Api<Pod> = self.namespaced(namespace);
        let parameters = LogParams {
            container: Some(container.to_owned()),
            follow: true,
            timestamps: true,
            since_time: since.and_then(whole_second),
            ..LogParams::default()
        };
        let asking = || ClusterError::asking(format!("read the log of {name}"));
        let mut lines = pods.log_stream(name, &parameters).await.map_err(asking())?.lines();
        let mut last = since;
        while let Ok(Some(text)) = lines.try_next().await {
            let (time, text) = text.split_once(' ').unwrap_or((&text, ""));
            let time: Option<Timestamp> = time.parse().ok();
            if since.is_none() || time > since {
                line(text);
            }
            last = time.or(last);
        }
        Ok(last)
    }

    /// Returns the exit code of a run that has ended: 0, that of the first part that failed, or that of a passed deadline.
    /// `None` if no container ran.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn run_exit_code(&self, job: &Object, container: &str) -> Result<Option<u8>, ClusterError> {
        let jobs: Api<Job> = self.namespaced(&job.namespace);
        let found = jobs.get_opt(&job.name).await.map_err(ClusterError::asking(format!("read Job {}", job.name)))?;
        if found.as_ref().is_some_and(|job| result(job) == JobResult::DeadlineExceeded) {
            return Ok(Some(DEADLINE_EXCEEDED));
        }
        let pods = self.run_pods(job, container).await?;
        let code = first_failure(&pods).and_then(|code| u8::try_from(code).ok());
        Ok(code)
    }

    /// Stores the most memory that a run used.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn note_peak_memory(&self, job: &Object, bytes: u64) -> Result<(), ClusterError> {
        let jobs: Api<Job> = self.namespaced(&job.namespace);
        let patch = json!({"metadata": {"annotations": {PEAK: bytes.to_string()}}});
        let patched = jobs.patch_metadata(&job.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(ClusterError::asking(format!("annotate Job {}", job.name)))
    }

    /// Returns the most memory that one of the pods' containers has used so far, in bytes, as the kubelets know it from the
    /// cgroups; `None` if the account may not ask them, or they do not know.
    pub async fn peak_memory(&self, namespace: &str, pods: &[RunPod], container: &str) -> Option<u64> {
        let nodes: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.node.as_deref()).collect();
        let mut peak = None;
        for node in nodes {
            let path = format!("/api/v1/nodes/{node}/proxy/metrics/cadvisor");
            let request = http::Request::get(path).body(Vec::new()).ok()?;
            let metrics = self.client.request_text(request).await.ok()?;
            let own = pods.iter().filter_map(|pod| peak_in(&metrics, namespace, &pod.name, container));
            peak = peak.max(own.max());
        }
        peak
    }

    /// Returns the runs of the workspace's Jobs in a namespace, the newest first.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn runs(&self, workspace: &str, namespace: &str) -> Result<Vec<RunState>, ClusterError> {
        let (jobs, pods): (Api<Job>, Api<Pod>) = (self.namespaced(namespace), self.namespaced(namespace));
        let own = ListParams::default().labels(&format!("app.kubernetes.io/part-of={workspace}"));
        let of_jobs = ListParams::default().labels(JOB_NAME);
        let (jobs, pods) = futures::join!(jobs.list(&own), pods.list(&of_jobs));
        let jobs = jobs.map_err(ClusterError::asking("list Jobs"))?;
        let pods = pods.map_err(ClusterError::asking("list the pods of Jobs"))?;
        let mut by_job: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for pod in &pods.items {
            by_job.entry(pod.labels().get(JOB_NAME).map_or("", String::as_str)).or_default().push(pod);
        }
        let runs =
            jobs.iter().map(|job| run_state(job, by_job.get(job.name_any().as_str()).map_or(&[], Vec::as_slice)));
        let mut runs: Vec<RunState> = runs.collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started));
        Ok(runs)
    }
}

fn run_pod(pod: &Pod, container: &str) -> RunPod {
    let status = status_of(pod, container);
    let state = status.and_then(|status| status.state.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    RunPod {
        name: pod.name_any(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        part: pod.annotations().get(INDEX).and_then(|index| index.parse().ok()),
        has_log: ended.is_some() || state.is_some_and(|state| state.running.is_some()),
        exit_code: ended.map(|ended| ended.exit_code),
    }
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == container)
}

/// The first exit code that is not 0, or 0 if there is any.
fn first_failure(pods: &[RunPod]) -> Option<i32> {
    let mut codes = pods.iter().filter_map(|pod| pod.exit_code);
    codes.clone().find(|code| *code != 0).or_else(|| codes.next())
}

fn result(job: &Job) -> JobResult {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let held: Vec<_> = conditions.filter(|it| it.status == "True").collect();
    let holds = |kind: &str| held.iter().find(|it| it.type_ == kind);
    match (holds("Complete"), holds("Failed")) {
        (Some(_), _) => JobResult::Succeeded,
        (_, Some(failed)) if failed.reason.as_deref() == Some("DeadlineExceeded") => JobResult::DeadlineExceeded,
        (_, Some(_)) => JobResult::Failed,
        _ if holds("Suspended").is_some() => JobResult::Suspended,
        _ => JobResult::Running,
    }
}

fn run_state(job: &Job, pods: &[&Pod]) -> RunState {
    let spec = job.spec.clone().unwrap_or_default();
    let status = job.status.clone().unwrap_or_default();
    let project = job.labels().get("app.kubernetes.io/name").cloned().unwrap_or_default();
    let containers = spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
    let named = containers.iter().find(|container| container.name == project).or(containers.first());
    let container = named.map(|container| container.name.clone()).unwrap_or_default();
    let mut own: Vec<RunPod> = pods.iter().map(|pod| run_pod(pod, &container)).collect();
    own.sort_by_key(|pod| pod.part);
    let result = result(job);
    let started = status.start_time.map(|time| time.0);
    let ends = pods.iter().filter_map(|pod| ended(pod, &container)?.finished_at.as_ref()).map(|time| time.0);
    let end = match result {
        JobResult::Running => Some(Timestamp::now()),
        _ => status.completion_time.map(|time| time.0).or(ends.max()),
    };
    let is_over = !matches!(result, JobResult::Running | JobResult::Suspended);
    RunState {
        name: job.name_any(),
        project,
        origin: origin(job),
        started,
        seconds: started.zip(end).map(|(started, end)| end.duration_since(started).as_secs_f64()),
        result,
        exit_code: first_failure(&own).filter(|_| is_over),
        parts_done: status.succeeded.unwrap_or_default(),
        parts: spec.completions.unwrap_or(1),
        peak_memory_bytes: peak_of(job, pods, &container),
    }
}

fn ended<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStateTerminated> {
    status_of(pod, container)?.state.as_ref()?.terminated.as_ref()
}

fn origin(job: &Job) -> RunOrigin {
    if job.labels().get(labels::PURPOSE).is_some_and(|purpose| purpose == "run") {
        RunOrigin::Run
    } else if job.owner_references().iter().any(|owner| owner.kind == "CronJob") {
        RunOrigin::Schedule
    } else {
        RunOrigin::Deployment
    }
}

/// What was measured; a container that was killed for its memory has used up its limit.
fn peak_of(job: &Job, pods: &[&Pod], container: &str) -> Option<u64> {
    let is_killed = |pod: &&&Pod| ended(pod, container).is_some_and(|it| it.reason.as_deref() == Some("OOMKilled"));
    let limit = |pod: &Pod| {
        let containers = &pod.spec.as_ref()?.containers;
        let own = containers.iter().find(|it| it.name == container)?.resources.as_ref()?;
        parse_memory_bytes(&own.limits.as_ref()?.get("memory")?.0).ok()
    };
    let killed = pods.iter().find(is_killed).and_then(|pod| limit(pod));
    killed.or_else(|| job.annotations().get(PEAK)?.parse().ok())
}

/// The peak of a container in the metrics of a kubelet, in Prometheus' text format.
fn peak_in(metrics: &str, namespace: &str, pod: &str, container: &str) -> Option<u64> {
    let is_own = |line: &&str| {
        let labels = [("container", container), ("namespace", namespace), ("pod", pod)];
        line.starts_with("container_memory_max_usage_bytes{")
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let line = metrics.lines().find(is_own)?;
    let value = line.rsplit_once("} ")?.1.split(' ').next()?;
    // 64-bit counters are written as 1.2345e+07.
    let bytes: f64 = value.parse().ok()?;
    format!("{bytes:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(index: u32, terminated: &Value) -> Pod {
        let state = json!({"name": "import", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": terminated}});
        let limits = json!({"resources": {"limits": {"memory": "64Mi"}}, "name": "import"});
        serde_json::from_value(json!({
            "metadata": {"name": format!("import-{index}"), "annotations": {INDEX: index.to_string()}},
            "spec": {"containers": [limits]}, "status": {"containerStatuses": [state]},
        }))
        .unwrap()
    }

    fn job(condition: &str, reason: &str) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "import-run-a", "labels": {"app.kubernetes.io/name": "import", (labels::PURPOSE): "run"}},
            "spec": {"completions": 2, "template": {"spec": {"containers": [{"name": "import"}]}}},
            "status": {"startTime": "2026-01-02T03:04:05Z", "succeeded": 1,
                "conditions": [{"type": condition, "status": "True", "reason": reason}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_first_part_that_failed_decides_the_exit_code() {
        let end = |code: i32| json!({"exitCode": code, "finishedAt": "2026-01-02T03:04:15Z"});
        let pods = [pod(1, &end(3)), pod(0, &end(0))];
        let state = run_state(&job("Failed", "BackoffLimitExceeded"), &pods.iter().collect::<Vec<_>>());
        assert_eq!((state.result, state.exit_code), (JobResult::Failed, Some(3)));
        assert_eq!((state.origin, state.seconds), (RunOrigin::Run, Some(10.0)));
        assert_eq!((state.parts_done, state.parts, state.peak_memory_bytes), (1, 2, None));
        assert_eq!(result(&job("Failed", "DeadlineExceeded")), JobResult::DeadlineExceeded);
        assert_eq!(result(&job("Complete", "CompletionsReached")), JobResult::Succeeded);
    }

    #[test]
    fn a_container_that_was_killed_for_its_memory_has_used_its_limit() {
        let killed = pod(0, &json!({"exitCode": 137, "reason": "OOMKilled"}));
        let state = run_state(&job("Failed", "BackoffLimitExceeded"), &[&killed]);
        assert_eq!((state.exit_code, state.peak_memory_bytes), (Some(137), Some(64 << 20)));
    }

    #[test]
    fn the_peak_is_read_from_the_metrics_of_the_kubelet() {
        let metrics = "# HELP x\ncontainer_memory_max_usage_bytes{container=\"\",id=\"/a\",namespace=\"t\",pod=\"p\"} 9 1\n\
            container_memory_max_usage_bytes{container=\"import\",id=\"/a\",namespace=\"t\",pod=\"p\"} 1.048576e+07 17000\n";
        assert_eq!(peak_in(metrics, "t", "p", "import"), Some(10 << 20));
        assert_eq!(peak_in(metrics, "t", "other", "import"), None);
    }
}
