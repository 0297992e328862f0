//! The gate `combination`: a project is promoted beside what it was tested with.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        Name, Presence, Problem, RecordId,
        gate::{Gate, Refusal},
        ledger::History,
        record::Record,
    },
    error::CommandError,
    ops::{
        remote::{
            deploy_request::{is_external, needs, presence},
            source::{SourceState, TargetState},
        },
        session::Session,
    },
    plan::{eligible::Source, sets::sets},
};

/// A promotion of some projects of an environment.
#[derive(Debug, Clone, Copy)]
pub struct Combination<'a> {
    pub source: &'a Session,
    pub target: &'a Session,
    pub state: &'a SourceState,
    pub target_state: &'a TargetState,
    /// The records that are promoted.
    pub records: &'a BTreeMap<String, RecordId>,
}

impl Combination<'_> {
    /// Returns a refusal for each project beside which the target runs something else than the source did.
    ///
    /// # Errors
    /// When a cluster does not respond.
    pub async fn refusals(&self) -> Result<Vec<Refusal>, CommandError> {
        let pairs: Vec<(&Name, &Name)> = self.records.keys().flat_map(|project| self.neighbours(project)).collect();
        let histories = &self.target_state.histories;
        let mut refused = Vec::new();
        for (project, neighbour) in pairs {
            let tested = self.tested_with(project, neighbour);
            if !tested.is_empty() && !self.runs(neighbour, &tested).await? {
                refused.push(self.refusal(project, neighbour, histories.get(neighbour.as_str())));
            }
        }
        Ok(refused)
    }

    /// The projects that a project needs, those that need it and the other members of its bundles, unless they are
    /// promoted too. Each is paired with the project.
    fn neighbours(&self, project: &str) -> Vec<(&Name, &Name)> {
        let workspace = &self.target.loaded.workspace;
        let Some((project, _)) = workspace.projects.get_key_value(project) else { return Vec::new() };
        let own = needs(self.target, project.as_str());
        let all = workspace.projects.keys();
        let connected = all.filter(|name| own.contains(*name) || needs(self.target, name.as_str()).contains(project));
        let bundles = workspace.bundles.values().filter(|bundle| bundle.projects.contains(project));
        let is_own = |name: &&Name| {
            let is_here = |session: &Session| {
                !is_external(session, name.as_str()) && presence(session, name.as_str()) != Some(Presence::Disabled)
            };
            !self.records.contains_key(name.as_str()) && is_here(self.source) && is_here(self.target)
        };
        let beside: BTreeSet<&Name> = connected.chain(bundles.flat_map(|it| &it.projects)).filter(is_own).collect();
        beside.into_iter().map(|neighbour| (project, neighbour)).collect()
    }

    /// The records of a neighbour that ran beside the promoted record of a project: for the soak time, if any did.
    fn tested_with(&self, project: &Name, neighbour: &Name) -> BTreeSet<RecordId> {
        let soak = self.target.environment.promote.as_ref().map(|promotion| promotion.soak).unwrap_or_default();
        let sources = self.state.sources([project, neighbour], soak);
        let periods: Vec<_> = sources.iter().map(|source| (source.project, Source::periods(source))).collect();
        let mut found = sets(periods.iter().map(|(project, periods)| (*project, periods.as_slice())));
        found.retain(|set| set.records.get(project.as_str()) == self.records.get(project.as_str()));
        if found.iter().any(|set| set.lasted() >= soak) {
            found.retain(|set| set.lasted() >= soak);
        }
        found.into_iter().filter_map(|mut set| set.records.remove(neighbour.as_str())).collect()
    }

    /// Whether the target runs one of these records of the source, apart from its values. A project that does not run
    /// there and is not needed is no difference.
    async fn runs(&self, neighbour: &Name, tested: &BTreeSet<RecordId>) -> Result<bool, CommandError> {
        let TargetState { access, histories } = self.target_state;
        let Some(current) = histories.get(neighbour.as_str()).and_then(History::current) else {
            return Ok(!self.is_needed(neighbour));
        };
        if current.promoted_record.as_ref().is_some_and(|record| tested.contains(record)) {
            return Ok(true);
        }
        let running = access.cluster.record(&self.target.environment.namespace, &current.record).await?;
        for record in tested {
            let tested = self.state.access.cluster.record(&self.source.environment.namespace, record).await?;
            if running.as_ref().zip(tested.as_ref()).is_some_and(|(running, tested)| is_same_build(running, tested)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_needed(&self, neighbour: &Name) -> bool {
        self.records.keys().any(|project| needs(self.target, project).contains(neighbour))
    }

    fn refusal(&self, project: &Name, neighbour: &Name, running: Option<&History>) -> Refusal {
        let (source, target) = (&self.source.environment.name, &self.target.environment.name);
        let beside = self.state.histories.get(neighbour.as_str()).and_then(History::current);
        let version = beside.map(|it| it.version.clone()).unwrap_or_default();
        let runs = match running.and_then(History::current) {
            Some(current) => format!("runs {neighbour} {} (record {})", current.version, current.record),
            None => format!("does not run {neighbour}"),
        };
        let cause = format!("it was tested beside {neighbour} {version} in '{source}', but '{target}' {runs}");
        let all: Vec<&str> = self.records.keys().map(String::as_str).chain([neighbour.as_str()]).collect();
        let help = format!("promote them together: cmdr promote {} --to {target}", all.join(" "));
        Refusal { gate: Gate::Combination, project: project.to_string(), problem: Problem::new(cause).help(help) }
    }
}

/// Whether two records have the same images and the same chart. Values differ between environments.
fn is_same_build(one: &Record, other: &Record) -> bool {
    let digests = |record: &Record| record.images.values().cloned().collect::<BTreeSet<_>>();
    one.chart.digest == other.chart.digest && digests(one) == digests(other)
}
