//! The certificate of the local cluster, and the authority of this machine that signs it.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    adapters::{
        authority::{Authority, AuthorityError},
        cluster::Cluster,
        http::{HttpClient, Resolver},
    },
    domain::{Problem, ResolvedProject, local_certificate::LocalCertificate, platform::ResolvedPlatform},
    error::CommandError,
    ops::session::Session,
    plan::up::INGRESS,
};

/// Returns the certificate that the local cluster needs. `None` in other environments, and where cmdr does not install
/// Traefik or its values set a certificate.
///
/// # Errors
/// When the files of the authority cannot be read.
pub(crate) fn wanted(
    session: &Session,
    platform: &[ResolvedPlatform],
) -> Result<Option<LocalCertificate>, CommandError> {
    let environment = &session.environment;
    let ingress = platform.iter().find(|release| release.name == INGRESS);
    let Some((ingress, domain)) = ingress.zip(environment.domain.as_deref()).filter(|_| environment.is_local()) else {
        return Ok(None);
    };
    if ingress.values.get("tlsStore").and_then(Value::as_object).is_some_and(|store| !store.is_empty()) {
        return Ok(None);
    }
    let authority = Authority::open(&session.settings.authority_folder()).map_err(|error| failed(&error))?;
    let hosts = session.projects.iter().flat_map(hosts_of).collect();
    let fingerprint = authority.map(|authority| authority.fingerprint());
    let mut wanted = LocalCertificate::new(&ingress.namespace, (domain, &hosts), fingerprint, Timestamp::now());
    if let Some(original) = environment.local_copy.as_ref().and_then(|copy| copy.domain.as_ref()) {
        wanted.domain.clone_from(original);
        wanted.hosts.extend([format!("*.{original}"), original.clone()]);
    }
    Ok(Some(wanted))
}

/// Returns the client for URL checks. In `local` it trusts the authority of this machine, which is created if there is
/// none, and returned, too.
///
/// # Errors
/// When its files cannot be read or written.
pub(crate) fn client(
    session: &Session,
    resolver: Resolver,
    is_local: bool,
) -> Result<(HttpClient, Option<Authority>), CommandError> {
    let open = || Authority::open_or_create(&session.settings.authority_folder());
    let authority = is_local.then(open).transpose().map_err(|error| failed(&error))?;
    let trusted = authority.as_ref().map(|authority| authority.certificate.as_str()).unwrap_or_default();
    let client = HttpClient::trusting(resolver, trusted);
    Ok((client.map_err(|error| CommandError::failed(Problem::of(&error)))?, authority))
}

/// Returns a client for the URLs of the session's environment: of the local cluster, or of its load balancer where DNS does
/// not know a host.
///
/// # Errors
/// As [`client`].
pub(crate) async fn environment_client(session: &Session, cluster: &Cluster) -> Result<HttpClient, CommandError> {
    if session.environment.is_local() {
        return Ok(client(session, Resolver::Fixed(([127, 0, 0, 1], 0).into()), true)?.0);
    }
    let (http, _) = client(session, Resolver::SystemElse(Arc::default()), false)?;
    if let Ok(Some(address)) = cluster.service_address(INGRESS, INGRESS).await {
        http.note_balancer(address);
    }
    Ok(http)
}

fn failed(error: &AuthorityError) -> CommandError {
    CommandError::failed(Problem::of(error).help("set CMDR_STATE to a writable folder, or delete the damaged files"))
}

/// The hosts of a project: of its routes, and of those in its values.
fn hosts_of(project: &ResolvedProject) -> BTreeSet<String> {
    let written = project.values.get("routes").and_then(Value::as_object).into_iter().flatten();
    let written = written.filter_map(|(_, route)| Some(route.get("host")?.as_str()?.to_owned()));
    project.routes.iter().flat_map(|route| route.hosts.iter().cloned()).chain(written).collect()
}
