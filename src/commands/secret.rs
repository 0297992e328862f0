//! `cmdr secret show`: prints a value of a Secret of a project.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::SecretCommand,
    domain::{
        Name, Problem, ResolvedProject,
        ledger::{OperationEntry, OperationOutcome},
        project_secret::{ProjectSecret, project_secrets},
        resolve,
        secret::{Secret, SecretData},
    },
    error::{CommandError, ErrorKind},
    ops::{
        exit::after_changes,
        options::ChangeRequest,
        prepared::running_cluster,
        remote::{
            access::{RemoteAccess, may_write},
            deploy_request::ChangeContext,
        },
        session::{Session, disabled_here, unknown},
    },
    settings::OutputFormat,
    ui,
};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SecretDocument {
    value: String,
}

/// # Errors
/// When the Secret or the key is unknown, the cluster does not respond, or, outside of `local`, there is no reason.
pub(super) async fn secret(session: &Session, command: &SecretCommand) -> Result<(), CommandError> {
    let SecretCommand::Show { name, key, because } = command;
    let (project, secret) = find(session, name)?;
    let namespace = &session.environment.namespace;
    let data = if session.environment.is_local() {
        if because.is_some() {
            let cause = "not supported in the environment 'local', which has no ledger: --because";
            return Err(CommandError::usage(Problem::new(cause).help("leave it out")));
        }
        running_cluster(session).await?.secret_data(namespace, &secret.name).await?
    } else {
        read_remote(session, (&project, &secret), because.as_deref()).await?
    };
    let data = data.ok_or_else(|| {
        let cause =
            format!("secret '{}' does not exist in the environment '{}'", secret.name, session.environment.name);
        CommandError::failed(Problem::new(cause).help("create it with cmdr up"))
    })?;
    let value = value(&secret.name, &data, key.as_deref())?.expose();
    ui::print(&match session.settings.output {
        OutputFormat::Json => format!("{}\n", serde_json::json!(SecretDocument { value: value.to_owned() })),
        OutputFormat::Text => format!("{value}\n"),
    });
    Ok(())
}

/// Finds a Secret that cmdr provides: `postgres/db`.
fn find(session: &Session, name: &str) -> Result<(Name, ProjectSecret), CommandError> {
    let wrong = || {
        let cause = format!("'{name}' is not the name of a secret");
        CommandError::usage(Problem::new(cause).help("write it as PROJECT/NAME, such as postgres/db"))
    };
    let (project, secret) = name.split_once('/').ok_or_else(wrong)?;
    let known = &session.loaded.workspace.projects;
    if !known.contains_key(project) {
        return Err(unknown("project", project, known.keys().map(Name::as_str)));
    }
    let projects = resolve(&session.loaded.workspace, &session.environment);
    let found = projects.iter().find(|found| found.name.as_str() == project);
    let found: &ResolvedProject = found.ok_or_else(|| CommandError::usage(disabled_here(session, project)))?;
    let secrets = project_secrets(found);
    let names: Vec<String> = secrets.iter().map(|secret| secret.short_name.clone()).collect();
    let own = secrets.into_iter().find(|own| own.short_name == secret);
    let missing = || unknown(&format!("secret of '{project}'"), secret, names.iter().map(String::as_str));
    Ok((found.name.clone(), own.ok_or_else(missing)?))
}

/// Reads the Secret of an environment with a ledger, which shows who read it and why.
async fn read_remote(
    session: &Session,
    (project, secret): (&Name, &ProjectSecret),
    because: Option<&str>,
) -> Result<Option<SecretData>, CommandError> {
    let environment = &session.environment;
    if because.is_none() {
        let cause = format!("a secret of the environment '{}' is shown only for a reason", environment.name);
        return Err(CommandError::usage(Problem::new(cause).help("add --because REASON, which the ledger keeps")));
    }
    may_write(session)?;
    let change = ChangeRequest { because: because.map(str::to_owned), ..ChangeRequest::default() };
    let origin = ChangeContext::read(session, &change, session.commit().await)?.origin;
    let access = RemoteAccess::open(session).await?;
    let Some(data) = access.cluster.secret_data(&environment.namespace, &secret.name).await? else { return Ok(None) };
    let now = Timestamp::now();
    let entry = OperationEntry {
        verb: format!("secret show {}", secret.short_name),
        record: None,
        version: None,
        started: now,
        ended: Some(now),
        outcome: OperationOutcome::Done,
        origin,
    };
    let written = access.cluster.update_history(&environment.namespace, project.as_str(), move |history| {
        history.note_operation(entry.clone());
    });
    written.await.map_err(|error| after_changes(error.into()))?;
    Ok(Some(data))
}

fn value<'a>(name: &str, data: &'a SecretData, key: Option<&str>) -> Result<&'a Secret, CommandError> {
    let keys = || data.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = match key {
        Some(key) => data.get(key),
        None => data.values().next().filter(|_| data.len() == 1),
    };
    found.ok_or_else(|| {
        let cause = match key {
            Some(key) => format!("secret '{name}' has no key '{key}'"),
            None => format!("secret '{name}' does not have exactly one key"),
        };
        CommandError::new(ErrorKind::Failed, Problem::new(cause).help(format!("add one of its keys: {}", keys())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_key_needs_no_name() {
        let entry = |key: &str| (key.to_owned(), Secret::new(format!("value of {key}")));
        let one = SecretData::from([entry("password")]);
        assert_eq!(value("db", &one, None).unwrap().expose(), "value of password");
        let two = SecretData::from([entry("password"), entry("user")]);
        assert_eq!(value("db", &two, Some("user")).unwrap().expose(), "value of user");
        let error = value("db", &two, None).unwrap_err();
        assert_eq!(error.problems[0].help.as_deref(), Some("add one of its keys: password, user"));
        assert!(value("db", &two, Some("token")).is_err());
    }
}
