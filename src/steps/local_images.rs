//! The images of this machine: the local registry, its caches and builds. None of this needs a cluster.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use futures::future::try_join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::LOOK;
use crate::{
    adapters::{
        build_context::ContextState,
        builds::{Builds, BuildsError},
        docker::{BuildError, BuildRequest, Docker, NETWORK, PullProgress, PushProgress, Pushed, stage},
        http::{HttpClient, Resolver},
        process::ProcessError,
        registry::{Registry, RegistryError},
        wait::{Wait, every},
    },
    domain::{
        ImageReference, Problem,
        build::{BuildMethod, DockerBuild},
        local_registry::{IMAGE, ObservedService, RegistryService, pushed_to},
        mirror::ImageMirror,
        wait_reason::WaitReason,
    },
    engine::{Reporter, StepFailure, StepRunner},
    plan::{BuildSpec, Planned, RegistrySpec, Step},
};

const MEGABYTE: u64 = 1_000_000;
/// The timeout for pulling the registry's image, because the registry only makes a run faster.
const PULL: Duration = Duration::from_mins(1);
/// The timeout for a registry's first response after its start.
const START: Duration = Duration::from_secs(20);
/// The number of digits of an image ID that are used as its tag.
const TAG: usize = 12;

/// Runs the steps that concern images of this machine.
#[derive(Debug)]
pub struct LocalImages {
    pub docker: Docker,
    pub mirrors: Vec<ImageMirror>,
    pub builds: Builds,
    /// Whether the state of a folder is saved with its build. To read it takes seconds if the folder is large.
    pub saves_folders: bool,
}

impl StepRunner for LocalImages {
    async fn run(
        &self,
        planned: &Planned,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match &planned.step {
            Step::LocalRegistry(spec) => self.make_registry(spec, reporter, cancel).await,
            Step::RemoveRegistry => self.remove_registry().await,
            Step::Build(spec) => self.build(spec, reporter, cancel).await,
            _ => Err(Problem::new("this step does not concern images").into()),
        }
    }
}

impl LocalImages {
    /// Creates missing services. If nothing depends on them, an error is only a warning.
    async fn make_registry(
        &self,
        spec: &RegistrySpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match self.make_services(spec, reporter, cancel).await {
            Err(StepFailure::Failed(problem)) if !spec.is_required => {
                let lost = "the local registry and its caches are not available, and each new cluster pulls every \
                            image from its own registry";
                let problem = problem.detail("only cmdr build requires the registry");
                let cause = format!("{lost}: {}", problem.message);
                reporter.warn(Problem { message: cause, ..problem });
                Ok(Some("skipped".to_owned()))
            }
            result => result,
        }
    }

    async fn make_services(
        &self,
        spec: &RegistrySpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let image = ImageReference::parse(IMAGE).map_err(|error| Problem::new(error.to_string()))?;
        let present = make_present(&self.docker, &self.mirrors, &image, reporter, cancel);
        let too_slow = || Problem::new(format!("pulling image {image} timed out after 1 minute"));
        tokio::time::timeout(PULL, present).await.map_err(|_| too_slow())??;
        let network = self.docker.ensure_network(NETWORK).await?;
        let found = self.docker.registry_services().await?;
        let found: BTreeMap<&str, &ObservedService> =
            found.iter().map(|service| (service.name.as_str(), service)).collect();
        let made = spec.services.iter().map(|service| {
            let found = found.get(service.name().as_str()).copied();
            self.make_service(service, found, network.gateway)
        });
        try_join_all(made).await?;
        if let Some(port) = spec.services.iter().find_map(RegistryService::port).filter(|_| spec.is_required) {
            self.await_answer(port, cancel).await?;
        }
        let made: Vec<String> = spec.services.iter().map(RegistryService::name).collect();
        Ok(Some(made.join(", ")))
    }

    async fn make_service(
        &self,
        service: &RegistryService,
        found: Option<&ObservedService>,
        gateway: Ipv4Addr,
    ) -> Result<(), StepFailure> {
        let name = service.name();
        match found {
            // It is stopped, or another run created it meanwhile.
            Some(found) if found.checksum == service.checksum() && found.is_joined => {
                return Ok(self.docker.start(&name).await?);
            }
            // Its data is in its volume.
            Some(_) => self.docker.remove(&name, false).await?,
            None => (),
        }
        Ok(self.docker.make_service(service, gateway).await?)
    }

    async fn await_answer(&self, port: u16, cancel: &CancellationToken) -> Result<(), StepFailure> {
        let client = HttpClient::new(Resolver::Fixed((Ipv4Addr::LOCALHOST, port).into()));
        let client = client.map_err(|error| Problem::new(error.to_string()))?;
        let url = format!("http://{}/v2/", pushed_to(port));
        let mut wait = Wait::new(every(LOOK), START);
        while !client.status(&url).await.is_ok_and(|status| status == 200) {
            let silent = Problem::new(format!("no response from the registry at localhost:{port}"));
            wait.pause_or(silent.help("check its log: docker logs cmdr-registry"), cancel).await?;
        }
        Ok(())
    }

    async fn remove_registry(&self) -> Result<Option<String>, StepFailure> {
        let mut removed = self.docker.remove_services().await?;
        removed.extend(self.docker.remove_unused_image_stores().await?);
        removed.extend(self.docker.remove_unused_kept_nodes().await?);
        self.builds.clear()?;
        Ok(Some(removed.join(", ")))
    }

    /// Builds and pushes an image, resolves its digest in the registry, and saves it.
    pub(super) async fn build(
        &self,
        spec: &BuildSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let (id, temporary, folder) = match &spec.build.method {
            BuildMethod::Docker(options) => {
                let folder = self.folder_state(spec).await;
                (self.build_by_docker(spec, options, reporter, cancel).await?, None, folder)
            }
            BuildMethod::Command(command) => {
                let image = self.build_by_command(spec, command, reporter, cancel).await?;
                // The command's output may be in the same folder, so its state is read afterwards.
                (self.docker.image_id(&image).await?, Some(image), self.folder_state(spec).await)
            }
        };
        let digits: String = id.trim_start_matches("sha256:").chars().take(TAG).collect();
        let image = image_of(spec, &digits)?;
        self.docker.tag_image(&id, &image).await?;
        if let Some(temporary) = temporary {
            self.docker.untag_image(&temporary).await?;
        }
        let pushed = self.push(&image, reporter, cancel).await?;
        let registry = Registry::local(cancel.clone()).map_err(|error| Problem::of(&error))?;
        let pinned = registry.resolve(&image).await?.pinned;
        self.builds.remember([&spec.project].into_iter().chain(&spec.shared_by), &pinned, folder.as_ref())?;
        Ok(Some(format!("{pinned}, {} of {} layers sent", pushed.sent, pushed.sent + pushed.known)))
    }

    /// The state of a build's folder; without it, changes are not noticed.
    async fn folder_state(&self, spec: &BuildSpec) -> Option<ContextState> {
        if !self.saves_folders {
            return None;
        }
        let build = spec.build.clone();
        tokio::task::spawn_blocking(move || ContextState::read(&build).ok()).await.ok().flatten()
    }

    async fn push(
        &self,
        image: &ImageReference,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Pushed, StepFailure> {
        reporter.progress(format!("pushing {image}"));
        let mut shown = String::new();
        let show = |progress: PushProgress| {
            let (sent, total) = (progress.bytes_sent / MEGABYTE, progress.bytes_total / MEGABYTE);
            let message = format!("pushing {image}: {sent} of {total} MB");
            // The engine sends many messages for each megabyte, and most layers exist in the registry.
            if total > 0 && message != shown {
                shown.clone_from(&message);
                reporter.progress(message);
            }
        };
        tokio::select! {
            pushed = self.docker.push_image(image, show) => Ok(pushed?),
            () = cancel.cancelled() => Err(StepFailure::Interrupted),
        }
    }

    /// Builds an image with docker. Returns its ID.
    async fn build_by_docker(
        &self,
        spec: &BuildSpec,
        options: &DockerBuild,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<String, StepFailure> {
        let project = spec.project.as_str();
        let id_file = self.builds.0.with_extension(format!("{project}.id"));
        let request = BuildRequest { context: &spec.build.context, options, id_file: &id_file };
        let shown = |line: &str| {
            if let Some(stage) = stage(line) {
                reporter.progress(stage);
            }
        };
        self.docker.build(request, cancel, shown).await.map_err(|error| build_failure(&error, project))
    }

    /// Builds an image with a command of the user. Returns the name that the engine has it under.
    async fn build_by_command(
        &self,
        spec: &BuildSpec,
        command: &str,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<ImageReference, StepFailure> {
        // A tag that no earlier build has: an image with it is from this command.
        let image = image_of(spec, &format!("build-{}", Timestamp::now().as_nanosecond()))?;
        let shown = |line: &str| reporter.progress(line.trim().to_owned());
        let built = self.docker.build_by_command((command, &spec.build.context), &image, cancel, shown).await;
        built.map_err(|error| build_failure(&error, spec.project.as_str()))?;
        Ok(image)
    }
}

fn image_of(spec: &BuildSpec, tag: &str) -> Result<ImageReference, Problem> {
    let image = ImageReference::parse(&format!("{}:{tag}", spec.repository));
    image.map_err(|error| Problem::new(format!("invalid image reference for {}: {error}", spec.project)))
}

/// Pulls an image by the Docker API, which reports progress, unless it exists. kind and cmdr's own containers then use
/// it.
pub(super) async fn make_present(
    docker: &Docker,
    mirrors: &[ImageMirror],
    image: &ImageReference,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<(), StepFailure> {
    if docker.has_image(&image.to_string()).await? {
        return Ok(());
    }
    let reason = |bytes_done, bytes_total| WaitReason::Image { image: image.to_string(), bytes_done, bytes_total };
    reporter.waits_for(reason(None, None));
    let mut shown = String::new();
    let show = |progress: PullProgress| {
        let reason = reason(Some(progress.bytes_done), Some(progress.bytes_total));
        // The engine sends many messages for each megabyte.
        if reason.to_string() != shown {
            shown = reason.to_string();
            reporter.waits_for(reason);
        }
    };
    let pulled = docker.pull_by_mirrors(image, mirrors, show);
    tokio::select! {
        pulled = pulled => Ok(pulled?),
        () = cancel.cancelled() => Err(StepFailure::Interrupted),
    }
}

fn build_failure(error: &BuildError, project: &str) -> StepFailure {
    match error {
        BuildError::Process(ProcessError::Interrupted { .. })
        | BuildError::Command(ProcessError::Interrupted { .. }) => StepFailure::Interrupted,
        error => error.problem(project).into(),
    }
}

impl From<RegistryError> for StepFailure {
    fn from(error: RegistryError) -> Self {
        error.problem().into()
    }
}

impl From<BuildsError> for StepFailure {
    fn from(error: BuildsError) -> Self {
        Problem::new(error.to_string()).help("set CMDR_STATE to a writable folder").into()
    }
}
