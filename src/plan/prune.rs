//! The plan of `status --prune`, which removes what is disabled or no longer in projects.yaml.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Removal, Step, externals::ObservedExternal, up::Observed};
use crate::domain::{Environment, ReleaseKey, labels};

/// What the environment has and projects.yaml does not describe: releases with their revisions, and external services.
pub type Orphans = BTreeMap<ReleaseKey, Option<u32>>;

/// Returns the releases and external services of a workspace whose projects are disabled or no longer in projects.yaml.
pub fn orphans(
    observed: &Observed,
    described: &BTreeSet<ReleaseKey>,
    workspace: &str,
    environment: &Environment,
) -> Orphans {
    let own = observed.releases.iter().filter(|(_, release)| {
        let name = release.labels.get(labels::ENVIRONMENT);
        release.belongs_to(workspace) && name.is_some_and(|name| name == environment.name.as_str())
    });
    // The releases of a copy are its own; those outside of all copies are the original's.
    let is_here = |key: &ReleaseKey| match &environment.local_copy {
        Some(_) => key.namespace == environment.namespace,
        None => observed.copies.iter().all(|copy| copy.namespace != key.namespace),
    };
    let releases = own.filter(|(key, _)| is_here(key)).map(|(key, release)| (key, Some(release.revision)));
    let leading = observed.externals.keys().filter(|key| key.namespace == environment.namespace);
    let all = leading.map(|key| (key, None)).chain(releases);
    // The second release of a rollout belongs to its project.
    let is_described = |key: &ReleaseKey| {
        let project = observed.releases.get(key).and_then(|release| release.labels.get(labels::ROLLOUT));
        let project = project.map(|project| ReleaseKey::new(&key.namespace, project));
        described.contains(key) || project.is_some_and(|project| described.contains(&project))
    };
    all.filter(|(key, _)| !is_described(key)).map(|(key, revision)| (key.clone(), revision)).collect()
}

/// Returns how orphans differ from those that were shown, one line each.
pub fn differences(shown: &Orphans, now: &Orphans) -> Vec<String> {
    let keys: BTreeSet<&ReleaseKey> = shown.keys().chain(now.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let how = match (shown.get(key), now.get(key)) {
            (Some(_), None) => "was removed or is described now",
            (None, Some(_)) => "would also be removed",
            (one, other) if one != other => "was changed in the meantime",
            _ => return None,
        };
        Some(format!("{} {how}", key.name))
    });
    differing.collect()
}

/// Removes each orphan: the objects of an external project if it has some, else its release.
pub fn prune<'a>(
    orphans: impl IntoIterator<Item = &'a ReleaseKey>,
    externals: &BTreeMap<ReleaseKey, ObservedExternal>,
) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for release in orphans {
        let removal = Removal { release: release.clone(), is_orphan: true };
        let step = if externals.contains_key(release) { Step::RemoveExternal(removal) } else { Step::Remove(removal) };
        plan.add(step, "disabled, or no longer in projects.yaml", [connected]);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{externals::tests::found, graph::tests::lines};

    #[test]
    fn what_changed_since_it_was_shown_is_named() {
        let key = |name: &str| ReleaseKey::new("tunes", name);
        let of = |orphans: &[(&str, Option<u32>)]| -> Orphans {
            orphans.iter().map(|(name, revision)| (key(name), *revision)).collect()
        };
        let shown = of(&[("cache", Some(1)), ("gone", Some(2)), ("mail", None)]);
        assert_eq!(differences(&shown, &shown), Vec::<String>::new());
        let now = of(&[("cache", Some(2)), ("mail", None), ("new", Some(1))]);
        assert_eq!(
            differences(&shown, &now),
            ["cache was changed in the meantime", "gone was removed or is described now", "new would also be removed",]
        );
    }

    #[test]
    fn releases_and_external_services_are_removed_in_their_own_way() {
        let orphans = [ReleaseKey::new("tunes", "database"), ReleaseKey::new("tunes", "shop")];
        let plan = prune(&orphans, &BTreeMap::from([(orphans[0].clone(), found("new"))]));
        assert_eq!(lines(&plan), ["connect cluster <- ", "remove database <- cluster", "remove shop <- cluster"]);
        assert!(matches!(&plan.steps[1].step, Step::RemoveExternal(removal) if removal.release == orphans[0]));
        assert!(matches!(&plan.steps[2].step, Step::Remove(removal) if removal.release == orphans[1]));
    }
}
