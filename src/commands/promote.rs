//! `cmdr promote`: deploys the healthy records of one environment to the next.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{PromoteOptions, Via},
    domain::{
        Environment, Name, Presence, Problem, Promotion, RecordId,
        gate::{Gate, Refusal},
        ledger::History,
    },
    error::CommandError,
    ops::{
        options::{ChangeRequest, PipelineRequest},
        remote::{
            access::{RemoteAccess, refuse_local},
            apply::is_preview,
            combination::Combination,
            deploy_request::{ChangeContext, DeployRequest, Named, Promoted, expand_enabled, is_external, presence},
            driver::apply_driven,
            pipeline::promote_via,
            recorded_charts::chart_of,
            rollouts::in_progress,
            source::{SourceState, TargetState, own_projects},
            targets::{self, Reached, Start, wait_for_soak},
        },
        session::Session,
        tags::registry,
    },
    plan::eligible::{ChosenRecords, RequestedRecords, Source, choose, steps_back},
    settings::Settings,
};

/// How many targets are promoted to side by side, unless `--parallel` says otherwise.
const PARALLEL: u8 = 4;

/// # Errors
/// When a gate refuses or a step fails; the error's kind is the exit code.
pub(super) async fn promote(
    settings: Settings,
    cancel: CancellationToken,
    options: &PromoteOptions,
) -> Result<(), CommandError> {
    if let Some(Via::Gitlab) = options.via {
        return promote_via(&settings, &cancel, &PipelineRequest::from(options)).await;
    }
    refuse_parallel(options)?;
    let sessions = targets::sessions(&settings, &cancel, &options.to)?;
    let is_several = sessions.len() > 1;
    let targets: Vec<PromotionTarget<'_>> = sessions
        .iter()
        .map(|session| PromotionTarget::read(session, is_several, (&settings, &cancel), options))
        .collect::<Result<_, _>>()?;
    let environments: Vec<&Environment> = sessions.iter().map(|session| &session.environment).collect();
    // A preview is read in the order of the targets.
    let at_once =
        if targets.iter().any(PromotionTarget::is_preview) { 1 } else { options.parallel.unwrap_or(PARALLEL) };
    let progress = targets::run_all(&environments, at_once.into(), |start| targets[start.index].promote(start)).await;
    progress.conclude(&sessions).await
}

fn refuse_parallel(options: &PromoteOptions) -> Result<(), CommandError> {
    if options.parallel.is_none() || options.to.contains('*') {
        return Ok(());
    }
    let cause = format!("--parallel has no effect on one target: '{}'", options.to);
    Err(CommandError::usage(Problem::new(cause).help("leave it out, or name a pattern: --to 'production-*'")))
}

/// A target of this run, and the request for it.
struct PromotionTarget<'a> {
    session: &'a Session,
    source: Session,
    promotion: &'a Promotion,
    change: ChangeRequest,
    wanted: Wanted,
    /// Whether rollouts only do what is due.
    is_detached: bool,
    /// When this run began.
    began: Timestamp,
}

impl<'a> PromotionTarget<'a> {
    /// Reads names and options, before tools and clusters are looked for.
    ///
    /// # Errors
    /// When something is wrong with them, or the environment is not the target of a promotion.
    fn read(
        session: &'a Session,
        is_several: bool,
        (settings, cancel): (&Settings, &CancellationToken),
        options: &PromoteOptions,
    ) -> Result<Self, CommandError> {
        refuse_local(session, "use cmdr up there")?;
        let promotion = session.environment.promote.as_ref().ok_or_else(|| targets::nowhere(session))?;
        let source = Session::open_in(promotion.from.as_str(), settings, cancel)?;
        let mut change = ChangeRequest::from(&options.change);
        if is_several {
            change = change.for_environment(session.environment.name.as_str());
        }
        let wanted = Wanted::read(session, &source, options)?;
        ChangeContext::read(session, &change, None)?;
        let (is_detached, began) = (options.detach, Timestamp::now());
        Ok(Self { session, source, promotion, change, wanted, is_detached, began })
    }

    fn is_preview(&self) -> bool {
        is_preview(self.session, &self.change)
    }

    /// Whether this run has changed the source, which it promoted to before.
    async fn must_soak(&self) -> Result<bool, CommandError> {
        if self.promotion.soak.is_zero() || self.is_preview() {
            return Ok(false);
        }
        let state = SourceState::look(&self.source).await?;
        let mut deployments = state.histories.values().filter_map(|history| history.deployments.last());
        Ok(deployments.any(|last| last.started >= self.began))
    }

    /// The projects whose rollouts a detached run has left.
    async fn unfinished(&self) -> Result<BTreeSet<String>, CommandError> {
        if !self.is_detached || self.is_preview() {
            return Ok(BTreeSet::new());
        }
        let access = RemoteAccess::open(self.session).await?;
        Ok(in_progress(self.session, &access.cluster, &[]).await?.into_keys().collect())
    }

    /// Promotes to one environment, unless another one fails before it starts.
    async fn promote(&self, start: Start) -> Result<Option<Reached>, CommandError> {
        let Self { session, source, promotion, change, wanted, .. } = self;
        if start.waits && self.must_soak().await? && !wait_for_soak(source, promotion.soak, &start.stop).await? {
            return Ok(None);
        }
        let request = request(session, source, promotion, wanted).await?;
        if self.is_preview() && session.is_one_of_several {
            session.note("planned changes:");
        }
        let request = DeployRequest { is_detached: self.is_detached, ..request };
        let urls = apply_driven(session, &request, change).await?;
        let unfinished = self.unfinished().await?;
        let promoted = request.promoted.iter().map(|(name, promoted)| {
            let note = if unfinished.contains(name.as_str()) { " (rollout in progress)" } else { "" };
            format!("{name} {}{note}", promoted.content.version)
        });
        let (environment, is_preview) = (session.environment.name.clone(), self.is_preview());
        Ok(Some(Reached { environment, promoted: promoted.collect(), urls, is_preview }))
    }
}

/// What the user asks to promote.
struct Wanted {
    /// Empty: everything.
    named: BTreeSet<Name>,
    bundles: BTreeMap<Name, Name>,
    projects: BTreeSet<Name>,
    record: Option<String>,
    /// The ID of a set.
    set: Option<String>,
}

impl Wanted {
    /// # Errors
    /// When a name is unknown or disabled in the target, or options exclude each other.
    fn read(session: &Session, source: &Session, options: &PromoteOptions) -> Result<Self, CommandError> {
        let written = Named::read(session, &options.projects)?;
        let set = set_of_bundle(&written, options)?.or(options.set.as_deref()).map(str::to_owned);
        let (named, bundles) = expand_enabled(session, &written.names)?;
        let projects = chosen(session, source, &named);
        Ok(Self { named, bundles, projects, record: options.record.clone(), set })
    }
}

/// The records to promote, with everything that refuses them.
async fn request(
    session: &Session,
    source: &Session,
    promotion: &Promotion,
    wanted: &Wanted,
) -> Result<DeployRequest, CommandError> {
    let Wanted { named, bundles, projects, record, set } = wanted;
    let requested = RequestedRecords { record: record.as_deref(), set: set.as_deref() };
    let state = SourceState::look(source).await?;
    let target_state = TargetState::look(session).await?;
    let sources = target_state.compared(session, state.sources(projects, promotion.soak));
    let scope = own_projects(source, named);
    let ChosenRecords { records, mut refused } = choose(&sources, &state.sources(scope, promotion.soak), requested);
    if requested.record.is_none() && requested.set.is_none() {
        note_younger_records(session, &state, promotion, &records);
    }
    note_steps_back(session, &sources, &records);
    let target_state = &target_state;
    let combination = Combination { source, target: session, state: &state, target_state, records: &records };
    refused.extend(combination.refusals().await?);
    let promoted = promoted(source, &state, &records).await?;
    refused.extend(missing_scans(session, promotion, &promoted).await?);
    Ok(DeployRequest {
        verb: "promote",
        only: Some(promoted.keys().cloned().collect()),
        promoted,
        bundles: bundles.clone(),
        refused,
        // A promotion without named projects covers the whole environment.
        whole: named.is_empty(),
        ..DeployRequest::default()
    })
}

/// The version of `NAME@VERSION`: it is the ID of a set of the bundle's members.
fn set_of_bundle<'a>(written: &'a Named, options: &PromoteOptions) -> Result<Option<&'a str>, CommandError> {
    let Some((bundle, version)) = written.versions.first_key_value() else { return Ok(None) };
    if written.names.len() == 1 && options.set.is_none() && options.record.is_none() {
        return Ok(Some(version));
    }
    let cause = format!("'{bundle}@{version}' cannot be combined with other projects, --set or --record");
    Err(CommandError::usage(Problem::new(cause).help("promote it with a command of its own")))
}

/// Reads the content of each record from the source's ledger.
async fn promoted(
    source: &Session,
    state: &SourceState,
    records: &BTreeMap<String, RecordId>,
) -> Result<BTreeMap<Name, Promoted>, CommandError> {
    let helm = source.helm().await?;
    let namespace = &source.environment.namespace;
    let projects = &source.loaded.workspace.projects;
    let mut promoted = BTreeMap::new();
    for (project, record) in records {
        let Some((project, _)) = projects.get_key_value(project.as_str()) else { continue };
        let content = state.access.cluster.record(namespace, record).await?;
        let content = content.ok_or_else(|| lost(source, project, record))?;
        let chart = chart_of(source, &helm, &state.access, namespace, &content).await?;
        let environment = source.environment.name.to_string();
        let history = state.histories.get(project.as_str());
        let verify_images = history.map(|history| history.verify_images_of(record)).unwrap_or_default();
        let record = record.clone();
        promoted.insert(project.clone(), Promoted { environment, record, content, chart, verify_images });
    }
    Ok(promoted)
}

fn lost(source: &Session, project: &Name, record: &RecordId) -> CommandError {
    let cause = format!("record {record} of '{project}' not found in the ledger of '{}'", source.environment.name);
    CommandError::failed(Problem::new(cause))
}

/// The projects to promote: those named, or all that are enabled in both environments; without those that are external
/// in either environment.
fn chosen(session: &Session, source: &Session, named: &BTreeSet<Name>) -> BTreeSet<Name> {
    let all = session.loaded.workspace.projects.keys();
    let is_enabled = |name: &Name| {
        [session, source].iter().all(|session| presence(session, name.as_str()) == Some(Presence::Enabled))
    };
    let is_wanted = |name: &Name| if named.is_empty() { is_enabled(name) } else { named.contains(name) };
    let (external, own): (Vec<&Name>, Vec<&Name>) = all
        .filter(|name| is_wanted(name))
        .partition(|project| is_external(session, project.as_str()) || is_external(source, project.as_str()));
    if !external.is_empty() {
        let names: Vec<&str> = external.into_iter().map(Name::as_str).collect();
        session.note(&format!("skipped external projects: {}", names.join(", ")));
    }
    own.into_iter().cloned().collect()
}

/// Reports newer records that are not promoted, and why.
fn note_younger_records(
    session: &Session,
    state: &SourceState,
    promotion: &Promotion,
    records: &BTreeMap<String, RecordId>,
) {
    let together = if records.len() > 1 { " side by side with the others" } else { "" };
    for (project, chosen) in records {
        let current = state.histories.get(project).and_then(History::current);
        let Some(newest) = current.filter(|newest| newest.record != *chosen) else { continue };
        let (version, seconds) = (&newest.version, promotion.soak.as_secs());
        session.note(&format!(
            "{project}: {version} of '{}' is not promoted: it has not been healthy{together} for {seconds} s",
            promotion.from
        ));
    }
}

/// Reports the records that are older than what the target runs.
fn note_steps_back(session: &Session, sources: &[Source<'_>], records: &BTreeMap<String, RecordId>) {
    for source in steps_back(sources, records) {
        let (project, version) = (source.project, source.version_of(&records[source.project]));
        let (environment, runs) = source.target.map(|it| (it.environment, it.version)).unwrap_or_default();
        session.note(&format!("{project}: {version} is older than {runs}, which '{environment}' runs"));
    }
}

/// The images without the artifact of `promote.scan` in their registry.
async fn missing_scans(
    session: &Session,
    promotion: &Promotion,
    promoted: &BTreeMap<Name, Promoted>,
) -> Result<Vec<Refusal>, CommandError> {
    let Some(kind) = &promotion.scan else { return Ok(Vec::new()) };
    let registry = registry(session)?;
    let mut refused = Vec::new();
    for (project, promoted) in promoted {
        for image in promoted.content.pinned_images() {
            let has = registry.has_artifact(&image, kind).await;
            let cause = match has {
                Ok(true) => continue,
                Ok(false) => format!("{image} has no {kind} in its registry"),
                Err(error) => format!("{image}: cannot determine whether it was scanned: {}", error.problem().message),
            };
            let problem = Problem::new(cause).help("scan it in the pipeline and attach the result");
            refused.push(Refusal { gate: Gate::Scan, project: project.to_string(), problem });
        }
    }
    Ok(refused)
}
