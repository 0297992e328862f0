//! `cmdr dev`: brings projects up, watches their sources and projects.yaml, and updates what runs.

mod configuration;
mod projects;
mod update;

pub(crate) use projects::is_developed;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use self::{
    configuration::ConfigurationFiles,
    projects::{ProjectFinder, WatchedProject, lock, names},
};
use crate::{
    adapters::file_watch::{ChangedPlaces, FileWatch},
    adapters::lock::Lock,
    domain::{Name, Problem},
    engine::Summary,
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        local::{Purpose, bring, running_local},
        logs::{LogFilter, LogForm, LogRuns, LogsRequest, print_logs},
        options::UpRequest,
        session::Session,
    },
    plan::{self, Plan},
    steps::Runner,
    ui,
};

/// The pause before logs are followed again after an error.
const PAUSE: Duration = Duration::from_secs(2);

/// How watching one version of projects.yaml ends.
enum Watching {
    /// By the user.
    Interrupted,
    /// projects.yaml has changed, and was applied.
    Reopened(Box<Session>),
}

/// Brings projects up and updates them until the user interrupts, then restores what is deployed.
///
/// # Errors
/// When a project is unknown, another `cmdr dev` changes it, the environment cannot be brought up, or the deployed state
/// cannot be restored.
pub(crate) async fn develop(session: Session, named: &[String]) -> Result<(), CommandError> {
    if !session.environment.is_local() {
        let cause = format!("cmdr dev works only in the local environment, not in '{}'", session.environment.name);
        return Err(CommandError::usage(Problem::new(cause).help("leave out --env")));
    }
    let watched = names(&session, named)?;
    if session.settings.dry_run {
        let names: Vec<&str> = watched.iter().map(Name::as_str).collect();
        session.note(&format!("would watch {}", names.join(", ")));
        return Ok(());
    }
    let locks = lock(&session, &watched).await?;
    let request = UpRequest { projects: named.to_vec(), ..UpRequest::default() };
    bring(&session, &request, Purpose::Up, None).await?;
    let may_ask = session.settings.may_ask();
    let mut session = session.in_lines();
    let mut development = Development::start(&session, request, locks, may_ask).await?;
    loop {
        match development.watch(&session).await {
            Ok(Watching::Reopened(next)) => session = *next,
            Ok(Watching::Interrupted) => return development.restore(&session).await,
            Err(error) => {
                development.restore(&session).await?;
                return Err(error);
            }
        }
    }
}

/// What `cmdr dev` watches and has changed.
struct Development {
    request: UpRequest,
    projects: Vec<WatchedProject>,
    files: FileWatch,
    configuration: ConfigurationFiles,
    /// Whether projects.yaml was edited, and not applied yet.
    is_edited: bool,
    runner: Arc<Runner>,
    may_ask: bool,
}

impl Development {
    async fn start(
        session: &Session,
        request: UpRequest,
        locks: Vec<(Name, Arc<Lock>)>,
        may_ask: bool,
    ) -> Result<Self, CommandError> {
        let (helm, local) = tokio::try_join!(session.helm(), running_local(session))?;
        let runner = Arc::new(session.runner(helm, local).await?);
        let files = FileWatch::start().map_err(CommandError::failed)?;
        let configuration = ConfigurationFiles::read(&session.loaded);
        let (projects, is_edited) = (Vec::new(), false);
        let mut development = Self { request, projects, files, configuration, is_edited, runner, may_ask };
        development.projects = development.find(session, locks).await?;
        development.watch_folders(session);
        Ok(development)
    }

    async fn find(
        &self,
        session: &Session,
        locks: Vec<(Name, Arc<Lock>)>,
    ) -> Result<Vec<WatchedProject>, CommandError> {
        let (cluster, access) = tokio::try_join!(connect(session), session.local())?;
        let finder = ProjectFinder::new(session, &self.request, &cluster, &access).await?;
        let mut found = Vec::new();
        for (name, lock) in locks {
            found.extend(finder.find(&name, lock).await?);
        }
        Ok(found)
    }

    /// Watches every folder with sources, and those of projects.yaml.
    fn watch_folders(&mut self, session: &Session) {
        let folders: BTreeSet<PathBuf> = self
            .projects
            .iter()
            .flat_map(|project| project.tree.folders())
            .chain(self.configuration.folders())
            .map(std::path::Path::to_owned)
            .collect();
        for folder in folders {
            if let Err(problem) = self.files.watch(&folder) {
                ui::print_problems(&[problem], session.settings.color, None);
            }
        }
    }

    /// Updates what runs until the user interrupts, or projects.yaml was changed and applied.
    async fn watch(&mut self, session: &Session) -> Result<Watching, CommandError> {
        let names: Vec<String> = self.projects.iter().map(|project| project.name().to_owned()).collect();
        self.update(session).await;
        if !session.cancel.is_cancelled() {
            session.note(&format!("watching {}; Ctrl-C restores the deployed state", names.join(", ")));
        }
        tokio::select! {
            biased;
            end = self.watch_files(session) => Ok(end),
            () = follow_logs(session, &names) => Ok(Watching::Interrupted),
        }
    }

    async fn watch_files(&mut self, session: &Session) -> Watching {
        let mut has_changed = self.test(session).await;
        loop {
            if std::mem::take(&mut self.is_edited)
                && let Some(next) = self.apply(session).await
            {
                return Watching::Reopened(Box::new(next));
            }
            if has_changed {
                self.update(session).await;
                has_changed = self.test(session).await;
                continue;
            }
            tokio::select! {
                () = session.cancel.cancelled() => return Watching::Interrupted,
                places = self.files.changes() => has_changed = self.note(&places),
            }
        }
    }

    /// Runs tests, which a change ends. Returns whether there was one.
    async fn run_until_change(&mut self, session: &Session, plan: &Plan) -> (Summary, bool) {
        let cancel = session.cancel.child_token();
        let mut run = Box::pin(session.run_plan("test", plan, Arc::clone(&self.runner), &cancel));
        loop {
            tokio::select! {
                run = &mut run => return (run.summary, cancel.is_cancelled() && !session.cancel.is_cancelled()),
                places = self.files.changes() => if self.note(&places) {
                    cancel.cancel();
                },
            }
        }
    }

    /// Notes changes of sources, and edits of projects.yaml. Returns whether there are any.
    fn note(&mut self, places: &ChangedPlaces) -> bool {
        self.is_edited |= self.configuration.changed(places);
        self.note_changes(places) || self.is_edited
    }

    /// Notes what has changed. Returns whether anything has.
    fn note_changes(&mut self, places: &ChangedPlaces) -> bool {
        let mut has_changed = false;
        for project in &mut self.projects {
            let mut changes = match places {
                ChangedPlaces::These(places) => project.tree.update(places),
                ChangedPlaces::Unknown => project.tree.update_all(),
            };
            // A file in a new folder may have been written before the folder was watched.
            let mut new: Vec<PathBuf> = changes.iter().map(|(path, _)| path.clone()).collect();
            while !new.is_empty() {
                let mut places = BTreeSet::new();
                for path in new {
                    if !project.tree.is_folder(&path) {
                        self.files.forget(&path);
                    } else if self.files.watch(&path).unwrap_or_default() {
                        places.insert(path);
                    }
                }
                let more = if places.is_empty() { Vec::new() } else { project.tree.update(&places) };
                new = more.iter().map(|(path, _)| path.clone()).collect();
                changes.extend(more);
            }
            has_changed |= !changes.is_empty();
            project.pending.extend(changes);
        }
        has_changed
    }

    /// Restores everything that was changed. A second interrupt ends at once; the next run restores the rest then.
    async fn restore(&mut self, session: &Session) -> Result<(), CommandError> {
        let touched: Vec<_> =
            self.projects.iter().filter(|it| it.is_touched).map(|it| Arc::clone(&it.project)).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let plan = plan::dev::restore(touched);
        let run = session.run_plan("restore", &plan, Arc::clone(&self.runner), &CancellationToken::new()).await;
        if run.summary.is_success() {
            return Ok(());
        }
        let problem = Problem::new("the deployed state was not restored").help("restore it with cmdr up");
        Err(CommandError::failed(problem))
    }
}

/// Prints the logs of projects until the user interrupts, whatever happens to the cluster.
async fn follow_logs(session: &Session, projects: &[String]) {
    let request = LogsRequest {
        projects: projects.to_vec(),
        container: None,
        since: None,
        tail: Some(0),
        limit: None,
        filter: LogFilter::default(),
        form: LogForm::Folded,
        runs: LogRuns::Follow,
    };
    loop {
        match print_logs(session, &request).await {
            Err(error) if error.kind != ErrorKind::Interrupted => tokio::time::sleep(PAUSE).await,
            // Watching the files ends by itself then, after what it is doing.
            _ => std::future::pending().await,
        }
    }
}
