//! The target environments of a promotion, each after its source.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Environment, Name, Problem, Workspace},
    error::{CommandError, ErrorKind},
    ops::{
        exit::after_changes,
        prepared::show_urls,
        session::{Session, unknown},
    },
    settings::Settings,
    ui,
};

/// Opens a session for each environment that matches the pattern, in the order of `promote.from`.
///
/// # Errors
/// When none matches.
pub fn sessions(settings: &Settings, cancel: &CancellationToken, pattern: &str) -> Result<Vec<Session>, CommandError> {
    let open = |name: &str| Session::open_in(name, settings, cancel);
    if !pattern.contains('*') {
        return Ok(vec![open(pattern)?]);
    }
    let local = open(crate::domain::workspace::LOCAL)?;
    let names = in_order(&local.loaded.workspace, pattern);
    if names.is_empty() {
        let known = local.loaded.workspace.environments.keys().map(Name::as_str);
        return Err(unknown("environment like", pattern, known));
    }
    let mut sessions: Vec<Session> = Vec::new();
    for name in &names {
        let session = open(name.as_str())?;
        sessions.push(if names.len() > 1 { session.beside(sessions.first()) } else { session });
    }
    Ok(sessions)
}

/// The error for an environment that is not the target of a promotion.
pub fn nowhere(session: &Session) -> CommandError {
    let name = &session.environment.name;
    let cause = format!("cannot promote to '{name}': it has no 'promote' key");
    let help = format!("add 'promote: {{from: ENVIRONMENT}}' under environments.{name}");
    CommandError::usage(Problem::new(cause).help(help))
}

fn in_order(workspace: &Workspace, pattern: &str) -> Vec<Name> {
    let matches = glob::Pattern::new(pattern).ok();
    let is_meant = |name: &Name| matches.as_ref().is_some_and(|pattern| pattern.matches(name.as_str()));
    let mut open: Vec<&Name> = workspace.environments.keys().filter(|name| is_meant(name)).collect();
    let mut ordered: Vec<Name> = Vec::new();
    while !open.is_empty() {
        let source = |name: &Name| workspace.environments[name].promote.as_ref().map(|promotion| &promotion.from);
        let waits = |name: &&&Name| source(name).is_some_and(|from| open.contains(&from));
        let (later, now): (Vec<&Name>, Vec<&Name>) = open.iter().partition(waits);
        if now.is_empty() {
            // The configuration has already rejected cycles.
            break;
        }
        ordered.extend(now.into_iter().cloned());
        open = later;
    }
    ordered
}

/// A target that this run has promoted to.
#[derive(Debug)]
pub struct Reached {
    pub environment: Name,
    /// Projects with their versions.
    pub promoted: Vec<String>,
    pub urls: Vec<String>,
    /// The plan was only shown.
    pub is_preview: bool,
}

/// A promotion to one target that starts now.
#[derive(Debug, Clone)]
pub struct Start {
    /// The number of the target.
    pub index: usize,
    /// This run has promoted to its source, which must soak first if that changed anything.
    pub waits: bool,
    /// Cancelled when another target has failed.
    pub stop: CancellationToken,
}

/// What a promotion has done to its targets so far.
#[derive(Debug, Default)]
pub struct TargetProgress {
    started: BTreeSet<usize>,
    reached: Vec<Reached>,
    failed: Vec<(Name, CommandError)>,
}

/// Promotes to all targets, with at most `at_once` side by side, each after its source. After a failure, no other starts:
/// those that have started end, apart from those that still wait, for which `promote` returns `None`.
pub async fn run_all<F>(targets: &[&Environment], at_once: usize, promote: impl Fn(Start) -> F) -> TargetProgress
where
    F: Future<Output = Result<Option<Reached>, CommandError>>,
{
    let (mut progress, stop, mut running) =
        (TargetProgress::default(), CancellationToken::new(), FuturesUnordered::new());
    loop {
        while running.len() < at_once
            && let Some(index) = progress.next(targets)
        {
            progress.started.insert(index);
            let start = Start { index, waits: progress.has_reached_source(targets[index]), stop: stop.clone() };
            running.push(promote(start).map(move |result| (index, result)));
        }
        let Some((index, result)) = running.next().await else { return progress };
        match result {
            Ok(reached) => progress.reached.extend(reached),
            Err(error) => {
                stop.cancel();
                progress.failed.push((targets[index].name.clone(), error));
            }
        }
    }
}

impl TargetProgress {
    /// The next target that can start.
    fn next(&self, targets: &[&Environment]) -> Option<usize> {
        let is_target = |name: &Name| targets.iter().any(|target| target.name == *name);
        let is_ready = |target: &Environment| {
            let source = target.promote.as_ref().map(|promotion| &promotion.from);
            source.is_none_or(|source| !is_target(source)) || self.has_reached_source(target)
        };
        let open = (0..targets.len()).find(|index| !self.started.contains(index) && is_ready(targets[*index]));
        open.filter(|_| self.failed.is_empty())
    }

    /// Whether this run has promoted to the source of a target. Other sources have soaked before.
    fn has_reached_source(&self, target: &Environment) -> bool {
        let source = target.promote.as_ref().map(|promotion| &promotion.from);
        source.is_some_and(|source| self.reached.iter().any(|reached| reached.environment == *source))
    }

    /// Prints the URLs, and what each of several targets has.
    ///
    /// # Errors
    /// The failures of all targets, with the kind of the first.
    pub async fn conclude(self, sessions: &[Session]) -> Result<(), CommandError> {
        ui::flush().await;
        let urls = |name: &Name| self.reached.iter().find(|reached| reached.environment == *name).map(|it| &it.urls);
        for session in sessions {
            show_urls(session, urls(&session.environment.name).map(Vec::as_slice).unwrap_or_default());
        }
        if let [_, _, ..] = sessions {
            for session in sessions {
                ui::print_message(&self.state(&session.environment.name));
            }
        }
        self.into_result(sessions.len() > 1)
    }

    fn state(&self, name: &Name) -> String {
        let failed = self.failed.iter().find(|(failed, _)| failed == name).map(|(_, error)| error.kind);
        match (self.reached.iter().find(|reached| reached.environment == *name), failed) {
            (Some(reached), _) if reached.is_preview => format!("{name}: previewed, unchanged"),
            (Some(reached), _) if reached.promoted.is_empty() => format!("{name}: nothing to promote"),
            (Some(reached), _) => format!("{name}: promoted: {}", reached.promoted.join(", ")),
            (None, None) => format!("{name}: not started, unchanged"),
            (None, Some(kind)) => format!("{name}: {}", failed_state(kind)),
        }
    }

    fn into_result(self, is_several: bool) -> Result<(), CommandError> {
        let has_changed = self.reached.iter().any(|reached| !reached.is_preview);
        let errors = self.failed.into_iter().map(|(name, mut error)| {
            let problems = error.problems.iter_mut().filter(|_| is_several);
            problems.for_each(|problem| problem.message = format!("{name}: {}", problem.message));
            error
        });
        let together = |mut first: CommandError, next: CommandError| {
            first.problems.extend(next.problems);
            first
        };
        match errors.reduce(together) {
            None => Ok(()),
            Some(error) if has_changed => Err(after_changes(error)),
            Some(error) => Err(error),
        }
    }
}

fn failed_state(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RolledBack => "failed, and rolled back",
        ErrorKind::NotRolledBack => "failed, and not rolled back",
        ErrorKind::Refused => "not promoted: refused",
        ErrorKind::Interrupted => "interrupted",
        _ => "not promoted: failed",
    }
}

/// Waits until an environment that was just deployed to has soaked. Returns `false` if another target has failed.
///
/// # Errors
/// When the run is interrupted meanwhile.
pub async fn wait_for_soak(source: &Session, soak: Duration, stop: &CancellationToken) -> Result<bool, CommandError> {
    source.note(&format!("waiting {} s for '{}' to soak", soak.as_secs(), source.environment.name));
    tokio::select! {
        () = tokio::time::sleep(soak + Duration::from_secs(1)) => Ok(true),
        () = stop.cancelled() => Ok(false),
        () = source.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let text = "version: 1\nname: tunes\nenvironments:\n  staging: {context: s}\n  production-asia: {context: a, promote: {from: production-eu}}\n  production-eu: {context: e, promote: {from: staging}}\n  production-us: {context: u, promote: {from: production-asia}}\n";
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let workspace = crate::config::load(folder.path()).unwrap().workspace;
        let names: Vec<String> = in_order(&workspace, "production-*").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["production-eu", "production-asia", "production-us"]);
    }

    /// Promotes to the targets of `projects.yaml`, and returns the order of events. `failing` is one that fails.
    async fn order(at_once: usize, failing: &str) -> (Vec<String>, TargetProgress) {
        let folder = tempfile::tempdir().unwrap();
        let text = "version: 1\nname: tunes\nenvironments:\n  staging: {context: s}\n  eu: {context: e, promote: {from: staging}}\n  us: {context: u, promote: {from: staging}}\n  asia: {context: a, promote: {from: eu}}\n";
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let workspace = crate::config::load(folder.path()).unwrap().workspace;
        let targets = ["eu", "us", "asia"].map(|name| &workspace.environments[name]);
        let events = std::cell::RefCell::new(Vec::new());
        let progress = run_all(&targets, at_once, |start| {
            let (name, events) = (targets[start.index].name.clone(), &events);
            async move {
                events.borrow_mut().push(format!("{name}{}", if start.waits { " waits" } else { "" }));
                for _ in 0..if name.as_str() == "us" { 3 } else { 1 } {
                    tokio::task::yield_now().await;
                }
                events.borrow_mut().push(format!("{name} ends"));
                if name.as_str() == failing {
                    return Err(CommandError::new(ErrorKind::Transient, Problem::new("no response")));
                }
                Ok(Some(Reached { environment: name, promoted: Vec::new(), urls: Vec::new(), is_preview: false }))
            }
        });
        let progress = progress.await;
        (events.into_inner(), progress)
    }

    #[tokio::test]
    async fn targets_of_one_source_go_side_by_side_and_others_after_their_source() {
        let (events, progress) = order(4, "").await;
        assert_eq!(events, ["eu", "us", "eu ends", "asia waits", "asia ends", "us ends"]);
        assert!(progress.into_result(true).is_ok());
        let (events, _) = order(1, "").await;
        assert_eq!(events, ["eu", "eu ends", "us", "us ends", "asia waits", "asia ends"]);
    }

    #[tokio::test]
    async fn the_first_failure_stops_those_that_have_not_started() {
        let (events, progress) = order(4, "eu").await;
        assert_eq!(events, ["eu", "us", "eu ends", "us ends"], "us had started");
        let states = ["eu", "us", "asia"].map(|name| progress.state(&Name::new(name).unwrap()));
        assert_eq!(states, ["eu: not promoted: failed", "us: nothing to promote", "asia: not started, unchanged"]);
        let error = progress.into_result(true).unwrap_err();
        assert_eq!(error.problems[0].message, "eu: no response");
        assert_eq!(error.kind, ErrorKind::Failed, "something was changed, so it is not transient");
        assert_eq!(order(1, "eu").await.0, ["eu", "eu ends"]);
    }
}
