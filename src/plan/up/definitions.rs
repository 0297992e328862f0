//! CustomResourceDefinitions of a newer chart, which Helm does not upgrade.

use std::collections::BTreeMap;

use semver::Version;

use super::Planner;
use crate::{
    domain::labels,
    plan::{DefinitionsSpec, ObservedRelease, ReleaseSpec, Step, StepId},
};

impl Planner<'_> {
    /// Adds the step that applies the definitions of a release that is upgraded, if any differs.
    pub(super) fn definitions(&mut self, release: &ReleaseSpec, needs: &[StepId]) -> Option<StepId> {
        let found = self.observed.releases.get(&release.key())?;
        if is_older(release, found) {
            return None;
        }
        let known = self.observed.definitions.as_ref()?;
        let is_other_chart = found.labels.get(labels::CHART) != Some(&labels::value(&release.content.chart.label()));
        let differs = |(name, checksum): &(&String, &String)| match known.get(*name) {
            None => true,
            // Helm installed it: only another chart can contain another one.
            Some(None) => is_other_chart,
            Some(Some(applied)) => applied != *checksum,
        };
        let definitions: BTreeMap<String, String> = release
            .definitions
            .iter()
            .filter(differs)
            .map(|(name, checksum)| (name.clone(), checksum.clone()))
            .collect();
        if definitions.is_empty() {
            return None;
        }
        let reason =
            format!("Helm does not upgrade them: {}", definitions.keys().cloned().collect::<Vec<_>>().join(", "));
        let spec = DefinitionsSpec { release: release.name.clone(), chart: release.chart.clone(), definitions };
        Some(self.plan.add(Step::Definitions(spec), reason, needs.iter().copied()))
    }
}

/// Whether the chart is older than the one that was deployed: its definitions might drop fields that are in use.
fn is_older(release: &ReleaseSpec, found: &ObservedRelease) -> bool {
    let chart = &release.content.chart;
    let deployed = found.labels.get(labels::CHART).and_then(|label| label.strip_prefix(&format!("{}-", chart.name)));
    let version = |text: &str| Version::parse(text.trim_start_matches('v')).ok();
    matches!((deployed.and_then(version), version(&chart.version)), (Some(deployed), Some(own)) if own < deployed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ReleaseKey,
        plan::{
            change::tests::{found, spec},
            graph::tests::lines,
            up::{Described, Observed, ObservedCluster, up},
        },
    };

    const NAME: &str = "things.example.test";

    /// The plan of a release of the chart `service`, of which version 1.0.0 is deployed.
    fn planned(version: &str, known: Option<&[(&str, Option<&str>)]>) -> Vec<String> {
        let mut release = ReleaseSpec { record: "r2".into(), ..spec("shop") };
        release.content.chart.version = version.to_owned();
        release.definitions = BTreeMap::from([(NAME.to_owned(), "new".to_owned())]);
        let mut observed = Observed { cluster: ObservedCluster::Running, ..Observed::default() };
        observed.releases.insert(ReleaseKey::new("tunes", "shop"), found());
        observed.definitions = known.map(|known| {
            known.iter().map(|(name, checksum)| ((*name).to_owned(), checksum.map(str::to_owned))).collect()
        });
        let described = Described { workspace: "tunes".to_owned(), platform: vec![release], ..Described::default() };
        lines(&up(&described, &observed).unwrap()).into_iter().skip(1).collect()
    }

    #[test]
    fn definitions_of_a_newer_chart_come_first() {
        let first = ["apply CRDs of shop <- cluster", "upgrade shop <- cluster, CRDs of shop"];
        let only_upgrade = ["upgrade shop <- cluster"];
        assert_eq!(planned("1.1.0", Some(&[(NAME, None)])), first, "Helm installed the older one");
        assert_eq!(planned("1.1.0", Some(&[(NAME, Some("old"))])), first);
        assert_eq!(planned("1.0.0", Some(&[(NAME, Some("old"))])), first, "a chart without a new version");
        assert_eq!(planned("1.1.0", Some(&[])), first, "Helm installs none in an upgrade");
        assert_eq!(planned("1.1.0", Some(&[(NAME, Some("new"))])), only_upgrade, "it is applied");
        assert_eq!(planned("1.0.0", Some(&[(NAME, None)])), only_upgrade, "the same chart");
        assert_eq!(planned("0.9.0", Some(&[(NAME, Some("old"))])), only_upgrade, "an older chart");
        assert_eq!(planned("1.1.0", None), only_upgrade, "they cannot be listed");
    }
}
