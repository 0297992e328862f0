//! The projects that a command works on, with the options of its command line applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    adapters::helm::FetchedChart,
    config::{ConfigError, Provided, SetOptions, ValueOrigin, check_project},
    domain::{
        Chart, Name, Problem,
        disk_files::FileMap,
        platform::ResolvedPlatform,
        record::Record,
        resolve::{ResolvedProject, resolve_with},
    },
    error::CommandError,
    ops::{
        builds::{Buildable, use_builds, with_shared},
        describe::platform_releases,
        errors::mistakes,
        options::UpRequest,
        session::{Session, disabled_here, unknown},
    },
};

/// The projects that a command works on.
#[derive(Debug, Default)]
pub struct Selection {
    pub projects: Vec<ResolvedProject>,
    /// External projects among the selected ones and among what they need.
    pub externals: Vec<ResolvedProject>,
    /// Charts of records, by project: they replace those of the workspace.
    pub charts: BTreeMap<Name, FetchedChart>,
    /// Contents of records, deployed unchanged, by release: those of projects and of the platform.
    pub contents: BTreeMap<String, (Record, FetchedChart)>,
    /// ConfigMaps with files of these contents that may not be in the cluster, by name.
    pub files: BTreeMap<String, Arc<FileMap>>,
    /// The selected projects that are built here.
    pub buildable: Vec<Buildable>,
    /// The releases of the platform to describe, by name; `None` means all.
    pub platform: Option<BTreeSet<String>>,
    /// The values that the command line sets, in these projects.
    pub set: SetValues,
}

impl Selection {
    /// Selects the named projects and what they need, or all enabled ones and those of the profiles; without the skipped
    /// ones.
    ///
    /// # Errors
    /// When a project or profile is unknown or disabled here, or a value of `--set` is invalid.
    pub fn choose(session: &Session, options: &UpRequest) -> Result<Self, CommandError> {
        check_names(session, &session.projects, options)?;
        let is_named = |name: &Name| options.projects.iter().any(|named| named == name.as_str());
        let (all, set) = with_set_values(session, is_named, &options.set)?;
        let by_name: BTreeMap<&str, &ResolvedProject> =
            all.iter().map(|project| (project.name.as_str(), project)).collect();
        let is_default = |project: &&ResolvedProject| {
            !project.is_optional
                || project.profiles.iter().any(|own| options.profiles.iter().any(|it| it == own.as_str()))
        };
        // What shares a build with a named project is deployed with it.
        let asked = if options.build { with_shared(session, &options.projects) } else { options.projects.clone() };
        let named: Vec<&str> = match asked.as_slice() {
            [] => all.iter().filter(is_default).map(|project| project.name.as_str()).collect(),
            named => named.iter().map(String::as_str).filter(|name| by_name.contains_key(name)).collect(),
        };
        let chosen = with_needs(named, &by_name, &options.without);
        let is_chosen = |project: &&ResolvedProject| {
            chosen.contains(project.name.as_str()) && !options.without.iter().any(|left| left == project.name.as_str())
        };
        let (externals, mut projects): (Vec<ResolvedProject>, Vec<ResolvedProject>) =
            all.iter().filter(is_chosen).cloned().partition(|project| project.external.is_some());
        let buildable = use_builds(session, &mut projects);
        Self { projects, externals, buildable, set, ..Self::default() }.with_valid_options(session)
    }

    /// Selects one project as [`Self::choose`], without what it needs and without the platform, so that only its chart is
    /// fetched.
    ///
    /// # Errors
    /// When the project is unknown or disabled here, or a value of `--set` is invalid.
    pub fn single(session: &Session, name: &str, set: &[String]) -> Result<Self, CommandError> {
        let request = UpRequest { projects: vec![name.to_owned()], set: set.to_vec(), ..UpRequest::default() };
        let mut selection = Self::choose(session, &request)?;
        selection.projects.retain(|project| project.name.as_str() == name);
        selection.externals.retain(|project| project.name.as_str() == name);
        selection.platform = Some(BTreeSet::new());
        Ok(selection)
    }

    /// Selects only the named projects, and of what they need only external projects.
    ///
    /// # Errors
    /// When a value of `--set` is invalid.
    pub fn only(session: &Session, names: &BTreeSet<Name>, set: &[String]) -> Result<Self, CommandError> {
        let (all, set) = with_set_values(session, |name| names.contains(name), set)?;
        let (externals, own): (Vec<ResolvedProject>, Vec<ResolvedProject>) =
            all.into_iter().partition(|project| project.external.is_some());
        let projects: Vec<ResolvedProject> = own.into_iter().filter(|project| names.contains(&project.name)).collect();
        let is_needed = |external: &ResolvedProject| projects.iter().any(|it| it.needs.contains(&external.name));
        let externals = externals.into_iter().filter(is_needed).collect();
        Self { projects, externals, set, ..Self::default() }.with_valid_options(session)
    }

    /// The chart of a project, if it is known or fetched.
    pub(super) fn chart<'a>(
        &'a self,
        project: &ResolvedProject,
        fetched: &'a BTreeMap<Chart, FetchedChart>,
    ) -> Option<&'a FetchedChart> {
        self.charts.get(&project.name).or_else(|| fetched.get(&project.chart))
    }

    /// The selected releases of the platform.
    pub(super) fn platform_releases(&self, session: &Session) -> Vec<ResolvedPlatform> {
        let is_selected =
            |release: &ResolvedPlatform| self.platform.as_ref().is_none_or(|names| names.contains(&release.name));
        platform_releases(session).into_iter().filter(is_selected).collect()
    }

    /// Leaves out everything whose chart would have to be fetched, and returns the names with their charts.
    pub(crate) fn leave_out_unfetched(&mut self, session: &Session) -> Vec<(String, Chart)> {
        let cache = session.charts();
        let (platform, unfetched): (Vec<ResolvedPlatform>, Vec<ResolvedPlatform>) =
            self.platform_releases(session).into_iter().partition(|release| cache.has(&release.chart));
        self.platform = Some(platform.into_iter().map(|release| release.name).collect());
        let mut left_out: Vec<(String, Chart)> =
            unfetched.into_iter().map(|release| (release.name, release.chart)).collect();
        for project in self.projects.extract_if(.., |project| !cache.has(&project.chart)) {
            left_out.push((project.name.to_string(), project.chart));
        }
        left_out
    }

    /// Checks what `--set` changed in values of the universal chart, which needs no other chart.
    fn with_valid_options(self, session: &Session) -> Result<Self, CommandError> {
        let Some((_, names)) = &self.set else { return Ok(self) };
        let provided = self.provided(session);
        let changed = self.projects.iter().filter(|project| names.contains(&project.name));
        let defaults = &session.loaded.workspace.defaults;
        let check = |project: &ResolvedProject| {
            check_project(self.origin(session, &project.name), project, defaults, &provided)
        };
        let diagnostics: Vec<ConfigError> = changed.flat_map(check).collect();
        refuse(session, diagnostics)?;
        Ok(self)
    }

    /// Where the values of a project are written.
    pub(crate) fn origin<'a>(&'a self, session: &'a Session, project: &Name) -> ValueOrigin<'a> {
        let set = self.set.as_ref().filter(|(_, projects)| projects.contains(project)).map(|(set, _)| set);
        ValueOrigin { set, ..session.value_origin() }
    }

    /// The Secrets and ConfigMaps that all projects of the environment provide, selected or not.
    pub(crate) fn provided(&self, session: &Session) -> Provided {
        let mut all = session.projects.clone();
        for project in &mut all {
            if let Some(chosen) = self.projects.iter().find(|chosen| chosen.name == project.name) {
                project.clone_from(chosen);
            }
        }
        Provided::by(&all)
    }

    /// The charts to fetch: none for contents that have their own.
    pub(super) fn wanted_charts<'a>(&'a self, platform: &'a [ResolvedPlatform]) -> BTreeSet<&'a Chart> {
        let is_given = |name: &str| self.contents.contains_key(name);
        let platform = platform.iter().filter(|release| !is_given(&release.key())).map(|release| &release.chart);
        let own =
            |project: &&ResolvedProject| !is_given(project.name.as_str()) && !self.charts.contains_key(&project.name);
        platform.chain(self.projects.iter().filter(own).map(|project| &project.chart)).collect()
    }
}

/// What `--set` sets, and in which projects.
type SetValues = Option<(SetOptions, BTreeSet<Name>)>;

/// Returns all projects of the environment, with `--set` applied to those that it is for.
fn with_set_values(
    session: &Session,
    is_for: impl Fn(&Name) -> bool,
    options: &[String],
) -> Result<(Vec<ResolvedProject>, SetValues), CommandError> {
    if options.is_empty() {
        return Ok((session.projects.clone(), None));
    }
    let invalid = |error| CommandError::usage(Problem::new(format!("--set: {error}")));
    let set = SetOptions::parse(options).map_err(invalid)?;
    let mut names = BTreeSet::new();
    let apply = |project: &mut ResolvedProject| {
        if !is_for(&project.name) || project.external.is_some() {
            return Ok(());
        }
        let is_universal = project.is_on_universal_chart();
        if is_universal && set.has("image") {
            let cause = "--set: cmdr sets the value `image` of the chart, and would overwrite it";
            let help = format!("set the image of the project in projects.yaml: projects.{}.image", project.name);
            return Err(CommandError::usage(Problem::new(cause).help(help)));
        }
        names.insert(project.name.clone());
        set.apply(&mut project.values, is_universal).map_err(invalid)
    };
    let projects = resolve_with(&session.loaded.workspace, &session.environment, apply)?;
    Ok((projects, Some((set, names))))
}

/// Refuses names that the environment does not have.
fn check_names(session: &Session, all: &[ResolvedProject], options: &UpRequest) -> Result<(), CommandError> {
    let names = || all.iter().map(|project| project.name.as_str());
    let is_absent = |name: &&String| names().all(|known| known != name.as_str());
    if let Some(name) = options.projects.iter().chain(&options.without).find(is_absent) {
        let is_disabled = session.loaded.workspace.projects.contains_key(name.as_str());
        return Err(if is_disabled {
            CommandError::usage(disabled_here(session, name))
        } else {
            unknown("project", name, names())
        });
    }
    if let Some(name) = options.projects.iter().find(|name| options.without.contains(name)) {
        let cause = format!("'{name}' is both named and left out with --without");
        return Err(CommandError::usage(Problem::new(cause).help("remove one of them")));
    }
    let profiles: BTreeSet<&str> = all.iter().flat_map(|project| &project.profiles).map(Name::as_str).collect();
    match options.profiles.iter().find(|profile| !profiles.contains(profile.as_str())) {
        Some(profile) => Err(unknown("enabled project with the profile", profile, profiles.into_iter())),
        None => Ok(()),
    }
}

fn with_needs<'a>(
    named: Vec<&'a str>,
    all: &BTreeMap<&'a str, &'a ResolvedProject>,
    without: &[String],
) -> BTreeSet<&'a str> {
    let mut chosen = BTreeSet::new();
    let mut open = named;
    while let Some(name) = open.pop() {
        if !without.iter().any(|left| left == name) && chosen.insert(name) {
            let own = all.get(name).filter(|project| project.external.is_none());
            open.extend(own.into_iter().flat_map(|project| project.needs.iter().map(Name::as_str)));
        }
    }
    chosen
}

/// # Errors
/// When there are any diagnostics: a report of all of them.
pub(crate) fn refuse(session: &Session, diagnostics: Vec<ConfigError>) -> Result<(), CommandError> {
    if diagnostics.is_empty() {
        return Ok(());
    }
    Err(mistakes(diagnostics, session.settings.color))
}
