//! Completions: `cmdr completions` prints a shell's script, and the script requests candidates from cmdr.
//!
//! A completer runs while a user types. It prints nothing and never fails: what it cannot find out in time, it does
//! not propose.

use std::{ffi::OsString, path::Path, sync::Arc, time::Duration};

use clap::{Command, CommandFactory, Parser};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};

use crate::{
    adapters::{cluster::Cluster, docker::Docker, templates::own_templates},
    cli::Cli,
    commands::docs,
    config,
    domain::{
        Environment, Name, Project, Workspace, causes, gate::GATES, local_copy::ORIGINAL, platform::PLATFORM,
        query::QUESTIONS, snapshot::SnapshotKind,
    },
    ops::session::docker_lookup,
    settings::{COMPLETE, Settings},
    steps::ClusterFolder,
    ui,
};

/// How long to wait for the Docker engine, which lists the snapshots, or the cluster, which lists the copies.
const PATIENCE: Duration = Duration::from_millis(500);

/// What an argument names.
#[derive(Debug, Clone, Copy)]
enum NameKind {
    Projects,
    ProjectsWithBuild,
    ProjectsAndBundles,
    ProjectsAndPlatform,
    Environments,
    RemoteEnvironments,
    PromotionTargets,
    Gates,
    Questions,
    Causes,
    Pages,
    Snapshots,
    Copies,
    Templates,
    Procedures,
}

impl NameKind {
    /// The kind of an argument, by the name of its command and its own.
    fn of(command: &str, argument: &str) -> Option<Self> {
        Some(match (command, argument) {
            ("pin", "pinned") | ("diff", "from" | "to") => Self::RemoteEnvironments,
            ("promote", "to") => Self::PromotionTargets,
            (_, "environments") => Self::Environments,
            (_, "copy" | "data_from") => Self::Copies,
            (_, "overrides") => Self::Gates,
            ("query", "question") => Self::Questions,
            ("explain", "cause") => Self::Causes,
            ("docs", "topic") => Self::Pages,
            ("build", "projects") => Self::ProjectsWithBuild,
            ("up" | "dev" | "plan" | "restart" | "top" | "wait", "projects")
            | ("harden" | "identity" | "open" | "run" | "runs", "project")
            | ("dev", "local")
            | ("forward", "ports")
            | (_, "without") => Self::Projects,
            ("render" | "exec" | "shell" | "status", "project") | ("logs", "projects") => Self::ProjectsAndPlatform,
            (_, "projects" | "tags") => Self::ProjectsAndBundles,
            ("restore" | "delete", "name") => Self::Snapshots,
            ("new", "template") => Self::Templates,
            (_, "procedure") => Self::Procedures,
            _ => return None,
        })
    }

    /// Returns all names of this kind; the engine keeps those that start with the typed text.
    fn candidates(self, directory: Option<&Path>) -> Vec<CompletionCandidate> {
        match self {
            Self::Gates => gates(),
            Self::Questions => questions(),
            Self::Causes => causes(),
            Self::Pages => docs::pages().into_iter().map(|page| candidate(&page.topic, Some(page.title))).collect(),
            _ => self.names(directory),
        }
    }

    /// Returns the names of this kind in the workspace.
    fn names(self, directory: Option<&Path>) -> Vec<CompletionCandidate> {
        let Some(settings) = settings(directory) else { return Vec::new() };
        let Ok(loaded) = config::load(&settings.directory) else { return Vec::new() };
        let workspace = loaded.workspace;
        let bundles = || workspace.bundles.keys().map(|name| candidate(name.as_str(), Some("bundle".to_owned())));
        match self {
            Self::Projects => projects(&workspace, |_| true),
            Self::ProjectsWithBuild => projects(&workspace, |project| project.build.is_some()),
            Self::ProjectsAndBundles => projects(&workspace, |_| true).into_iter().chain(bundles()).collect(),
            Self::ProjectsAndPlatform => {
                let own = workspace.platform.keys().map(Name::as_str);
                let own = own.filter(|name| PLATFORM.iter().all(|release| release.name != *name));
                let platform = PLATFORM.iter().map(|release| release.name).chain(own);
                let platform = platform.map(|name| candidate(name, Some("platform".to_owned())));
                projects(&workspace, |_| true).into_iter().chain(platform).collect()
            }
            Self::Environments => environments(&workspace, |_| true),
            Self::RemoteEnvironments => environments(&workspace, |environment| !environment.is_local()),
            Self::PromotionTargets => environments(&workspace, |environment| environment.promote.is_some()),
            Self::Snapshots => snapshots(&settings, &workspace),
            Self::Copies => copies(&settings, &workspace),
            Self::Templates => templates(&workspace),
            Self::Procedures => {
                let named = workspace.procedures.iter();
                named.map(|(name, procedure)| candidate(name.as_str(), procedure.description.clone())).collect()
            }
            Self::Gates | Self::Questions | Self::Causes | Self::Pages => Vec::new(),
        }
    }
}

fn gates() -> Vec<CompletionCandidate> {
    GATES.iter().filter(|(_, _, can)| *can).map(|(_, name, _)| CompletionCandidate::new(name)).collect()
}

fn questions() -> Vec<CompletionCandidate> {
    QUESTIONS.iter().map(|(name, _, meaning)| candidate(name, Some((*meaning).to_owned()))).collect()
}

fn causes() -> Vec<CompletionCandidate> {
    causes::all().map(|cause| candidate(cause.code, Some(cause.name.to_owned()))).collect()
}

/// Prints the script that makes a shell request completions from cmdr.
pub fn print_script(shell: Shell) {
    let mut script = Vec::new();
    let written = Shells::builtins()
        .completer(&shell.to_string())
        .map(|completer| completer.write_registration(COMPLETE, "cmdr", "cmdr", "cmdr", &mut script));
    if let Some(Ok(())) = written {
        ui::print(&String::from_utf8_lossy(&script));
    }
}

/// Prints the candidates for the command line `words`, and ends the process.
pub fn complete(words: &[OsString]) {
    let directory: Option<Arc<Path>> = directory_in(words).map(|folder| Path::new(&folder).into());
    CompleteEnv::with_factory(|| with_names(Cli::command(), directory.as_ref())).var(COMPLETE).complete();
}

/// Adds completers to the arguments of a command and its subcommands.
fn with_names(command: Command, directory: Option<&Arc<Path>>) -> Command {
    let verb = command.get_name().to_owned();
    let command = command.mut_args(|argument| {
        let Some(kind) = NameKind::of(&verb, argument.get_id().as_str()) else { return argument };
        let directory = directory.cloned();
        argument.add(ArgValueCandidates::new(move || kind.candidates(directory.as_deref())))
    });
    command.mut_subcommands(|subcommand| with_names(subcommand, directory))
}

/// The value of `-C` or `--directory`. The words are unfinished, so the parser would refuse them.
fn directory_in(words: &[OsString]) -> Option<OsString> {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if matches!(word.as_ref(), "-C" | "--directory") {
            // bash passes the '=' of `--directory=FOLDER` as a word.
            return words.find(|word| word != "=").map(|folder| OsString::from(folder.as_ref()));
        }
        let joined = word.strip_prefix("--directory=").or_else(|| word.strip_prefix("-C"));
        if let Some(folder) = joined {
            return Some(folder.into());
        }
    }
    None
}

/// The settings of a run in this folder.
fn settings(directory: Option<&Path>) -> Option<Settings> {
    let options = Cli::try_parse_from(["cmdr", "doctor"]).ok()?.global;
    let mut settings = Settings::resolve(&options).ok()?;
    if let Some(folder) = directory {
        // The shell passes the words as they were typed.
        settings.directory = match folder.strip_prefix("~") {
            Ok(below) => settings.home.join(below),
            Err(_) => settings.directory.join(folder),
        };
    }
    Some(settings)
}

fn candidate(name: &str, help: Option<String>) -> CompletionCandidate {
    CompletionCandidate::new(name).help(help.map(Into::into))
}

fn projects(workspace: &Workspace, is_wanted: impl Fn(&Project) -> bool) -> Vec<CompletionCandidate> {
    let wanted = workspace.projects.values().filter(|project| is_wanted(project));
    wanted.map(|project| candidate(project.name.as_str(), project.image.as_ref().map(ToString::to_string))).collect()
}

fn environments(workspace: &Workspace, is_wanted: impl Fn(&Environment) -> bool) -> Vec<CompletionCandidate> {
    let wanted = workspace.environments.values().filter(|environment| is_wanted(environment));
    wanted.map(|environment| candidate(environment.name.as_str(), environment.context.clone())).collect()
}

/// The templates of the workspace, and those of cmdr.
fn templates(workspace: &Workspace) -> Vec<CompletionCandidate> {
    let own = own_templates().filter(|name| !workspace.templates.contains_key(*name));
    let all = workspace.templates.keys().map(ToString::to_string).chain(own.map(str::to_owned));
    all.map(CompletionCandidate::new).collect()
}

/// The snapshots of the workspace; none if the Docker engine does not respond soon.
fn snapshots(settings: &Settings, workspace: &Workspace) -> Vec<CompletionCandidate> {
    let listed = soon(async {
        let docker = Docker::connect(&docker_lookup(settings)).await.ok()?;
        docker.snapshots(SnapshotKind::Saved, Some(workspace.name.as_str())).await.ok()
    });
    let saved = |time: &jiff::Timestamp| format!("saved {}", time.strftime("%Y-%m-%d %H:%M UTC"));
    let listed = listed.unwrap_or_default();
    listed.iter().map(|snapshot| candidate(&snapshot.name, Some(saved(&snapshot.created)))).collect()
}

/// The copies of the local environment, and the original; only the latter if the cluster does not respond soon.
fn copies(settings: &Settings, workspace: &Workspace) -> Vec<CompletionCandidate> {
    let name = workspace.name.as_str();
    let listed = soon(async {
        let kubeconfig = ClusterFolder(settings.cluster_folder(name)).kubeconfig();
        Cluster::open(&kubeconfig, None).await.ok()?.copies(name).await.ok()
    });
    let copies = listed.unwrap_or_default().into_iter().map(|copy| candidate(&copy.name, copy.owner.branch));
    copies.chain([candidate(ORIGINAL, Some("no copy".to_owned()))]).collect()
}

/// Waits for an answer, but not long.
fn soon<T>(answer: impl Future<Output = Option<T>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await.ok().flatten() });
    // A request that still waits for a response must not delay the shell.
    runtime.shutdown_background();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        directory_in(&words).map(|folder| folder.to_string_lossy().into_owned())
    }

    #[test]
    fn the_folder_is_found_in_each_form() {
        for line in ["cmdr -C shop up", "cmdr -Cshop up", "cmdr up --directory=shop", "cmdr up --directory = shop"] {
            assert_eq!(directory(line).as_deref(), Some("shop"), "{line}");
        }
        assert_eq!(directory("cmdr up -C"), None);
        assert_eq!(directory("cmdr up catalog"), None);
    }

    #[test]
    fn every_argument_that_is_completed_exists() {
        fn count(command: &Command) -> usize {
            let own = command.get_arguments().filter(|argument| argument.get::<ArgValueCandidates>().is_some()).count();
            own + command.get_subcommands().map(count).sum::<usize>()
        }
        assert!(count(&with_names(Cli::command(), None)) > 20);
    }
}
