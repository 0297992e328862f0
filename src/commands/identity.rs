//! `cmdr identity`: what a cloud must trust, so that it accepts the tokens of a project's pods.

use crate::{
    cli::IdentityOptions,
    domain::{Problem, identity::PodIdentity},
    error::CommandError,
    ops::{
        connect,
        remote::access::failed,
        session::{Session, disabled_here, unknown},
    },
    ui,
};

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
        Some(issuer) => issuer.clone(),
        None => connect(session).await?.issuer().await.map_err(failed)?,
    };
    let texts = PodIdentity::of(project, namespace, &issuer).trust(project);
    ui::print(&format!("{}\n", texts.join("\n")));
    Ok(())
}
