//! Secrets of projects: what the chart receives, what the plan compares, what sops decrypts for a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    adapters::sops::{self, SopsError},
    config::{ConfigError, ValuesHolder},
    domain::{
        Problem, Values,
        digest::sha256,
        pinned_tools::SOPS,
        project_secret::{ProjectSecret, SecretSource, project_secrets, used_secrets, without_removed_sources},
        resolve::ResolvedProject,
    },
    error::{CommandError, ErrorKind},
    ops::{errors::mistakes, session::Session, tools},
    plan::{ExternalSecretSpec, Plan, SecretContent, SecretSpec, SopsFile, Step},
    steps::Decrypted,
};

/// The key of the chart's values with the checksums of the SOPS files behind Secrets.
const CHECKSUMS: &str = "secretChecksums";
/// Hexadecimal digits of a checksum: 80 bits, as a record has.
const CHECKSUM_LENGTH: usize = 20;

/// The encrypted files behind the Secrets that the selected projects use, by the Secrets' names in the cluster.
#[derive(Debug)]
pub(crate) struct SopsSecrets(BTreeMap<String, SopsFile>);

impl SopsSecrets {
    /// Reads the encrypted files; decrypts nothing.
    ///
    /// # Errors
    /// Every file that cannot be read, with the location that names it.
    pub(crate) fn read(session: &Session, chosen: &[ResolvedProject]) -> Result<Self, CommandError> {
        let used: BTreeSet<String> = chosen.iter().flat_map(used_secrets).collect();
        let (mut files, mut missing) = (BTreeMap::new(), Vec::new());
        // A Secret may belong to another project, selected or not; `--set` has changed only the selected ones.
        let others = session.projects.iter().filter(|other| chosen.iter().all(|project| project.name != other.name));
        for project in chosen.iter().chain(others) {
            for (secret, path) in sops_secrets(project).filter(|(secret, _)| used.contains(&secret.name)) {
                match std::fs::read(session.loaded.workspace.root.join(&path)) {
                    Ok(bytes) => drop(files.insert(secret.name, SopsFile { checksum: checksum(&bytes), path })),
                    Err(error) => missing.extend(unreadable(session, project, &secret, &path, &error)),
                }
            }
        }
        if missing.is_empty() {
            return Ok(Self(files));
        }
        Err(mistakes(missing, session.settings.color))
    }

    /// The project with the checksums of its Secrets for the chart, so that a changed Secret replaces the pods.
    pub(crate) fn with_checksums(&self, project: &ResolvedProject) -> ResolvedProject {
        let mut shown = project.clone();
        without_removed_sources(&mut shown.values);
        let used = used_secrets(project).into_iter();
        let checksums: Values =
            used.filter_map(|name| Some((name.clone(), json!(self.0.get(&name)?.checksum)))).collect();
        if !checksums.is_empty() {
            shown.values.insert(CHECKSUMS.to_owned(), json!(checksums));
        }
        shown
    }

    /// The Secrets of a project that must exist in its namespace before its releases.
    pub(crate) fn of_namespace(&self, project: &ResolvedProject) -> Vec<SecretSpec> {
        let specs = project_secrets(project).into_iter().filter_map(|secret| {
            let content = match secret.source {
                SecretSource::Generate { key } => SecretContent::Random { key },
                SecretSource::Sops { .. } => SecretContent::Sops(self.0.get(&secret.name)?.clone()),
                SecretSource::External(_) => return None,
            };
            Some(SecretSpec { name: secret.name, content })
        });
        specs.collect()
    }
}

/// The Secrets that External Secrets creates for a project.
pub(crate) fn external_secrets(project: &ResolvedProject, namespace: &str) -> Vec<ExternalSecretSpec> {
    let specs = project_secrets(project).into_iter().filter_map(|secret| match secret.source {
        SecretSource::External(content) => Some(ExternalSecretSpec {
            namespace: namespace.to_owned(),
            name: secret.name,
            checksum: checksum(json!(content).to_string().as_bytes()),
            content,
        }),
        _ => None,
    });
    specs.collect()
}

/// The namespace in which External Secrets creates Secrets; `None` if no project of the environment has one.
pub(crate) fn external_secrets_in(session: &Session) -> Option<&str> {
    let namespace = session.environment.namespace.as_str();
    session.projects.iter().any(|project| !external_secrets(project, namespace).is_empty()).then_some(namespace)
}

/// Whether any project of the environment has a Secret from SOPS.
pub(crate) fn uses_sops(session: &Session) -> bool {
    session.projects.iter().any(|project| sops_secrets(project).next().is_some())
}

/// Decrypts what the steps of `plan` write, before the first of them runs.
///
/// # Errors
/// Every file that cannot be decrypted or is not a flat map.
pub(crate) async fn decrypt(session: &Session, plan: &Plan) -> Result<Decrypted, CommandError> {
    let (mut decrypted, mut refused) = (Decrypted::new(), Vec::new());
    let files = files_of(plan);
    let program = if files.is_empty() { PathBuf::new() } else { sops_program(session).await? };
    for path in files {
        match sops::decrypt(&program, &session.loaded.workspace.root.join(path), &session.cancel).await {
            Ok(data) => drop(decrypted.insert(path.to_owned(), data)),
            Err(SopsError::Interrupted) => return Err(CommandError::reported(ErrorKind::Interrupted)),
            Err(error) => refused.push(error.problem(path)),
        }
    }
    CommandError::require_none(ErrorKind::Failed, refused)?;
    Ok(decrypted)
}

/// The sops on PATH, or the one that cmdr downloaded.
async fn sops_program(session: &Session) -> Result<PathBuf, CommandError> {
    let program = tools::program(&session.settings, &SOPS);
    if program.is_absolute() {
        return Ok(program);
    }
    let problem = Problem::new(SopsError::NotInstalled.to_string());
    tools::provide(session, &SOPS, problem.help("install sops (https://getsops.io/docs/#download)")).await
}

fn files_of(plan: &Plan) -> BTreeSet<&Path> {
    let namespaces = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::PrepareNamespace(namespace) => Some(namespace),
        _ => None,
    });
    let files = namespaces.flat_map(|namespace| &namespace.secrets).filter_map(|secret| match &secret.content {
        SecretContent::Sops(file) => Some(file.path.as_path()),
        SecretContent::Random { .. } => None,
    });
    files.collect()
}

fn sops_secrets(project: &ResolvedProject) -> impl Iterator<Item = (ProjectSecret, PathBuf)> {
    project_secrets(project).into_iter().filter_map(|secret| match &secret.source {
        SecretSource::Sops { file } => Some((secret.clone(), file.clone())),
        _ => None,
    })
}

fn checksum(bytes: &[u8]) -> String {
    let mut checksum = sha256(bytes);
    checksum.truncate(CHECKSUM_LENGTH);
    checksum
}

fn unreadable(
    session: &Session,
    project: &ResolvedProject,
    secret: &ProjectSecret,
    path: &Path,
    error: &std::io::Error,
) -> Option<ConfigError> {
    let path = path.display();
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("the file `{path}` was not found"),
        _ => format!("the file `{path}` cannot be read: {error}"),
    };
    let expected = "expected a file encrypted with sops, relative to the folder of `projects.yaml`";
    let path = ["secrets", &secret.short_name, "sops"];
    session.value_origin().misplaced(ValuesHolder::Project(&project.name), &path, message, expected)
}
