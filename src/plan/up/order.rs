//! The order of projects.

use std::collections::BTreeMap;

use super::DescribedProject;
use crate::domain::Name;

/// Sorts projects after those that they need. Projects with the longest chain of dependents come first, because only
/// a few Helm operations run at the same time. Validation has already rejected cycles.
pub(super) fn in_order_of_need(projects: &[DescribedProject]) -> Vec<&DescribedProject> {
    let by_name: BTreeMap<&Name, &DescribedProject> = projects.iter().map(|project| (&project.name, project)).collect();
    let mut chains: BTreeMap<&Name, usize> = BTreeMap::new();
    for project in projects {
        lengthen(project, 0, &by_name, &mut chains);
    }
    let mut ordered: Vec<&DescribedProject> = projects.iter().collect();
    ordered.sort_by_key(|project| std::cmp::Reverse(chains[&project.name]));
    ordered
}

/// Stores the length of the longest chain of dependents, for a project and for everything that it needs.
fn lengthen<'a>(
    project: &'a DescribedProject,
    waiting: usize,
    by_name: &BTreeMap<&'a Name, &'a DescribedProject>,
    chains: &mut BTreeMap<&'a Name, usize>,
) {
    let known = chains.get(&project.name).copied();
    if known.is_some_and(|known| known >= waiting) {
        return;
    }
    chains.insert(&project.name, waiting);
    for need in project.needs.iter().filter_map(|need| by_name.get(need)) {
        lengthen(need, waiting + 1, by_name, chains);
    }
}
