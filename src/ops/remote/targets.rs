//! The target environments of a promotion, each after its source.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Environment, Name, Problem, Workspace},
    error::{CommandError, ErrorKind},
    ops::session::{Session, unknown},
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
    names.iter().map(|name| open(name.as_str())).collect()
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

/// Waits until an environment that was just deployed to has soaked.
///
/// # Errors
/// When the run is interrupted meanwhile.
pub async fn wait_for_soak(source: &Session, soak: Duration) -> Result<(), CommandError> {
    source.note(&format!("waiting {} s for '{}' to soak", soak.as_secs(), source.environment.name));
    tokio::select! {
        () = tokio::time::sleep(soak + Duration::from_secs(1)) => Ok(()),
        () = source.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
    }
}

/// A target that this run has promoted to.
#[derive(Debug)]
pub struct Reached {
    pub environment: Name,
    /// Projects with their versions.
    pub promoted: Vec<String>,
}

/// Whether this run has deployed to the source of a target. Other sources have soaked before.
pub fn source_was_reached(target: &Session, reached: &[Reached]) -> bool {
    takes_from_reached(&target.environment, reached)
}

fn takes_from_reached(target: &Environment, reached: &[Reached]) -> bool {
    let source = target.promote.as_ref().map(|promotion| &promotion.from);
    source.is_some_and(|source| reached.iter().any(|reached| reached.environment == *source))
}

/// Prints what each environment has after a promotion to several.
pub fn report_targets(sessions: &[Session], reached: &[Reached], failed: Option<&Name>) {
    for session in sessions {
        let name = &session.environment.name;
        let state = match reached.iter().find(|reached| reached.environment == *name) {
            Some(reached) if reached.promoted.is_empty() => "nothing to promote".to_owned(),
            Some(reached) => format!("promoted: {}", reached.promoted.join(", ")),
            None if failed == Some(name) => "not promoted: see below".to_owned(),
            None => "not started".to_owned(),
        };
        ui::print_message(&format!("{name}: {state}"));
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
    #[test]
    fn a_target_waits_only_for_its_own_source() {
        let folder = tempfile::tempdir().unwrap();
        let text = "version: 1\nname: tunes\nenvironments:\n  staging: {context: s}\n  production-eu: {context: e, promote: {from: staging}}\n  production-us: {context: u, promote: {from: staging}}\n  production-asia: {context: a, promote: {from: production-eu}}\n";
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let workspace = crate::config::load(folder.path()).unwrap().workspace;
        let waits = |target: &str, reached: &str| {
            let reached = [Reached { environment: Name::new(reached).unwrap(), promoted: Vec::new() }];
            takes_from_reached(&workspace.environments[target], &reached)
        };
        assert!(!waits("production-us", "production-eu"), "both take from staging");
        assert!(waits("production-asia", "production-eu"));
    }
}
