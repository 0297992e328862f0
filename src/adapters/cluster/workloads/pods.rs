//! Reads the last log lines and the events of a failing pod, and re-creates pods that wait for an image.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, LogParams},
};

use crate::adapters::cluster::{
    Cluster, ClusterError,
    workloads::rollout::{PodName, RolloutProblem, essence, waits_for_image},
};
use crate::domain::Problem;

/// Enough lines to find the error, and few enough to read.
const LOG_LINES: i64 = 20;
/// The maximum number of warnings that are shown in addition to the cause.
const EVENTS: usize = 2;
/// Warnings that repeat the pod's status.
const NOISE: &[&str] = &["Back-off ", "Error: ErrImagePull", "Error: ImagePullBackOff"];

impl Cluster {
    /// Returns the problem's cause with the container's last log lines and the pod's newest warnings. Errors are
    /// ignored, because the cause is known without them.
    pub async fn explain(&self, found: &RolloutProblem) -> Problem {
        let mut problem = found.cause.clone();
        let Some(PodName { namespace, name }) = &found.pod else { return problem };
        let (logs, warnings) = futures::join!(self.last_log(namespace, name, found), self.warnings(namespace, name));
        problem.logs = logs;
        let new = warnings.into_iter().filter(|warning| !problem.message.contains(warning.as_str()));
        problem.details.extend(new.take(EVENTS));
        problem
    }

    /// Deletes the pods of a namespace that wait for an image, so that their replacements pull it at once with the
    /// current credentials. kubelet itself would wait up to 5 minutes.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn retry_pulls(&self, namespace: &str) -> Result<(), ClusterError> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let list = pods.list(&ListParams::default()).await.map_err(ClusterError::asking("list pods"))?;
        for name in list.iter().filter(|pod| waits_for_image(pod)).map(ResourceExt::name_any) {
            let deleted = pods.delete(&name, &DeleteParams::default()).await;
            match deleted.map_err(ClusterError::asking(format!("delete pod {name}"))) {
                Err(error) if !error.is_status(404) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }

    async fn last_log(&self, namespace: &str, pod: &str, problem: &RolloutProblem) -> Vec<String> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let parameters = |previous| LogParams {
            container: problem.container.clone(),
            tail_lines: Some(LOG_LINES),
            previous,
            ..LogParams::default()
        };
        let text = match pods.logs(pod, &parameters(problem.has_previous_log)).await {
            Ok(text) => text,
            Err(_) => pods.logs(pod, &parameters(false)).await.unwrap_or_default(),
        };
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the newest warnings about a pod and the claims of its volumes.
    async fn warnings(&self, namespace: &str, pod: &str) -> Vec<String> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let found = pods.get_opt(pod).await.ok().flatten();
        let mut events = self.events(namespace, "Pod", pod).await;
        for claim in found.iter().flat_map(claims) {
            events.extend(self.events(namespace, "PersistentVolumeClaim", &claim).await);
        }
        let warnings = events.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let messages = warnings.filter_map(|event| event.message);
        let messages = messages.filter(|message| !NOISE.iter().any(|noise| message.starts_with(noise)));
        let mut report: Vec<String> = Vec::new();
        for message in messages.map(|message| essence(&message).to_owned()) {
            if !report.contains(&message) {
                report.push(message);
            }
        }
        report
    }
}

fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())).collect()
}
