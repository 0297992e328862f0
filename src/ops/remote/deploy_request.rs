//! The request of a command: the changes beyond the workspace's description, and who requests them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    adapters::{cluster::lease::Scope, helm::FetchedChart},
    config::parse_duration,
    domain::{
        Digest, ImageReference, Name, OnFailure, Presence, Problem, Project,
        disk_files::FileMap,
        gate::{GATES, Gate, Refusal},
        ledger::Origin,
        record::{Record, RecordId},
    },
    error::{CommandError, ErrorKind},
    ops::options::{ChangeRequest, UpRequest, check_output_files},
    ops::session::{Session, disabled_here, unknown},
};

/// The requested changes to an environment.
#[derive(Debug, Clone, Default)]
pub struct DeployRequest {
    pub verb: &'static str,
    pub up: UpRequest,
    /// Only these projects; `None` selects as `up` does, platform included.
    pub only: Option<BTreeSet<Name>>,
    /// Images that replace those of the workspace.
    pub images: BTreeMap<Name, ImageReference>,
    pub app_version: Option<String>,
    pub chart_version: Option<String>,
    /// Charts and images of the source's records.
    pub promoted: BTreeMap<Name, Promoted>,
    /// Contents of records, deployed unchanged, by the name of the release in the ledger.
    pub contents: BTreeMap<String, (Record, FetchedChart)>,
    /// ConfigMaps with files of these contents that may not be in the cluster, by name.
    pub files: BTreeMap<String, Arc<FileMap>>,
    /// Whether the request covers the whole environment, although `only` names projects.
    pub whole: bool,
    /// The bundle of each project.
    pub bundles: BTreeMap<Name, Name>,
    /// What refuses the request before the environment is observed: the gates of a promotion's source.
    pub refused: Vec<Refusal>,
    /// The hold to set afterwards: its reason.
    pub hold: Option<String>,
    /// Whether rollouts only do what is due, and are continued by another run.
    pub is_detached: bool,
}

/// What a project takes from the source of a promotion.
#[derive(Debug, Clone)]
pub struct Promoted {
    pub environment: String,
    pub record: RecordId,
    pub content: Record,
    pub chart: FetchedChart,
    /// The images of the `verify` Jobs that it was deployed with: digests by reference.
    pub verify_images: BTreeMap<String, Digest>,
}

impl DeployRequest {
    pub fn up(options: &UpRequest) -> Self {
        Self { verb: "up", up: options.clone(), ..Self::default() }
    }

    /// Whether every tag is resolved: projects that are deployed by name get the current image of their tag.
    pub fn resolves_tags(&self) -> bool {
        self.verb != "up" || self.up.refresh
    }

    /// The scope to lock: external projects are changed together with the projects that need them.
    pub fn scope(&self, session: &Session) -> Scope {
        match &self.only {
            Some(projects) if self.bundles.is_empty() && !self.whole => {
                let externals = needed_externals(session, projects);
                Scope::Projects(projects.iter().chain(&externals).map(ToString::to_string).collect())
            }
            _ => Scope::Environment,
        }
    }

    /// The projects that are rolled back together with this one when it fails.
    pub fn bundle_members(&self, session: &Session, project: &str) -> BTreeSet<Name> {
        let bundle = self.bundles.get(project).and_then(|bundle| session.loaded.workspace.bundles.get(bundle));
        match bundle {
            Some(bundle) if bundle.on_failure == OnFailure::Rollback => bundle.projects.iter().cloned().collect(),
            _ => BTreeSet::new(),
        }
    }
}

/// The external projects that `projects` need.
fn needed_externals(session: &Session, projects: &BTreeSet<Name>) -> BTreeSet<Name> {
    let needs = projects.iter().flat_map(|name| needs(session, name.as_str()));
    needs.filter(|need| is_external(session, need.as_str())).collect()
}

/// A project as the session's environment describes it.
fn described(session: &Session, project: &str) -> Option<Project> {
    session.loaded.workspace.projects.get(project).map(|project| project.overridden(&session.environment))
}

/// The projects that a project needs in the session's environment.
pub fn needs(session: &Session, project: &str) -> Vec<Name> {
    described(session, project).map(|project| project.needs).unwrap_or_default()
}

/// Whether a project is external in the session's environment.
pub fn is_external(session: &Session, project: &str) -> bool {
    described(session, project).is_some_and(|project| project.external.is_some())
}

/// Whether a project is part of the session's environment; `None` if the workspace has no such project.
pub fn presence(session: &Session, project: &str) -> Option<Presence> {
    described(session, project).map(|project| project.presence)
}

/// The context of a change, from the options of every command that changes an environment.
#[derive(Debug, Clone, Default)]
pub struct ChangeContext {
    pub lock_timeout: Duration,
    pub overrides: BTreeSet<Gate>,
    pub origin: Origin,
}

impl ChangeContext {
    /// # Errors
    /// When a gate is unknown or cannot be overridden, the timeout is not a valid duration, or a file cannot be written.
    pub fn read(session: &Session, options: &ChangeRequest, commit: Option<String>) -> Result<Self, CommandError> {
        check_output_files(session.settings.reports.named().chain(options.output_files()))?;
        let overrides: BTreeSet<Gate> = options.overrides.iter().map(|name| gate(name)).collect::<Result<_, _>>()?;
        let written = options.lock_timeout.as_deref().unwrap_or("0s");
        let lock_timeout = parse_duration(written).ok_or_else(|| {
            let cause = format!("--lock-timeout: '{written}' is not a valid duration");
            CommandError::usage(Problem::new(cause).help("use a duration such as 30s, 5m or 1h"))
        })?;
        let run = session.settings.variables.pipeline.as_ref();
        let origin = Origin {
            by: session.settings.author(),
            provider: run.map(|run| run.provider),
            pipeline: run.and_then(|run| run.url.clone()),
            pipeline_number: run.and_then(|run| run.number),
            job: run.and_then(|run| run.job.clone()),
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
        let cause = format!("--override: unknown gate '{name}'");
        return Err(CommandError::usage(Problem::new(cause).help(format!("valid gates: {}", known.join(", ")))));
    };
    if *can {
        return Ok(*gate);
    }
    let cause = format!("--override: the gate '{name}' cannot be overridden");
    let help = "wait until the condition of the gate is met, or choose another record";
    Err(CommandError::usage(Problem::new(cause).help(help)))
}

/// As [`expand`], for commands that change projects: without the members of bundles that are not enabled here.
///
/// # Errors
/// As [`expand`], or all named projects that are disabled here.
pub fn expand_enabled(
    session: &Session,
    names: &[String],
) -> Result<(BTreeSet<Name>, BTreeMap<Name, Name>), CommandError> {
    let (mut projects, mut bundles) = expand(session, names)?;
    let is_named = |project: &Name| names.iter().any(|name| name == project.as_str());
    let is_there = |project: &Name| is_named(project) || presence(session, project.as_str()) == Some(Presence::Enabled);
    projects.retain(|project| is_there(project));
    bundles.retain(|project, _| is_there(project));
    let disabled = projects.iter().filter(|name| presence(session, name.as_str()) == Some(Presence::Disabled));
    let mut problems: Vec<Problem> = disabled.map(|name| disabled_here(session, name.as_str())).collect();
    problems.extend(empty_bundles(session, names, &bundles));
    CommandError::require_none(ErrorKind::Usage, problems)?;
    Ok((projects, bundles))
}

/// The named bundles of which no member is left.
fn empty_bundles(session: &Session, names: &[String], bundles: &BTreeMap<Name, Name>) -> Vec<Problem> {
    let is_bundle = |name: &&String| session.loaded.workspace.bundles.contains_key(name.as_str());
    let is_empty = |name: &&String| bundles.values().all(|bundle| bundle.as_str() != name.as_str());
    let environment = &session.environment.name;
    let problem = |name: &String| {
        Problem::new(format!("no project of the bundle '{name}' is enabled in the environment '{environment}'"))
            .help("name the optional projects themselves, or enable them under projects.NAME.environments")
    };
    names.iter().filter(is_bundle).filter(is_empty).map(problem).collect()
}

/// Projects by their own names or by those of their bundles, and the bundle that each was named by.
///
/// # Errors
/// All names that are neither a project nor a bundle.
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
                Some(before) => before.problems.extend(error.problems),
                None => wrong = Some(error),
            }
        }
    }
    wrong.map_or(Ok((projects, bundles)), Err)
}

/// Projects and bundles by name, and the versions of bundles that were named as `NAME@VERSION`.
#[derive(Debug, Default)]
pub struct Named {
    /// The names without versions.
    pub names: Vec<String>,
    pub versions: BTreeMap<Name, String>,
}

impl Named {
    /// # Errors
    /// When something other than a bundle has a version.
    pub fn read(session: &Session, written: &[String]) -> Result<Self, CommandError> {
        let mut named = Self::default();
        let mut wrong = Vec::new();
        for text in written {
            let (name, version) = text.split_once('@').map_or((text.as_str(), None), |(name, it)| (name, Some(it)));
            named.names.push(name.to_owned());
            let Some(version) = version else { continue };
            match session.loaded.workspace.bundles.get_key_value(name) {
                Some((bundle, _)) if !version.is_empty() => {
                    drop(named.versions.insert(bundle.clone(), version.to_owned()));
                }
                Some(_) => wrong.push(Problem::new(format!("'{text}' has no version: expected {name}@VERSION"))),
                None => {
                    let help = "choose a project's record with --record";
                    wrong.push(Problem::new(format!("'{text}': only bundles have versions")).help(help));
                }
            }
        }
        CommandError::require_none(ErrorKind::Usage, wrong)?;
        Ok(named)
    }
}
