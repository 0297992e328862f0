//! Connects to a Docker engine, and explains why it failed.

use std::{io::ErrorKind, path::Path, time::Duration};

use bollard::{API_DEFAULT_VERSION, ClientVersion};
use tokio::net::{TcpStream, UnixStream};

use super::{DockerError, Endpoint, error::cause};
use crate::{adapters::Cause, domain::redact::masked_url};

/// The timeout of a request in seconds; it allows for stopping a node and for pulls.
const REQUEST_SECONDS: u64 = 120;
/// The timeout for connecting to an engine and for its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two ways to connect to an engine.
#[derive(Clone, Copy)]
enum Way<'a> {
    Socket(&'a str),
    Network(&'a str),
}

/// Connects, and negotiates the API version.
pub(super) async fn client(endpoint: &Endpoint) -> Result<bollard::Docker, DockerError> {
    match way(endpoint)? {
        Way::Socket(path) => knock_at_socket(endpoint, Path::new(path)).await?,
        Way::Network(address) => knock_at_port(endpoint, address).await?,
    }
    let client = speak(endpoint, API_DEFAULT_VERSION)?;
    agree_on_version(endpoint, client).await
}

fn way(endpoint: &Endpoint) -> Result<Way<'_>, DockerError> {
    let wrong = |why: &str| DockerError::Unsupported { host: named(endpoint), why: why.to_owned() };
    match endpoint.host.split_once("://") {
        Some(("unix", path)) => Ok(Way::Socket(path)),
        Some(("tcp" | "http" | "https", rest)) => match rest.trim_end_matches('/') {
            address if address.contains('/') => Err(wrong("a path after the host is not allowed")),
            address => Ok(Way::Network(address)),
        },
        Some(("ssh", _)) => Err(wrong("SSH connections are not supported")),
        Some((scheme, _)) => Err(wrong(&format!("expected unix:// or tcp://, not {scheme}://"))),
        None => Err(wrong("expected unix:// or tcp://")),
    }
}

/// Creates a client for one version of the API. It does not connect yet.
fn speak(endpoint: &Endpoint, version: &ClientVersion) -> Result<bollard::Docker, DockerError> {
    let client = match (way(endpoint)?, &endpoint.certificates) {
        (Way::Socket(path), _) => bollard::Docker::connect_with_unix(path, REQUEST_SECONDS, version),
        (Way::Network(address), Some(folder)) => {
            let [key, certificate, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|name| folder.join(name));
            bollard::Docker::connect_with_ssl(address, &key, &certificate, &ca, REQUEST_SECONDS, version)
        }
        (Way::Network(address), None) => bollard::Docker::connect_with_http(address, REQUEST_SECONDS, version),
    };
    let client = client.map_err(|error| unreachable(endpoint, cause(error)))?;
    Ok(client.with_request_modifier(|request| {
        // Bodies and headers can contain secrets and credentials. Failures are logged where errors are converted.
        let place = request.uri().path_and_query().map_or("", |place| place.as_str());
        tracing::debug!(target: "cmdr::adapters::docker", "{} {}", request.method(), masked_url(place));
        request
    }))
}

/// Uses the newest version that both support. An engine older than this client rejects the first request and names its
/// newest version.
async fn agree_on_version(endpoint: &Endpoint, client: bollard::Docker) -> Result<bollard::Docker, DockerError> {
    let answer = tokio::time::timeout(PATIENCE, client.version()).await;
    let answer = answer.map_err(|_| unreachable(endpoint, silence()))?;
    let newest = match answer {
        Ok(version) => version.api_version.as_deref().and_then(version_number),
        Err(error) => {
            let cause = cause(error);
            Some(newest_known(&cause.to_string()).ok_or_else(|| unreachable(endpoint, cause))?)
        }
    };
    let own = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    match newest.filter(|newest| *newest < own) {
        Some((major_version, minor_version)) => speak(endpoint, &ClientVersion { major_version, minor_version }),
        None => Ok(client),
    }
}

fn silence() -> String {
    format!("timed out after {} seconds", PATIENCE.as_secs())
}

/// Parses `1.41` as two numbers.
fn version_number(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Parses `client version 1.53 is too new. Maximum supported API version is 1.41`.
fn newest_known(message: &str) -> Option<(usize, usize)> {
    version_number(message.split_once("Maximum supported API version is ")?.1)
}

async fn knock_at_socket(endpoint: &Endpoint, path: &Path) -> Result<(), DockerError> {
    UnixStream::connect(path).await.map(drop).map_err(|error| closed_socket(endpoint, path, error))
}

/// Returns why a socket accepts no connection.
fn closed_socket(endpoint: &Endpoint, path: &Path, error: std::io::Error) -> DockerError {
    match error.kind() {
        ErrorKind::PermissionDenied => DockerError::PermissionDenied { socket: path.to_owned() },
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => DockerError::NotRunning { host: named(endpoint) },
        _ => unreachable(endpoint, error),
    }
}

async fn knock_at_port(endpoint: &Endpoint, address: &str) -> Result<(), DockerError> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(DockerError::NotRunning { host: named(endpoint) })
        }
        Ok(Err(error)) => Err(unreachable(endpoint, error)),
        Err(_) => Err(unreachable(endpoint, silence())),
    }
}

/// Returns the host and where it was configured, because a variable in a shell profile is easily forgotten.
fn named(endpoint: &Endpoint) -> String {
    format!("{} ({})", endpoint.host, endpoint.named_by)
}

fn unreachable(endpoint: &Endpoint, cause: impl Into<Cause>) -> DockerError {
    DockerError::Unreachable { host: named(endpoint), source: cause.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), certificates: None, named_by: "DOCKER_HOST".to_owned() }
    }

    async fn refusal(host: &str) -> String {
        client(&endpoint(host)).await.unwrap_err().to_string()
    }

    #[test]
    fn an_old_engine_reports_its_version() {
        let message = "client version 1.53 is too new. Maximum supported API version is 1.41";
        assert_eq!(newest_known(message), Some((1, 41)));
        assert_eq!(newest_known("server error"), None);
    }

    #[tokio::test]
    async fn hosts_that_cannot_be_used_are_refused_with_the_reason() {
        let ssh = refusal("ssh://me@build").await;
        assert_eq!(
            ssh,
            "the Docker host 'ssh://me@build (DOCKER_HOST)' is not supported: SSH connections are not supported"
        );
        assert!(refusal("npipe:////./pipe/docker").await.contains("not npipe://"));
        let absent = refusal("unix:///no/such/docker.sock").await;
        assert_eq!(absent, "Docker is not running: cannot connect to unix:///no/such/docker.sock (DOCKER_HOST)");
        assert!(refusal("tcp://127.0.0.1:1").await.starts_with("Docker is not running: cannot connect to tcp://"));
    }

    #[tokio::test]
    async fn each_reason_of_a_missing_connection_has_its_cause() {
        let code = |error: DockerError| error.problem().code.unwrap_or_default();
        assert_eq!(code(client(&endpoint("unix:///no/such/docker.sock")).await.unwrap_err()), "C201");
        // The superuser, who runs tests in containers, may open every socket.
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(code(closed_socket(&endpoint("unix:///docker.sock"), Path::new("/docker.sock"), denied)), "C202");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert_eq!(code(client(&endpoint(&host)).await.unwrap_err()), "C203");
    }

    #[tokio::test]
    async fn a_socket_without_a_server_is_no_engine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        // A child that another test starts at this moment also holds the listener until it calls `exec`.
        while std::os::unix::net::UnixStream::connect(&path).is_ok() {}
        assert!(refusal(&format!("unix://{}", path.display())).await.starts_with("Docker is not running"));
    }

    #[tokio::test]
    async fn certificates_that_are_not_there_are_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut endpoint = endpoint(&format!("tcp://{}", listener.local_addr().unwrap()));
        endpoint.certificates = Some("/no/such/folder".into());
        let error = client(&endpoint).await.unwrap_err().problem().details.concat();
        assert!(error.contains("/no/such/folder/ca.pem"), "{error}");
    }
}
