//! `cmdr status`: the desired and the running version of each project, and its health.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    cli::StatusOptions,
    commands::{registry, resources},
    domain::{
        Problem, ReleaseKey,
        exposed::{Forward, Protocol},
        labels,
    },
    error::{CommandError, ErrorKind},
    ops::{
        local::{refuse_change_options, run_locked},
        observe_environment,
        options::{ChangeRequest, UpRequest},
        prepared::{Prepared, Target},
        remote::operation::{OperationRequest, operate},
        session::Session,
    },
    plan::{
        Change, ReleaseSpec,
        externals::{DescribedExternal, ExternalChange, external_change},
        ports::difference,
        prune::{Orphans, orphans, prune},
        up::{Described, ObservedCluster},
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

/// One line of the table.
#[derive(Debug, Serialize)]
struct StatusRow {
    name: String,
    /// The described version.
    desired: String,
    /// The running version.
    running: Option<String>,
    /// The record that is running.
    record: Option<String>,
    /// The record that projects.yaml describes.
    desired_record: Option<String>,
    commit: Option<String>,
    revision: Option<u32>,
    ready_replicas: i32,
    replicas: i32,
    /// `healthy`, `not deployed`, or what differs.
    state: String,
    urls: Vec<String>,
    #[serde(skip)]
    differs: bool,
}

/// The rows of releases and of ports.
type Rows<'a> = (&'a [StatusRow], &'a [PortRow]);

/// A port of a project on this machine.
#[derive(Debug, Serialize)]
struct PortRow {
    /// `127.0.0.1:5432`, or `127.0.0.1:5353/udp`.
    address: String,
    port: u16,
    protocol: Protocol,
    project: String,
    /// Whether it is published now.
    published: bool,
}

/// # Errors
/// When the environment cannot be observed, or with exit code 3 when `--exit-code` is set and something differs.
pub(super) async fn status(session: &Session, options: &StatusOptions) -> Result<(), CommandError> {
    show_and_prune(session, options).await?;
    session.finish_reports();
    Ok(())
}

async fn show_and_prune(session: &Session, options: &StatusOptions) -> Result<(), CommandError> {
    let change = ChangeRequest::from(&options.operation);
    refuse_options_of_prune(session, options.prune, &change)?;
    if options.resources {
        return show_resources(session).await;
    }
    let request = UpRequest { profiles: options.profiles.clone(), ..UpRequest::default() };
    let prepared = observe_environment(session, &request).await?;
    if prepared.observation.observed.cluster != ObservedCluster::Running {
        let state = match prepared.observation.observed.cluster {
            ObservedCluster::Stopped => "is stopped or paused: start it with cmdr start",
            _ => "does not exist: create it with cmdr up",
        };
        session.note(&format!("the cluster '{}' {state}", session.workspace()));
        if session.settings.output == OutputFormat::Json {
            print_json(&prepared, (&unobserved(&prepared), &ports(&prepared)), &[]);
        }
        return if options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) };
    }
    let (rows, ports) = (rows(&prepared), ports(&prepared));
    let described = described(&prepared);
    let workspace = session.workspace().as_str();
    let orphans = orphans(&prepared.observation.observed, &described, workspace, &session.environment);
    if let Target::Local(local) = &prepared.target {
        registry::note_registry(session, &local.access.docker).await?;
    }
    show(session, &prepared, (&rows, &ports), &orphans);
    if options.prune {
        return match &prepared.target {
            Target::Local(_) => prune_locally(session, &prepared, &orphans).await,
            Target::Remote(_) if orphans.is_empty() => Ok(()),
            Target::Remote(_) => {
                operate(session, &OperationRequest::Prune { described, shown: orphans }, &change).await
            }
        };
    }
    let differs = rows.iter().any(|row| row.differs) || !orphans.is_empty() || port_difference(&prepared).is_some();
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

async fn show_resources(session: &Session) -> Result<(), CommandError> {
    let demands = resources::demands(session).await?;
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(demands))),
        OutputFormat::Text => resources::show(session, &demands),
    }
    Ok(())
}

fn rows(prepared: &Prepared<Target>) -> Vec<StatusRow> {
    let platform = prepared.described.platform.iter().map(|release| row(prepared, release, Vec::new()));
    let projects =
        prepared.described.projects.iter().map(|project| row(prepared, &project.release, project.urls.clone()));
    let externals = prepared.described.externals.iter().map(|external| external_row(prepared, external));
    platform.chain(projects).chain(externals).collect()
}

fn port_difference(prepared: &Prepared<Target>) -> Option<&'static str> {
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

fn row(prepared: &Prepared<Target>, release: &ReleaseSpec, urls: Vec<String>) -> StatusRow {
    let observed = &prepared.observation.observed;
    let key = release.key();
    let found = observed.releases.get(&key);
    let change = observed.change(release, &prepared.described);
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
        differs: change != Change::Unchanged,
        state: state(&change),
        urls,
    }
}

fn state(change: &Change) -> String {
    match change {
        Change::Unchanged => "healthy".to_owned(),
        Change::Await => "not ready".to_owned(),
        Change::Install => "not deployed".to_owned(),
        Change::Upgrade(reason) | Change::Drifted(reason) => reason.clone(),
        Change::Retry(_, jobs) => format!("failed: {}", jobs.join(", ")),
        Change::Heal(revision) => format!("unfinished since revision {revision}"),
        Change::Refused(problem) => problem.message.clone(),
    }
}

/// Refuses options that only the removal in an environment other than `local` uses.
fn refuse_options_of_prune(session: &Session, prunes: bool, change: &ChangeRequest) -> Result<(), CommandError> {
    let mut given = change.given();
    given.extend(session.settings.reports.named().map(|(option, _)| option));
    if session.environment.is_local() && prunes {
        return refuse_change_options(change);
    }
    if prunes || given.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(format!("only status --prune uses these options: {}", given.join(", ")));
    Err(CommandError::usage(problem.help("add --prune, or leave them out")))
}

/// Everything that projects.yaml describes.
fn described(prepared: &Prepared<Target>) -> BTreeSet<ReleaseKey> {
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

fn print_json(prepared: &Prepared<Target>, rows: Rows<'_>, orphans: &[&str]) {
    ui::print(&format!("{}\n", document(prepared.observation.observed.cluster, rows, orphans)));
}

fn document(cluster: ObservedCluster, (rows, ports): Rows<'_>, orphans: &[&str]) -> serde_json::Value {
    serde_json::json!({"cluster": cluster_state(cluster), "releases": rows, "ports": ports, "orphans": orphans})
}

fn show(session: &Session, prepared: &Prepared<Target>, (rows, ports): Rows<'_>, orphans: &Orphans) {
    let names: Vec<&str> = orphans.keys().map(|orphan| orphan.name.as_str()).collect();
    if session.settings.output == OutputFormat::Json {
        print_json(prepared, (rows, ports), &names);
        return;
    }
    let head = ["PROJECT", "DESIRED", "RUNNING", "READY", "STATE", "URL"].map(str::to_owned).to_vec();
    let lines = rows.iter().map(|row| {
        vec![
            row.name.clone(),
            row.desired.clone(),
            row.running.clone().unwrap_or_else(|| "-".to_owned()),
            // A CronJob has no pods of its own.
            if row.replicas == 0 { "-".to_owned() } else { format!("{}/{}", row.ready_replicas, row.replicas) },
            row.state.clone(),
            row.urls.join(" "),
        ]
    });
    ui::print(&table(&std::iter::once(head).chain(lines).collect::<Vec<_>>()));
    if !ports.is_empty() {
        ui::print(&format!("\n{}", table(&port_lines(ports))));
    }
    for message in orphan_messages(session, &names) {
        ui::print_message(&message);
    }
}

fn port_lines(ports: &[PortRow]) -> Vec<Vec<String>> {
    let head = ["PORT", "PROJECT", "STATE"].map(str::to_owned).to_vec();
    let state = |row: &PortRow| if row.published { "published" } else { "not published: cmdr up publishes it" };
    let lines = ports.iter().map(|row| vec![row.address.clone(), row.project.clone(), state(row).to_owned()]);
    std::iter::once(head).chain(lines).collect()
}

/// Reports orphans by why they are orphans.
fn orphan_messages(session: &Session, names: &[&str]) -> Vec<String> {
    let projects = &session.loaded.workspace.projects;
    let (disabled, gone): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| projects.contains_key(**name));
    let message = |what: &str, names: &[&str]| {
        let names = names.join(", ");
        (!names.is_empty()).then(|| format!("{what}: {names}; cmdr status --prune removes them"))
    };
    let parts = [message("no longer in projects.yaml", &gone), message("deployed, but not enabled here", &disabled)];
    parts.into_iter().flatten().collect()
}

async fn prune_locally(session: &Session, prepared: &Prepared<Target>, orphans: &Orphans) -> Result<(), CommandError> {
    if orphans.is_empty() {
        return Ok(());
    }
    if session.settings.dry_run {
        let names: Vec<&str> = orphans.keys().map(|orphan| orphan.name.as_str()).collect();
        session.note(&format!("would remove: {}", names.join(", ")));
        return Ok(());
    }
    run_locked(session, "status --prune", &prune(orphans.keys(), &prepared.observation.observed.externals)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_the_wanted_record_and_the_state_of_the_cluster() {
        let row = StatusRow {
            name: "shop".to_owned(),
            desired: "1.0".to_owned(),
            running: None,
            record: None,
            desired_record: Some("abc".to_owned()),
            commit: None,
            revision: None,
            ready_replicas: 0,
            replicas: 0,
            state: "the cluster is absent".to_owned(),
            urls: Vec::new(),
            differs: true,
        };
        let port = PortRow {
            address: "127.0.0.1:5353/udp".to_owned(),
            port: 5353,
            protocol: Protocol::Udp,
            project: "dns".to_owned(),
            published: false,
        };
        let document = document(ObservedCluster::Absent, (&[row], &[port]), &[]);
        assert_eq!(
            (&document["ports"][0]["protocol"], &document["ports"][0]["published"]),
            (&"udp".into(), &false.into())
        );
        assert_eq!(document["cluster"], "absent");
        assert_eq!(document["releases"][0]["desired_record"], "abc");
        assert_eq!(document["releases"][0]["record"], serde_json::Value::Null);
    }
}
