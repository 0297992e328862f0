//! The plans of `dev`: start to sync, update after a change, and restore what was deployed.

use std::sync::Arc;

use super::{BuildSpec, Plan, Step, StepId};
use crate::domain::{
    ImageReference, Name, ReleaseKey,
    dev::{DevCommand, DevRestart, SyncPath, SyncedFile},
};

/// Why a plan connects to the cluster.
const CONNECTED: &str = "required by all other steps";

/// A project that `dev` changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevProject {
    pub release: ReleaseKey,
    pub workloads: Vec<WorkloadName>,
    /// The image that is deployed, if projects.yaml describes it.
    pub image: Option<ImageReference>,
    pub sync: Vec<SyncPath>,
    pub restart: DevRestart,
    pub compile: Option<DevCommand>,
    pub test: Option<DevCommand>,
    /// How the image is built; `None` for a project without a build.
    pub build: Option<BuildSpec>,
    pub timeout_seconds: u64,
    /// Who changes it: `process 4711`.
    pub holder: String,
}

/// A Deployment, StatefulSet or DaemonSet in the namespace of its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadName {
    pub kind: String,
    pub name: String,
}

/// A release that `cmdr dev` has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Developed {
    /// `process 4711`.
    pub holder: String,
    pub workloads: Vec<WorkloadName>,
    /// Whether it still runs; otherwise it was killed.
    pub is_running: bool,
}

/// A step of `dev` for one project.
#[derive(Debug, Clone, PartialEq)]
pub struct DevStep {
    pub project: Arc<DevProject>,
    pub action: DevAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DevAction {
    /// Runs `dev.compile`.
    Compile(DevCommand),
    /// Builds an image that is not saved as the last build.
    Build(Box<BuildSpec>),
    /// Prepares a folder of the node from the image, at the paths of `sync`.
    Seed { version: u64 },
    /// Copies files into this folder.
    Sync { version: u64, files: Vec<SyncedFile> },
    /// Lets the containers use the folder and the last image that `dev` built, and waits for the rollout.
    Replace { version: u64 },
    /// Replaces the pods, which keep the folder.
    Restart,
    /// Runs a command in every container.
    Command(String),
    /// Runs `dev.test`.
    Test(DevCommand),
    /// Restores what is deployed.
    Restore,
}

/// What the next plan does for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevChange {
    /// The containers get a folder with all files.
    Start {
        version: u64,
        files: Vec<SyncedFile>,
        is_built: bool,
    },
    Sync {
        version: u64,
        files: Vec<SyncedFile>,
    },
}

impl DevProject {
    /// A project of which only what runs is known, to restore it.
    pub fn left_behind(release: ReleaseKey, developed: &Developed, timeout_seconds: u64) -> Self {
        Self {
            release,
            workloads: developed.workloads.clone(),
            image: None,
            sync: Vec::new(),
            restart: DevRestart::No,
            compile: None,
            test: None,
            build: None,
            timeout_seconds,
            holder: developed.holder.clone(),
        }
    }

    /// The projects that share its build, itself included.
    pub fn names(&self) -> Vec<Name> {
        let shared = self.build.iter().flat_map(|build| [&build.project].into_iter().chain(&build.shared_by)).cloned();
        Name::new(&self.release.name).into_iter().chain(shared).collect()
    }
}

impl DevStep {
    pub fn action(&self) -> &'static str {
        match &self.action {
            DevAction::Compile(_) => "compile",
            DevAction::Build(_) => "build",
            DevAction::Seed { .. } => "prepare",
            DevAction::Sync { .. } => "sync",
            DevAction::Replace { .. } => "replace",
            DevAction::Restart => "restart",
            DevAction::Command(_) => "reload",
            DevAction::Test(_) => "test",
            DevAction::Restore => "restore",
        }
    }
}

/// Updates projects after changes, all at the same time. `is_connected`: an earlier plan of the same runner has connected.
pub fn update(changes: impl IntoIterator<Item = (Arc<DevProject>, DevChange)>, is_connected: bool) -> Plan {
    let mut plan = Plan::default();
    let connected = (!is_connected).then(|| plan.add(Step::ConnectCluster, CONNECTED, None));
    for (project, change) in changes {
        let mut steps = ProjectSteps { plan: &mut plan, project: &project, last: connected };
        match change {
            DevChange::Start { version, files, is_built } => steps.start(version, files, is_built),
            DevChange::Sync { version, files } => steps.sync(version, files),
        }
    }
    plan
}

/// Compiles projects on this machine, all at the same time.
pub fn compile(projects: impl IntoIterator<Item = Arc<DevProject>>) -> Plan {
    on_this_machine(projects, |project| project.compile.clone().map(DevAction::Compile), "its sources have changed")
}

/// Tests projects on this machine, all at the same time.
pub fn test(projects: impl IntoIterator<Item = Arc<DevProject>>) -> Plan {
    on_this_machine(projects, |project| project.test.clone().map(DevAction::Test), "dev.test")
}

fn on_this_machine(
    projects: impl IntoIterator<Item = Arc<DevProject>>,
    action: impl Fn(&DevProject) -> Option<DevAction>,
    reason: &str,
) -> Plan {
    let mut plan = Plan::default();
    for project in projects {
        if let Some(action) = action(&project) {
            ProjectSteps { plan: &mut plan, project: &project, last: None }.add(action, reason);
        }
    }
    plan
}

/// Restores the deployed state of projects.
pub fn restore(projects: impl IntoIterator<Item = Arc<DevProject>>) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, CONNECTED, None);
    for project in projects {
        let mut steps = ProjectSteps { plan: &mut plan, project: &project, last: Some(connected) };
        steps.add(DevAction::Restore, "cmdr dev has ended");
    }
    plan
}

/// The steps of one project, each after the one before.
struct ProjectSteps<'a> {
    plan: &'a mut Plan,
    project: &'a Arc<DevProject>,
    last: Option<StepId>,
}

impl ProjectSteps<'_> {
    fn add(&mut self, action: DevAction, reason: &str) {
        let step = Step::Dev(DevStep { project: Arc::clone(self.project), action });
        self.last = Some(self.plan.add(step, reason, self.last));
    }

    fn start(&mut self, version: u64, files: Vec<SyncedFile>, is_built: bool) {
        if let Some(build) = self.project.build.clone().filter(|_| is_built) {
            self.add(DevAction::Build(Box::new(build)), "its sources have changed");
        }
        if !self.project.sync.is_empty() {
            self.add(DevAction::Seed { version }, "for synced files");
            self.add(DevAction::Sync { version, files }, "the current files");
        }
        self.add(DevAction::Replace { version }, "uses the current files");
    }

    fn sync(&mut self, version: u64, files: Vec<SyncedFile>) {
        self.add(DevAction::Sync { version, files }, "its sources have changed");
        match &self.project.restart {
            DevRestart::No => (),
            DevRestart::Pods => self.add(DevAction::Restart, "dev.restart"),
            DevRestart::Command(command) => self.add(DevAction::Command(command.clone()), "dev.restart"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::tests::lines;

    fn project(restart: DevRestart) -> Arc<DevProject> {
        let sync = SyncPath { source: "/w/src".into(), target: "/app/src".to_owned() };
        Arc::new(DevProject {
            release: ReleaseKey::new("tunes", "shop"),
            workloads: Vec::new(),
            image: None,
            sync: vec![sync],
            restart,
            compile: None,
            test: Some(DevCommand { command: "make test".to_owned(), folder: "/w".into() }),
            build: None,
            timeout_seconds: 60,
            holder: "process 1".to_owned(),
        })
    }

    #[test]
    fn files_are_copied_before_the_program_restarts() {
        let sync = || DevChange::Sync { version: 1, files: Vec::new() };
        let update = |restart| lines(&super::update([(project(restart), sync())], false));
        assert_eq!(update(DevRestart::No)[1..], ["sync shop <- cluster"]);
        let command = DevRestart::Command("kill -HUP 1".to_owned());
        assert_eq!(update(command)[2], "reload shop <- shop");
        assert_eq!(update(DevRestart::Pods)[2], "restart shop <- shop");
    }

    #[test]
    fn the_folder_is_complete_before_pods_use_it() {
        let start = DevChange::Start { version: 1, files: Vec::new(), is_built: true };
        let plan = lines(&super::update([(project(DevRestart::No), start)], false));
        assert_eq!(plan[1..4], ["prepare shop <- cluster", "sync shop <- shop", "replace shop <- shop"]);
        assert_eq!(lines(&restore([project(DevRestart::No)]))[1], "restore shop <- cluster");
    }

    #[test]
    fn commands_on_this_machine_need_no_cluster() {
        assert_eq!(lines(&test([project(DevRestart::No)])), ["test shop <- "]);
        assert_eq!(compile([project(DevRestart::No)]).steps.len(), 0, "it has nothing to compile");
    }
}
