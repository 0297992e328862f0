//! The steps of `cmdr dev`: synced files are in a folder of the node that the containers mount, so that they outlive the
//! containers; everything else that it changes is in the workload's template and in an annotation.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Runner, StepFailure, rollout::RolloutTarget};
use crate::{
    adapters::{
        cluster::{
            Cluster, Object,
            exec::{ExecEnd, ExecTarget},
        },
        kind::node_scripts::{DEV_SEED, DEV_SYNC},
        process::{ProcessError, Tool},
        sync_archive::SyncArchive,
    },
    domain::{
        ImageReference, Problem,
        dev::{DevCommand, DevRestart, SyncPath, SyncedFile},
        dev_state::{DevState, DevVersion, DevVolume, user_of},
    },
    engine::Reporter,
    plan::dev::{DevAction, DevProject, DevStep, WorkloadName},
};

/// The folder of the node with synced files: one folder below it for each namespace, project and version.
const FOLDER: &str = "/var/lib/cmdr/dev";
/// The field manager while `cmdr dev` runs. Drift of cmdr's own managers is not reported.
const MANAGER: &str = "cmdr-dev";
/// Restored fields belong to Helm again, so that nothing looks like drift.
const HELM: &str = "helm";
/// How long a command on this machine may take to end when a source has changed.
const ENDS: Duration = Duration::from_secs(1);
/// How many of a failed command's last lines are shown.
const SHOWN_LINES: usize = 30;

/// The user and group of synced files, by their folder on the node, for each source.
#[derive(Debug, Default)]
pub struct SyncedFolders(Mutex<BTreeMap<String, Vec<(u64, u64)>>>);

impl SyncedFolders {
    fn owners(&self, folder: &str) -> Vec<(u64, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned().unwrap_or_default()
    }

    fn add(&self, folder: String, owners: Vec<(u64, u64)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(folder, owners);
    }
}

impl Runner {
    pub(super) async fn develop(
        &self,
        step: &DevStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let project = &step.project;
        match &step.action {
            DevAction::Build(spec) => self.local()?.dev_images().build(spec, reporter, cancel).await,
            DevAction::Seed { version } => self.seed(project, *version).await,
            DevAction::Sync { version, files } => self.sync(project, *version, files).await,
            DevAction::Replace { version } => self.replace(project, *version, reporter, cancel).await,
            DevAction::Restart => self.restart_pods(project, reporter, cancel).await,
            DevAction::Command(command) => self.run_in_pods(project, command).await,
            DevAction::Compile(run) => run_here("the compilation", run, reporter, cancel).await.map(|()| None),
            DevAction::Test(run) => {
                run_here("the test", run, reporter, cancel).await.map(|()| Some("passed".to_owned()))
            }
            DevAction::Restore => self.restore(project, reporter, cancel).await,
        }
    }

    /// Fills the folder of a version from the image, and notes who owns it.
    async fn seed(&self, project: &DevProject, version: u64) -> Result<Option<String>, StepFailure> {
        if let Some(missing) = project.sync.iter().find(|sync| !sync.source.exists()) {
            let problem = Problem::new(format!("cannot be synced: {} not found", missing.source.display()));
            return Err(problem.help("correct `dev.sync`, or what `dev.compile` writes").into());
        }
        let (object, state) = self.first_state(project).await?;
        let deployed = state.deployed_image().unwrap_or_default().to_owned();
        let image = self.built(project)?.map_or_else(|| ImageReference::parse(&deployed), Ok);
        let image = image.map_err(|error| Problem::new(format!("invalid image '{deployed}': {error}")))?;
        let local = self.local()?;
        local.pull_onto_node(&image).await;
        let folder = folder_of(project, version);
        let (name, digest) = (image.full(), image.digest.as_ref().map(ToString::to_string).unwrap_or_default());
        let kind = |sync: &SyncPath| if sync.source.is_file() { "file" } else { "folder" };
        let paths: Vec<String> = project.sync.iter().map(|sync| format!("{}:{}", kind(sync), sync.target)).collect();
        let mut command = vec!["bash", "-c", DEV_SEED, "dev-seed", &folder, &name, &digest];
        command.extend(paths.iter().map(String::as_str));
        let output = local.docker.exec(&local.node(), &command).await?;
        if output.exit_code != 0 {
            let cause = format!("cannot read the files of image {image} on the node");
            return Err(Problem::new(cause).detail(output.stderr.trim()).into());
        }
        let user = user_of(&self.connected()?.cluster.workload(&object).await?, &state);
        let owners = output.stdout.lines().map(|own| owner(user.as_deref().unwrap_or(own))).collect();
        self.synced.add(folder, owners);
        Ok(Some(image.name().to_owned()))
    }

    async fn sync(
        &self,
        project: &DevProject,
        version: u64,
        files: &[SyncedFile],
    ) -> Result<Option<String>, StepFailure> {
        let (files, sources, folder) = (files.to_vec(), project.sync.clone(), folder_of(project, version));
        let owners = self.synced.owners(&folder);
        // A program that runs cannot be overwritten, and new pods use the new file.
        let keeps_inodes = project.restart != DevRestart::Pods;
        let read = move || SyncArchive::read(&files, &sources, &owners, keeps_inodes);
        let reading = tokio::task::spawn_blocking(read).await;
        let archive = reading.map_err(|error| Problem::new(format!("cannot read the changed files: {error}")))?;
        let archive = archive.map_err(|(path, error)| {
            Problem::new(format!("cannot read {}", path.display())).detail(error.to_string())
        })?;
        let (local, shown) = (self.local()?, counted(archive.written, archive.deleted));
        let command = ["bash", "-c", DEV_SYNC, "dev-sync", &folder];
        let output = local.docker.exec_with_input(&local.node(), &command, archive.content).await?;
        if output.exit_code != 0 {
            let problem = Problem::new("cannot copy the changed files to the node").detail(output.stderr.trim());
            return Err(problem.help("the next change tries again").into());
        }
        Ok(Some(shown))
    }

    /// Lets every workload use the folder of a version and the image that was built last.
    async fn replace(
        &self,
        project: &DevProject,
        version: u64,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let folder = folder_of(project, version);
        let wanted = DevVersion {
            image: self.built(project)?.map(|image| image.to_string()),
            volumes: volumes(project, &folder),
        };
        let cluster = &self.connected()?.cluster;
        let mut targets = Vec::new();
        for workload in &project.workloads {
            let object = object_of(project, workload);
            let (live, mut state) = state_of(cluster, project, &object).await?;
            if let Some(target) = state.occupied(&live, &wanted) {
                let cause = format!("a volume of the chart is mounted at {target} in {}", object.label());
                return Err(Problem::new(cause).help("sync to another path, or remove the volume").into());
            }
            let patch = state.change(&live, &wanted);
            let meant = Some(cluster.patch_workload(&object, &patch, MANAGER).await?);
            targets.push(RolloutTarget { object, meant });
        }
        let ready = self.await_rollout(&targets, project.timeout_seconds, reporter, cancel).await?;
        self.remove_folders(project, Some(version)).await?;
        Ok(Some(ready))
    }

    async fn restart_pods(
        &self,
        project: &DevProject,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let mut targets = Vec::new();
        for object in project.workloads.iter().map(|workload| object_of(project, workload)) {
            let meant = Some(self.connected()?.cluster.restart(&object, &now).await?);
            targets.push(RolloutTarget { object, meant });
        }
        Ok(Some(self.await_rollout(&targets, project.timeout_seconds, reporter, cancel).await?))
    }

    /// Runs a command in each running container with synced files.
    async fn run_in_pods(&self, project: &DevProject, command: &str) -> Result<Option<String>, StepFailure> {
        let (_, state) = self.first_state(project).await?;
        let cluster = &self.connected()?.cluster;
        let pods = cluster.reachable_pods(&project.release.namespace).await?;
        let own = pods.iter().filter(|pod| {
            pod.labels.get(crate::domain::labels::INSTANCE).is_some_and(|name| *name == project.release.name)
        });
        let mut count = 0;
        for pod in own {
            for container in pod.containers.iter().filter(|name| state.images.contains_key(*name)) {
                let (namespace, pod) = (pod.namespace.clone(), pod.name.clone());
                run_in(cluster, &ExecTarget { namespace, pod, container: container.clone() }, command).await?;
                count += 1;
            }
        }
        Ok(Some(if count == 1 { "in 1 container".to_owned() } else { format!("in {count} containers") }))
    }

    async fn restore(
        &self,
        project: &DevProject,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let mut targets = Vec::new();
        for object in project.workloads.iter().map(|workload| object_of(project, workload)) {
            let live = match cluster.workload(&object).await {
                Err(error) if error.is_status(404) => continue,
                live => live?,
            };
            let Some(state) = DevState::of(&annotations(&live)) else { continue };
            let meant = Some(cluster.patch_workload(&object, &state.restore(&live), HELM).await?);
            targets.push(RolloutTarget { object, meant });
        }
        self.local()?.dev_builds().forget(&project.names())?;
        let ready = self.await_rollout(&targets, project.timeout_seconds, reporter, cancel).await?;
        self.remove_folders(project, None).await?;
        Ok((!ready.is_empty()).then_some(ready))
    }

    /// Removes the folders of all versions but one.
    async fn remove_folders(&self, project: &DevProject, kept: Option<u64>) -> Result<(), StepFailure> {
        let (local, kept) = (self.local()?, kept.map(|version| version.to_string()).unwrap_or_default());
        let script = "cd \"$1\" 2> /dev/null || exit 0; for version in *; do [ \"$version\" = \"$2\" ] || \
                      rm --recursive --force \"$version\"; done; rmdir --ignore-fail-on-non-empty \"$1\"";
        local.docker.exec(&local.node(), &["sh", "-c", script, "dev", &project_folder(project), &kept]).await?;
        Ok(())
    }

    async fn first_state(&self, project: &DevProject) -> Result<(Object, DevState), StepFailure> {
        let none = || Problem::new("no Deployment, StatefulSet or DaemonSet to change");
        let object = object_of(project, project.workloads.first().ok_or_else(none)?);
        let (_, state) = state_of(&self.connected()?.cluster, project, &object).await?;
        Ok((object, state))
    }

    /// The image that this `cmdr dev` has built last.
    fn built(&self, project: &DevProject) -> Result<Option<ImageReference>, StepFailure> {
        let builds = self.local()?.dev_builds().all();
        Ok(builds.get(&project.release.name).cloned())
    }
}

/// The state that a workload carries, or the first one.
async fn state_of(
    cluster: &Cluster,
    project: &DevProject,
    object: &Object,
) -> Result<(serde_json::Value, DevState), StepFailure> {
    let live = cluster.workload(object).await?;
    let begin = || DevState::begin(&live, &project.release.name, project.image.as_ref(), &project.holder);
    let state = DevState::of(&annotations(&live)).map(|state| DevState { holder: project.holder.clone(), ..state });
    let none = || Problem::new(format!("{} has no containers", object.label()));
    let state = state.or_else(begin).ok_or_else(none)?;
    Ok((live, state))
}

fn annotations(live: &serde_json::Value) -> BTreeMap<String, String> {
    let annotations = live.pointer("/metadata/annotations").cloned().unwrap_or_default();
    serde_json::from_value(annotations).unwrap_or_default()
}

fn object_of(project: &DevProject, workload: &WorkloadName) -> Object {
    Object {
        api_version: "apps/v1".to_owned(),
        kind: workload.kind.clone(),
        namespace: project.release.namespace.clone(),
        name: workload.name.clone(),
        ..Object::default()
    }
}

fn project_folder(project: &DevProject) -> String {
    format!("{FOLDER}/{}/{}", project.release.namespace, project.release.name)
}

fn folder_of(project: &DevProject, version: u64) -> String {
    format!("{}/{version}", project_folder(project))
}

fn volumes(project: &DevProject, folder: &str) -> Vec<DevVolume> {
    let volume = |(number, sync): (usize, &SyncPath)| DevVolume {
        node_path: format!("{folder}/{number}"),
        target: sync.target.clone(),
        is_file: sync.source.is_file(),
    };
    project.sync.iter().enumerate().map(volume).collect()
}

/// `1000:1000` as numbers.
fn owner(text: &str) -> (u64, u64) {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    (user.parse().unwrap_or_default(), group.parse().unwrap_or_default())
}

fn counted(written: usize, deleted: usize) -> String {
    let files = |count: usize| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    match (written, deleted) {
        (_, 0) => files(written),
        (0, _) => format!("{} deleted", files(deleted)),
        _ => format!("{}, {deleted} deleted", files(written)),
    }
}

async fn run_in(cluster: &Cluster, target: &ExecTarget, command: &str) -> Result<(), StepFailure> {
    let output = cluster.output(target, &["sh", "-c", command]).await?;
    let cause = match output.end {
        ExecEnd::Exited(0) => return Ok(()),
        ExecEnd::Exited(code) => format!("the command failed with exit code {code} in {}", target.pod),
        ExecEnd::NotFound(_) => {
            let problem = Problem::new(format!("the image of {} contains no shell", target.pod));
            return Err(problem.help("set `dev.restart: true`, which replaces the pods").into());
        }
        ExecEnd::OutputClosed => format!("the output of the command in {} was lost", target.pod),
        ExecEnd::Failed(reason) => format!("the command did not run in {}: {reason}", target.pod),
    };
    Err(with_last_lines(Problem::new(cause), &(output.stdout + &output.stderr)).into())
}

/// Runs a command of a project on this machine. `what` it is: `the test`.
async fn run_here(
    what: &str,
    run: &DevCommand,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<(), StepFailure> {
    let DevCommand { command, folder } = run;
    let tool = Tool::new("sh").args(["-c", command]).directory(folder).follow_output().killed_after(ENDS);
    match tool.run_with_lines(cancel, |line| reporter.progress(line.trim().to_owned())).await {
        Ok(_) => Ok(()),
        Err(ProcessError::Interrupted { .. }) => Err(StepFailure::Interrupted),
        Err(ProcessError::Failed { status, stdout, stderr, .. }) => {
            let problem = Problem::new(format!("{what} failed ({status}): {command}"));
            Err(with_last_lines(problem, &format!("{stdout}{stderr}")).into())
        }
        Err(error) => Err(Problem::of(&error).into()),
    }
}

fn with_last_lines(problem: Problem, text: &str) -> Problem {
    let lines: Vec<&str> = text.lines().collect();
    let logs = lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)).map(|line| (*line).to_owned()).collect();
    Problem { logs, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_owners_are_read_at_a_glance() {
        assert_eq!(counted(1, 0), "1 file");
        assert_eq!(counted(0, 2), "2 files deleted");
        assert_eq!(counted(12, 3), "12 files, 3 deleted");
        assert_eq!((owner("1000:100"), owner("0:0")), ((1000, 100), (0, 0)));
    }
}
