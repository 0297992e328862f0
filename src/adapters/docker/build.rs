//! Runs the `docker build` command: it supports BuildKit, contexts and `.dockerignore`, which the API does not fully.

use std::{fs, path::Path};

use tokio_util::sync::CancellationToken;

use super::Docker;
use crate::{
    adapters::process::{ProcessError, Tool},
    domain::Problem,
};

/// The number of last lines of output that are shown if a build fails.
const LAST_LINES: usize = 12;

/// A build.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    pub context: &'a Path,
    /// `Dockerfile` in the context if `None`.
    pub dockerfile: Option<&'a Path>,
    /// A temporary file of cmdr for the image ID, which is removed after the build.
    pub id_file: &'a Path,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("docker build did not write an image ID to {file}")]
    NoImage { file: String },
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

    async fn run_build(
        &self,
        request: BuildRequest<'_>,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<(), BuildError> {
        let has_buildkit = self.command().args(["buildx", "version"]).run(cancel).await.is_ok();
        let tool = self.command().args(["build", "--iidfile"]).arg(request.id_file).follow_output();
        let tool = if has_buildkit {
            // Attestations contain the build time, so that the same content would get a different digest each time.
            let tool = tool.env("DOCKER_BUILDKIT", "1").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
            tool.args(["--progress", "plain"])
        } else {
            tool
        };
        let tool = match request.dockerfile {
            Some(file) => tool.arg("--file").arg(file),
            None => tool,
        };
        tool.arg(request.context).run_with_lines(cancel, on_line).await?;
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
        let Self::Process(ProcessError::Failed { status, stdout, stderr, .. }) = self else {
            return Problem::new(format!("{what} cannot be built: {self}"));
        };
        let mut problem = Problem::new(format!("{what} cannot be built: docker build failed ({status})"));
        problem.logs = last_lines(stdout, stderr);
        problem.help("fix the Dockerfile or the files that it copies, then run cmdr build again")
    }
}

/// The classic builder prints steps to one stream and errors to the other; BuildKit prints everything to one.
fn last_lines(stdout: &str, stderr: &str) -> Vec<String> {
    let said = stdout.lines().chain(stderr.lines()).map(str::trim_end).filter(|line| !line.is_empty());
    let said: Vec<String> = said.map(str::to_owned).collect();
    said[said.len().saturating_sub(LAST_LINES)..].to_vec()
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
    fn both_builders_tell_how_far_they_are() {
        assert_eq!(stage("Step 2/5 : COPY . ."), Some("2/5: COPY . .".to_owned()));
        assert_eq!(stage("#7 [2/5] RUN make"), Some("[2/5] RUN make".to_owned()));
        assert_eq!(stage("#7 0.312 compiling"), None);
        assert_eq!(stage(" ---> 0f36c1a"), None);
    }

    #[test]
    fn the_last_lines_are_reported() {
        let lines = last_lines("Step 1/2 : FROM x\n\nStep 2/2 : COPY y .\n", "COPY failed: y not found\n");
        assert_eq!(lines, ["Step 1/2 : FROM x", "Step 2/2 : COPY y .", "COPY failed: y not found"]);
    }
}
