//! The source of promotions as observed: which records ran there, and for how long.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    adapters::cluster::lease::Scope,
    domain::{Name, Presence, ReleaseKey, ledger::History},
    error::CommandError,
    ops::{
        observe::{Observation, look_at},
        remote::{
            access::RemoteAccess,
            deploy_request::{is_external, presence},
        },
        session::Session,
    },
    plan::{eligible::Source, step_back::TargetRecord},
};

/// An environment with its ledger.
#[derive(Debug)]
pub struct SourceState {
    pub access: RemoteAccess,
    pub histories: BTreeMap<String, History>,
    environment: String,
    namespace: String,
    observation: Observation,
    /// The scopes that other runs have locked.
    in_work: Vec<Scope>,
    now: Timestamp,
}

impl SourceState {
    /// # Errors
    /// When the cluster is the wrong one, or does not respond.
    pub async fn look(session: &Session) -> Result<Self, CommandError> {
        let access = RemoteAccess::open(session).await?;
        let namespace = session.environment.namespace.clone();
        let (observation, histories, in_work) = tokio::try_join!(
            look_at(&access.cluster, session.workspace().as_str(), None),
            access.cluster.histories(&namespace),
            access.cluster.held_scopes(&namespace),
        )?;
        let environment = session.environment.name.to_string();
        Ok(Self { access, histories, environment, namespace, observation, in_work, now: Timestamp::now() })
    }

    /// What is known about each of these projects.
    pub fn sources<'a>(&'a self, projects: impl IntoIterator<Item = &'a Name>, soak: Duration) -> Vec<Source<'a>> {
        projects.into_iter().map(|project| self.source(project, soak)).collect()
    }

    fn source<'a>(&'a self, project: &'a Name, soak: Duration) -> Source<'a> {
        let is_meant = |scope: &Scope| match scope {
            Scope::Environment => true,
            Scope::Projects(names) => names.contains(project.as_str()),
        };
        Source {
            project: project.as_str(),
            environment: &self.environment,
            history: self.histories.get(project.as_str()),
            live: self.observation.observed.releases.get(&ReleaseKey::new(&self.namespace, project.as_str())),
            in_work: self.in_work.iter().any(is_meant),
            soak,
            target: None,
            now: self.now,
        }
    }
}

/// The target of a promotion, with its ledger.
#[derive(Debug)]
pub struct TargetState {
    pub access: RemoteAccess,
    pub histories: BTreeMap<String, History>,
}

impl TargetState {
    /// # Errors
    /// When the cluster is the wrong one, or does not respond.
    pub async fn look(session: &Session) -> Result<Self, CommandError> {
        let access = RemoteAccess::open(session).await?;
        let histories = access.cluster.histories(&session.environment.namespace).await?;
        Ok(Self { access, histories })
    }

    /// Adds what the target runs to each project of the source, to compare with.
    pub fn compared<'a>(&'a self, target: &'a Session, sources: Vec<Source<'a>>) -> Vec<Source<'a>> {
        let environment = target.environment.name.as_str();
        let running = |source: &Source<'a>| {
            TargetRecord::of(environment, self.histories.get(source.project)?, source.environment)
        };
        sources.into_iter().map(|source| Source { target: running(&source), ..source }).collect()
    }
}

/// The projects that are releases in the environment: the named ones, or all that are enabled.
pub fn own_projects<'a>(session: &'a Session, named: &BTreeSet<Name>) -> Vec<&'a Name> {
    let is_enabled = |project: &Name| presence(session, project.as_str()) == Some(Presence::Enabled);
    let is_meant = |project: &Name| if named.is_empty() { is_enabled(project) } else { named.contains(project) };
    let all = session.loaded.workspace.projects.keys();
    all.filter(|project| is_meant(project) && !is_external(session, project.as_str())).collect()
}
