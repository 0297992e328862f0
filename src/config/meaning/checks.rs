//! Validates what checks of rollouts and procedures refer to.

use super::names::KnownNames;
use crate::{
    config::{
        error::{ConfigError, quoted},
        sources::Sources,
        tree::Cursor,
    },
    domain::{check::PrometheusAddress, query::Expression},
};

/// Validates a map of checks. `own` is the project that is rolled out; without one, checks must name theirs.
pub(super) fn check(sources: &Sources, checks: Cursor<'_>, own: Option<&str>, found: &mut Vec<ConfigError>) {
    let projects = KnownNames::new("project", sources.names("projects"));
    for check in checks.entries() {
        for (name, value) in ["project", "run"].into_iter().filter_map(|key| named(check, key)) {
            projects.check(name, &value.location(), found);
        }
        if let Some((name, value)) = named(check, "run") {
            check_is_job(sources, name, value, found);
        }
        if let Some(at) = check.at(&["prometheus", "at"])
            && let Some(PrometheusAddress::Service { namespace: None, name, .. }) =
                at.text().and_then(PrometheusAddress::parse)
        {
            projects.check(&name, &at.location(), found);
        }
        if let Some((source, value)) = named(check, "expr") {
            check_expression(source, value, found);
        }
        if own.is_none() && check.get("project").is_none() {
            let needs_project = [check.get("errors"), check.get("latency"), check.at(&["http", "path"])];
            if let Some(key) = needs_project.into_iter().flatten().next() {
                let message = format!("`{}` of the check {} has no project", key.key(), quoted(check.key()));
                let expected = "expected `project` in the check: outside of a rollout, no project is meant";
                found.push(ConfigError::error(key.key_location(), message, expected));
            }
        }
    }
}

fn named<'a>(check: Cursor<'a>, key: &str) -> Option<(&'a str, Cursor<'a>)> {
    let value = check.get(key)?;
    Some((value.text()?, value))
}

/// A project that is run must be a Job, as far as its values show.
pub(super) fn check_is_job(sources: &Sources, name: &str, value: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some(project) = sources.find(&["projects", name]).filter(|project| project.get("chart").is_none()) else {
        return;
    };
    let kind = project.at(&["values", "kind"]).and_then(|kind| kind.text()).unwrap_or("Deployment");
    if !["Job", "CronJob"].contains(&kind) {
        let message = format!("{} is not a Job or CronJob: it cannot be run", quoted(name));
        found.push(ConfigError::error(value.location(), message, "expected a project with `kind: Job` or `CronJob`"));
    }
}

fn check_expression(source: &str, value: Cursor<'_>, found: &mut Vec<ConfigError>) {
    for error in Expression::parse(source).err().into_iter().flatten() {
        let message = format!("{} is not a valid expression: {error}", quoted(source));
        found.push(
            ConfigError::error(value.location(), message, format!("expected {}", error.expected)).with_help(error.help),
        );
    }
}
