//! What the verbs of the local cluster's life share.

use crate::{
    domain::{Diagnosis, ImageReference},
    error::{CommandError, ErrorKind},
    ops::session::{LocalAccess, Session},
    steps::LocalCluster,
};

pub(crate) async fn access(session: &Session) -> Result<LocalAccess, CommandError> {
    if session.environment.is_local() {
        return session.local().await;
    }
    let cause = format!("the cluster of environment '{}' is not cmdr's own", session.environment.name);
    Err(CommandError::usage(Diagnosis::new(cause).remedy("this verb is for the local environment")))
}

pub(crate) fn absent(session: &Session) -> CommandError {
    let cause = format!("there is no cluster '{}'", session.workspace());
    CommandError::failed(Diagnosis::new(cause).remedy("cmdr up makes it"))
}

/// A cluster that is only to be deleted: nothing of it needs to be chosen.
pub(crate) fn existing(session: &Session, access: &LocalAccess) -> Result<LocalCluster, CommandError> {
    let image = access.node.as_ref().map(|node| node.image.clone()).unwrap_or_default();
    let node_image = ImageReference::parse(&image)
        .map_err(|error| CommandError::failed(Diagnosis::new(format!("the node's image '{image}': {error}"))))?;
    let (http_port, https_port) = access.published_ports().unwrap_or_default();
    Ok(LocalCluster {
        docker: access.docker.clone(),
        kind: access.kind.clone(),
        name: session.workspace().to_string(),
        folder: access.folder.clone(),
        node_image,
        kubernetes: None,
        http_port,
        https_port,
        mirrors: Vec::new(),
        registry: Vec::new(),
        certificate_authority: None,
    })
}

/// On a terminal, asks before databases are deleted.
pub(crate) fn confirm(session: &Session) -> Result<(), CommandError> {
    if !session.settings.may_ask() {
        return Ok(());
    }
    let question = format!("Delete the cluster '{}' and everything in it, databases included?", session.workspace());
    let answer = dialoguer::Confirm::new().with_prompt(question).default(false).interact();
    match answer {
        Ok(true) => Ok(()),
        _ => Err(CommandError::new(ErrorKind::Failed, Diagnosis::new("nothing was deleted"))),
    }
}
