//! Updates what runs after sources have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Development, projects::WatchedProject};
use crate::{
    adapters::{file_watch::ChangedPlaces, source_tree::SourceChange},
    engine::Summary,
    ops::session::Session,
    plan::{
        self, Plan, Step,
        dev::{DevChange, DevProject},
    },
};

impl Development {
    /// Compiles and deploys all changes that are not deployed yet. What fails stays as it is, and is tried again after the
    /// next change.
    pub(super) async fn update(&mut self, session: &Session) {
        self.compile(session).await;
        self.deploy(session).await;
    }

    /// Tests the projects that were updated. Returns whether something has changed meanwhile, which ends the tests. Those
    /// that were not finished run again after the next update.
    pub(super) async fn test(&mut self, session: &Session) -> bool {
        let tested = self.projects.iter().filter(|project| project.is_untested && project.is_deployed());
        let plan = plan::dev::test(tested.map(|project| Arc::clone(&project.project)));
        if plan.steps.is_empty() {
            return false;
        }
        let (summary, has_changed) = self.run_until_change(session, &plan).await;
        let ended = plan.steps.iter().filter(|planned| !summary.interrupted.contains(&planned.id));
        let ended: BTreeSet<String> = ended.map(|planned| planned.step.subject()).collect();
        for project in self.projects.iter_mut().filter(|project| ended.contains(project.name())) {
            project.is_untested = false;
        }
        has_changed
    }

    /// Compiles the projects whose sources have changed.
    async fn compile(&mut self, session: &Session) {
        let mut taken = BTreeMap::new();
        let mut projects: Vec<Arc<DevProject>> = Vec::new();
        for project in self.projects.iter_mut().filter(|project| project.needs_compile()) {
            taken.insert(project.name().to_owned(), project.take_compiled());
            projects.push(Arc::clone(&project.project));
        }
        if projects.is_empty() {
            return;
        }
        let plan = plan::dev::compile(projects);
        let run = session.run_plan("compile", &plan, Arc::clone(&self.runner), &session.cancel).await;
        let results = results(&plan, &run.summary);
        let mut written = BTreeSet::new();
        for project in &mut self.projects {
            let Some(sources) = taken.remove(project.name()) else { continue };
            if results.get(project.name()) == Some(&true) {
                written.extend(project.project.sync.iter().map(|sync| sync.source.clone()));
                project.is_untested = true;
            } else {
                project.pending.splice(0..0, sources);
            }
        }
        self.note_changes(&ChangedPlaces::These(written));
        self.watch_folders(session);
    }

    async fn deploy(&mut self, session: &Session) {
        let mut changes = Vec::new();
        for project in self.projects.iter_mut().filter(|project| !project.is_deployed() && !project.needs_compile()) {
            let change = next_change(project);
            let pending = std::mem::take(&mut project.pending);
            let Some(change) = change else {
                project.is_untested = true;
                continue;
            };
            project.is_touched = true;
            changes.push((Arc::clone(&project.project), change, pending));
        }
        if changes.is_empty() {
            return;
        }
        let planned = changes.iter().map(|(project, change, _)| (Arc::clone(project), change.clone()));
        let plan = plan::dev::update(planned, self.runner.connection.initialized());
        let run = session.run_plan("dev", &plan, Arc::clone(&self.runner), &session.cancel).await;
        let results = results(&plan, &run.summary);
        for (project, change, pending) in changes {
            let name = project.release.name.as_str();
            if let Some(project) = self.projects.iter_mut().find(|it| it.name() == name) {
                project.finish(&change, results.get(name) == Some(&true), pending);
            }
        }
    }
}

impl WatchedProject {
    /// Whether everything that was noted is deployed.
    fn is_deployed(&self) -> bool {
        self.pending.is_empty() && !self.must_start
    }

    fn finish(&mut self, change: &DevChange, is_done: bool, pending: Vec<SourceChange>) {
        if is_done {
            let (DevChange::Start { version, .. } | DevChange::Sync { version, .. }) = change;
            self.version = Some(*version);
            (self.must_start, self.is_untested) = (false, true);
        } else {
            self.pending.splice(0..0, pending);
            self.must_start |= matches!(change, DevChange::Start { .. });
        }
    }
}

/// What a project needs; `None` if nothing that runs changes.
fn next_change(project: &WatchedProject) -> Option<DevChange> {
    let synced = project.dev.as_ref().and_then(|dev| dev.synced(&project.pending));
    match (synced, project.version) {
        (Some(files), Some(version)) if !project.must_start => Some(DevChange::Sync { version, files }),
        (synced, _) => {
            let is_built = project.build.is_some() && synced.is_none();
            let has_effect = is_built || project.must_start || !project.project.sync.is_empty();
            let version = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            has_effect.then(|| DevChange::Start { version, files: project.all_files(), is_built })
        }
    }
}

/// Whether all steps of each project are done. All depend on the connection to the cluster, if the plan makes it.
fn results<'a>(plan: &'a Plan, summary: &Summary) -> BTreeMap<&'a str, bool> {
    let mut results = BTreeMap::new();
    for planned in &plan.steps {
        if let Step::Dev(step) = &planned.step {
            *results.entry(step.project.release.name.as_str()).or_insert(true) &= summary.done.contains(&planned.id);
        }
    }
    results
}
