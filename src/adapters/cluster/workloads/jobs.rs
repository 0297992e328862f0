//! Jobs that cmdr runs itself, outside Helm releases.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::adapters::{
    cluster::{Cluster, ClusterError, Object, store::apply::purpose},
    wait::{Wait, every},
};
use crate::domain::{drain_state::DrainMark, labels};

/// How long the deletion of a previous Job may take.
const GOING: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(200);
/// How long a finished Job and its log are kept, in seconds.
const KEPT_SECONDS: u32 = 3600;

/// A Job that verifies a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyJob {
    pub namespace: String,
    pub name: String,
    /// The value of `app.kubernetes.io/part-of`.
    pub workspace: String,
    pub image: String,
    pub command: Vec<String>,
    /// The Job fails after this time.
    pub timeout_seconds: u64,
}

/// A CronJob that starts no Jobs for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedCronJob {
    pub namespace: String,
    pub name: String,
    /// The mark of a drain that has suspended it.
    pub drain: Option<DrainMark>,
}

impl Cluster {
    /// Returns the suspended CronJobs of a workspace; none if the account may not list them.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn suspended_cron_jobs(&self, workspace: &str) -> Result<Vec<SuspendedCronJob>, ClusterError> {
        let own = ListParams::default().labels(&format!("app.kubernetes.io/part-of={workspace}"));
        let found = match self.list::<CronJob>(&own, "CronJobs").await {
            Err(error) if error.is_status(403) => Vec::new(),
            found => found?,
        };
        let is_suspended = |job: &CronJob| job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        let suspended = found.into_iter().filter(is_suspended).map(|job| SuspendedCronJob {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            drain: job.annotations().get(labels::DRAIN).and_then(|mark| DrainMark::read(mark)),
        });
        Ok(suspended.collect())
    }

    /// Runs a Job; one with the same name is deleted first. Returns the object to wait for.
    ///
    /// # Errors
    /// If the API returns an error, or the previous Job is not deleted in time.
    pub async fn run_job(&self, verification: &VerifyJob) -> Result<Object, ClusterError> {
        let jobs: Api<Job> = self.namespaced(&verification.namespace);
        let asking = || ClusterError::asking(format!("run Job {}", verification.name));
        self.delete_job(&verification.namespace, &verification.name).await?;
        let mut wait = Wait::new(every(LOOK), GOING);
        while jobs.get_metadata_opt(&verification.name).await.map_err(asking())?.is_some() {
            // If it still exists at the limit, the API rejects the new one.
            if wait.sleep_or(()).await.is_err() {
                break;
            }
        }
        jobs.create(&PostParams::default(), &job(verification)).await.map_err(asking())?;
        Ok(Object {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            namespace: verification.namespace.clone(),
            name: verification.name.clone(),
            wants_address: false,
            expires: true,
        })
    }
}

/// Returns a Job that verifies a deployment. It satisfies Pod Security "restricted", like the Jobs of the universal chart.
pub fn job(verification: &VerifyJob) -> Job {
    let mut labels: BTreeMap<String, String> = purpose("verification");
    labels.insert("app.kubernetes.io/part-of".to_owned(), verification.workspace.clone());
    labels.insert("app.kubernetes.io/name".to_owned(), verification.name.clone());
    let job = json!({
        "metadata": {"name": verification.name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": verification.timeout_seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "verification", "image": verification.image, "command": verification.command,
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            },
        },
    });
    serde_json::from_value(job).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_jobs_are_complete_objects() {
        let verification = VerifyJob {
            namespace: "tunes".to_owned(),
            name: "shop-verify-smoke".to_owned(),
            workspace: "tunes".to_owned(),
            image: "shop:1".to_owned(),
            command: vec!["./smoke".to_owned()],
            timeout_seconds: 60,
        };
        let job = job(&verification);
        let template = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        assert_eq!(template.containers[0].image.as_deref(), Some("shop:1"));
        assert_eq!(job.metadata.name.as_deref(), Some("shop-verify-smoke"));
    }
}
