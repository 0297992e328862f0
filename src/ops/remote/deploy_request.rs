//! What a verb wants of an environment beside what the workspace says, and who wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    adapters::{cluster::lease::Scope, helm::FetchedChart},
    config::parse_duration,
    domain::{
        Diagnosis, ImageReference, Name, OnFailure,
        gate::{GATES, Gate},
        ledger::Origin,
        record::Record,
    },
    error::CommandError,
    ops::options::{ChangeRequest, UpRequest},
    ops::session::{Session, unknown},
};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub verb: &'static str,
    pub up: UpRequest,
    /// These projects alone; `None`: as `up` chooses, platform included.
    pub only: Option<BTreeSet<Name>>,
    /// Images in place of what the workspace says.
    pub images: BTreeMap<Name, ImageReference>,
    pub app_version: Option<String>,
    pub chart_version: Option<String>,
    /// Charts and images of a source's records.
    pub promoted: BTreeMap<Name, Promoted>,
    /// Contents of records, which stand as they are, by what the ledger calls the release.
    pub contents: BTreeMap<String, (Record, FetchedChart)>,
    /// The whole environment is meant, though single projects are named here.
    pub whole: bool,
    /// The bundle that a project goes with.
    pub bundles: BTreeMap<Name, Name>,
    /// Images may be new where they come by promotion alone.
    pub brings_images: bool,
    /// The stop sign that stands afterwards, with its reason.
    pub hold: Option<String>,
}

/// What a project takes over from the source of a promotion.
#[derive(Debug, Clone)]
pub struct Promoted {
    pub environment: String,
    pub record: String,
    pub content: Record,
    pub chart: FetchedChart,
}

impl Wish {
    pub fn up(options: &UpRequest) -> Self {
        Self { verb: "up", up: options.clone(), ..Self::default() }
    }

    /// Whether every tag is looked up: what is deployed by name is meant as it is now.
    pub fn resolves_tags(&self) -> bool {
        self.verb != "up" || self.up.refresh
    }

    /// The leases that keep others out meanwhile: what somebody else runs is touched with those who need it.
    pub fn scope(&self, session: &Session) -> Scope {
        match &self.only {
            Some(projects) if self.bundles.is_empty() && !self.whole => {
                let externals = needed_externals(session, projects);
                Scope::Projects(projects.iter().chain(&externals).map(ToString::to_string).collect())
            }
            _ => Scope::Environment,
        }
    }

    /// The projects that go back together with this one when it fails.
    pub fn companions(&self, session: &Session, project: &str) -> BTreeSet<Name> {
        let bundle = self.bundles.get(project).and_then(|bundle| session.loaded.workspace.bundles.get(bundle));
        match bundle {
            Some(bundle) if bundle.on_failure == OnFailure::Rollback => bundle.projects.iter().cloned().collect(),
            _ => BTreeSet::new(),
        }
    }
}

/// What `projects` need that somebody else runs here.
fn needed_externals(session: &Session, projects: &BTreeSet<Name>) -> BTreeSet<Name> {
    let all = &session.loaded.workspace.projects;
    let needs = projects.iter().filter_map(|name| all.get(name)).flat_map(|project| &project.needs);
    needs.filter(|need| is_external(session, need.as_str())).cloned().collect()
}

/// Whether somebody else runs a project in the session's environment.
pub fn is_external(session: &Session, project: &str) -> bool {
    let project = session.loaded.workspace.projects.get(project);
    let over = project.and_then(|project| project.environments.get(session.environment.overrides()));
    over.is_some_and(|over| over.external.is_some())
}

/// How the change is made, from the options that every changing verb takes.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub lock_timeout: Duration,
    pub overrides: BTreeSet<Gate>,
    pub origin: Origin,
}

impl Terms {
    /// # Errors
    /// When a gate is unknown or cannot be overridden, or the timeout is no duration.
    pub fn read(session: &Session, options: &ChangeRequest, commit: Option<String>) -> Result<Self, CommandError> {
        let overrides: BTreeSet<Gate> = options.overrides.iter().map(|name| gate(name)).collect::<Result<_, _>>()?;
        let written = options.lock_timeout.as_str();
        let lock_timeout = if written.is_empty() { Some(Duration::ZERO) } else { parse_duration(written) };
        let lock_timeout = lock_timeout.ok_or_else(|| {
            let cause = format!("--lock-timeout: '{written}' is no duration");
            CommandError::usage(Diagnosis::new(cause).remedy("write 30s, 5m or 1h"))
        })?;
        let variables = &session.settings.variables;
        let origin = Origin {
            by: session.settings.person(),
            pipeline: variables.pipeline_url.clone(),
            job: variables.job_url.clone(),
            commit,
            because: options.because.clone(),
            overridden: Vec::new(),
        };
        Ok(Self { lock_timeout, overrides, origin })
    }
}

fn gate(name: &str) -> Result<Gate, CommandError> {
    let found = GATES.iter().find(|(_, known, _)| *known == name);
    let Some((gate, _, can)) = found else {
        let known: Vec<&str> = GATES.iter().filter(|(.., can)| *can).map(|(_, name, _)| *name).collect();
        let cause = format!("--override: there is no gate '{name}'");
        return Err(CommandError::usage(Diagnosis::new(cause).remedy(format!("there are: {}", known.join(", ")))));
    };
    if *can {
        return Ok(*gate);
    }
    let cause = format!("--override: the gate '{name}' cannot be passed");
    Err(CommandError::usage(Diagnosis::new(cause).remedy("it says what is missing, and waiting or a record helps")))
}

/// Projects by their own names or those of their bundles, and for each the bundle that named it.
///
/// # Errors
/// All names that are neither.
pub fn expand(session: &Session, names: &[String]) -> Result<(BTreeSet<Name>, BTreeMap<Name, Name>), CommandError> {
    let workspace = &session.loaded.workspace;
    let (mut projects, mut bundles) = (BTreeSet::new(), BTreeMap::new());
    let mut wrong: Option<CommandError> = None;
    for name in names {
        if let Some((name, _)) = workspace.projects.get_key_value(name.as_str()) {
            projects.insert(name.clone());
        } else if let Some((bundle, members)) = workspace.bundles.get_key_value(name.as_str()) {
            projects.extend(members.projects.iter().cloned());
            bundles.extend(members.projects.iter().map(|member| (member.clone(), bundle.clone())));
        } else {
            let known = workspace.projects.keys().chain(workspace.bundles.keys()).map(Name::as_str);
            let error = unknown("project or bundle", name, known);
            match &mut wrong {
                Some(before) => before.diagnoses.extend(error.diagnoses),
                None => wrong = Some(error),
            }
        }
    }
    wrong.map_or(Ok((projects, bundles)), Err)
}
