//! What `cmdr status` reports: the desired and the running version of each project, and its health.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    adapters::local_run::LocalRunMark,
    domain::{
        ReleaseKey,
        drain_state::DrainMark,
        exposed::{Forward, Protocol},
        labels,
        query::Restarts,
    },
    ops::{
        describe::namespaces_of,
        local_run,
        prepared::{Prepared, Target},
        restarts::recent_restarts,
        session::Session,
    },
    plan::{
        Change, Developed, ObservedRelease, ReleaseSpec,
        externals::{DescribedExternal, ExternalChange, external_change},
        ports::difference,
        prune::{Orphans, orphans},
        up::{Described, Observed, ObservedCluster},
    },
};

/// The state of a release that is ready and as described.
const HEALTHY: &str = "healthy";

/// The status of an environment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// `running`, `stopped` or `absent`.
    pub cluster: &'static str,
    pub releases: Vec<StatusRow>,
    pub ports: Vec<PortRow>,
    /// Releases whose projects are disabled or no longer in projects.yaml.
    pub orphans: Vec<String>,
    /// Containers that restarted after an error in the last ten minutes, also if they are ready now.
    pub restarts: Vec<Restarts>,
}

impl StatusReport {
    /// Reports an environment, whether its cluster runs or not.
    pub(crate) fn of(session: &Session, prepared: &Prepared<Target>) -> Self {
        let observed = &prepared.observation.observed;
        let is_running = observed.cluster == ObservedCluster::Running;
        let orphans = orphans_of(session, prepared).into_keys().map(|orphan| orphan.name);
        let releases = if is_running { rows(prepared) } else { unobserved(prepared) };
        let restarts = recent_restarts(&prepared.observation.restarted_pods, &namespaces_of(session), Timestamp::now());
        Self {
            cluster: cluster_state(observed.cluster),
            releases: with_local_runs(with_restarts(releases, &restarts), &local_run::active_runs(session)),
            ports: ports(prepared),
            orphans: if is_running { orphans.collect() } else { Vec::new() },
            restarts,
        }
    }
}

/// Marks projects that have crashed more than once a short time ago: between two crashes they are ready.
fn with_restarts(rows: Vec<StatusRow>, restarts: &[Restarts]) -> Vec<StatusRow> {
    let crashes = |row: &StatusRow| restarts.iter().any(|it| it.project == row.name && it.restarts > 1);
    let marked = |row: StatusRow| match row.state.strip_prefix(HEALTHY) {
        Some(rest) if crashes(&row) => StatusRow { state: format!("restarting{rest}"), ..row },
        _ => row,
    };
    rows.into_iter().map(marked).collect()
}

/// Adds who runs a project on this machine.
fn with_local_runs(rows: Vec<StatusRow>, runs: &BTreeMap<String, LocalRunMark>) -> Vec<StatusRow> {
    let with_run = |row: StatusRow| match runs.get(&row.name) {
        Some(mark) => StatusRow { state: format!("{}, runs locally ({})", row.state, mark.holder()), ..row },
        None => row,
    };
    rows.into_iter().map(with_run).collect()
}

/// The releases whose projects are disabled or no longer in projects.yaml.
pub(crate) fn orphans_of(session: &Session, prepared: &Prepared<Target>) -> Orphans {
    let (observed, workspace) = (&prepared.observation.observed, session.workspace().as_str());
    orphans(observed, &described(prepared), workspace, &session.environment)
}

/// One line of the table.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusRow {
    pub name: String,
    /// The described version.
    pub desired: String,
    /// The running version.
    pub running: Option<String>,
    /// The record that is running.
    pub record: Option<String>,
    /// The record that projects.yaml describes.
    pub desired_record: Option<String>,
    pub commit: Option<String>,
    pub revision: Option<u32>,
    pub ready_replicas: i32,
    pub replicas: i32,
    /// `healthy`, `restarting` after several crashes, `not deployed`, or what differs.
    pub state: String,
    pub urls: Vec<String>,
    #[serde(skip)]
    pub differs: bool,
}

/// A port of a project on this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PortRow {
    /// `127.0.0.1:5432`, or `127.0.0.1:5353/udp`.
    pub address: String,
    pub port: u16,
    pub protocol: Protocol,
    pub project: String,
    /// Whether it is published now.
    pub published: bool,
}

fn rows(prepared: &Prepared<Target>) -> Vec<StatusRow> {
    let platform = prepared.described.platform.iter().map(|release| row(prepared, release, Vec::new()));
    let projects =
        prepared.described.projects.iter().map(|project| row(prepared, &project.release, project.urls.clone()));
    let projects = projects.map(|row| with_rollout(prepared, row));
    let externals = prepared.described.externals.iter().map(|external| external_row(prepared, external));
    platform.chain(projects).chain(externals).collect()
}

/// Adds the rollout of a project, if one is in progress.
fn with_rollout(prepared: &Prepared<Target>, row: StatusRow) -> StatusRow {
    let states = &prepared.observation.observed.rollouts;
    match states.get(&row.name).filter(|state| state.is_in_progress()) {
        Some(state) => {
            let state = format!("{}, rollout of {} at {}%", row.state, state.version, state.weight);
            StatusRow { state, ..row }
        }
        None => row,
    }
}

pub(crate) fn port_difference(prepared: &Prepared<Target>) -> Option<&'static str> {
    let observed = &prepared.observation.observed;
    difference(&prepared.described.forwarder, observed.forwarder.as_ref(), observed.cluster)
}

fn ports(prepared: &Prepared<Target>) -> Vec<PortRow> {
    let published = port_difference(prepared).is_none();
    let row = |forward: &Forward| PortRow {
        address: forward.address(),
        port: forward.published.number,
        protocol: forward.published.protocol,
        project: forward.project.to_string(),
        published,
    };
    prepared.described.forwarder.forwards.iter().map(row).collect()
}

/// The row of an external project: its desired version is its address.
fn external_row(prepared: &Prepared<Target>, external: &DescribedExternal) -> StatusRow {
    let observed = &prepared.observation.observed;
    let key = external.spec.key();
    let (found, release) = (observed.externals.get(&key), observed.releases.get(&key));
    let change = external_change(&external.spec, found, release, &prepared.described.workspace);
    let state = match &change {
        ExternalChange::Unchanged => "external".to_owned(),
        ExternalChange::Point(reason) => format!("external, {reason}"),
        ExternalChange::Replace => "external, but its release still exists".to_owned(),
        ExternalChange::Refused(problem) => problem.message.clone(),
    };
    StatusRow {
        name: external.name.to_string(),
        desired: external.spec.service.place(),
        running: None,
        record: None,
        desired_record: None,
        commit: None,
        revision: None,
        ready_replicas: 0,
        replicas: 0,
        state,
        urls: Vec::new(),
        differs: change != ExternalChange::Unchanged,
    }
}

pub(crate) fn row(prepared: &Prepared<Target>, release: &ReleaseSpec, urls: Vec<String>) -> StatusRow {
    let observed = &prepared.observation.observed;
    let key = release.key();
    let found = observed.releases.get(&key);
    let change = observed.change(release, &prepared.described);
    let kept = kept_states(observed, &key);
    let label = |name: &str| found.and_then(|found| found.labels.get(name).cloned());
    let (ready_replicas, replicas) = prepared.observation.pods.get(&key).copied().unwrap_or_default();
    StatusRow {
        name: release.name.clone(),
        desired: release.content.version.clone(),
        running: label(labels::VERSION),
        record: label(labels::RECORD),
        desired_record: Some(release.record.to_string()),
        commit: label(labels::COMMIT),
        revision: found.map(|found| found.revision),
        ready_replicas,
        replicas,
        differs: change != Change::Unchanged || found.is_some_and(was_interrupted),
        state: found.and_then(|found| found.developed.as_ref()).map_or_else(|| state(&change), developed) + &kept,
        urls,
    }
}

/// That a project is closed or stopped on purpose.
fn kept_states(observed: &Observed, key: &ReleaseKey) -> String {
    let closed = observed.maintenance.get(key).map(|mark| mark.describe(Some(Timestamp::now())));
    let suspended = || observed.suspended.contains(key).then(|| "suspended".to_owned());
    let stopped = observed.drained.get(key).map(DrainMark::describe).or_else(suspended);
    closed.into_iter().chain(stopped).map(|state| format!(", {state}")).collect()
}

/// Whether a `cmdr dev` has left changes behind.
fn was_interrupted(release: &ObservedRelease) -> bool {
    release.developed.as_ref().is_some_and(|developed| !developed.is_running)
}

fn developed(developed: &Developed) -> String {
    let holder = &developed.holder;
    if developed.is_running {
        format!("changed by cmdr dev ({holder})")
    } else {
        format!("changed by cmdr dev, which was interrupted ({holder}); cmdr up restores it")
    }
}

fn state(change: &Change) -> String {
    match change {
        Change::Unchanged => HEALTHY.to_owned(),
        Change::Await => "not ready".to_owned(),
        Change::Install => "not deployed".to_owned(),
        Change::Upgrade(reason) | Change::Drifted(reason) => reason.clone(),
        Change::Retry(_, jobs) => format!("failed: {}", jobs.join(", ")),
        Change::Heal(revision) => format!("unfinished since revision {revision}"),
        Change::Refused(problem) => problem.message.clone(),
    }
}

/// Everything that projects.yaml describes.
pub(crate) fn described(prepared: &Prepared<Target>) -> BTreeSet<ReleaseKey> {
    let Described { platform, projects, externals, .. } = &prepared.described;
    let releases = platform.iter().chain(projects.iter().map(|project| &project.release));
    let externals = externals.iter().map(|external| external.spec.key());
    releases.map(ReleaseSpec::key).chain(externals).collect()
}

/// The rows while the cluster does not run: only what is described is known.
fn unobserved(prepared: &Prepared<Target>) -> Vec<StatusRow> {
    let state = cluster_state(prepared.observation.observed.cluster);
    let rows = rows(prepared).into_iter();
    rows.map(|row| StatusRow { state: format!("the cluster is {state}"), ..row }).collect()
}

fn cluster_state(cluster: ObservedCluster) -> &'static str {
    match cluster {
        ObservedCluster::Running | ObservedCluster::GivenUp => "running",
        ObservedCluster::Stopped => "stopped",
        ObservedCluster::Absent | ObservedCluster::Unfinished => "absent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: &str) -> StatusRow {
        StatusRow {
            name: name.to_owned(),
            desired: "1.0".to_owned(),
            running: None,
            record: None,
            desired_record: Some("abc".to_owned()),
            commit: None,
            revision: None,
            ready_replicas: 0,
            replicas: 0,
            state: state.to_owned(),
            urls: Vec::new(),
            differs: true,
        }
    }

    #[test]
    fn a_project_that_crashes_again_and_again_is_not_healthy() {
        let restarts = |project: &str, restarts: u64| Restarts {
            project: project.to_owned(),
            namespace: None,
            pod: String::new(),
            container: String::new(),
            restarts,
            state: "running".to_owned(),
            last_reason: None,
            last_exit_code: Some(1),
            last_ended: None,
        };
        let found = [restarts("shop", 7), restarts("cart", 1), restarts("stock", 3)];
        let rows = vec![row("shop", "healthy, suspended"), row("cart", "healthy"), row("stock", "values differ")];
        let states: Vec<String> = with_restarts(rows, &found).into_iter().map(|row| row.state).collect();
        assert_eq!(states, ["restarting, suspended", "healthy", "values differ"]);
    }

    #[test]
    fn the_report_names_the_desired_record_and_the_state_of_the_cluster() {
        let row = row("shop", "the cluster is absent");
        let port = PortRow {
            address: "127.0.0.1:5353/udp".to_owned(),
            port: 5353,
            protocol: Protocol::Udp,
            project: "dns".to_owned(),
            published: false,
        };
        let cluster = cluster_state(ObservedCluster::Absent);
        let report =
            StatusReport { cluster, releases: vec![row], ports: vec![port], orphans: Vec::new(), restarts: Vec::new() };
        let document = serde_json::json!(report);
        assert_eq!(
            (&document["ports"][0]["protocol"], &document["ports"][0]["published"]),
            (&"udp".into(), &false.into())
        );
        assert_eq!(document["cluster"], "absent");
        assert_eq!(document["releases"][0]["desired_record"], "abc");
        assert_eq!(document["releases"][0]["record"], serde_json::Value::Null);
    }
}
