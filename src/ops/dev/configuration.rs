//! Applies edits of projects.yaml while `cmdr dev` runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Development,
    projects::{WatchedProject, lock, names},
};
use crate::{
    adapters::{
        cluster::{Object, StoredRelease, parse_manifest},
        file_watch::ChangedPlaces,
    },
    config::Loaded,
    domain::{Name, Problem},
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        local::{Purpose, bring},
        manifest::manifest,
        observe_environment,
        prepared::show_plan,
        session::Session,
    },
    plan::{self, Plan, Step},
    settings::OutputFormat,
    ui,
};

/// How long an editor may take to write a file.
const WRITTEN: Duration = Duration::from_millis(150);
/// The kinds of objects that hold data.
const KINDS_WITH_DATA: [&str; 2] = ["PersistentVolumeClaim", "StatefulSet"];

/// The files of a workspace, as they were last read.
#[derive(Debug)]
pub(super) struct ConfigurationFiles {
    texts: BTreeMap<PathBuf, Option<String>>,
}

impl ConfigurationFiles {
    pub(super) fn read(loaded: &Loaded) -> Self {
        Self { texts: loaded.files().map(|path| (path.clone(), fs::read_to_string(path).ok())).collect() }
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.texts.keys().filter_map(|path| path.parent())
    }

    /// Returns whether a file has other content than when it was last read.
    pub(super) fn changed(&mut self, places: &ChangedPlaces) -> bool {
        let mut has_changed = false;
        for (path, text) in &mut self.texts {
            if matches!(places, ChangedPlaces::These(places) if !places.contains(path)) {
                continue;
            }
            let now = fs::read_to_string(path).ok();
            has_changed |= now != *text;
            *text = now;
        }
        has_changed
    }
}

impl Development {
    /// Validates, plans, shows and applies an edit. Returns the session to go on with; `None` if the edit is not applied.
    pub(super) async fn apply(&mut self, session: &Session) -> Option<Session> {
        match self.try_apply(session).await {
            Ok(next) => next,
            // An editor has written only a part of the file so far.
            Err(_) if self.is_written_further().await => Box::pin(self.apply(session)).await,
            Err(error) => {
                report(session, &error);
                session.note_again("the last valid version stays; the next edit tries again");
                None
            }
        }
    }

    async fn is_written_further(&mut self) -> bool {
        tokio::time::sleep(WRITTEN).await;
        self.configuration.changed(&ChangedPlaces::Unknown)
    }

    async fn try_apply(&mut self, session: &Session) -> Result<Option<Session>, CommandError> {
        let next = Session::open(session.settings.clone(), session.cancel.clone())?.in_lines();
        self.configuration = ConfigurationFiles::read(&next.loaded);
        let watched = names(&next, &self.request.projects)?;
        let prepared = observe_environment(&next, &self.request).await?;
        let plan = prepared.plan()?;
        let changed = changed_projects(&plan);
        if plan.has_changes() {
            if next.settings.output == OutputFormat::Text {
                show_plan(&next, &prepared.described, &plan);
            }
            let lost = self.lost_data(&next, &plan, &prepared.helm).await?;
            if !self.may_lose(&lost)? {
                return Ok(None);
            }
            bring(&next, &self.request, Purpose::Up, None).await?;
        }
        self.exchange(&next, &watched, &changed).await?;
        Ok(Some(next))
    }

    /// The objects with data that an upgrade would delete.
    async fn lost_data(
        &self,
        session: &Session,
        plan: &Plan,
        helm: &crate::adapters::helm::Helm,
    ) -> Result<Vec<String>, CommandError> {
        let stored = connect(session).await?.releases().await?;
        let mut lost = Vec::new();
        for planned in &plan.steps {
            let Step::Deploy(spec) = &planned.step else { continue };
            let Some(release) = stored.iter().find(|stored| stored.key == spec.release.key()) else { continue };
            let rendered = parse_manifest(&manifest(session, helm, &spec.release).await?, &spec.release.namespace)?;
            let kept: BTreeSet<String> = rendered.iter().map(|rendered| rendered.object.label()).collect();
            lost.extend(data_of(release).into_iter().filter(|object| !kept.contains(object)));
        }
        Ok(lost)
    }

    fn may_lose(&self, lost: &[String]) -> Result<bool, CommandError> {
        if lost.is_empty() {
            return Ok(true);
        }
        let cause = format!("this edit deletes {}", lost.join(", "));
        if self.may_ask {
            return Ok(ui::confirm(&format!("{cause}. Apply it?")));
        }
        let help = "apply it with cmdr up";
        Err(CommandError::failed(Problem::new(format!("{cause}: not applied")).help(help)))
    }

    /// Watches the projects of the new version. Containers whose project has changed get their files again.
    async fn exchange(&mut self, next: &Session, watched: &[Name], changed: &[String]) -> Result<(), CommandError> {
        let old = std::mem::take(&mut self.projects);
        let locks_of_old: Vec<_> = old.iter().map(WatchedProject::lock_of).collect();
        let new: Vec<Name> =
            watched.iter().filter(|name| locks_of_old.iter().all(|(known, _)| known != *name)).cloned().collect();
        let found = async {
            let mut locks = lock(next, &new).await?;
            locks.extend(locks_of_old.into_iter().filter(|(name, _)| watched.contains(name)));
            self.find(next, locks).await
        };
        match found.await {
            Ok(found) => self.projects = found,
            Err(error) => {
                self.projects = old;
                return Err(error);
            }
        }
        let mut removed = Vec::new();
        for old in old {
            match self.projects.iter_mut().find(|project| project.name() == old.name()) {
                Some(project) => project.take_over(old, changed),
                None if old.is_touched => removed.push(old.project),
                None => (),
            }
        }
        self.watch_folders(next);
        if !removed.is_empty() {
            let plan = plan::dev::restore(removed);
            next.run_plan("restore", &plan, Arc::clone(&self.runner), &next.cancel).await;
        }
        Ok(())
    }
}

impl WatchedProject {
    /// Goes on from the state of the old version, unless the project is another one now.
    fn take_over(&mut self, old: Self, changed: &[String]) {
        let is_same = old.project == self.project && !changed.iter().any(|name| name == self.name());
        if is_same {
            (self.must_start, self.pending, self.is_untested) = (old.must_start, old.pending, old.is_untested);
        }
        self.must_start |= old.is_touched && !is_same;
        (self.version, self.is_touched) = (old.version, old.is_touched);
    }
}

/// The projects that a plan deploys.
fn changed_projects(plan: &Plan) -> Vec<String> {
    let deployed = plan.steps.iter().filter(|planned| matches!(planned.step, Step::Deploy(_)));
    deployed.map(|planned| planned.step.subject()).collect()
}

/// The objects of a release that hold data.
fn data_of(release: &StoredRelease) -> Vec<String> {
    let objects = release.rendered.iter().map(|rendered| &rendered.object);
    objects.filter(|object| KINDS_WITH_DATA.contains(&object.kind.as_str())).map(Object::label).collect()
}

fn report(session: &Session, error: &CommandError) {
    if let Some(report) = &error.report {
        ui::print_mistakes(&report.text, &report.mistakes, ErrorKind::Usage as u8);
    }
    ui::print_problems(&error.problems, session.settings.color, None);
}
