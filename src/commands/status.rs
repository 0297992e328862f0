//! `cmdr status`: the desired and the running version of each project, and its health.

use crate::{
    cli::StatusOptions,
    commands::{registry, resources, status_project},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        local::{refuse_change_options, run_locked},
        observe_environment,
        options::{ChangeRequest, UpRequest},
        prepared::{Prepared, Target},
        procedures::under_way,
        remote::operation::{OperationRequest, operate},
        resources::demands,
        restarts::restart_messages,
        session::Session,
        status::{PortRow, StatusReport, described, orphans_of, port_difference},
        watch::repeat,
    },
    plan::{
        prune::{Orphans, prune},
        up::ObservedCluster,
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

/// # Errors
/// When the environment cannot be observed, or with exit code 3 when `--exit-code` is set and something differs.
pub(super) async fn status(session: &Session, options: &StatusOptions) -> Result<(), CommandError> {
    let change = ChangeRequest::from(&options.operation);
    refuse_options_of_prune(session, options.prune, &change)?;
    match options {
        StatusOptions { resources: true, .. } => show_resources(session).await,
        StatusOptions { project: Some(project), .. } => status_project::show(session, project, options.watch).await,
        StatusOptions { watch: true, .. } => watch(session, options).await,
        _ => show_and_prune(session, options, &change).await,
    }?;
    session.finish_reports();
    Ok(())
}

async fn show_and_prune(
    session: &Session,
    options: &StatusOptions,
    change: &ChangeRequest,
) -> Result<(), CommandError> {
    let request = UpRequest { profiles: options.profiles.clone(), ..UpRequest::default() };
    let prepared = observe_environment(session, &request).await?;
    if prepared.observation.observed.cluster != ObservedCluster::Running {
        let state = match prepared.observation.observed.cluster {
            ObservedCluster::Stopped => "is stopped or paused: start it with cmdr start",
            _ => "does not exist: create it with cmdr up",
        };
        session.note(&format!("the cluster '{}' {state}", session.workspace()));
        if session.settings.output == OutputFormat::Json {
            print_json(&StatusReport::of(session, &prepared));
        }
        return if options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) };
    }
    let (report, orphans) = (StatusReport::of(session, &prepared), orphans_of(session, &prepared));
    if let Target::Local(local) = &prepared.target {
        registry::note_registry(session, &local.access.docker).await?;
    }
    show(session, &report);
    under_way(session).await.iter().for_each(|line| session.note(line));
    if options.prune {
        return match &prepared.target {
            Target::Local(_) => prune_locally(session, &prepared, &orphans).await,
            Target::Remote(_) if orphans.is_empty() => Ok(()),
            Target::Remote(_) => {
                let described = described(&prepared);
                operate(session, &OperationRequest::Prune { described, shown: orphans }, change).await
            }
        };
    }
    let differs =
        report.releases.iter().any(|row| row.differs) || !orphans.is_empty() || port_difference(&prepared).is_some();
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

/// Shows the status again whenever the cluster reports a change.
async fn watch(session: &Session, options: &StatusOptions) -> Result<(), CommandError> {
    let request = UpRequest { profiles: options.profiles.clone(), ..UpRequest::default() };
    let is_json = session.settings.output == OutputFormat::Json;
    repeat(session, async || {
        let report = StatusReport::of(session, &observe_environment(session, &request).await?);
        if is_json {
            return Ok(format!("{}\n", serde_json::json!(report)));
        }
        let messages: String = messages(session, &report).iter().map(|line| format!("{line}\n")).collect();
        Ok(format!("{}{messages}", tables(&report)))
    })
    .await
}

async fn show_resources(session: &Session) -> Result<(), CommandError> {
    let demands = demands(session, &connect(session).await?).await?;
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(demands))),
        OutputFormat::Text => resources::show(session, &demands),
    }
    Ok(())
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

fn print_json(report: &StatusReport) {
    ui::print(&format!("{}\n", serde_json::json!(report)));
}

fn show(session: &Session, report: &StatusReport) {
    if session.settings.output == OutputFormat::Json {
        print_json(report);
        return;
    }
    ui::print(&tables(report));
    for message in messages(session, report) {
        ui::print_message(&message);
    }
}

fn tables(report: &StatusReport) -> String {
    let head = ["PROJECT", "READY", "STATE", "RUNNING", "DESIRED", "URL"].map(str::to_owned).to_vec();
    let lines = report.releases.iter().map(|row| {
        vec![
            // What matters most is visible in a narrow terminal, too.
            row.name.clone(),
            // A CronJob has no pods of its own.
            if row.replicas == 0 { "-".to_owned() } else { format!("{}/{}", row.ready_replicas, row.replicas) },
            row.state.clone(),
            row.running.clone().unwrap_or_else(|| "-".to_owned()),
            row.desired.clone(),
            row.urls.join(" "),
        ]
    });
    let projects = table(&std::iter::once(head).chain(lines).collect::<Vec<_>>());
    if report.ports.is_empty() { projects } else { format!("{projects}\n{}", table(&port_lines(&report.ports))) }
}

fn port_lines(ports: &[PortRow]) -> Vec<Vec<String>> {
    let head = ["PORT", "PROJECT", "STATE"].map(str::to_owned).to_vec();
    let state = |row: &PortRow| if row.published { "published" } else { "not published: cmdr up publishes it" };
    let lines = ports.iter().map(|row| vec![row.address.clone(), row.project.clone(), state(row).to_owned()]);
    std::iter::once(head).chain(lines).collect()
}

/// What is said below the table.
fn messages(session: &Session, report: &StatusReport) -> Vec<String> {
    [restart_messages(&report.restarts), orphan_messages(session, &report.orphans)].concat()
}

/// Reports orphans by why they are orphans.
fn orphan_messages(session: &Session, names: &[String]) -> Vec<String> {
    let projects = &session.loaded.workspace.projects;
    let names = names.iter().map(String::as_str);
    let (disabled, gone): (Vec<&str>, Vec<&str>) = names.partition(|name| projects.contains_key(*name));
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
