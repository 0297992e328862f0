//! Finds what a run on demand starts: the Job or `CronJob` of a project's release, as it is deployed.

use crate::{
    adapters::cluster::{Cluster, StoredRelease, parse_manifest},
    config::{SetOptions, parse_duration},
    domain::{
        Name, Problem, ReleaseKey, ports,
        quantity::{parse_cpu_millis, parse_memory_bytes},
    },
    error::{CommandError, ErrorKind},
    ops::{
        describe::describe,
        manifest::manifest,
        options::UpRequest,
        selection::Selection,
        session::{Session, unknown},
    },
    plan::{
        ReleaseSpec,
        run::{RunChanges, RunSpec, run_spec},
    },
};

/// The most parts of an array: more objects would slow down the cluster.
const MOST_PARTS: u32 = 10_000;

/// A run, as the command line asks for it.
#[derive(Debug, Clone)]
pub struct RunRequest {
    pub project: String,
    /// Helm values of this run only, as `KEY=VALUE`.
    pub set: Vec<String>,
    pub options: RunChanges,
}

impl RunRequest {
    /// A run of a project as it is deployed.
    pub fn unchanged(project: &Name) -> Self {
        Self { project: project.to_string(), set: Vec::new(), options: RunChanges::default() }
    }
}

/// The settings of a run as text.
#[derive(Debug, Clone, Default)]
pub struct RunText {
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub timeout: Option<String>,
    pub array: Option<u32>,
    pub parallel: Option<u32>,
}

impl RunText {
    /// # Errors
    /// All invalid settings.
    pub fn read(self, arguments: Vec<String>, is_detached: bool) -> Result<RunChanges, CommandError> {
        let mut problems = Vec::new();
        let mut wrong = |option: &str, text: &str, example: &str| {
            problems.push(Problem::new(format!("--{option}: '{text}' is not a valid value")).help(example));
        };
        if let Some(text) = self.cpu.as_deref().filter(|text| parse_cpu_millis(text).is_err()) {
            wrong("cpu", text, "for example 500m or 2");
        }
        if let Some(text) = self.memory.as_deref().filter(|text| parse_memory_bytes(text).is_err()) {
            wrong("memory", text, "for example 512Mi or 2Gi");
        }
        let timeout = self.timeout.as_deref().map(|text| (text, parse_duration(text).filter(|it| it.as_secs() > 0)));
        if let Some((text, None)) = timeout {
            wrong("timeout", text, "for example 90s, 30m or 2h");
        }
        if let Some(parts) = self.array.filter(|parts| *parts > MOST_PARTS) {
            wrong("array", &parts.to_string(), &format!("a number up to {MOST_PARTS}"));
        }
        CommandError::require_none(ErrorKind::Usage, problems)?;
        Ok(RunChanges {
            arguments,
            cpu: self.cpu,
            memory: self.memory,
            timeout_seconds: timeout.and_then(|(_, duration)| duration).map(|duration| duration.as_secs()),
            array: self.array.map(|parts| (parts, self.parallel.unwrap_or(parts))),
            is_detached,
        })
    }
}

impl RunRequest {
    /// Checks the request, and returns the release of its project.
    ///
    /// # Errors
    /// When the workspace has no such project, it is external here, or a value of `--set` is invalid.
    pub fn release(&self, session: &Session) -> Result<ReleaseKey, CommandError> {
        let project = session.projects.iter().find(|project| project.name.as_str() == self.project);
        let known = session.projects.iter().map(|project| project.name.as_str());
        let project = project.ok_or_else(|| unknown("project", &self.project, known))?;
        if project.external.is_some() {
            let cause = format!("'{}' is external in this environment: cmdr cannot run it", self.project);
            return Err(CommandError::usage(Problem::new(cause)));
        }
        if !self.set.is_empty() {
            self.selection(session)?;
        }
        Ok(ReleaseKey::new(&session.environment.namespace, &self.project))
    }

    /// The project with the values of `--set`.
    fn selection(&self, session: &Session) -> Result<Selection, CommandError> {
        Selection::single(session, &self.project, &self.set)
    }

    /// The run, from the Job or `CronJob` of the deployed release. `--set` renders the chart again, with the deployed values.
    ///
    /// # Errors
    /// When the project is not deployed, has no Job, or does not render.
    pub async fn spec(&self, session: &Session, cluster: &Cluster) -> Result<RunSpec, CommandError> {
        let key = self.release(session)?;
        let releases = cluster.releases().await?;
        let found = releases.into_iter().find(|release| release.key == key && !release.rendered.is_empty());
        let release = found.ok_or_else(|| not_deployed(session, &self.project))?;
        let rendered = if self.set.is_empty() {
            release.rendered
        } else {
            parse_manifest(&self.rendered(session, &release).await?, &key.namespace)?
        };
        let workspace = session.workspace().as_str();
        let mut specs = rendered.iter().filter_map(|it| run_spec(&key, workspace, &it.content, &self.options));
        match (specs.next(), specs.next()) {
            (Some(spec), None) => Ok(spec),
            (Some(_), Some(_)) => {
                let cause = format!("'{}' has several Jobs, and cmdr run starts one", self.project);
                Err(CommandError::failed(Problem::new(cause).help("deploy each of them as a project of its own")))
            }
            _ => {
                let cause = format!("'{}' is neither a Job nor a CronJob", self.project);
                let help = "cmdr run starts a run of a project with `kind: Job` or `kind: CronJob`";
                Err(CommandError::usage(Problem::new(cause).help(help)))
            }
        }
    }

    /// The manifest of the chart with the deployed values and those of `--set`.
    async fn rendered(&self, session: &Session, release: &StoredRelease) -> Result<String, CommandError> {
        let (selection, helm) = (self.selection(session)?, session.helm().await?);
        let described = describe(session, &helm, &selection, &UpRequest::default(), ports::STANDARD).await?;
        let own = described.projects.into_iter().next().ok_or_else(|| not_deployed(session, &self.project))?.release;
        let wrong = |error: crate::domain::values::InvalidSet| CommandError::usage(Problem::new(error.to_string()));
        let mut content = own.content.clone();
        content.values = release.values.clone();
        SetOptions::parse(&self.set).map_err(wrong)?.apply(&mut content.values, own.universal).map_err(wrong)?;
        manifest(session, &helm, &ReleaseSpec { content, ..own }).await
    }
}

/// The error if the environment has no release of a project.
pub fn not_deployed(session: &Session, project: &str) -> CommandError {
    let environment = &session.environment;
    let help = if environment.is_local() {
        format!("deploy it with cmdr up {project}")
    } else {
        format!("deploy it with cmdr up {project} --env {}", environment.name)
    };
    let cause = format!("'{project}' is not deployed in '{}'", environment.name);
    CommandError::failed(Problem::new(cause).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_invalid_settings_are_reported_at_once() {
        let text = |text: &str| Some(text.to_owned());
        let wrong = RunText {
            cpu: text("two"),
            memory: text("1GB"),
            timeout: text("0s"),
            array: Some(100_000),
            parallel: None,
        };
        assert_eq!(wrong.read(Vec::new(), false).unwrap_err().problems.len(), 4);
        let right = RunText { timeout: text("2m"), array: Some(20), parallel: Some(4), ..RunText::default() };
        let options = right.read(Vec::new(), true).unwrap();
        assert_eq!((options.timeout_seconds, options.array, options.is_detached), (Some(120), Some((20, 4)), true));
    }
}
