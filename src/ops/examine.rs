//! Examines the running cluster of an environment, and what can be fixed without risk.

use jiff::Timestamp;

use super::{connect, session::Session};
use crate::{
    adapters::{
        cluster::{Cluster, examine::Symptom},
        docker::State,
    },
    domain::validity::not_after,
    error::CommandError,
};

/// The certificate of the API server in a node of kind.
const API_CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";

/// A cluster, and what is wrong in it.
#[derive(Debug)]
pub struct Examination {
    pub cluster: Cluster,
    pub symptoms: Vec<Symptom>,
}

/// Returns `None` if the environment is local and its cluster does not run.
///
/// # Errors
/// If the cluster does not respond, or is not the expected one.
pub async fn examine(session: &Session) -> Result<Option<Examination>, CommandError> {
    let mut api_certificate = None;
    if session.environment.is_local() {
        let Ok(access) = session.local().await else { return Ok(None) };
        let Some(node) = access.node.as_ref().filter(|node| node.state == State::Running) else { return Ok(None) };
        let read = access.docker.exec(&node.name, &["cat", API_CERTIFICATE]).await;
        api_certificate = read.ok().and_then(|output| not_after(output.stdout.as_bytes()));
    }
    let cluster = connect(session).await?;
    let symptoms = cluster.examine(api_certificate, Timestamp::now()).await;
    let symptoms = symptoms.map_err(|error| CommandError::failed(error.problem()))?;
    Ok(Some(Examination { cluster, symptoms }))
}
