//! The images of a remote environment: which ones its projects run, and which of them were never promoted to it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use crate::{
    adapters::{cluster::images_of_manifest, registry::Registry},
    domain::{
        Environment, ImageReference, ImagesIn, Name, Problem, ReleaseKey, ResolvedProject, Values,
        images_in::Container, ledger::History, record::Record,
    },
    error::{CommandError, ErrorKind},
    ops::{
        manifest::ClusterRendering,
        observe::Observation,
        remote::{access::RemoteAccess, deploy_request::DeployRequest},
        selection::Selection,
        session::Session,
        tags::resolved,
    },
    plan::{gates::NewImage, known_images::KnownImages, up::Described},
};

/// An environment as observed.
pub(super) struct EnvironmentState<'a> {
    pub access: &'a RemoteAccess,
    pub environment: &'a Environment,
    pub observation: &'a Observation,
    pub histories: &'a BTreeMap<String, History>,
}

impl EnvironmentState<'_> {
    /// Chooses each project's image: from the request, else from the latest record if the workspace names no tag or
    /// images arrive only by promotion, else from the workspace.
    ///
    /// # Errors
    /// All projects without an image.
    pub(super) async fn choose_images(
        &self,
        request: &DeployRequest,
        selection: &mut Selection,
    ) -> Result<(), CommandError> {
        let mut missing = Vec::new();
        for project in &mut selection.projects {
            if request.contents.contains_key(project.name.as_str()) || !project.takes_image() {
                continue;
            }
            if let Some(promoted) = request.promoted.get(&project.name) {
                take_images(project, &promoted.content.values);
                continue;
            }
            let latest = match self.latest_values(&project.name).await? {
                None => self.values_of_source(&project.name).await?,
                known => known,
            };
            let of_record = latest.as_ref().and_then(|values| project.image_in(values));
            let written = project.image.clone();
            let is_exact = |image: &ImageReference| image.tag.is_some() || image.digest.is_some();
            let chosen = match (request.images.get(&project.name), of_record) {
                (Some(image), _) => Some(image.clone()),
                (None, Some(record)) if request.only.is_some() && self.environment.promote.is_some() => Some(record),
                (None, record) => written.filter(is_exact).or(record),
            };
            match chosen {
                Some(image) => project.use_image(image),
                // A chart of its own has a default, which a record without an image in its values has kept.
                None if project.image_key.is_some()
                    && (latest.is_some() || project.image.is_none() && project.build.is_none()) =>
                {
                    project.use_default_image();
                }
                None => missing.push(no_image(project, self.environment)),
            }
        }
        CommandError::require_none(ErrorKind::Usage, missing)
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
        if let Some(record) = self.record_in_rollout(project).await? {
            return Ok(Some(record.values));
        }
        let Some(current) = self.histories.get(project.as_str()).and_then(History::current) else { return Ok(None) };
        let key = ReleaseKey::new(&self.environment.namespace, project.as_str());
        if let Some(release) = self.observation.observed.releases.get(&key)
            && release.status == "deployed"
            && release.record().as_ref() == Some(&current.record)
        {
            return Ok(Some(release.values.clone()));
        }
        Ok(self.latest_record(project).await?.map(|record| record.values))
    }

    /// The record of a rollout in progress, which is the latest one: `up` must not end the rollout.
    async fn record_in_rollout(&self, project: &Name) -> Result<Option<Record>, CommandError> {
        let state = self.observation.observed.rollouts.get(project.as_str());
        let Some(state) = state.filter(|state| state.is_in_progress()) else { return Ok(None) };
        Ok(self.access.cluster.record(&self.environment.namespace, &state.record).await?)
    }

    async fn latest_record(&self, project: &Name) -> Result<Option<Record>, CommandError> {
        let Some(current) = self.histories.get(project.as_str()).and_then(History::current) else { return Ok(None) };
        Ok(self.access.cluster.record(&self.environment.namespace, &current.record).await?)
    }

    /// The images that each project may run where images arrive only by promotion: those of the record that is
    /// promoted, and those of the environment's own latest record. Other environments have no such limit, and records
    /// that are deployed unchanged need none.
    pub(super) async fn known_images(
        &self,
        request: &DeployRequest,
        selection: &Selection,
        settled: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, KnownImages>, CommandError> {
        if self.environment.promote.is_none() {
            return Ok(BTreeMap::new());
        }
        let is_limited = |name: &&Name| !settled.contains(*name) && !request.contents.contains_key(name.as_str());
        let names = selection.projects.iter().map(|project| &project.name).filter(is_limited);
        let known = names.map(|name| async move {
            let mut known = KnownImages::default();
            if let Some(promoted) = request.promoted.get(name) {
                known.add(&promoted.content.images);
                known.add(&promoted.verify_images);
            }
            for record in [self.latest_record(name).await?, self.record_in_rollout(name).await?].into_iter().flatten() {
                known.add(&record.images);
            }
            if let Some(current) = self.histories.get(name.as_str()).and_then(History::current) {
                known.add(&current.verify_images);
            }
            Ok::<_, CommandError>((name.clone(), known))
        });
        Ok(try_join_all(known).await?.into_iter().collect())
    }
}

/// Uses the images of a record for the containers of the same name. A record of a chart of its own that has no image in
/// its values was deployed with the chart's default.
fn take_images(project: &mut ResolvedProject, values: &Values) {
    let main = project.image_in(values);
    if main.is_none() && project.image_key.is_some() {
        return project.use_default_image();
    }
    project.use_images(|container, _| match container {
        Container::Main => main.clone(),
        beside @ Container::Beside { .. } => ImagesIn(values).of(beside),
    });
}

fn no_image(project: &ResolvedProject, environment: &Environment) -> Problem {
    let (name, at) = (&project.name, &environment.name);
    let cause = format!("'{name}' has no image here: projects.yaml names no tag, and none was deployed before");
    let help = match (&project.image, &environment.promote) {
        (Some(_), Some(_)) => format!("promote one with cmdr promote {name} --to {at}"),
        (Some(_), None) => format!("deploy one with cmdr deploy {name}=TAG --env {at}"),
        // An image that is built here stays here.
        (None, _) => {
            format!("write `image: REPOSITORY` beside `build`, and deploy with cmdr deploy {name}=TAG --env {at}")
        }
    };
    Problem::new(cause).help(help)
}

/// For projects with their own chart, which determines the images: renders it for the cluster, and adds the digests of its images to
/// the record. The running pods are compared with them.
pub(super) async fn look_up_rendered(
    rendering: &ClusterRendering<'_>,
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
        let manifest = rendering.manifest(&project.release).await?;
        let images = images_of_manifest(&manifest)?;
        let written: Vec<ImageReference> =
            images.iter().filter_map(|image| ImageReference::parse(image).ok()).collect();
        let pinned = resolved(rendering.session, registry, &written).await?;
        let digest =
            |image: &ImageReference| Some((image.to_string(), pinned.get(&image.to_string())?.digest.clone()?));
        project.release.content.images = written.iter().filter_map(digest).collect();
        project.release.record = project.release.content.id();
    }
    Ok(())
}

/// The images that projects and their `verify` Jobs would run, and that are not among the known ones.
pub(super) fn new_images(
    session: &Session,
    request: &DeployRequest,
    selection: &Selection,
    described: &Described,
    known: &BTreeMap<Name, KnownImages>,
) -> Vec<NewImage> {
    let mut found = Vec::new();
    for project in &described.projects {
        let Some(known) = known.get(&project.name) else { continue };
        let resolved = selection.projects.iter().find(|it| it.name == project.name);
        let help = remedy(session, request, &project.name, resolved.is_some_and(ResolvedProject::takes_image));
        let verified = project.verifications.iter().filter_map(|verify| ImageReference::parse(&verify.image).ok());
        let images = project.release.content.pinned_images().into_iter().chain(verified);
        found.extend(known.new_among(images).into_iter().map(|image| NewImage {
            project: project.name.to_string(),
            image: image.to_string(),
            help: help.clone(),
        }));
    }
    found
}

/// What to do about an image that was not promoted.
fn remedy(session: &Session, request: &DeployRequest, project: &Name, takes_image: bool) -> String {
    match request.promoted.get(project) {
        None => format!("cmdr promote {project} --to {}", session.environment.name),
        Some(promoted) if takes_image => format!("deploy it to '{}' first", promoted.environment),
        Some(promoted) => format!(
            "the chart determines it: add chart.image to '{project}' in projects.yaml, so that cmdr sets the image of \
             the record, or deploy it to '{}' first",
            promoted.environment
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Chart, ChartSource, ImageKey, image_key::ValuePath, resolve::resolve};

    #[test]
    fn a_project_that_is_only_built_here_needs_a_repository() {
        let text = "version: 1\nname: tunes\nprojects: {api: {build: {context: .}, values: {ports: {http: 80}}}}\n\
                    environments: {staging: {context: staging}}\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        let workspace = crate::config::load(folder.path()).unwrap().workspace;
        let staging = workspace.environments.values().find(|it| it.name.as_str() == "staging").unwrap();
        let project = &resolve(&workspace, staging)[0];
        let problem = no_image(project, staging);
        assert_eq!(
            problem.message,
            "'api' has no image here: projects.yaml names no tag, and none was deployed before"
        );
        let help = "write `image: REPOSITORY` beside `build`, and deploy with cmdr deploy api=TAG --env staging";
        assert_eq!(problem.help.as_deref(), Some(help));
    }

    #[test]
    fn a_record_from_before_chart_image_keeps_the_default_of_its_chart() {
        let image = |tag: &str| ImageReference::parse(&format!("ghcr.io/tunes/search:{tag}")).unwrap();
        let chart = Chart { source: ChartSource::Path("charts/search".into()), version: None };
        let mut project = ResolvedProject::bare(Name::new("search").unwrap(), chart, Values::new());
        project.image_key = ValuePath::parse("image").map(ImageKey::Reference);
        project.use_image(image("today"));
        let values = |value| serde_json::from_value::<Values>(value).unwrap();
        take_images(&mut project, &values(json!({"image": "ghcr.io/tunes/search:1"})));
        assert_eq!(
            (&project.image, &project.values),
            (&Some(image("1")), &values(json!({"image": image("1").to_string()})))
        );
        take_images(&mut project, &values(json!({"replicas": 1})));
        assert_eq!((&project.image, &project.values), (&None, &Values::new()), "not today's image");
    }
}
