//! The target environments of a promotion, each after its source.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Name, Problem, Workspace},
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

/// Prints the state of each environment when a promotion to several ends early.
pub fn report_targets(sessions: &[Session], reached: &[String], failed: &str) {
    for session in sessions {
        let name = session.environment.name.as_str();
        let state = if reached.iter().any(|reached| reached == name) {
            "promoted"
        } else if name == failed {
            "not promoted: see below"
        } else {
            "not started"
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
}
