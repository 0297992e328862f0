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
    adapters::docker::Docker,
    cli::Cli,
    config,
    domain::{Environment, Name, Project, Workspace, gate::GATES, platform::PLATFORM},
    ops::session::docker_lookup,
    settings::{COMPLETE, Settings},
    ui,
};

/// How long to wait for the Docker engine, which lists the snapshots.
const DOCKER_PATIENCE: Duration = Duration::from_millis(500);

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
    Snapshots,
}

impl NameKind {
    /// The kind of an argument, by the name of its command and its own.
    fn of(command: &str, argument: &str) -> Option<Self> {
        Some(match (command, argument) {
            ("pin", "pinned") | ("diff", "from" | "to") => Self::RemoteEnvironments,
            ("promote", "to") => Self::PromotionTargets,
            (_, "environment") => Self::Environments,
            (_, "overrides") => Self::Gates,
            ("build", "projects") => Self::ProjectsWithBuild,
            ("up" | "plan" | "restart", "projects")
            | ("harden" | "identity" | "run" | "runs", "project")
            | (_, "without") => Self::Projects,
            (_, "projects" | "tags") => Self::ProjectsAndBundles,
            ("render", "project") => Self::ProjectsAndPlatform,
            ("restore" | "delete", "name") => Self::Snapshots,
            _ => return None,
        })
    }

    /// Returns all names of this kind; the engine keeps those that start with the typed text.
    fn candidates(self, directory: Option<&Path>) -> Vec<CompletionCandidate> {
        if matches!(self, Self::Gates) {
            return GATES
                .iter()
                .filter(|(_, _, can)| *can)
                .map(|(_, name, _)| CompletionCandidate::new(name))
                .collect();
        }
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
            Self::Gates => Vec::new(),
        }
    }
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

/// The snapshots of the workspace; none if the Docker engine does not respond soon.
fn snapshots(settings: &Settings, workspace: &Workspace) -> Vec<CompletionCandidate> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let listed = runtime.block_on(async {
        let list = async {
            let docker = Docker::connect(&docker_lookup(settings)).await.ok()?;
            docker.snapshots(workspace.name.as_str()).await.ok()
        };
        tokio::time::timeout(DOCKER_PATIENCE, list).await.ok().flatten()
    });
    // A request that still waits for a response must not delay the shell.
    runtime.shutdown_background();
    let saved = |time: &jiff::Timestamp| format!("saved {}", time.strftime("%Y-%m-%d %H:%M UTC"));
    let listed = listed.unwrap_or_default();
    listed.iter().map(|snapshot| candidate(&snapshot.name, Some(saved(&snapshot.created)))).collect()
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
