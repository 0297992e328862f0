//! Validates what steps and checks need of projects: queues to drain, routes to close, a URL to request.

use crate::{
    config::{
        error::{ConfigError, quoted},
        sources::Sources,
        tree::Cursor,
    },
    domain::{Environment, ResolvedProject, Workspace, resolve, workspace::LOCAL},
};

/// What projects have in the environments with procedures and rollouts.
struct ProjectFacts<'a> {
    workspace: &'a Workspace,
    environments: Vec<(&'a Environment, Vec<ResolvedProject>)>,
}

/// Reports steps and checks that can be done in no environment, because a project has nowhere what they need.
pub(in crate::config) fn check_projects(sources: &Sources, workspace: &Workspace, found: &mut Vec<ConfigError>) {
    let has_rollout = |project: &Cursor<'_>| {
        let overrides = project.get("environments").into_iter().flat_map(|map| map.entries());
        std::iter::once(*project).chain(overrides).any(|holder| holder.get("rollout").is_some())
    };
    // Most workspaces have neither, and each environment is resolved for them.
    if sources.entries("procedures").next().is_none() && !sources.entries("projects").any(|(_, it)| has_rollout(&it)) {
        return;
    }
    let remote = workspace.environments.values().filter(|environment| environment.name.as_str() != LOCAL);
    let environments = remote.map(|environment| (environment, resolve(workspace, environment))).collect();
    let facts = ProjectFacts { workspace, environments };
    for (_, procedure) in sources.entries("procedures") {
        for step in procedure.get("steps").into_iter().flat_map(|steps| steps.items()) {
            let own = step.get("env").and_then(|env| env.text());
            facts.check_act(step, own, found);
            for undo in step.get("undo").into_iter().flat_map(|undo| undo.items()) {
                facts.check_act(undo, undo.get("env").and_then(|env| env.text()).or(own), found);
            }
            let checks = step.get("check").into_iter().flat_map(|checks| checks.entries());
            found.extend(checks.filter_map(|check| facts.without_url(check, own)));
        }
    }
    for (_, project) in sources.entries("projects") {
        let overrides = project.get("environments").into_iter().flat_map(|map| map.entries());
        for holder in std::iter::once(project).chain(overrides) {
            let checks = holder.at(&["rollout", "checks"]).into_iter().flat_map(|checks| checks.entries());
            // The path of the project itself is requested of the new version's Service.
            let is_other = |check: &Cursor<'_>| check.get("project").is_some_and(|it| it.text() != Some(project.key()));
            found.extend(checks.filter(is_other).filter_map(|check| facts.without_url(check, None)));
        }
    }
}

impl ProjectFacts<'_> {
    fn check_act(&self, act: Cursor<'_>, environment: Option<&str>, found: &mut Vec<ConfigError>) {
        for named in ["drain", "fill"].into_iter().filter_map(|key| act.get(key)) {
            let message = |name: &str| format!("{} has no queues that can be drained", quoted(name));
            let error = |name: &str| {
                ConfigError::error(
                    named.location(),
                    message(name),
                    "expected a project with `queues`, or a bundle of them",
                )
            };
            found.extend(named.text().filter(|name| self.has_no_queues(name, environment)).map(error));
        }
        let closed = act.at(&["maintenance", "projects"]).into_iter().flat_map(|projects| projects.items());
        for (named, name) in closed.filter_map(|named| Some((named, named.text()?))) {
            if self.is_nowhere(name, environment, may_have_routes) {
                let message = format!("{} has no route that can be closed", quoted(name));
                let expected = "expected a project with `host` or `routes`";
                found.push(ConfigError::error(named.location(), message, expected));
            }
        }
    }

    fn without_url(&self, check: Cursor<'_>, environment: Option<&str>) -> Option<ConfigError> {
        let (path, name) = (check.at(&["http", "path"])?, check.get("project")?.text()?);
        let has_url = |project: &ResolvedProject| project.routes.iter().any(|route| !route.hosts.is_empty());
        let message = format!("{} has no URL for the path of the check {}", quoted(name), quoted(check.key()));
        let expected = "expected a project with `host` or `routes`, or `url` instead of `path`";
        self.is_nowhere(name, environment, has_url).then(|| ConfigError::error(path.key_location(), message, expected))
    }

    /// The environments that a step means: its own, or any.
    fn meant(&self, own: Option<&str>) -> impl Iterator<Item = &(&Environment, Vec<ResolvedProject>)> {
        self.environments.iter().filter(move |(environment, _)| own.is_none_or(|own| environment.name.as_str() == own))
    }

    /// Whether a project lacks something in each environment that is meant. Unknown projects are reported elsewhere.
    fn is_nowhere(&self, name: &str, own: Option<&str>, has: impl Fn(&ResolvedProject) -> bool) -> bool {
        let projects = self.meant(own).flat_map(|(_, projects)| projects);
        let mut named = projects.filter(|project| project.name.as_str() == name).peekable();
        named.peek().is_some() && !named.any(has)
    }

    fn has_no_queues(&self, name: &str, own: Option<&str>) -> bool {
        let Workspace { projects, bundles, .. } = self.workspace;
        let members = bundles.get(name).map(|bundle| bundle.projects.iter().filter_map(|it| projects.get(it.as_str())));
        let named: Vec<_> = projects.get(name).into_iter().chain(members.into_iter().flatten()).collect();
        let mut meant = self.meant(own).peekable();
        let has = |environment: &Environment| named.iter().any(|it| !it.overridden(environment).queues.is_empty());
        !named.is_empty() && meant.peek().is_some() && !meant.any(|(environment, _)| has(environment))
    }
}

/// Whether a project can have routes. Those of charts of its own and of further objects are not known here.
fn may_have_routes(project: &ResolvedProject) -> bool {
    !project.routes.is_empty()
        || !project.is_on_universal_chart()
        || project.external.is_some()
        || project.values.contains_key("extraObjects")
}
