//! The plan of `status --prune`, which removes what is disabled or no longer in projects.yaml.

use std::collections::BTreeMap;

use super::{Plan, Removal, Step, externals::ObservedExternal};
use crate::domain::ReleaseKey;

/// Removes each orphan: the objects of an external project if it has some, else its release.
pub fn prune(orphans: &[ReleaseKey], externals: &BTreeMap<ReleaseKey, ObservedExternal>) -> Plan {
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
    fn releases_and_external_services_are_removed_in_their_own_way() {
        let orphans = [ReleaseKey::new("tunes", "database"), ReleaseKey::new("tunes", "shop")];
        let plan = prune(&orphans, &BTreeMap::from([(orphans[0].clone(), found("new"))]));
        assert_eq!(lines(&plan), ["connect cluster <- ", "remove database <- cluster", "remove shop <- cluster"]);
        assert!(matches!(&plan.steps[1].step, Step::RemoveExternal(removal) if removal.release == orphans[0]));
        assert!(matches!(&plan.steps[2].step, Step::Remove(removal) if removal.release == orphans[1]));
    }
}
