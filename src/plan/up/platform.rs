//! The steps of the platform, and their order.

use std::collections::{BTreeMap, BTreeSet};

use super::{LOAD_BALANCER, Planner};
use crate::{
    domain::{Name, platform::ResolvedPlatform},
    plan::{Step, StepId},
};

/// Which platform releases wait for others, and which of them projects wait for.
#[derive(Debug, Clone, Default)]
pub struct PlatformOrder {
    /// What each release needs, by its name.
    needs: BTreeMap<String, Vec<Name>>,
    /// Added by the workspace: all projects wait for them.
    pub(super) added: BTreeSet<String>,
}

impl PlatformOrder {
    pub fn new(releases: &[ResolvedPlatform]) -> Self {
        let added = releases.iter().filter(|release| release.is_added).map(|release| release.name.clone());
        Self {
            added: added.collect(),
            needs: releases.iter().map(|release| (release.name.clone(), release.needs.clone())).collect(),
        }
    }

    /// Returns what a release needs.
    pub fn needs_of(&self, release: &str) -> &[Name] {
        self.needs.get(release).map_or(&[], Vec::as_slice)
    }

    /// The number of releases in the longest chain that a release waits for. Validation has already rejected cycles.
    fn depth(&self, release: &str) -> usize {
        self.needs_of(release).iter().map(|need| 1 + self.depth(need.as_str())).max().unwrap_or_default()
    }
}

impl Planner<'_> {
    /// Adds the steps of the platform, by the name of the release.
    pub(super) fn platform(
        &mut self,
        cluster: StepId,
        namespaces: &BTreeMap<String, StepId>,
    ) -> BTreeMap<String, StepId> {
        let described = self.described;
        let mut steps: BTreeMap<String, StepId> = BTreeMap::new();
        let mut ordered: Vec<_> = described.platform.iter().collect();
        ordered.sort_by_key(|release| described.order.depth(&release.name));
        for release in ordered {
            let namespace = namespaces.get(&release.namespace).copied().unwrap_or(cluster);
            let others = described.order.needs_of(&release.name).iter();
            let others = others.filter_map(|need| steps.get(need.as_str()).copied());
            let needs: Vec<StepId> = std::iter::once(namespace).chain(others).collect();
            if let Some(step) = self.release(release, needs) {
                steps.insert(release.name.clone(), step);
            }
        }
        if described.address_pool && (!self.observed.has_address_pool || steps.contains_key(LOAD_BALANCER)) {
            self.plan.add(Step::AddressPool, "addresses for LoadBalancer services", [cluster]);
        }
        steps
    }
}
