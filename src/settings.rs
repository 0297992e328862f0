//! Everything that a run depends on besides `projects.yaml`: flags, environment variables, the user's folders.
//! Nothing else reads the environment; every variable is declared in [`VARIABLES`].

use std::{
    env,
    ffi::OsString,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use etcetera::BaseStrategy;

use crate::{
    cli::{Color, GlobalOptions, OutputOption, ReportOptions},
    domain::{
        Name,
        deadline::working_time,
        pipeline::{CiProvider, PipelineRun},
        proxy::Proxies,
        secret::Secret,
    },
};

/// The variable with which a completion script requests completions. Its name is clap's convention.
pub const COMPLETE: &str = "COMPLETE";

/// The folder on the web of the release that contains this program, which `tools/dist` sets.
pub const RELEASE_URL: Option<&str> = option_env!("CMDR_RELEASE_URL");

/// The variables that cmdr reads, with their meaning. `tests/documents.rs` writes them to the documentation.
pub const VARIABLES: &[(&str, &str)] = &[
    ("CMDR_IMAGE_MIRRORS", "registry mirrors for nodes: HOST=URL, comma-separated; * matches every host"),
    ("CMDR_CHART_MIRRORS", "chart mirrors: PREFIX=URL, comma-separated; * matches every repository"),
    (
        "CMDR_TOOLS_MIRROR",
        "the URL of a folder with NAME/vVERSION/FILE for kind, Helm and sops, from which cmdr downloads them",
    ),
    (
        "CMDR_DOWNLOAD_URL",
        "the folder with the files of a release, for upgrade; by default the one that cmdr was installed from",
    ),
    ("CMDR_CA", "a file with a company's certificate authority, which nodes trust too"),
    ("CMDR_NODE_IMAGE", "the node image of local clusters, instead of kind's default"),
    ("CMDR_CONFIG", "the user's configuration file, which must exist"),
    ("CMDR_COPY", "the copy of the local environment, unless --copy is set; `original` means no copy"),
    ("CMDR_STATE", "the folder for logs and durations of steps, and for kubeconfig files and locks of local clusters"),
    (
        "CMDR_LOG",
        "the log to print on stderr: a level (debug), or levels of modules (cmdr::adapters::helm=trace), comma-separated",
    ),
    ("CMDR_CACHE", "the folder for charts, templates, and the kind, Helm and sops that cmdr downloaded"),
    ("DOCKER_HOST", "the Docker engine, as the docker command reads it"),
    ("DOCKER_CONTEXT", "the Docker context, as the docker command reads it"),
    ("DOCKER_CONFIG", "the folder of the Docker configuration"),
    (
        "DOCKER_AUTH_CONFIG",
        "credentials of registries, as the text of Docker's config.json; they take precedence over it",
    ),
    ("DOCKER_CERT_PATH", "the folder of certificates for a Docker engine reached over TCP"),
    ("DOCKER_TLS_VERIFY", "use TLS for a Docker engine reached over TCP"),
    ("KUBECONFIG", "the files with the contexts of environments other than local"),
    ("GITLAB_CI", "marks a GitLab job: its log has sections and colors, and `only: ci` allows it to deploy"),
    ("CI_JOB_URL", "GitLab: the job; it holds leases and is recorded in deployments"),
    ("CI_PIPELINE_URL", "GitLab: the pipeline; it is recorded in deployments"),
    ("GITLAB_USER_LOGIN", "GitLab: the user who started the job; it is recorded in deployments"),
    (
        "CI_PIPELINE_ID",
        "GitLab: the number of the pipeline; a job of an older one does not replace what a later one deployed",
    ),
    ("GITHUB_ACTIONS", "marks a job of GitHub Actions, as GITLAB_CI does"),
    ("GITHUB_SERVER_URL", "GitHub Actions: part of the recorded URL of the run"),
    ("GITHUB_REPOSITORY", "GitHub Actions: part of the recorded URL of the run"),
    ("GITHUB_RUN_ID", "GitHub Actions: part of the recorded URL of the run, and its number, as CI_PIPELINE_ID"),
    ("GITHUB_ACTOR", "GitHub Actions: the recorded user"),
    ("JENKINS_URL", "marks a Jenkins build"),
    ("BUILD_URL", "Jenkins: the recorded URL of the build"),
    ("BUILD_NUMBER", "Jenkins: the number of the build, as CI_PIPELINE_ID"),
    ("BUILD_USER_ID", "Jenkins with the plugin build-user-vars: the recorded user"),
    ("BUILDKITE", "marks a Buildkite job"),
    ("BUILDKITE_BUILD_URL", "Buildkite: the recorded URL of the build"),
    ("BUILDKITE_BUILD_NUMBER", "Buildkite: the number of the build, as CI_PIPELINE_ID"),
    ("BUILDKITE_JOB_ID", "Buildkite: part of the recorded URL of the job"),
    ("BUILDKITE_BUILD_CREATOR", "Buildkite: the recorded user"),
    ("CIRCLECI", "marks a CircleCI job"),
    ("CIRCLE_BUILD_URL", "CircleCI: the recorded URL of the job"),
    ("CIRCLE_USERNAME", "CircleCI: the recorded user"),
    ("TF_BUILD", "marks a job of Azure DevOps"),
    ("SYSTEM_COLLECTIONURI", "Azure DevOps: part of the recorded URL of the run"),
    ("SYSTEM_TEAMPROJECT", "Azure DevOps: part of the recorded URL of the run"),
    ("BUILD_BUILDID", "Azure DevOps: part of the recorded URL of the run, and its number, as CI_PIPELINE_ID"),
    ("BUILD_REQUESTEDFOR", "Azure DevOps: the recorded user"),
    (
        "CI_COMMIT_REF_SLUG",
        "GitLab: the branch, from which the slug of a review environment is made unless --slug is set",
    ),
    ("GITHUB_HEAD_REF", "GitHub Actions: the branch of the pull request"),
    ("GITHUB_REF_NAME", "GitHub Actions: the branch, outside of pull requests"),
    ("CHANGE_BRANCH", "Jenkins: the branch of the pull request"),
    ("BRANCH_NAME", "Jenkins: the branch, outside of pull requests"),
    ("BUILDKITE_BRANCH", "Buildkite: the branch"),
    ("CIRCLE_BRANCH", "CircleCI: the branch"),
    ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "Azure DevOps: the branch of the pull request"),
    ("BUILD_SOURCEBRANCHNAME", "Azure DevOps: the branch, outside of pull requests"),
    ("GITLAB_TOKEN", "an access token with the scope api for promote --via gitlab; it is never shown"),
    ("CI_SERVER_URL", "the URL of GitLab for --via; by default that of the git remote origin"),
    ("CI_PROJECT_PATH", "the GitLab project with its groups for --via; by default that of the git remote origin"),
    ("CI_DEPLOY_FREEZE", "set by GitLab during a deploy freeze: deployments are refused"),
    ("USER", "the user to record outside of a pipeline, together with the name of the machine"),
    ("LOGNAME", "the same, if USER is not set"),
    ("CI_JOB_TIMEOUT", "the timeout of the job in seconds: cmdr stops early enough to end cleanly"),
    ("CI_JOB_STARTED_AT", "when the job started; by default CI_JOB_TIMEOUT counts from the start of cmdr"),
    (
        "HTTP_PROXY",
        "the proxy for http:// URLs; local clusters and services of this machine are never reached through it",
    ),
    ("http_proxy", "the same, if HTTP_PROXY is not set"),
    ("HTTPS_PROXY", "the proxy for https:// URLs"),
    ("https_proxy", "the same, if HTTPS_PROXY is not set"),
    ("NO_PROXY", "hosts, domains and networks that are reached without a proxy, comma-separated"),
    ("no_proxy", "the same, if NO_PROXY is not set"),
    ("NO_COLOR", "disable colors"),
    ("CI", "disable live output and prompts; unless it is false, `only: ci` allows to deploy"),
    (COMPLETE, "the shell that requests completions; the script of `cmdr completions` sets it"),
    ("XDG_RUNTIME_DIR", "the folder of the socket of a rootless Docker"),
];

/// What a run depends on, resolved once.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag on the command line")]
pub struct Settings {
    /// Where the search for `projects.yaml` starts.
    pub directory: PathBuf,
    pub environment: String,
    /// All environments that the command line names, for the commands that take several.
    pub environments: Vec<String>,
    /// The branch of a review environment, from which its slug is made.
    pub slug: Option<String>,
    /// Whether the command line sets the slug, so that it must have an effect.
    pub requires_review: bool,
    /// The copy of the local environment; empty: that of the branch.
    pub copy: Option<String>,
    /// Whether the command line sets the copy, so that it must have an effect.
    pub requires_copy: bool,
    pub output: OutputFormat,
    pub dry_run: bool,
    pub yes: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub log: LogSettings,
    pub color: bool,
    /// Whether standard error is an interactive terminal.
    pub is_live: bool,
    pub home: PathBuf,
    /// The host name of this machine.
    pub machine: String,
    /// The number of Helm processes to run at once.
    pub concurrency: u16,
    pub reports: ReportPaths,
    pub folders: Folders,
    pub variables: Variables,
}

/// What is printed of the log.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// How many times `-v` was set.
    pub verbosity: u8,
    /// `CMDR_LOG`, as written.
    pub filter: Option<String>,
}

impl LogSettings {
    /// Whether the log is printed, so that a live display would be disturbed.
    pub fn prints(&self) -> bool {
        self.verbosity > 1 || self.filter.is_some()
    }
}

/// The folders that cmdr owns.
#[derive(Debug, Clone)]
pub struct Folders {
    pub cache: PathBuf,
    pub state: PathBuf,
    pub configuration_file: PathBuf,
}

/// Environment variables as they were at the start; empty ones count as unset.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    pub image_mirrors: Option<String>,
    pub chart_mirrors: Option<String>,
    pub tools_mirror: Option<String>,
    /// The folder with the files of a release of cmdr.
    pub download_url: Option<String>,
    /// The user's configuration file, where `CMDR_CONFIG` names one.
    pub configuration_file: Option<PathBuf>,
    pub certificate_authority: Option<PathBuf>,
    pub node_image: Option<String>,
    pub docker_host: Option<String>,
    pub docker_context: Option<String>,
    pub docker_config: Option<PathBuf>,
    pub docker_auth_config: Option<Secret>,
    pub docker_certificates: Option<PathBuf>,
    pub docker_tls_verify: bool,
    /// In the order in which contexts are looked up.
    pub kubeconfig: Vec<PathBuf>,
    /// The run of the pipeline; `None` outside of a CI job.
    pub pipeline: Option<PipelineRun>,
    pub gitlab_token: Option<Secret>,
    pub gitlab_server: Option<String>,
    pub gitlab_project: Option<String>,
    pub deploy_freeze: bool,
    pub user: Option<String>,
    pub runtime_folder: Option<PathBuf>,
    pub proxies: Proxies,
    pub path: OsString,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    Text,
    /// JSON Lines: one event per line.
    Json,
}

impl From<OutputOption> for OutputFormat {
    fn from(output: OutputOption) -> Self {
        match output {
            OutputOption::Text => Self::Text,
            OutputOption::Json => Self::Json,
        }
    }
}

/// The files that report how a run ended, where they are asked for.
#[derive(Debug, Clone, Default)]
pub struct ReportPaths {
    pub junit: Option<PathBuf>,
    pub dotenv: Option<PathBuf>,
    pub timeline: Option<PathBuf>,
}

impl ReportPaths {
    /// The requested files with their options.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let named = [("--junit", &self.junit), ("--dotenv", &self.dotenv), ("--timeline", &self.timeline)];
        named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }
}

impl From<&ReportOptions> for ReportPaths {
    fn from(options: &ReportOptions) -> Self {
        let ReportOptions { junit, dotenv, timeline } = options.clone();
        Self { junit, dotenv, timeline }
    }
}

impl Settings {
    /// # Errors
    /// When the user's home or the working directory is unknown, or the given folder does not exist.
    pub fn resolve(options: &GlobalOptions) -> Result<Self, String> {
        let base = etcetera::choose_base_strategy().map_err(|error| error.to_string())?;
        let here = env::current_dir().map_err(|error| format!("cannot determine the working directory: {error}"))?;
        let directory = options.directory.as_ref().map_or_else(|| here.clone(), |folder| here.join(folder));
        if !directory.is_dir() {
            return Err(format!("folder not found: {}", directory.display()));
        }
        let terminal = std::io::stderr().is_terminal();
        let output = OutputFormat::from(options.output);
        let text = output == OutputFormat::Text;
        let color = error_color(options.color);
        let variables = Variables::read();
        Ok(Self {
            directory,
            environment: options.environments.first().cloned().unwrap_or_default(),
            environments: options.environments.clone(),
            requires_review: options.slug.is_some(),
            slug: options.slug.clone().or_else(|| variables.pipeline.as_ref()?.branch.clone()),
            requires_copy: options.copy.is_some(),
            copy: options.copy.clone().or_else(|| variable("CMDR_COPY")?.into_string().ok()),
            output,
            dry_run: options.dry_run,
            yes: options.yes,
            quiet: options.quiet,
            verbose: options.verbose > 0,
            log: LogSettings {
                verbosity: options.verbose,
                filter: variable("CMDR_LOG").map(|filter| filter.to_string_lossy().into_owned()),
            },
            color,
            is_live: text && terminal && variable("CI").is_none() && !options.quiet,
            home: base.home_dir().to_owned(),
            machine: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            concurrency: options.concurrency,
            reports: ReportPaths::from(&options.reports),
            folders: Folders::resolve(&base),
            variables,
        })
    }

    /// Whether the output is JSON.
    pub fn prints_json(&self) -> bool {
        self.output == OutputFormat::Json
    }

    /// The folder of one local cluster: its kubeconfig, its lock, the files of its node.
    pub fn cluster_folder(&self, cluster: &str) -> PathBuf {
        self.folders.state.join("clusters").join(cluster)
    }

    /// The file with the durations of steps in earlier runs of an environment.
    pub fn durations_file(&self, workspace: &Name, environment: &Name) -> PathBuf {
        self.folders.state.join("durations").join(format!("{workspace}.{environment}.json"))
    }

    /// The folder of the certificate authority of this machine.
    pub fn authority_folder(&self) -> PathBuf {
        self.folders.state.join("authority")
    }

    pub fn docker_config_folder(&self) -> PathBuf {
        self.variables.docker_config.clone().unwrap_or_else(|| self.home.join(".docker"))
    }

    /// The kubeconfig files with the contexts of environments other than local.
    pub fn user_kubeconfigs(&self) -> Vec<PathBuf> {
        let named = &self.variables.kubeconfig;
        if named.is_empty() { vec![self.home.join(".kube/config")] } else { named.clone() }
    }

    /// The holder name for leases: the pipeline's job, or this process of the user.
    pub fn holder(&self) -> String {
        let url = self.variables.pipeline.as_ref().and_then(PipelineRun::most_exact_url);
        format!("{} (process {})", url.cloned().unwrap_or_else(|| self.author()), std::process::id())
    }

    /// Whether the output is the log of a GitLab job.
    pub fn is_gitlab_job(&self) -> bool {
        self.variables.pipeline.as_ref().is_some_and(|run| run.provider == CiProvider::Gitlab)
    }

    /// Whether cmdr can prompt the user.
    pub fn may_ask(&self) -> bool {
        !self.yes && self.is_live && std::io::stdin().is_terminal()
    }

    /// Who runs cmdr: the user of the pipeline, or of this machine with its name.
    pub fn author(&self) -> String {
        let variables = &self.variables;
        if let Some(pipeline) = &variables.pipeline {
            return pipeline.started_by();
        }
        let user = variables.user.clone().unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        format!("{user} on {}", self.machine)
    }
}

impl Folders {
    fn resolve(base: &impl BaseStrategy) -> Self {
        let or = |name: &str, folder: PathBuf| variable(name).map_or(folder, PathBuf::from);
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Self {
            cache: or("CMDR_CACHE", base.cache_dir().join("cmdr")),
            state: or("CMDR_STATE", state.join("cmdr")),
            configuration_file: or("CMDR_CONFIG", base.config_dir().join("cmdr/config.yaml")),
        }
    }
}

impl Variables {
    fn read() -> Self {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        Self {
            image_mirrors: text("CMDR_IMAGE_MIRRORS"),
            chart_mirrors: text("CMDR_CHART_MIRRORS"),
            tools_mirror: text("CMDR_TOOLS_MIRROR"),
            download_url: text("CMDR_DOWNLOAD_URL"),
            configuration_file: variable("CMDR_CONFIG").map(PathBuf::from),
            certificate_authority: variable("CMDR_CA").map(PathBuf::from),
            node_image: text("CMDR_NODE_IMAGE"),
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: variable("DOCKER_CONFIG").map(PathBuf::from),
            docker_auth_config: text("DOCKER_AUTH_CONFIG").map(Secret::new),
            docker_certificates: variable("DOCKER_CERT_PATH").map(PathBuf::from),
            docker_tls_verify: variable("DOCKER_TLS_VERIFY").is_some(),
            kubeconfig: variable("KUBECONFIG").map(|value| env::split_paths(&value).collect()).unwrap_or_default(),
            pipeline: PipelineRun::read(text),
            gitlab_token: text("GITLAB_TOKEN")
                .filter(|token| !token.trim().is_empty())
                .map(|token| Secret::new(token.trim())),
            gitlab_server: text("CI_SERVER_URL"),
            gitlab_project: text("CI_PROJECT_PATH"),
            deploy_freeze: variable("CI_DEPLOY_FREEZE").is_some(),
            user: text("USER").or_else(|| text("LOGNAME")),
            runtime_folder: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            proxies: Proxies {
                http: text("HTTP_PROXY").or_else(|| text("http_proxy")),
                https: text("HTTPS_PROXY").or_else(|| text("https_proxy")),
                no: text("NO_PROXY").or_else(|| text("no_proxy")),
            },
            path: env::var_os("PATH").unwrap_or_default(),
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    debug_assert!(VARIABLES.iter().any(|(known, _)| *known == name), "{name} is not declared");
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The words of the command line, with the name of the program.
pub fn command_line() -> Vec<OsString> {
    env::args_os().collect()
}

/// Whether the command line asks for JSON, also if something else is wrong with it.
pub fn wants_json() -> bool {
    let words: Vec<String> = env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).take_while(|word| *word != "--").collect();
    let is_json = |word: &&str| matches!(*word, "--output=json" | "-ojson" | "-o=json");
    words.iter().any(is_json) || words.windows(2).any(|pair| matches!(pair, ["--output" | "-o", "json"]))
}

/// The path of this program.
///
/// # Errors
/// When the system does not know it.
pub fn own_program() -> std::io::Result<PathBuf> {
    env::current_exe()
}

/// Whether a variable is set that projects.yaml or an option of it names, for a program that reads it.
pub fn is_variable_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The command line that a shell requests completions for; `None` in any other run.
pub fn words_to_complete() -> Option<Vec<OsString>> {
    variable(COMPLETE).filter(|shell| shell != "0")?;
    Some(env::args_os().skip_while(|word| word != "--").skip(1).collect())
}

/// The arguments after `first`, if it is the first one: cmdr has started itself for a purpose of its own.
pub fn words_after(first: &str) -> Option<Vec<OsString>> {
    let mut words = env::args_os().skip(1);
    (words.next()? == first).then(|| words.collect())
}

/// Whether messages are colored.
pub fn error_color(color: Color) -> bool {
    forced_color(color).unwrap_or_else(|| std::io::stderr().is_terminal() && variable("NO_COLOR").is_none())
}

/// Colors on or off, whatever receives the output; `None` if it depends on the stream. GitLab's log is not a terminal,
/// but shows colors.
pub fn forced_color(color: Color) -> Option<bool> {
    match color {
        Color::Always => Some(true),
        Color::Never => Some(false),
        Color::Auto if variable("GITLAB_CI").is_some() => Some(variable("NO_COLOR").is_none()),
        Color::Auto => None,
    }
}

/// How long cmdr may still run; `None` outside of a job that has a timeout.
pub fn time_left() -> Option<Duration> {
    let text = |name: &str| variable(name)?.into_string().ok();
    let timeout = Duration::from_secs(text("CI_JOB_TIMEOUT")?.parse().ok()?);
    let started: Option<jiff::Timestamp> = text("CI_JOB_STARTED_AT").and_then(|time| time.parse().ok());
    let elapsed = started.and_then(|started| Duration::try_from(jiff::Timestamp::now().duration_since(started)).ok());
    Some(working_time(timeout, elapsed.unwrap_or_default()))
}

/// `path` for display: with `~` for `home`.
pub fn display_path(path: &Path, home: &Path) -> String {
    match path.strip_prefix(home) {
        Ok(rest) => format!("~/{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_a_ci_system_is_declared() {
        for name in crate::domain::pipeline::variables() {
            assert!(VARIABLES.iter().any(|(known, _)| *known == name), "{name} is not declared");
        }
    }
}
