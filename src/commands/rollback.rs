//! `cmdr rollback`: deploys an earlier record, and holds it so that the next pipeline does not undo the rollback.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::helm::{FetchedChart, Helm},
    cli::RollbackOptions,
    domain::{
        Name, Problem, RecordId,
        ledger::{DeploymentOutcome, History, ROLLBACK},
        record::Record,
    },
    error::{CommandError, ErrorKind},
    ops::remote::access::refuse_local,
    ops::{
        options::{ChangeRequest, UpRequest},
        prepared::show_urls,
        remote::{
            access::RemoteAccess,
            apply::apply,
            deploy_request::{ChangeContext, DeployRequest, expand_enabled},
            recorded_charts::chart_of,
        },
        session::Session,
    },
};

/// # Errors
/// When there is no earlier record, or the rollback fails; the error's kind is the exit code.
pub(super) async fn rollback(session: &Session, options: &RollbackOptions) -> Result<(), CommandError> {
    refuse_local(session, "check out an earlier commit of the workspace, and run cmdr up")?;
    let (projects, bundles) = expand_enabled(session, &options.projects)?;
    // Options are checked before tools and the cluster are looked for.
    ChangeContext::read(session, &ChangeRequest::from(&options.change), None)?;
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let contents = contents(session, &helm, &access, &projects, options.record.as_deref()).await?;
    let because = options.change.because.clone();
    let request = DeployRequest {
        verb: ROLLBACK,
        // Manual changes must not block the rollback.
        up: UpRequest { repair: true, ..UpRequest::default() },
        only: Some(projects.clone()),
        bundles,
        contents,
        brings_images: true,
        hold: Some(because.unwrap_or_else(|| "rolled back".to_owned())),
        ..DeployRequest::default()
    };
    let urls = apply(session, &request, &ChangeRequest::from(&options.change)).await?;
    show_urls(session, &urls);
    if !session.settings.dry_run {
        let held: Vec<&str> = projects.iter().map(Name::as_str).collect();
        let held = held.join(" ");
        session.note(&format!("deployments are blocked until cmdr unhold {held} --env {}", session.environment.name));
    }
    Ok(())
}

/// The content to roll back to, by project: the record and its chart.
///
/// # Errors
/// When a project has no such record, with all of these problems at once.
async fn contents(
    session: &Session,
    helm: &Helm,
    access: &RemoteAccess,
    projects: &BTreeSet<Name>,
    wanted: Option<&str>,
) -> Result<BTreeMap<String, (Record, FetchedChart)>, CommandError> {
    let namespace = &session.environment.namespace;
    let histories = access.cluster.histories(namespace).await?;
    let (mut contents, mut wrong) = (BTreeMap::new(), Vec::new());
    for project in projects {
        let target = match target(project, histories.get(project.as_str()), wanted) {
            Ok(target) => target,
            Err(problem) => {
                wrong.push(problem);
                continue;
            }
        };
        let Some(record) = access.cluster.record(namespace, &target).await? else {
            wrong.push(Problem::new(format!("record {target} of '{project}' is no longer in the ledger")));
            continue;
        };
        let chart = chart_of(session, helm, access, namespace, &record).await?;
        contents.insert(project.to_string(), (record, chart));
    }
    if wrong.is_empty() {
        return Ok(contents);
    }
    Err(CommandError { kind: ErrorKind::Refused, problems: wrong, report: None })
}

/// The record to roll back to: the one with the given prefix, or the one before the current record.
fn target(project: &Name, history: Option<&History>, wanted: Option<&str>) -> Result<RecordId, Problem> {
    let nothing = || Problem::new(format!("'{project}' was never deployed here"));
    let history = history.ok_or_else(nothing)?;
    let Some(wanted) = wanted else {
        let current = history.current().ok_or_else(nothing)?;
        let previous = history.previous().map(|previous| previous.record.clone());
        let cause = format!("no earlier record of '{project}' is known to have been healthy before {}", current.record);
        let help = format!("list its records with cmdr history {project}, and choose one with --record");
        return previous.ok_or_else(|| Problem::new(cause).help(help));
    };
    let healthy = history.deployments.iter().filter(|it| it.outcome == DeploymentOutcome::Healthy);
    let found = healthy.into_iter().rev().find(|it| it.record.starts_with(wanted));
    found.map(|found| found.record.clone()).ok_or_else(|| {
        let cause = format!("'{project}' has no healthy deployment of record '{wanted}' here");
        Problem::new(cause).help(format!("list its records with cmdr history {project}"))
    })
}
