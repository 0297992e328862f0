//! `cmdr promote`: deploys the healthy records of one environment to the next.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::cluster::lease::Scope,
    cli::{PromoteOptions, Via},
    domain::{
        ImageReference, Name, Presence, Problem, Promotion, RecordId, ReleaseKey,
        gate::{Gate, Refusal},
        ledger::History,
        record::Record,
    },
    error::{CommandError, ErrorKind},
    ops::remote::access::refuse_local,
    ops::{
        observe::{Observation, look_at},
        options::{ChangeRequest, PipelineRequest},
        prepared::show_urls,
        remote::{
            access::RemoteAccess,
            apply::apply,
            deploy_request::{ChangeContext, DeployRequest, Promoted, expand_enabled, is_external, presence},
            pipeline::promote_via,
            recorded_charts::chart_of,
            targets,
        },
        session::Session,
        tags::registry,
    },
    plan::eligible::Source,
    settings::Settings,
};

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
    let sessions = targets::sessions(&settings, &cancel, &options.to)?;
    let mut reached: Vec<String> = Vec::new();
    for session in &sessions {
        let name = session.environment.name.to_string();
        let result = one(&settings, &cancel, session, options, !reached.is_empty()).await;
        if let Err(error) = result {
            if sessions.len() > 1 {
                targets::report_targets(&sessions, &reached, &name);
            }
            return Err(error);
        }
        reached.push(name);
    }
    Ok(())
}

/// Promotes to one environment. With `waits`, this run has just deployed to its source, which must soak first.
async fn one(
    settings: &Settings,
    cancel: &CancellationToken,
    session: &Session,
    options: &PromoteOptions,
    waits: bool,
) -> Result<(), CommandError> {
    refuse_local(session, "use cmdr up there")?;
    let promotion = session.environment.promote.clone().ok_or_else(|| targets::nowhere(session))?;
    let source = Session::open_in(promotion.from.as_str(), settings, cancel)?;
    let (named, bundles) = expand_enabled(session, &options.projects)?;
    let projects = chosen(session, &source, &named);
    let context = ChangeContext::read(session, &ChangeRequest::from(&options.change), None)?;
    if waits && !promotion.soak.is_zero() {
        targets::wait_for_soak(&source, promotion.soak).await?;
    }
    let found = PromotionSource::look(&source, &promotion).await?;
    let eligible = found.eligible(session, &projects, options.record.as_deref(), &context)?;
    let mut request = DeployRequest {
        verb: "promote",
        only: Some(eligible.keys().cloned().collect()),
        bundles,
        brings_images: true,
        // A promotion without named projects covers the whole environment.
        whole: options.projects.is_empty(),
        ..DeployRequest::default()
    };
    let helm = session.helm().await?;
    for (project, name) in eligible {
        let namespace = &source.environment.namespace;
        let content = found.access.cluster.record(namespace, &name).await?;
        let content = content.ok_or_else(|| lost(&source, &project, &name))?;
        let chart = chart_of(&source, &helm, &found.access, namespace, &content).await?;
        let environment = source.environment.name.to_string();
        request.promoted.insert(project, Promoted { environment, record: name, content, chart });
    }
    check_scans(session, &promotion, &request, &context).await?;
    let urls = apply(session, &request, &ChangeRequest::from(&options.change)).await?;
    show_urls(session, &urls);
    Ok(())
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

/// The source of a promotion as observed.
struct PromotionSource {
    environment: String,
    access: RemoteAccess,
    observation: Observation,
    histories: BTreeMap<String, History>,
    /// The scopes that other runs have locked.
    in_work: Vec<Scope>,
    namespace: String,
    promotion: Promotion,
}

impl PromotionSource {
    async fn look(source: &Session, promotion: &Promotion) -> Result<Self, CommandError> {
        let access = RemoteAccess::open(source).await?;
        let namespace = source.environment.namespace.clone();
        let (observation, histories, in_work) = tokio::try_join!(
            look_at(&access.cluster, source.workspace().as_str(), None),
            access.cluster.histories(&namespace),
            access.cluster.held_scopes(&namespace),
        )?;
        let environment = source.environment.name.to_string();
        Ok(Self { environment, access, observation, histories, in_work, namespace, promotion: promotion.clone() })
    }

    /// Reports a newer record that is not promoted, and why.
    fn note_younger_records(&self, session: &Session, source: &Source<'_>, chosen: &RecordId) {
        let Some(newest) = source.history.and_then(History::current).filter(|newest| newest.record != *chosen) else {
            return;
        };
        session.note(&format!(
            "{}: {} of '{}' is not promoted: it has not been healthy for {} s",
            source.project,
            newest.version,
            self.environment,
            self.promotion.soak.as_secs()
        ));
    }

    /// The eligible record of each project.
    ///
    /// # Errors
    /// The refusals of all projects without one.
    fn eligible(
        &self,
        session: &Session,
        projects: &BTreeSet<Name>,
        record: Option<&str>,
        context: &ChangeContext,
    ) -> Result<BTreeMap<Name, RecordId>, CommandError> {
        let (mut eligible, mut refused) = (BTreeMap::new(), Vec::new());
        for project in projects {
            let live = self.observation.observed.releases.get(&ReleaseKey::new(&self.namespace, project.as_str()));
            let is_meant = |scope: &Scope| match scope {
                Scope::Environment => true,
                Scope::Projects(names) => names.contains(project.as_str()),
            };
            let source = Source {
                project: project.as_str(),
                environment: &self.environment,
                history: self.histories.get(project.as_str()),
                live,
                in_work: self.in_work.iter().any(is_meant),
                soak: self.promotion.soak,
                now: Timestamp::now(),
            };
            match source.eligible(record, context.overrides.contains(&Gate::Soak)) {
                Ok(name) => {
                    if record.is_none() {
                        self.note_younger_records(session, &source, &name);
                    }
                    eligible.insert(project.clone(), name);
                }
                Err(refusal) => refused.push(refusal.to_problem()),
            }
        }
        if refused.is_empty() {
            return Ok(eligible);
        }
        Err(CommandError { kind: ErrorKind::Refused, problems: refused, report: None })
    }
}

/// `promote.scan`: an artifact of that type must be attached to each image.
async fn check_scans(
    session: &Session,
    promotion: &Promotion,
    request: &DeployRequest,
    context: &ChangeContext,
) -> Result<(), CommandError> {
    let Some(kind) = promotion.scan.as_ref().filter(|_| !context.overrides.contains(&Gate::Scan)) else {
        return Ok(());
    };
    let registry = registry(session)?;
    let mut refused = Vec::new();
    for (project, promoted) in &request.promoted {
        for image in pinned(&promoted.content) {
            let has = registry.has_artifact(&image, kind).await;
            let cause = match has {
                Ok(true) => continue,
                Ok(false) => format!("{image} has no {kind} in its registry"),
                Err(error) => format!("{image}: cannot determine whether it was scanned: {}", error.problem().message),
            };
            let problem = Problem::new(cause).help("scan it in the pipeline and attach the result");
            refused.push(Refusal { gate: Gate::Scan, project: project.to_string(), problem }.to_problem());
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(CommandError { kind: ErrorKind::Refused, problems: refused, report: None })
}

fn pinned(content: &Record) -> Vec<ImageReference> {
    let references = content
        .images
        .iter()
        .filter_map(|(image, digest)| Some(ImageReference::parse(image).ok()?.with_digest(digest)));
    references.collect()
}
