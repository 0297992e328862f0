//! Which pods belong to a project or to a release of the platform.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    adapters::cluster::{Cluster, StoredRelease},
    domain::{Name, Presence, Problem, ReleaseKey, labels, rollout::next_name},
    error::{CommandError, ErrorKind},
    ops::{
        describe::platform_releases,
        remote::deploy_request::presence,
        run::not_deployed,
        session::{Session, disabled_here, unknown},
    },
};

/// The label of a pod with the name of its Job.
const JOB: &str = "batch.kubernetes.io/job-name";

/// The release of a project or of the platform, whose pods a command works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedRelease {
    pub key: ReleaseKey,
    /// Whether its pods have the labels of the universal chart.
    is_universal: bool,
    /// Whether a second release may run a new version.
    has_rollout: bool,
}

/// How the pods of a release are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodSelector {
    pub key: ReleaseKey,
    /// A pod belongs to the release if it has all labels of one of these.
    labels: Vec<BTreeMap<String, String>>,
}

impl PodSelector {
    pub(crate) fn matches(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let has_all = |own: &BTreeMap<String, String>| own.iter().all(|(name, value)| labels.get(name) == Some(value));
        self.key.namespace == namespace && self.labels.iter().any(has_all)
    }
}

/// Finds the named projects and platform releases; without names all projects that are not external.
///
/// # Errors
/// All names that are unknown, disabled or external here, each with a remedy.
pub(crate) fn named_releases(session: &Session, names: &[String]) -> Result<Vec<NamedRelease>, CommandError> {
    if names.is_empty() {
        let own = session.projects.iter().filter(|project| project.external.is_none());
        return Ok(own.map(|project| of_project(session, project)).collect());
    }
    let (mut found, mut problems) = (Vec::<NamedRelease>::new(), Vec::new());
    for name in names {
        match named_release(session, name) {
            Ok(release) if found.contains(&release) => (),
            Ok(release) => found.push(release),
            Err(error) => problems.extend(error.problems),
        }
    }
    CommandError::require_none(ErrorKind::Usage, problems)?;
    Ok(found)
}

fn of_project(session: &Session, project: &crate::domain::ResolvedProject) -> NamedRelease {
    let key = ReleaseKey::new(&session.environment.namespace, project.name.as_str());
    let has_rollout = project.rollout.as_ref().is_some_and(|rollout| !rollout.is_none());
    NamedRelease { key, is_universal: project.is_on_universal_chart(), has_rollout }
}

fn named_release(session: &Session, name: &str) -> Result<NamedRelease, CommandError> {
    let project = session.projects.iter().find(|project| project.name.as_str() == name);
    if let Some(project) = project {
        if project.external.is_some() {
            let cause = format!("'{name}' is external in this environment: it has no pods here");
            return Err(CommandError::usage(Problem::new(cause)));
        }
        return Ok(of_project(session, project));
    }
    if presence(session, name) == Some(Presence::Disabled) {
        return Err(CommandError::usage(disabled_here(session, name)));
    }
    let platform = platform_releases(session);
    if let Some(release) = platform.iter().find(|release| release.name == name) {
        return Ok(NamedRelease {
            key: ReleaseKey::new(&release.namespace, &release.name),
            is_universal: false,
            has_rollout: false,
        });
    }
    let projects = session.loaded.workspace.projects.keys().map(Name::as_str);
    Err(unknown("project", name, projects.chain(platform.iter().map(|release| release.name.as_str()))))
}

/// Finds how the pods of the releases are known. Charts other than the universal one are read from what Helm stored.
///
/// # Errors
/// When a release with such a chart is not deployed, or the cluster does not respond.
pub(crate) async fn pod_selectors(
    session: &Session,
    cluster: &Cluster,
    releases: &[NamedRelease],
    must_exist: bool,
) -> Result<Vec<PodSelector>, CommandError> {
    let needs_stored = releases.iter().any(|release| !release.is_universal);
    let stored = if needs_stored { cluster.releases().await? } else { Vec::new() };
    let mut selectors = Vec::new();
    for release in releases {
        if release.is_universal {
            let next = release.has_rollout.then(|| next_name(&release.key.name));
            let instances = [release.key.name.clone()].into_iter().chain(next);
            let labels = instances.map(|name| BTreeMap::from([(labels::INSTANCE.to_owned(), name)])).collect();
            selectors.push(PodSelector { key: release.key.clone(), labels });
            continue;
        }
        match stored.iter().find(|stored| stored.key == release.key) {
            Some(stored) => selectors.push(PodSelector { key: release.key.clone(), labels: labels_of(stored) }),
            None if must_exist => return Err(not_deployed(session, &release.key.name)),
            None => (),
        }
    }
    Ok(selectors)
}

fn labels_of(release: &StoredRelease) -> Vec<BTreeMap<String, String>> {
    let in_namespace = release.rendered.iter().filter(|it| it.object.namespace == release.key.namespace);
    in_namespace.filter_map(|it| selector_of(&it.content)).filter(|labels| !labels.is_empty()).collect()
}

/// The labels of the pods of a workload.
fn selector_of(object: &Value) -> Option<BTreeMap<String, String>> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    if object["kind"] == "Job" {
        return Some(BTreeMap::from([(JOB.to_owned(), text("/metadata/name")?.to_owned())]));
    }
    let places = [
        "/spec/selector/matchLabels",
        "/spec/jobTemplate/spec/template/metadata/labels",
        "/spec/template/metadata/labels",
    ];
    let labels = places.iter().find_map(|place| object.pointer(place)?.as_object());
    let labels = labels.or_else(|| object.pointer("/metadata/labels")?.as_object().filter(|_| object["kind"] == "Pod"));
    let pairs = labels?.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Some(pairs.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_known_by_the_selector_of_their_workload() {
        let labels = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let deployment = json!({"kind": "Deployment", "spec": {"selector": {"matchLabels": {"app": "search"}},
            "template": {"metadata": {"labels": {"app": "search", "version": "1"}}}}});
        assert_eq!(selector_of(&deployment), labels(&[("app", "search")]));
        let job = json!({"kind": "Job", "metadata": {"name": "migrate-1"}});
        assert_eq!(selector_of(&job), labels(&[(JOB, "migrate-1")]));
        let pod = json!({"kind": "Pod", "metadata": {"labels": {"app": "once"}}});
        assert_eq!(selector_of(&pod), labels(&[("app", "once")]));
        assert_eq!(selector_of(&json!({"kind": "Service", "spec": {"selector": {"app": "search"}}})), None);
    }

    #[test]
    fn a_pod_of_another_namespace_does_not_match() {
        let own = BTreeMap::from([("app".to_owned(), "search".to_owned())]);
        let selector = PodSelector { key: ReleaseKey::new("tunes", "search"), labels: vec![own.clone()] };
        assert!(selector.matches("tunes", &own));
        assert!(!selector.matches("other", &own));
        assert!(!selector.matches("tunes", &BTreeMap::new()));
    }
}
