//! Routes, which refer to a port of the project.

use super::{Mistake, containers::entries};
use crate::{config::error::quoted, domain::ResolvedProject};

/// Returns a mistake if the project has routes, but no port that they can refer to.
pub(super) fn without_port(project: &ResolvedProject) -> Option<Mistake> {
    let has_routes = !project.routes.is_empty() || entries(project.values.get("routes")).next().is_some();
    if !has_routes || entries(project.values.get("ports")).next().is_some() {
        return None;
    }
    let message = format!("{} has a host or routes, but no port", quoted(project.name.as_str()));
    let expected = "expected `ports` under `values`, such as `{http: 8080}`".to_owned();
    Some(Mistake::new(vec!["ports".to_owned()], message, expected))
}
