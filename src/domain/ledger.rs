//! The ledger of one environment: the deployment history of each project, and its hold, if one is set.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ChartDigest, Digest,
    digest::sha256,
    gate::Gate,
    pipeline::CiProvider,
    record::{Record, RecordId},
};

/// The maximum number of deployments, and of operations, in a history.
pub const KEPT: usize = 50;
/// The verb of a deployment by `cmdr rollback`.
pub const ROLLBACK: &str = "rollback";
/// The verb of the rollback that follows a failed deployment.
pub const AUTOMATIC_ROLLBACK: &str = "automatic rollback";

/// Hexadecimal digits of the ID of a combination of records.
const COMBINATION: usize = 12;

/// Identifies a combination of records by project: the ID of a set, and the version of a bundle. The projects are
/// sorted by name.
pub fn combination_id<'a>(records: impl IntoIterator<Item = (&'a str, &'a RecordId)>) -> String {
    let mut lines: Vec<String> = records.into_iter().map(|(project, record)| format!("{project}={record}")).collect();
    lines.sort();
    let mut id = sha256(lines.join("\n").as_bytes());
    id.truncate(COMBINATION);
    id
}

/// The deployments of one project, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// While it is set, deployments are blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    pub deployments: Vec<Deployment>,
    /// What changed without a new record, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationEntry>,
}

/// A hold: deployments are blocked until `cmdr unhold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub since: Timestamp,
    /// Who set it: a user or a CI job.
    pub by: String,
    pub because: String,
}

/// An event: a record was deployed to an environment, or its deployment failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// The ID of the record that was deployed.
    pub record: RecordId,
    /// The version to show: the image tag, or the chart's app version.
    pub version: String,
    /// What started it: `up`, `deploy`, `promote`, `rollback`, or `automatic rollback` after a failure.
    pub verb: String,
    pub started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    pub outcome: DeploymentOutcome,
    pub origin: Origin,
    /// The environment that the record was promoted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// The record of that environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_record: Option<RecordId>,
    /// The bundle that it was deployed with, and the version of the bundle: the hash of its members' records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Its changes cannot be undone by deploying the previous record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
    /// The objects outside its release that its pods refer to, such as `Secret/shop-db`, with a hash of the content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
    /// The digest of each image of its `verify` Jobs, by its reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verify_images: BTreeMap<String, Digest>,
    /// How long it had been healthy without interruption when it was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_seconds: Option<u64>,
}

/// An event without a new record: pods were restarted, or a release or its environment was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationEntry {
    /// What started it: `restart`, `status --prune`, `down` for a review environment, `secret show NAME`, `automatic
    /// rollback` of a rollout, or `rollout ended` when something else is deployed.
    pub verb: String,
    /// The ID of the record that ran, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// The version that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    pub outcome: OperationOutcome,
    pub origin: Origin,
}

/// The result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationOutcome {
    /// It has started, and its end was not observed.
    Running,
    Done,
    Failed,
    /// The run that started it was interrupted.
    Interrupted,
}

impl OperationOutcome {
    /// The text to show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The origin of a deployment or an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// Who started it: the user of the CI system, or a user and the machine.
    pub by: String,
    /// The CI system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<CiProvider>,
    /// The pipeline's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The number of the pipeline, which is higher for a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_number: Option<u64>,
    /// The job's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The workspace's commit, with `-dirty` when the tree had uncommitted changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The reason that the user gave, or why an automatic rollback was necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The gates that were overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Gate>,
}

/// The result of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentOutcome {
    /// It has started, and its end was not observed.
    Running,
    /// It was observed to be healthy.
    Healthy,
    Failed,
    /// The run that started it was interrupted.
    Interrupted,
}

impl DeploymentOutcome {
    /// The text to show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Deployment {
    /// Whether an earlier record was deployed again, by `cmdr rollback` or automatically.
    fn is_rollback(&self) -> bool {
        [ROLLBACK, AUTOMATIC_ROLLBACK].contains(&self.verb.as_str())
    }
}

impl History {
    /// What currently runs according to the ledger: the last deployment that was observed to be healthy.
    pub fn current(&self) -> Option<&Deployment> {
        self.deployments.iter().rev().find(|it| it.outcome == DeploymentOutcome::Healthy)
    }

    /// What ran before the current record: the target of a rollback. After a rollback it is what ran before that
    /// record was deployed, so that a second rollback goes further back instead of returning to what was rolled back.
    pub fn previous(&self) -> Option<&Deployment> {
        let healthy: Vec<&Deployment> =
            self.deployments.iter().filter(|it| it.outcome == DeploymentOutcome::Healthy).collect();
        let (current, mut before) = healthy.split_last()?;
        if current.is_rollback() {
            let deployed = |it: &&Deployment| it.record == current.record && !it.is_rollback();
            before = &before[..before.iter().rposition(deployed)?];
        }
        before.iter().rev().find(|it| it.record != current.record).copied()
    }

    /// The deployments that led to what runs, newest first. A rollback counts as the deployment that it restored.
    pub fn lineage(&self) -> impl Iterator<Item = &Deployment> {
        let mut open = self.deployments.as_slice();
        std::iter::from_fn(move || {
            let (last, before) = open.split_last()?;
            if !last.is_rollback() {
                open = before;
                return Some(last);
            }
            let restored = before.iter().rposition(|it| it.record == last.record && !it.is_rollback())?;
            open = &before[..restored];
            before.get(restored)
        })
    }

    /// The images of the `verify` Jobs that a record was deployed with, wherever it was healthy: digests by reference.
    pub fn verify_images_of(&self, record: &RecordId) -> BTreeMap<String, Digest> {
        let healthy = |it: &&Deployment| it.record == *record && it.outcome == DeploymentOutcome::Healthy;
        self.deployments.iter().filter(healthy).flat_map(|it| it.verify_images.clone()).collect()
    }

    /// The deployment that has not finished.
    pub fn in_flight(&self) -> Option<&Deployment> {
        self.deployments.last().filter(|it| it.outcome == DeploymentOutcome::Running)
    }

    /// Adds a deployment that starts now. An unfinished one of another run is marked as interrupted. The previous one
    /// is updated with how long it had been healthy.
    pub fn open(&mut self, deployment: Deployment, healthy_seconds: Option<u64>) {
        self.close_interrupted(deployment.started);
        if let Some(current) = self.deployments.last_mut()
            && current.outcome == DeploymentOutcome::Healthy
            && current.healthy_seconds.is_none()
        {
            current.healthy_seconds = healthy_seconds;
        }
        self.deployments.push(deployment);
        let surplus = self.deployments.len().saturating_sub(KEPT);
        self.deployments.drain(..surplus);
    }

    /// Marks what an ended run has left unfinished as interrupted. Returns whether there was a deployment.
    pub fn close_interrupted(&mut self, now: Timestamp) -> bool {
        self.end_operation(OperationOutcome::Interrupted, now);
        self.close(DeploymentOutcome::Interrupted, now)
    }

    /// Adds an operation that starts now. An unfinished one of another run is marked as interrupted.
    pub fn start_operation(&mut self, operation: OperationEntry) {
        self.end_operation(OperationOutcome::Interrupted, operation.started);
        self.operations.push(operation);
        let surplus = self.operations.len().saturating_sub(KEPT);
        self.operations.drain(..surplus);
    }

    /// Adds an operation that has ended, before one that another run has not finished.
    pub fn note_operation(&mut self, operation: OperationEntry) {
        let is_open = self.operations.last().is_some_and(|last| last.outcome == OperationOutcome::Running);
        self.operations.insert(self.operations.len() - usize::from(is_open), operation);
        let surplus = self.operations.len().saturating_sub(KEPT);
        self.operations.drain(..surplus);
    }

    /// Sets the outcome of the unfinished operation, if there is one.
    pub fn end_operation(&mut self, outcome: OperationOutcome, now: Timestamp) {
        if let Some(open) = self.operations.last_mut().filter(|it| it.outcome == OperationOutcome::Running) {
            (open.outcome, open.ended) = (outcome, Some(now));
        }
    }

    /// Whether the last deployment or operation has not finished.
    pub fn is_open(&self) -> bool {
        self.in_flight().is_some()
            || self.operations.last().is_some_and(|last| last.outcome == OperationOutcome::Running)
    }

    /// Marks the last deployment, if it is of this record, as healthy: a later run observed the rollout that an
    /// interrupted or failed run had started.
    pub fn settle(&mut self, record: &RecordId, now: Timestamp) {
        self.end_operation(OperationOutcome::Interrupted, now);
        let last = self.deployments.last_mut().filter(|it| it.record == *record);
        if let Some(last) = last.filter(|it| it.outcome != DeploymentOutcome::Healthy) {
            (last.outcome, last.ended) = (DeploymentOutcome::Healthy, Some(now));
        }
    }

    /// Sets the outcome of the unfinished deployment. Returns whether there was one.
    pub fn close(&mut self, outcome: DeploymentOutcome, now: Timestamp) -> bool {
        let Some(open) = self.deployments.last_mut().filter(|it| it.outcome == DeploymentOutcome::Running) else {
            return false;
        };
        open.outcome = outcome;
        open.ended = Some(now);
        true
    }
}

/// The exported ledger of an environment: enough to rebuild it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerFile {
    /// The version of the file format: 1.
    pub version: u32,
    pub workspace: String,
    pub environment: String,
    /// The UID of the namespace `kube-system` of the cluster.
    pub cluster: String,
    pub written: Timestamp,
    /// By namespace and release name: `tunes/shop`.
    pub releases: BTreeMap<String, LedgerRelease>,
    /// Charts that are not in a registry, by digest: a base64-encoded `.tgz`.
    pub charts: BTreeMap<ChartDigest, String>,
    /// ConfigMaps with files from disk, by name: each file, base64-encoded, by its key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, BTreeMap<String, String>>,
}

/// One release of a [`LedgerFile`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerRelease {
    /// The ID of the record that runs.
    pub record: RecordId,
    pub content: Record,
    pub history: History,
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn deployment(record: &str, started: &str, outcome: DeploymentOutcome) -> Deployment {
        Deployment {
            record: record.into(),
            version: record.to_owned(),
            verb: "deploy".to_owned(),
            started: started.parse().unwrap(),
            ended: None,
            outcome,
            origin: Origin::default(),
            promoted_from: None,
            promoted_record: None,
            bundle: None,
            irreversible: false,
            references: BTreeMap::new(),
            verify_images: BTreeMap::new(),
            healthy_seconds: None,
        }
    }

    const NOON: &str = "2026-11-21T12:00:00Z";

    #[test]
    fn what_failed_is_not_what_runs() {
        let history = History {
            hold: None,
            deployments: vec![
                deployment("a", NOON, DeploymentOutcome::Healthy),
                deployment("b", NOON, DeploymentOutcome::Healthy),
                deployment("c", NOON, DeploymentOutcome::Failed),
            ],
            operations: Vec::new(),
        };
        assert_eq!(history.current().map(|it| it.record.as_str()), Some("b"));
        assert_eq!(history.previous().map(|it| it.record.as_str()), Some("a"));
        assert_eq!(history.in_flight(), None);
    }

    #[test]
    fn a_second_rollback_goes_further_back() {
        let mut history = History::default();
        let add = |history: &mut History, record: &str, verb: &str| {
            let healthy = deployment(record, NOON, DeploymentOutcome::Healthy);
            history.deployments.push(Deployment { verb: verb.to_owned(), ..healthy });
        };
        let previous = |history: &History| history.previous().map(|it| it.record.to_string());
        for record in ["a", "b", "c"] {
            add(&mut history, record, "deploy");
        }
        assert_eq!(previous(&history).as_deref(), Some("b"));
        add(&mut history, "b", ROLLBACK);
        assert_eq!(previous(&history).as_deref(), Some("a"), "not c, which was rolled back");
        add(&mut history, "a", ROLLBACK);
        assert_eq!(previous(&history), None, "nothing ran before a");
        add(&mut history, "d", "promote");
        assert_eq!(previous(&history).as_deref(), Some("a"), "what ran before d");
        add(&mut history, "a", AUTOMATIC_ROLLBACK);
        assert_eq!(previous(&history), None);
        add(&mut history, "a", "up");
        assert_eq!(previous(&history).as_deref(), Some("d"), "a deployment is not a rollback");
    }

    #[test]
    fn what_was_rolled_back_did_not_lead_to_what_runs() {
        let mut history = History::default();
        let steps = [
            ("a", "deploy", DeploymentOutcome::Healthy),
            ("b", "deploy", DeploymentOutcome::Healthy),
            ("c", "deploy", DeploymentOutcome::Failed),
            ("b", AUTOMATIC_ROLLBACK, DeploymentOutcome::Healthy),
            ("d", "up", DeploymentOutcome::Interrupted),
        ];
        for (record, verb, outcome) in steps {
            history.deployments.push(Deployment { verb: verb.to_owned(), ..deployment(record, NOON, outcome) });
        }
        let lineage: Vec<&str> = history.lineage().map(|it| it.record.as_str()).collect();
        assert_eq!(lineage, ["d", "b", "a"]);
    }

    #[test]
    fn a_killed_run_is_closed_by_the_next_one() {
        let mut history = History::default();
        history.open(deployment("a", NOON, DeploymentOutcome::Running), None);
        assert!(history.in_flight().is_some());
        history.open(deployment("b", NOON, DeploymentOutcome::Running), None);
        assert_eq!(history.deployments[0].outcome, DeploymentOutcome::Interrupted);
        assert!(history.close(DeploymentOutcome::Healthy, NOON.parse().unwrap()));
        assert!(!history.close(DeploymentOutcome::Failed, NOON.parse().unwrap()));
        history.open(deployment("c", NOON, DeploymentOutcome::Running), Some(90));
        assert_eq!(history.deployments[1].healthy_seconds, Some(90));
    }

    #[test]
    fn what_was_seen_to_run_later_has_come_up() {
        let mut history =
            History { deployments: vec![deployment("a", NOON, DeploymentOutcome::Interrupted)], ..History::default() };
        history.settle(&"b".into(), NOON.parse().unwrap());
        assert_eq!(history.current(), None);
        history.settle(&"a".into(), NOON.parse().unwrap());
        assert_eq!(history.current().map(|it| it.record.as_str()), Some("a"));
    }

    fn operation(verb: &str) -> OperationEntry {
        OperationEntry {
            verb: verb.to_owned(),
            record: Some("a".into()),
            version: None,
            started: NOON.parse().unwrap(),
            ended: None,
            outcome: OperationOutcome::Running,
            origin: Origin::default(),
        }
    }

    #[test]
    fn operations_leave_deployments_as_they_are() {
        let mut history = History::default();
        for record in ["a", "b"] {
            history.open(deployment(record, NOON, DeploymentOutcome::Healthy), None);
        }
        let before = history.deployments.clone();
        history.start_operation(operation("restart"));
        assert!(history.is_open() && history.in_flight().is_none());
        history.end_operation(OperationOutcome::Done, NOON.parse().unwrap());
        assert_eq!((history.operations[0].outcome, history.is_open()), (OperationOutcome::Done, false));
        assert_eq!(history.deployments, before);
        for _ in 0..KEPT + 5 {
            history.start_operation(operation("restart"));
        }
        assert_eq!(history.operations.len(), KEPT);
        assert_eq!(history.operations[KEPT - 2].outcome, OperationOutcome::Interrupted, "of a run that was killed");
        history.open(deployment("c", NOON, DeploymentOutcome::Running), None);
        assert_eq!(history.operations[KEPT - 1].outcome, OperationOutcome::Interrupted, "closed by the next run");
    }

    #[test]
    fn a_note_does_not_end_what_another_run_does() {
        let mut history = History::default();
        history.start_operation(operation("restart"));
        history.note_operation(OperationEntry { outcome: OperationOutcome::Done, ..operation("secret show db") });
        let verbs: Vec<&str> = history.operations.iter().map(|it| it.verb.as_str()).collect();
        assert_eq!((verbs, history.is_open()), (vec!["secret show db", "restart"], true));
    }

    #[test]
    fn histories_are_bounded() {
        let mut history = History::default();
        for _ in 0..KEPT + 5 {
            history.open(deployment("a", NOON, DeploymentOutcome::Healthy), None);
        }
        assert_eq!(history.deployments.len(), KEPT);
    }
}
