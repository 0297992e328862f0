//! Previews of a change: differences from the live objects, and plan files for review.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        Problem,
        digest::sha256,
        record::{Record, RecordId},
    },
    error::{CommandError, ErrorKind},
    ops::{
        manifest::ClusterRendering,
        prepared::Prepared,
        remote::prepare::{Remote, subject},
        session::Session,
    },
    plan::{Plan, Planned, Step},
    settings::OutputFormat,
    ui,
};

/// A plan for review.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PlanFile {
    version: u32,
    workspace: String,
    environment: String,
    /// UID of namespace `kube-system`.
    cluster: String,
    /// What each release would become, by its name in the ledger.
    changes: BTreeMap<String, PlannedChange>,
    /// Hash of everything else that the steps do.
    steps: String,
}

/// One release of a [`PlanFile`].
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PlannedChange {
    action: String,
    reason: String,
    /// The observed record and its revision; `None` if there was none.
    found: Option<(RecordId, u32)>,
    record: RecordId,
    content: Record,
}

fn plan_file(session: &Session, prepared: &Prepared<Remote>, plan: &Plan) -> PlanFile {
    let changes = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Deploy(spec) => Some((planned, spec)),
        _ => None,
    });
    let changes = changes.map(|(planned, spec)| {
        let release = &spec.release;
        let found = prepared.observation.observed.releases.get(&release.key());
        let change = PlannedChange {
            action: planned.step.action().to_owned(),
            reason: planned.reason.clone(),
            found: found.map(|release| (release.record().unwrap_or_default(), release.revision)),
            record: release.record.clone(),
            content: release.content.clone(),
        };
        (subject(session, release), change)
    });
    let steps: Vec<String> = plan.changes().map(render_change).collect();
    PlanFile {
        version: 1,
        workspace: session.workspace().to_string(),
        environment: session.environment.name.to_string(),
        cluster: prepared.target.access.identity.clone(),
        changes: changes.collect(),
        steps: sha256(steps.join("\n").as_bytes()),
    }
}

/// A step other than a release, with the checksum of an external project's service.
fn render_change(planned: &Planned) -> String {
    let leads = match &planned.step {
        Step::External(spec) => spec.checksum.as_str(),
        _ => "",
    };
    let needs: BTreeSet<usize> = planned.needs.iter().map(|need| need.index()).collect();
    format!("{} {} {needs:?}{leads}", planned.step.action(), planned.step.subject())
}

/// Writes a plan for review.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_plan(
    session: &Session,
    prepared: &Prepared<Remote>,
    plan: &Plan,
    file: &Path,
) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(&plan_file(session, prepared, plan)).unwrap_or_default();
    ui::write_output_file(file, &(text + "\n"))
        .map_err(|error| CommandError::failed(Problem::new(format!("cannot write {}: {error}", file.display()))))
}

/// Refuses a plan that differs from the reviewed one.
///
/// # Errors
/// With exit code 14 when it was created for another cluster, with 10 when anything else differs.
pub(super) fn confirm_plan(
    session: &Session,
    prepared: &Prepared<Remote>,
    plan: &Plan,
    file: &Path,
) -> Result<(), CommandError> {
    let wrong = |reason: String| {
        CommandError::usage(Problem::new(format!("the plan {} cannot be used: {reason}", file.display())))
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let reviewed: PlanFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let now = plan_file(session, prepared, plan);
    if reviewed.cluster != now.cluster {
        let cause =
            format!("the plan was created for the cluster {}, but this cluster is {}", reviewed.cluster, now.cluster);
        let help = "correct the context, or create a new plan with --plan-file";
        return Err(CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help)));
    }
    let differing: Vec<String> = differing(&reviewed, &now);
    if differing.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::new("the changes no longer match the plan")
        .help("create a new plan with --plan-file, and have it reviewed");
    problem.details = differing;
    Err(CommandError::new(ErrorKind::Refused, problem))
}

fn differing(reviewed: &PlanFile, now: &PlanFile) -> Vec<String> {
    let mut differences = Vec::new();
    if (&reviewed.workspace, &reviewed.environment) != (&now.workspace, &now.environment) {
        differences.push(format!("it was created for {} of {}", reviewed.environment, reviewed.workspace));
    }
    let names: BTreeSet<&String> = reviewed.changes.keys().chain(now.changes.keys()).collect();
    for name in names {
        match (reviewed.changes.get(name), now.changes.get(name)) {
            (Some(_), None) => differences.push(format!("{name} would no longer change")),
            (None, Some(_)) => differences.push(format!("{name} would also change")),
            (Some(one), Some(other)) if one.found != other.found => {
                differences.push(format!("{name} was changed in the meantime"));
            }
            (Some(one), Some(other)) if one != other => {
                differences.push(format!("{name} would become record {} instead of {}", other.record, one.record));
            }
            _ => (),
        }
    }
    if differences.is_empty() && reviewed.steps != now.steps {
        differences.push("the steps other than releases differ".to_owned());
    }
    differences
}

/// Prints what would change in the live objects, according to the API server; the contents of Secrets are masked.
///
/// # Errors
/// When a chart does not render or the API returns an error.
pub(super) async fn show_differences(
    session: &Session,
    prepared: &Prepared<Remote>,
    plan: &Plan,
) -> Result<(), CommandError> {
    if session.settings.output == OutputFormat::Json {
        return Ok(());
    }
    let (access, observation) = (&prepared.target.access, &prepared.observation);
    let rendering = ClusterRendering { session, helm: &prepared.helm, target: access.target(), observation };
    for planned in &plan.steps {
        let Step::Deploy(spec) = &planned.step else { continue };
        let manifest = rendering.manifest(&spec.release).await?;
        let differences = access.cluster.differences(&manifest, &spec.release.namespace).await?;
        for difference in differences {
            ui::print(&ui::difference::render(&difference, session.settings.color));
        }
    }
    Ok(())
}
