//! The desired state of an environment other than `local`, with every image pinned to its digest.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{cluster::ledger, registry::Registry},
    domain::{ImageReference, Name, Problem, ResolvedProject, ledger::History, ports::STANDARD, record::Record},
    error::{CommandError, ErrorKind},
    ops::{
        describe::describe,
        logins::keep_logins,
        manifest::ClusterRendering,
        observe::{Observation, look_at},
        prepared::Prepared,
        remote::{
            access::RemoteAccess,
            deploy_request::DeployRequest,
            images::{EnvironmentState, look_up_rendered, new_images},
        },
        secrets::external_secrets_in,
        selection::Selection,
        session::Session,
        tags::{pin, registry, resolved},
    },
    plan::{Change, Refresh, ReleaseSpec, VerifySpec, gates::NewImage, known_images::KnownImages, up::Described},
};

/// What is known about an environment's cluster besides its releases.
#[derive(Debug, Clone)]
pub struct Remote {
    pub access: RemoteAccess,
    /// By the name of the release in the ledger.
    pub histories: BTreeMap<String, History>,
    /// Images that were not promoted to an environment that gets images only by promotion.
    pub new_images: Vec<NewImage>,
}

/// Observes the environment and describes its desired state; changes nothing.
///
/// # Errors
/// When the cluster is the wrong one, an image does not exist, or something is invalid: all problems at once.
pub async fn prepare(session: &Session, request: &DeployRequest) -> Result<Prepared<Remote>, CommandError> {
    let mut selection = select(session, request)?;
    let Prepared { helm, observation, target: Remote { access, histories, .. }, .. } = observe(session).await?;
    let environment = &session.environment;
    let state = EnvironmentState { access: &access, environment, observation: &observation, histories: &histories };
    state.choose_images(request, &mut selection).await?;
    let mut described = describe(session, &helm, &selection, &request.up, STANDARD).await?;
    described.policy.refresh = if request.resolves_tags() { Refresh::ByRecord } else { Refresh::No };
    let settled = if request.resolves_tags() { BTreeSet::new() } else { unchanged(&described, &observation) };
    let registry = registry(session)?;
    let known = state.known_images(request, &selection, &settled).await?;
    let trusted = if request.up.refresh { &BTreeMap::new() } else { &known };
    pin(session, &registry, (&selection, &settled), trusted, &mut described).await?;
    let rendering = ClusterRendering { session, helm: &helm, target: access.target(), observation: &observation };
    look_up_rendered(&rendering, &registry, (&selection, &settled), &mut described).await?;
    add_verifications(session, &registry, (&selection, &settled), trusted, &mut described).await?;
    let new_images = new_images(session, request, &selection, &described, &known);
    keep_logins(session, &mut described).await?;
    Ok(Prepared { helm, described, observation, target: Remote { access, histories, new_images } })
}

/// Observes the environment without describing it; changes nothing.
///
/// # Errors
/// When the cluster is the wrong one, or does not respond.
pub(super) async fn observe(session: &Session) -> Result<Prepared<Remote>, CommandError> {
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let (mut observation, histories, rollouts) = tokio::try_join!(
        look_at(&access.cluster, session.workspace().as_str(), external_secrets_in(session)),
        access.cluster.histories(&session.environment.namespace),
        access.cluster.rollouts(&session.environment.namespace),
    )?;
    observation.observed.rollouts = rollouts;
    observation.unreadable.iter().for_each(|warning| session.note(warning));
    let target = Remote { access, histories, new_images: Vec::new() };
    Ok(Prepared { helm, described: Described::default(), observation, target })
}

/// The projects that already run as written, whose tags need not be resolved.
fn unchanged(written: &Described, observation: &Observation) -> BTreeSet<Name> {
    let runs_so = |release: &ReleaseSpec| {
        matches!(observation.observed.change(release, written), Change::Unchanged | Change::Await)
    };
    let projects = written.projects.iter().filter(|project| runs_so(&project.release));
    projects.map(|project| project.name.clone()).collect()
}

fn select(session: &Session, request: &DeployRequest) -> Result<Selection, CommandError> {
    let mut selection = match &request.only {
        Some(names) => Selection::only(session, names, &request.up.set)?,
        None => Selection::choose(session, &request.up)?,
    };
    refuse_unselected(request, &selection)?;
    selection.platform = request.only.is_some().then(BTreeSet::new);
    selection.contents.clone_from(&request.contents);
    selection.files.clone_from(&request.files);
    for project in &mut selection.projects {
        if let Some(version) = &request.chart_version
            && project.chart.version.is_some()
        {
            project.chart.version = Some(version.clone());
        }
        if let Some(version) = request.app_version.as_ref().filter(|_| project.is_on_universal_chart()) {
            project.write_version(version);
        }
        if let Some(promoted) = request.promoted.get(&project.name) {
            selection.charts.insert(project.name.clone(), promoted.chart.clone());
        }
    }
    Ok(selection)
}

/// Refuses images for projects that are not selected.
fn refuse_unselected(request: &DeployRequest, selection: &Selection) -> Result<(), CommandError> {
    let is_selected = |name: &Name| selection.projects.iter().any(|project| project.name == *name);
    let problem = |name: &Name| {
        Problem::new(format!("--tag: '{name}' is not among the selected projects"))
            .help(format!("name '{name}' too, or leave out its tag"))
    };
    let problems: Vec<Problem> = request.images.keys().filter(|name| !is_selected(name)).map(problem).collect();
    CommandError::require_none(ErrorKind::Usage, problems)
}

/// Adds the Jobs of `verify`, each with an exact image: its own, or the project's.
async fn add_verifications(
    session: &Session,
    registry: &Registry,
    (selection, settled): (&Selection, &BTreeSet<Name>),
    known: &BTreeMap<Name, KnownImages>,
    described: &mut Described,
) -> Result<(), CommandError> {
    let exact = |project: &Name, image: &ImageReference| known.get(project).and_then(|known| known.exact(image));
    let changing: BTreeMap<&Name, &ResolvedProject> = selection
        .projects
        .iter()
        .filter(|project| !settled.contains(&project.name))
        .map(|project| (&project.name, project))
        .collect();
    let written: Vec<ImageReference> = changing
        .iter()
        .flat_map(|(name, project)| project.verify.values().map(move |verify| (*name, verify)))
        .filter_map(|(project, verify)| verify.image.clone().filter(|image| exact(project, image).is_none()))
        .collect();
    let pinned = resolved(session, registry, &written).await?;
    let mut wrong = Vec::new();
    for project in &mut described.projects {
        let Some(resolved) = changing.get(&project.name) else { continue };
        let own = own_image(resolved, &project.release.content);
        for (name, verify) in &resolved.verify {
            let of_job = |image: &ImageReference| {
                exact(&project.name, image).or_else(|| pinned.get(&image.to_string()).cloned())
            };
            let Some(image) = verify.image.as_ref().and_then(of_job).or_else(|| own.clone()) else {
                wrong.push(no_job_image(&project.name, name));
                continue;
            };
            project.verifications.push(VerifySpec {
                project: project.name.clone(),
                name: name.clone(),
                namespace: session.environment.namespace.clone(),
                image: image.to_string(),
                command: verify.command.clone(),
                when: verify.when,
                timeout_seconds: verify.timeout.as_secs().max(1),
            });
        }
    }
    CommandError::require_none(ErrorKind::Usage, wrong)
}

/// The image of the project itself: the one that its values name, or the only one that its chart renders.
fn own_image(project: &ResolvedProject, content: &Record) -> Option<ImageReference> {
    let pinned = content.pinned_images();
    let Some(image) = project.image_in(&content.values) else {
        return <[ImageReference; 1]>::try_from(pinned).ok().map(|[only]| only);
    };
    let is_same = |exact: &&ImageReference| exact.full().starts_with(&format!("{}@", image.full()));
    Some(pinned.iter().find(is_same).cloned().unwrap_or(image))
}

fn no_job_image(project: &Name, job: &Name) -> Problem {
    let cause =
        format!("the verify Job '{job}' has no image: the chart of '{project}' does not name the project's image");
    Problem::new(cause).help(format!("set projects.{project}.verify.{job}.image"))
}

/// The name in the ledger for a release of this environment.
pub fn subject(session: &Session, release: &ReleaseSpec) -> String {
    ledger::subject(&session.environment.namespace, &release.namespace, release.project())
}
