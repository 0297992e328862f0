//! `cmdr identity`: what a cloud must trust, so that it accepts the tokens of a project's pods.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::IdentityOptions,
    domain::{Problem, identity::PodIdentity},
    error::CommandError,
    ops::{
        connect,
        remote::access::failed,
        session::{Session, disabled_here, unknown},
    },
    settings::OutputFormat,
    ui,
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IdentityDocument {
    /// What each cloud must trust: a document or a command.
    trust: Vec<String>,
}

/// # Errors
/// When the project is unknown or names no cloud, or the cluster does not say who issues its tokens.
pub(super) async fn identity(session: &Session, options: &IdentityOptions) -> Result<(), CommandError> {
    let name = options.project.as_str();
    let all = &session.loaded.workspace.projects;
    if !all.contains_key(name) {
        return Err(unknown("project", name, all.keys().map(crate::domain::Name::as_str)));
    }
    let project = session.projects.iter().find(|project| project.name.as_str() == name);
    let project = project.ok_or_else(|| CommandError::usage(disabled_here(session, name)))?;
    let namespace = &session.environment.namespace;
    // Without an issuer, to know whether there is anything to print before the cluster is asked.
    if PodIdentity::of(project, namespace, "").trust(project).is_empty() {
        let cause = format!("'{name}' has no identity in a cloud");
        let help = "add aws: {role: ARN}, gcp: {account: EMAIL} or azure: {client: ID} to its values";
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let issuer = match &options.issuer {
        Some(issuer) => checked(issuer)?,
        None => connect(session).await?.issuer().await.map_err(failed)?,
    };
    let texts = PodIdentity::of(project, namespace, &issuer).trust(project);
    ui::print(&match session.settings.output {
        OutputFormat::Json => format!("{}\n", serde_json::json!(IdentityDocument { trust: texts })),
        OutputFormat::Text => format!("{}\n", texts.join("\n")),
    });
    Ok(())
}

/// Clouds accept only issuers whose keys they can read.
fn checked(issuer: &str) -> Result<String, CommandError> {
    let is_host = |rest: &str| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace);
    if issuer.strip_prefix("https://").is_some_and(is_host) {
        return Ok(issuer.to_owned());
    }
    let cause =
        format!("--issuer: '{issuer}' is not the URL of an issuer: expected one such as https://oidc.example.com/id");
    let help = "leave it out to ask the cluster: kubectl get --raw /.well-known/openid-configuration shows it, too";
    Err(CommandError::usage(Problem::new(cause).help(help)))
}
