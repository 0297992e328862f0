//! The desired state of an environment other than `local`, with every image pinned to its digest.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{
        cluster::{images_of_manifest, ledger},
        helm::Helm,
        registry::Registry,
    },
    domain::{
        Environment, ImageReference, ImagesIn, Name, Problem, ReleaseKey, ResolvedProject, Values, Verify,
        ledger::History,
    },
    error::{CommandError, ErrorKind},
    ops::manifest::manifest,
    ops::{
        describe::describe,
        logins::keep_logins,
        observe::{Observation, look_at},
        prepared::Prepared,
        remote::{access::RemoteAccess, deploy_request::DeployRequest},
        secrets::external_secrets_in,
        selection::Selection,
        session::Session,
        tags::{pin, registry, resolved},
    },
    plan::{Change, Refresh, ReleaseSpec, VerifySpec, up::Described},
};

/// The port of the URLs of a remote environment.
const HTTP_PORT: u16 = 80;

/// What is known about an environment's cluster besides its releases.
#[derive(Debug, Clone)]
pub struct Remote {
    pub access: RemoteAccess,
    /// By the name of the release in the ledger.
    pub histories: BTreeMap<String, History>,
    /// New images in an environment that gets images only by promotion, by project.
    pub new_images: Vec<(String, String)>,
}

/// Observes the environment and describes its desired state; changes nothing.
///
/// # Errors
/// When the cluster is the wrong one, an image does not exist, or something is invalid: all problems at once.
pub async fn prepare(session: &Session, request: &DeployRequest) -> Result<Prepared<Remote>, CommandError> {
    let mut selection = select(session, request)?;
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let environment = &session.environment;
    let (observation, histories) = tokio::try_join!(
        look_at(&access.cluster, session.workspace().as_str(), external_secrets_in(session)),
        access.cluster.histories(&environment.namespace),
    )?;
    observation.unreadable.iter().for_each(|warning| session.note(warning));
    let known = EnvironmentState { access: &access, environment, observation: &observation, histories: &histories };
    let mut new_images = Vec::new();
    known.choose_images(request, &mut selection, &mut new_images).await?;
    let settled = if request.resolves_tags() {
        BTreeSet::new()
    } else {
        unchanged(&describe(session, &helm, &selection, &request.up, HTTP_PORT).await?, &observation)
    };
    let registry = registry(session)?;
    pin(session, &registry, &mut selection, &settled).await?;
    let mut described = describe(session, &helm, &selection, &request.up, HTTP_PORT).await?;
    described.policy.refresh = if request.resolves_tags() { Refresh::ByRecord } else { Refresh::No };
    look_up_rendered(session, &helm, &registry, (&selection, &settled), &mut described).await?;
    add_verifications(session, &registry, (&selection, &settled), &mut described).await?;
    keep_logins(session, &mut described).await?;
    Ok(Prepared { helm, described, observation, target: Remote { access, histories, new_images } })
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
    selection.platform = request.only.is_some().then(BTreeSet::new);
    selection.contents.clone_from(&request.contents);
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

/// The environment as observed.
struct EnvironmentState<'a> {
    access: &'a RemoteAccess,
    environment: &'a Environment,
    observation: &'a Observation,
    histories: &'a BTreeMap<String, History>,
}

impl EnvironmentState<'_> {
    /// Chooses each project's image: from the request, else from the latest record if the workspace names no tag or
    /// images arrive only by promotion, else from the workspace.
    async fn choose_images(
        &self,
        request: &DeployRequest,
        selection: &mut Selection,
        new_images: &mut Vec<(String, String)>,
    ) -> Result<(), CommandError> {
        let mut missing = Vec::new();
        for project in &mut selection.projects {
            if request.contents.contains_key(project.name.as_str()) || !project.is_on_universal_chart() {
                continue;
            }
            if let Some(promoted) = request.promoted.get(&project.name) {
                let promoted = ImagesIn(&promoted.content.values);
                project.use_images(|container, _| promoted.of(container));
                continue;
            }
            let latest = match self.latest_values(&project.name).await? {
                None => self.values_of_source(&project.name).await?,
                known => known,
            };
            let of_record = latest.as_ref().and_then(|values| ImagesIn(values).main());
            let written = project.image.clone();
            let is_exact = |image: &ImageReference| image.tag.is_some() || image.digest.is_some();
            let chosen = match (request.images.get(&project.name), of_record) {
                (Some(image), _) => Some(image.clone()),
                (None, Some(record)) if request.only.is_some() && self.environment.promote.is_some() => Some(record),
                (None, record) => written.filter(is_exact).or(record),
            };
            match chosen {
                Some(image) => project.use_image(image),
                None => missing.push(no_image(project)),
            }
            if self.environment.promote.is_some() && !request.brings_images {
                new_images.extend(is_new(project, latest.as_ref()));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(CommandError { kind: ErrorKind::Usage, problems: missing, report: None })
    }

    /// For a review environment without a record of a project: the values that run in its source environment.
    async fn values_of_source(&self, project: &Name) -> Result<Option<Values>, CommandError> {
        let Some(copy) = &self.environment.copy else { return Ok(None) };
        let cluster = &self.access.cluster;
        let histories = cluster.histories(&copy.namespace).await?;
        let Some(current) = histories.get(project.as_str()).and_then(History::current) else { return Ok(None) };
        let record = cluster.record(&copy.namespace, &current.record).await?;
        Ok(record.map(|record| record.values))
    }

    /// The values of the latest record of a project that was observed to be healthy.
    async fn latest_values(&self, project: &Name) -> Result<Option<Values>, CommandError> {
        let Some(current) = self.histories.get(project.as_str()).and_then(History::current) else { return Ok(None) };
        let key = ReleaseKey::new(&self.environment.namespace, project.as_str());
        if let Some(release) = self.observation.observed.releases.get(&key)
            && release.status == "deployed"
            && release.record().as_ref() == Some(&current.record)
        {
            return Ok(Some(release.values.clone()));
        }
        let record = self.access.cluster.record(&self.environment.namespace, &current.record).await;
        Ok(record?.map(|record| record.values))
    }
}

/// The image that a project would get, if its environment's record does not have it.
fn is_new(project: &ResolvedProject, latest: Option<&Values>) -> Option<(String, String)> {
    let image = project.image.as_ref()?;
    let same = |known: &ImageReference| {
        let tagged = |image: &ImageReference| image.to_string().split('@').next().unwrap_or_default().to_owned();
        known == image || image.digest.is_none() && tagged(known) == tagged(image)
    };
    let known = latest.and_then(|values| ImagesIn(values).main());
    (!known.as_ref().is_some_and(same)).then(|| (project.name.to_string(), image.to_string()))
}

fn no_image(project: &ResolvedProject) -> Problem {
    let cause =
        format!("'{}' has no image here: projects.yaml names no tag, and none was deployed before", project.name);
    let help = match project.image {
        Some(_) => format!("deploy one with cmdr deploy {}=TAG", project.name),
        // An image that is built here stays here.
        None => "write `image: REPOSITORY` beside `build`, and deploy with cmdr deploy PROJECT=TAG"
            .replace("PROJECT", project.name.as_str()),
    };
    Problem::new(cause).help(help)
}

/// For projects with their own chart, which determines the images: renders it, and adds the digests of its images to
/// the record. The running pods are compared with them.
async fn look_up_rendered(
    session: &Session,
    helm: &Helm,
    registry: &Registry,
    (selection, settled): (&Selection, &BTreeSet<Name>),
    described: &mut Described,
) -> Result<(), CommandError> {
    let is_known = |name: &Name| settled.contains(name) || selection.contents.contains_key(name.as_str());
    let foreign: BTreeSet<&Name> = selection
        .projects
        .iter()
        .filter(|project| !project.is_on_universal_chart() && !is_known(&project.name))
        .map(|project| &project.name)
        .collect();
    for project in described.projects.iter_mut().filter(|project| foreign.contains(&project.name)) {
        let written = rendered_images(session, helm, &project.release).await?;
        let pinned = resolved(session, registry, &written).await?;
        let digest =
            |image: &ImageReference| Some((image.to_string(), pinned.get(&image.to_string())?.digest.clone()?));
        project.release.content.images = written.iter().filter_map(digest).collect();
        project.release.record = project.release.content.id();
    }
    Ok(())
}

/// Adds the Jobs of `verify`, each with an exact image: its own, or the project's.
async fn add_verifications(
    session: &Session,
    registry: &Registry,
    (selection, settled): (&Selection, &BTreeSet<Name>),
    described: &mut Described,
) -> Result<(), CommandError> {
    let verified: BTreeMap<&Name, &BTreeMap<Name, Verify>> = selection
        .projects
        .iter()
        .filter(|project| !settled.contains(&project.name))
        .map(|project| (&project.name, &project.verify))
        .collect();
    let written: Vec<ImageReference> =
        verified.values().flat_map(|jobs| jobs.values()).filter_map(|verify| verify.image.clone()).collect();
    let pinned = resolved(session, registry, &written).await?;
    for project in &mut described.projects {
        let own = ImagesIn(&project.release.content.values).main().map(|image| image.to_string()).unwrap_or_default();
        let verifications = verified.get(&project.name).copied().into_iter().flatten().map(|(name, verify)| {
            let image = verify.image.as_ref().and_then(|image| pinned.get(&image.to_string()));
            VerifySpec {
                project: project.name.clone(),
                name: name.clone(),
                namespace: session.environment.namespace.clone(),
                image: image.map_or_else(|| own.clone(), ToString::to_string),
                command: verify.command.clone(),
                when: verify.when,
                timeout_seconds: verify.timeout.as_secs().max(1),
            }
        });
        project.verifications = verifications.collect();
    }
    Ok(())
}

async fn rendered_images(
    session: &Session,
    helm: &Helm,
    release: &ReleaseSpec,
) -> Result<Vec<ImageReference>, CommandError> {
    let manifest = manifest(session, helm, release).await?;
    let images = images_of_manifest(&manifest)?;
    Ok(images.iter().filter_map(|image| ImageReference::parse(image).ok()).collect())
}

/// The name in the ledger for a release of this environment.
pub fn subject(session: &Session, release: &ReleaseSpec) -> String {
    ledger::subject(&session.environment.namespace, &release.namespace, &release.name)
}
