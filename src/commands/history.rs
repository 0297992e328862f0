//! `cmdr history`: who deployed what, when, and from where.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::HistoryOptions,
    domain::{
        Name, RecordId,
        ledger::{Deployment, History, OperationEntry, Origin},
    },
    error::CommandError,
    ops::remote::access::refuse_local,
    ops::{
        remote::{
            access::RemoteAccess,
            deploy_request::expand,
            source::{SourceState, own_projects},
        },
        session::Session,
    },
    plan::sets::{Period, RecordSet, sets},
    settings::OutputFormat,
    ui::{self, table::table},
};

const SETS_HEAD: [&str; 5] = ["SET", "FROM", "UNTIL", "HEALTHY FOR", "VERSIONS"];
const HEAD: [&str; 8] = ["PROJECT", "STARTED", "VERB", "VERSION", "RECORD", "OUTCOME", "BY", "FROM"];

/// # Errors
/// When a project is unknown, or the cluster does not respond.
pub(super) async fn history(session: &Session, options: &HistoryOptions) -> Result<(), CommandError> {
    refuse_local(session, "use git log for its history")?;
    let (projects, _) = expand(session, &options.projects)?;
    if options.sets {
        return show_sets(session, &projects).await;
    }
    let access = RemoteAccess::open(session).await?;
    let mut histories = access.cluster.histories(&session.environment.namespace).await?;
    histories.retain(|subject, _| projects.is_empty() || projects.contains(subject.as_str()));
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::to_string(&histories).unwrap_or_default())),
        OutputFormat::Text => show(session, &histories),
    }
    Ok(())
}

/// Shows which records ran side by side, newest first.
async fn show_sets(session: &Session, named: &BTreeSet<Name>) -> Result<(), CommandError> {
    let state = SourceState::look(session).await?;
    let projects = own_projects(session, named);
    let sources = state.sources(projects, Duration::ZERO);
    let periods: Vec<(&str, Vec<Period>)> = sources.iter().map(|it| (it.project, it.periods())).collect();
    let deployed = periods.iter().filter(|(_, periods)| !periods.is_empty());
    let mut found = sets(deployed.map(|(project, periods)| (*project, periods.as_slice())));
    found.retain(|set| !set.lasted().is_zero());
    found.reverse();
    if session.settings.output == OutputFormat::Json {
        let shown: Vec<ShownSet> = found.iter().map(ShownSet::from).collect();
        ui::print(&format!("{}\n", serde_json::json!(shown)));
        return Ok(());
    }
    if found.is_empty() {
        session.note(&format!("no records have been healthy side by side in '{}' yet", session.environment.name));
    }
    let version = |project: &str, record: &RecordId| {
        let deployments =
            state.histories.get(project).map(|history| history.deployments.as_slice()).unwrap_or_default();
        deployments.iter().rfind(|it| it.record == *record).map(|it| it.version.clone()).unwrap_or_default()
    };
    let row = |set: &RecordSet| {
        let records = set.records.iter().map(|(project, record)| format!("{project} {}", version(project, record)));
        let lasted = format!("{} s", set.lasted().as_secs());
        vec![set.id(), shown_time(set.from), shown_time(set.until), lasted, records.collect::<Vec<_>>().join(", ")]
    };
    let head = SETS_HEAD.map(str::to_owned).to_vec();
    ui::print(&table(&std::iter::once(head).chain(found.iter().map(row)).collect::<Vec<_>>()));
    Ok(())
}

/// Records that ran side by side, as data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownSet {
    /// What `promote --set` takes.
    id: String,
    from: Timestamp,
    until: Timestamp,
    seconds: u64,
    /// The record of each project.
    records: BTreeMap<String, RecordId>,
}

impl From<&RecordSet> for ShownSet {
    fn from(set: &RecordSet) -> Self {
        let records = set.records.iter().map(|(project, record)| (project.clone(), record.clone()));
        Self {
            id: set.id(),
            from: set.from,
            until: set.until,
            seconds: set.lasted().as_secs(),
            records: records.collect(),
        }
    }
}

fn show(session: &Session, histories: &BTreeMap<String, History>) {
    let mut rows: Vec<(Timestamp, Vec<String>)> = histories
        .iter()
        .flat_map(|(subject, history)| {
            let deployments = history.deployments.iter().map(move |it| (it.started, deployment_row(subject, it)));
            let operations = history.operations.iter().map(move |it| (it.started, operation_row(subject, it)));
            deployments.chain(operations)
        })
        .collect();
    if rows.is_empty() {
        session.note(&format!("no deployments to '{}' yet", session.environment.name));
    }
    rows.sort_by_key(|(started, _)| std::cmp::Reverse(*started));
    let head = HEAD.map(str::to_owned).to_vec();
    let rows = rows.into_iter().map(|(_, row)| row);
    ui::print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    for (subject, history) in histories {
        if let Some(hold) = &history.hold {
            let since = hold.since.strftime("%Y-%m-%d %H:%M UTC");
            ui::print_message(&format!(
                "deployments of {subject} are blocked by {} since {since}: {}",
                hold.by, hold.because
            ));
        }
    }
}

fn deployment_row(subject: &str, deployment: &Deployment) -> Vec<String> {
    let promoted = deployment.promoted_from.as_ref().map(|environment| format!("promoted from {environment}"));
    let from = promoted.into_iter().chain(deployment.bundle.clone()).chain(sources(&deployment.origin));
    vec![
        subject.to_owned(),
        shown_time(deployment.started),
        deployment.verb.clone(),
        deployment.version.clone(),
        shown_record(&deployment.record),
        deployment.outcome.as_str().to_owned(),
        deployment.origin.by.clone(),
        from.collect::<Vec<_>>().join(", "),
    ]
}

fn operation_row(subject: &str, operation: &OperationEntry) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        subject.to_owned(),
        shown_time(operation.started),
        operation.verb.clone(),
        or_none(operation.version.clone()),
        or_none(operation.record.as_ref().map(shown_record)),
        operation.outcome.as_str().to_owned(),
        operation.origin.by.clone(),
        sources(&operation.origin).collect::<Vec<_>>().join(", "),
    ]
}

/// Where an event came from, which gates it overrode, and why.
fn sources(origin: &Origin) -> impl Iterator<Item = String> {
    let run = origin.job.clone().or_else(|| origin.pipeline.clone());
    let overridden = origin.overridden.iter().map(|gate| format!("overrode {gate}"));
    let because = origin.because.as_ref().map(|because| format!("\"{because}\""));
    run.into_iter().chain(origin.commit.clone()).chain(overridden).chain(because)
}

fn shown_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn shown_record(record: &RecordId) -> String {
    record.as_str().chars().take(12).collect()
}
