//! Runs the `docker build` command: it supports BuildKit, contexts and `.dockerignore`, which the API does not fully.

use std::{ffi::OsStr, fs, path::Path};

use console::strip_ansi_codes;
use tokio_util::sync::CancellationToken;

use super::{Docker, DockerError};
use crate::{
    adapters::process::{ProcessError, Tool},
    domain::{
        ImageReference, Problem,
        build::{BuildSecret, DockerBuild},
        secret::Secret,
    },
};

/// The variable with the reference that a command of the user pushes or loads.
const IMAGE: &str = "CMDR_IMAGE";
/// Variables that docker, its plugins and the libraries that they use read, in upper case.
const READ_BY_DOCKER: [&str; 11] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "USER",
];
/// The beginnings of the others.
const READ_BY_DOCKER_FROM: [&str; 8] = ["BUILDKIT_", "BUILDX_", "DOCKER_", "GO", "LC_", "LD_", "OTEL_", "XDG_"];

/// The number of last lines of the failed step that are shown if a build fails.
const LAST_LINES: usize = 12;
/// The beginnings of lines that are never the cause: apt's progress, docker's advice about its classic builder, and the
/// layers and containers that this builder names.
const NOISE: &[&str] = &[
    "Get:",
    "Hit:",
    "Ign:",
    "Fetched ",
    "Reading package lists",
    "Reading state information",
    "Building dependency tree",
    "(Reading database",
    "Selecting previously unselected",
    "Preparing to unpack",
    "Unpacking ",
    "Setting up ",
    "Processing triggers for",
    "debconf: ",
    "DEPRECATED: The legacy builder",
    "Install the buildx component",
    "https://docs.docker.com/go/buildx/",
    "Sending build context",
    "---> ",
    "Removing intermediate container",
];

/// A build.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    pub context: &'a Path,
    pub options: &'a DockerBuild,
    /// A temporary file of cmdr for the image ID, which is removed after the build.
    pub id_file: &'a Path,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The command of the user.
    #[error(transparent)]
    Command(ProcessError),
    #[error("docker build did not write an image ID to {file}")]
    NoImage { file: String },
    #[error("its command neither pushed nor loaded {image}")]
    NotBuilt { image: String, source: DockerError },
    #[error(transparent)]
    Docker(#[from] DockerError),
}

impl Docker {
    /// Builds an image, with BuildKit if it is installed, and returns the image ID. `on_line` receives each line of
    /// output.
    ///
    /// # Errors
    /// If the build fails, or the docker command is missing.
    pub async fn build(
        &self,
        request: BuildRequest<'_>,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<String, BuildError> {
        // If the folder cannot be created, docker reports the error when it writes the file.
        let _ = request.id_file.parent().map(fs::create_dir_all);
        let built = self.run_build(request, cancel, on_line).await;
        let id = fs::read_to_string(request.id_file).unwrap_or_default();
        let _ = fs::remove_file(request.id_file);
        built?;
        match id.trim() {
            "" => Err(BuildError::NoImage { file: request.id_file.display().to_string() }),
            id => Ok(id.to_owned()),
        }
    }

    /// Returns whether docker can build with `BuildKit`.
    pub async fn has_buildkit(&self, cancel: &CancellationToken) -> bool {
        self.command().args(["buildx", "version"]).run(cancel).await.is_ok()
    }

    /// Runs a command that builds `image` and pushes it, or loads it into the engine. Then the engine has it.
    ///
    /// # Errors
    /// If the command fails, or the image is neither in its registry nor in the engine.
    pub async fn build_by_command(
        &self,
        (command, folder): (&str, &Path),
        image: &ImageReference,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<(), BuildError> {
        let engine = self.endpoint().environment();
        let shell = Tool::new("sh").args(["-c", command]).directory(folder).env(IMAGE, image.to_string());
        let shell = engine.iter().fold(shell, |tool, (variable, value)| tool.env(variable, value));
        shell.follow_output().run_with_lines(cancel, on_line).await.map_err(BuildError::Command)?;
        if self.has_image(&image.to_string()).await? {
            return Ok(());
        }
        let pulled = self.pull_image(image, None, |_| ()).await;
        pulled.map_err(|source| BuildError::NotBuilt { image: image.to_string(), source })
    }

    async fn run_build(
        &self,
        request: BuildRequest<'_>,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<(), BuildError> {
        let tool = self.command().args(["build", "--iidfile"]).arg(request.id_file).follow_output();
        let tool = if self.has_buildkit(cancel).await {
            // Attestations contain the build time, so that the same content would get a different digest each time.
            let tool = tool.env("DOCKER_BUILDKIT", "1").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
            // Another builder would keep the image in its own cache, where the engine cannot push it from.
            tool.without_env("BUILDX_BUILDER").args(["--progress", "plain", "--load"])
        } else {
            // Otherwise, the container of a step that failed is left behind.
            tool.arg("--force-rm")
        };
        with_options(tool, request.options).arg(request.context).run_with_lines(cancel, on_line).await?;
        Ok(())
    }

    /// Returns the docker command for the engine that cmdr uses.
    fn command(&self) -> Tool {
        let engine = self.endpoint().environment();
        engine.iter().fold(Tool::new("docker"), |tool, (variable, value)| tool.env(variable, value))
    }
}

impl BuildError {
    /// Returns what happened and how to fix it. `what` is the project.
    pub fn problem(&self, what: &str) -> Problem {
        let (status, stdout, stderr) = match self {
            Self::Process(ProcessError::Failed { status, stdout, stderr, .. }) => (status, stdout, stderr),
            Self::Command(ProcessError::Failed { status, stdout, stderr, .. }) => {
                let mut problem = Problem::new(format!("{what} cannot be built: its command failed ({status})"));
                problem.logs = failed_step(stdout, stderr);
                return problem.help("fix the command or its files, then run cmdr build again");
            }
            Self::NotBuilt { source, .. } => {
                return Problem::new(format!("{what} cannot be built: {self}"))
                    .detail(source.problem().message)
                    .help("push the image to the reference in $CMDR_IMAGE, or load it into Docker under this name");
            }
            _ => return Problem::new(format!("{what} cannot be built: {self}")),
        };
        let mut problem = Problem::new(format!("{what} cannot be built: docker build failed ({status})"));
        problem.logs = failed_step(stdout, stderr);
        problem.help("fix the Dockerfile or the files that it copies, then run cmdr build again")
    }
}

/// Adds the options of a build. The values of arguments are in the environment of docker: other users can read command
/// lines, and logs contain them.
fn with_options(tool: Tool, options: &DockerBuild) -> Tool {
    let DockerBuild { dockerfile, target, args, secrets, ssh, platforms, cache_from, cache_to } = options;
    let flag = |tool: Tool, name: &str, value: Option<&OsStr>| match value {
        Some(value) => tool.arg(name).arg(value),
        None => tool,
    };
    let tool = flag(tool, "--file", dockerfile.as_ref().map(|file| file.as_os_str()));
    let tool = flag(tool, "--target", target.as_deref().map(OsStr::new));
    let tool = flag(tool, "--ssh", ssh.then_some(OsStr::new("default")));
    let tool =
        flag(tool, "--platform", (!platforms.is_empty()).then(|| platforms.join(",")).as_deref().map(OsStr::new));
    let tool = args.iter().fold(tool, |tool, (name, value)| {
        if is_read_by_docker(name) {
            tool.arg("--build-arg").secret_arg(&Secret::new(format!("{name}={value}")))
        } else {
            tool.args(["--build-arg", name]).env(name, value)
        }
    });
    let tool = secrets.iter().fold(tool, |tool, (id, secret)| {
        tool.arg("--secret").arg(match secret {
            BuildSecret::File(path) => format!("id={id},src={}", path.display()),
            BuildSecret::Env(name) => format!("id={id},env={name}"),
        })
    });
    let tool = cache_from.iter().fold(tool, |tool, cache| tool.args(["--cache-from", cache]));
    cache_to.iter().fold(tool, |tool, cache| tool.args(["--cache-to", cache]))
}

/// Whether docker itself reads a variable, so that it cannot have the value of an argument.
fn is_read_by_docker(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    READ_BY_DOCKER.contains(&name.as_str()) || READ_BY_DOCKER_FROM.iter().any(|start| name.starts_with(start))
}

/// Returns the failed step of a build and its last lines, without messages that are never the cause.
///
/// `BuildKit` repeats the failed step with its output between two lines of dashes, then an excerpt of the Dockerfile, then
/// the error. The classic builder prints steps to one stream and errors to the other, and stops after the failed step.
fn failed_step(stdout: &str, stderr: &str) -> Vec<String> {
    // The classic builder colors what a step writes to standard error.
    let plain: Vec<String> =
        stdout.lines().chain(stderr.lines()).map(|line| strip_ansi_codes(line).into_owned()).collect();
    let detail: Vec<&str> = plain.iter().map(|line| line.trim_end()).filter(|line| is_telling(line)).collect();
    let (step, rest) = match detail.iter().rposition(|line| line.starts_with(" > [")) {
        Some(at) => {
            let output = detail[at + 1..].iter().take_while(|line| !is_rule(line)).copied();
            let error = detail[at + 1..].iter().rev().find(|line| line.starts_with("ERROR:")).copied();
            (Some(detail[at].trim_start_matches(" > ")), output.chain(error).collect())
        }
        None => match detail.iter().rposition(|line| line.starts_with("Step ")) {
            Some(at) => (Some(detail[at]), detail[at + 1..].to_vec()),
            None => (None, detail),
        },
    };
    let last = &rest[rest.len().saturating_sub(LAST_LINES)..];
    step.into_iter().chain(last.iter().copied()).map(str::to_owned).collect()
}

/// Whether a line is only dashes.
fn is_rule(line: &str) -> bool {
    line.starts_with("---") && line.chars().all(|it| it == '-')
}

/// Whether a line can show the cause of a failure. `BuildKit` prefixes the output of a step with seconds.
fn is_telling(line: &str) -> bool {
    let detail = match line.split_once(' ') {
        Some((seconds, rest)) if seconds.parse::<f64>().is_ok() => rest,
        _ => line,
    };
    !detail.trim().is_empty() && !NOISE.iter().any(|noise| detail.trim_start().starts_with(noise))
}

/// Returns the part of a line that shows the progress of a build: `Step 2/5 : COPY . .`, `[2/5] COPY . .`.
pub fn stage(line: &str) -> Option<String> {
    if let Some(step) = line.strip_prefix("Step ") {
        return Some(step.replacen(" : ", ": ", 1));
    }
    let (_, rest) = line.strip_prefix('#')?.split_once(' ')?;
    rest.starts_with('[').then(|| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_do_not_change_what_docker_reads() {
        assert!(
            ["HTTP_PROXY", "no_proxy", "PATH", "DOCKER_HOST", "BUILDKIT_INLINE_CACHE"].map(is_read_by_docker)
                == [true; 5]
        );
        assert!(["VERSION", "NODE_ENV", "APP_PATH"].map(is_read_by_docker) == [false; 3]);
    }

    #[test]
    fn both_builders_tell_how_far_they_are() {
        assert_eq!(stage("Step 2/5 : COPY . ."), Some("2/5: COPY . .".to_owned()));
        assert_eq!(stage("#7 [2/5] RUN make"), Some("[2/5] RUN make".to_owned()));
        assert_eq!(stage("#7 0.312 compiling"), None);
        assert_eq!(stage(" ---> 0f36c1a"), None);
    }

    #[test]
    fn the_failed_step_of_the_classic_builder_is_reported() {
        let stdout = "Sending build context to Docker daemon  3.072kB\n\nStep 1/2 : FROM x\n ---> 0f36c1a\n\
                      Step 2/2 : RUN apt-get install -y make && make\n ---> Running in 5f36c1a\n\
                      Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]\nSetting up make (4.3) ...\n\
                      \u{1b}[91mmain.c:3: error: expected ';'\n\u{1b}[0mRemoving intermediate container 5f36c1a\n";
        let stderr = "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n            \
                      Install the buildx component to build images with BuildKit:\n            \
                      https://docs.docker.com/go/buildx/\n\nThe command '/bin/sh -c make' returned a non-zero code: 2\n";
        let expected = [
            "Step 2/2 : RUN apt-get install -y make && make",
            "main.c:3: error: expected ';'",
            "The command '/bin/sh -c make' returned a non-zero code: 2",
        ];
        assert_eq!(failed_step(stdout, stderr), expected);
        assert_eq!(failed_step("", "error checking context: no such file\n"), ["error checking context: no such file"]);
    }

    #[test]
    fn the_failed_step_of_buildkit_is_reported() {
        let stderr = "#5 [2/3] COPY . .\n#5 DONE 0.1s\n#6 [3/3] RUN make\n#6 0.211 compiling\n#6 ERROR: process \
                      \"/bin/sh -c make\" did not complete successfully: exit code: 2\n------\n > [3/3] RUN make:\n\
                      0.211 Setting up make (4.3) ...\n0.212 main.c:3: error: expected ';'\n------\nDockerfile:3\n\
                      --------------------\n   2 |     COPY . .\n   3 | >>> RUN make\n--------------------\n\
                      ERROR: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2\n";
        let expected = [
            "[3/3] RUN make:",
            "0.212 main.c:3: error: expected ';'",
            "ERROR: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
        ];
        assert_eq!(failed_step("", stderr), expected);
    }

    #[test]
    fn of_a_long_step_the_last_lines_are_reported() {
        let lines: String = (1..=30).map(|number| format!("line {number}\n")).collect();
        let shown = failed_step(&format!("Step 1/1 : RUN make\n{lines}"), "");
        assert_eq!((shown.len(), shown[0].as_str(), shown[1].as_str()), (13, "Step 1/1 : RUN make", "line 19"));
    }
}
