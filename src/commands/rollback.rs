//! `cmdr rollback`: deploys an earlier record, and holds it so that the next pipeline does not undo the rollback.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::helm::{FetchedChart, Helm},
    cli::RollbackOptions,
    domain::{
        Name, Problem, RecordId,
        disk_files::file_maps,
        ledger::{DeploymentOutcome, History, ROLLBACK},
        record::Record,
        rollout::RolloutState,
    },
    error::{CommandError, ErrorKind},
    ops::remote::access::refuse_local,
    ops::{
        options::{ChangeRequest, UpRequest},
        prepared::show_urls,
        remote::{
            access::RemoteAccess,
            apply::apply,
            deploy_request::{ChangeContext, DeployRequest, Named, expand_enabled},
            recorded_charts::chart_of,
        },
        session::Session,
    },
    plan::bundle_versions::{self, BundleVersion},
};

/// # Errors
/// When there is no earlier record, or the rollback fails; the error's kind is the exit code.
pub(super) async fn rollback(session: &Session, options: &RollbackOptions) -> Result<(), CommandError> {
    refuse_local(session, "check out an earlier commit of the workspace, and run cmdr up")?;
    let named = Named::read(session, &options.projects)?;
    let (projects, bundles) = expand_enabled(session, &named.names)?;
    if let (Some(_), Some(bundle)) = (&options.record, bundles.values().next()) {
        let cause = format!("--record chooses the record of a project, but '{bundle}' is a bundle");
        let help = format!("choose a version of the bundle with {bundle}@VERSION; cmdr history lists versions");
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    // Options are checked before tools and the cluster are looked for.
    ChangeContext::read(session, &ChangeRequest::from(&options.change), None)?;
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let (histories, rollouts) = observed(session, &access).await?;
    let targets = Targets {
        environment: session.environment.name.as_str(),
        histories: &histories,
        rollouts: &rollouts,
        record: options.record.as_deref(),
        versions: &named.versions,
    };
    let records = targets.records(session, &projects, &bundles)?;
    let contents = contents(session, &helm, &access, records).await?;
    let because = options.change.because.clone();
    let request = DeployRequest {
        verb: ROLLBACK,
        // Manual changes must not block the rollback.
        up: UpRequest { repair: true, ..UpRequest::default() },
        only: Some(projects.iter().filter(|project| contents.contains_key(project.as_str())).cloned().collect()),
        bundles,
        contents,
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

/// The histories and the rollouts of the environment.
async fn observed(
    session: &Session,
    access: &RemoteAccess,
) -> Result<(BTreeMap<String, History>, BTreeMap<String, RolloutState>), CommandError> {
    let namespace = &session.environment.namespace;
    Ok(tokio::try_join!(access.cluster.histories(namespace), access.cluster.rollouts(namespace))?)
}

/// Reads the content to roll back to, by project: the record and its chart.
///
/// # Errors
/// When the ledger no longer contains a record.
async fn contents(
    session: &Session,
    helm: &Helm,
    access: &RemoteAccess,
    records: BTreeMap<String, RecordId>,
) -> Result<BTreeMap<String, (Record, FetchedChart)>, CommandError> {
    let namespace = &session.environment.namespace;
    let (mut contents, mut wrong) = (BTreeMap::new(), Vec::new());
    for (project, target) in records {
        let Some(record) = access.cluster.record(namespace, &target).await? else {
            wrong.push(Problem::new(format!("record {target} of '{project}' is no longer in the ledger")));
            continue;
        };
        for name in file_maps(&record.values) {
            if access.cluster.file_map(namespace, name).await?.is_none() {
                let cause = format!("the ConfigMap {name} with files of record {target} of '{project}' was deleted");
                wrong.push(Problem::new(cause).help("check out the commit of the record, and deploy it again"));
            }
        }
        let chart = chart_of(session, helm, access, namespace, &record).await?;
        contents.insert(project, (record, chart));
    }
    CommandError::require_none(ErrorKind::Refused, wrong)?;
    Ok(contents)
}

/// The targets of a rollback.
struct Targets<'a> {
    environment: &'a str,
    histories: &'a BTreeMap<String, History>,
    rollouts: &'a BTreeMap<String, RolloutState>,
    /// The record that was chosen for projects.
    record: Option<&'a str>,
    /// The versions that were chosen for bundles.
    versions: &'a BTreeMap<Name, String>,
}

impl Targets<'_> {
    /// The record of each project: of its bundle's version, or its own.
    ///
    /// # Errors
    /// All projects and bundles that have nothing to go back to.
    fn records(
        &self,
        session: &Session,
        projects: &BTreeSet<Name>,
        bundles: &BTreeMap<Name, Name>,
    ) -> Result<BTreeMap<String, RecordId>, CommandError> {
        let (mut records, mut wrong) = (BTreeMap::new(), Vec::new());
        for project in projects.iter().filter(|project| !bundles.contains_key(*project)) {
            let is_in_rollout = self.rollouts.get(project.as_str()).is_some_and(RolloutState::is_in_progress);
            let current = self.histories.get(project.as_str()).and_then(History::current);
            // What ran before the rollout is what the release still runs.
            if let Some(current) = current.filter(|_| is_in_rollout && self.record.is_none()) {
                records.insert(project.to_string(), current.record.clone());
                continue;
            }
            match target(project, self.histories.get(project.as_str()), self.record, self.environment) {
                Ok(record) => drop(records.insert(project.to_string(), record)),
                Err(problem) => wrong.push(problem),
            }
        }
        for bundle in bundles.values().collect::<BTreeSet<_>>() {
            let members = &session.loaded.workspace.bundles[bundle].projects;
            match self.version(bundle, members) {
                Ok(version) => {
                    let members = version.records.into_iter();
                    records.extend(members.filter(|(member, _)| projects.contains(member.as_str())));
                }
                Err(problem) => wrong.push(problem),
            }
        }
        CommandError::require_none(ErrorKind::Refused, wrong)?;
        Ok(records)
    }

    fn version(&self, bundle: &Name, members: &[Name]) -> Result<BundleVersion, Problem> {
        let list = format!("list its deployments with cmdr history {bundle} --env {}", self.environment);
        match self.versions.get(bundle) {
            Some(id) => bundle_versions::find(self.histories, members, id).ok_or_else(|| {
                Problem::new(format!("version '{id}' of the bundle '{bundle}' not found here")).help(list)
            }),
            None => bundle_versions::previous(self.histories, members).ok_or_else(|| {
                Problem::new(format!("no earlier version of the bundle '{bundle}' is known to have been healthy"))
                    .help(list)
            }),
        }
    }
}

/// The record to roll back to: the one with the given prefix, or the one before the current record.
fn target(
    project: &Name,
    history: Option<&History>,
    wanted: Option<&str>,
    environment: &str,
) -> Result<RecordId, Problem> {
    let nothing = || Problem::new(format!("'{project}' was never deployed here"));
    let history = history.ok_or_else(nothing)?;
    let Some(wanted) = wanted else {
        let current = history.current().ok_or_else(nothing)?;
        let previous = history.previous().map(|previous| previous.record.clone());
        let cause = format!("no earlier record of '{project}' is known to have been healthy before {}", current.record);
        let help =
            format!("list its records with cmdr history {project} --env {environment}, and choose one with --record");
        return previous.ok_or_else(|| Problem::new(cause).help(help));
    };
    let healthy = history.deployments.iter().filter(|it| it.outcome == DeploymentOutcome::Healthy);
    let found = healthy.into_iter().rev().find(|it| it.record.starts_with(wanted));
    found.map(|found| found.record.clone()).ok_or_else(|| {
        let cause = format!("'{project}' has no healthy deployment of record '{wanted}' here");
        Problem::new(cause).help(format!("list its records with cmdr history {project} --env {environment}"))
    })
}
