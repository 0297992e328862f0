//! Finds the Docker engine in the same way as the docker CLI.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::DockerError;
use crate::{
    adapters::Cause,
    domain::{digest::sha256, nearest::nearest},
};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The context that means no context.
const DEFAULT_CONTEXT: &str = "default";

/// The settings that determine where the engine is. The caller reads the environment; empty variables count as unset.
#[derive(Debug, Clone, Default)]
pub struct DockerLookup {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub config_folder: PathBuf,
    pub home: PathBuf,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_folder: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set and not empty.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`; defaults to the configuration folder.
    pub cert_path: Option<PathBuf>,
}

/// An engine's address and TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As in `DOCKER_HOST`: `unix:///var/run/docker.sock`, `tcp://HOST:PORT`.
    pub host: String,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`.
    pub certificates: Option<PathBuf>,
    /// Where the address was configured, for messages: `DOCKER_HOST`, `the Docker context 'colima'`.
    pub named_by: String,
}

impl Endpoint {
    /// Returns the variables that make `docker` and `kind` use the same engine. Variables that would select another
    /// engine are empty.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let folder = self.certificates.as_ref().map(|folder| folder.display().to_string());
        vec![
            ("DOCKER_HOST", self.host.clone()),
            ("DOCKER_CONTEXT", String::new()),
            ("DOCKER_TLS_VERIFY", folder.as_ref().map(|_| "1".to_owned()).unwrap_or_default()),
            ("DOCKER_CERT_PATH", folder.unwrap_or_default()),
        ]
    }

    /// Returns the socket's path, if the engine listens on one.
    pub fn socket(&self) -> Option<&Path> {
        self.host.strip_prefix("unix://").map(Path::new)
    }
}

/// Finds the engine: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of the configuration, the default socket,
/// then the sockets of well-known engines.
///
/// # Errors
/// If the selected context does not exist or cannot be read, or no engine is found.
pub fn locate(lookup: &DockerLookup) -> Result<Endpoint, DockerError> {
    if let Some(host) = lookup.host.as_deref().filter(|host| !host.is_empty()) {
        let folder = || lookup.cert_path.clone().unwrap_or_else(|| lookup.config_folder.clone());
        let certificates = lookup.tls_verify.then(folder).filter(|_| is_network(host));
        return Ok(Endpoint { host: with_scheme(host), certificates, named_by: "DOCKER_HOST".to_owned() });
    }
    let named = match lookup.context.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => Some((name.to_owned(), "DOCKER_CONTEXT".to_owned())),
        None => current_context(lookup)?,
    };
    match named {
        Some((name, named_by)) if name != DEFAULT_CONTEXT => context(lookup, &name, named_by),
        _ => socket(lookup),
    }
}

fn is_network(host: &str) -> bool {
    !host.starts_with("unix://") && !host.starts_with("npipe://") && !host.starts_with("ssh://")
}

/// As in the docker CLI, a host without a scheme is TCP; an absolute path is a socket.
fn with_scheme(host: &str) -> String {
    match host {
        _ if host.contains("://") => host.to_owned(),
        _ if host.starts_with('/') => format!("unix://{host}"),
        _ => format!("tcp://{host}"),
    }
}

#[derive(Deserialize)]
struct DockerConfiguration {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

/// Returns the context that `docker context use` selected, and the file that contains it.
fn current_context(lookup: &DockerLookup) -> Result<Option<(String, String)>, DockerError> {
    let path = lookup.config_folder.join("config.json");
    let wrong = |source: Cause| DockerError::Configuration { path: path.clone(), source };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.into())),
    };
    let configuration: DockerConfiguration = serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
    let named_by = path.display().to_string();
    Ok(Some(configuration.current_context).filter(|name| !name.is_empty()).map(|name| (name, named_by)))
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Endpoints", default)]
    endpoints: std::collections::BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
struct MetaEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn context(lookup: &DockerLookup, name: &str, named_by: String) -> Result<Endpoint, DockerError> {
    let contexts = lookup.config_folder.join("contexts");
    let id = sha256(name.as_bytes());
    let text = match std::fs::read_to_string(contexts.join("meta").join(&id).join("meta.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let names = names(&contexts.join("meta"));
            let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
            return Err(DockerError::ContextNotFound { name: name.to_owned(), named_by, nearest });
        }
        Err(error) => return Err(DockerError::Context { name: name.to_owned(), why: error.to_string() }),
    };
    let wrong = |why: &str| DockerError::Context { name: name.to_owned(), why: why.to_owned() };
    let meta: Meta = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let endpoint = meta.endpoints.get("docker").ok_or_else(|| wrong("no Docker endpoint"))?;
    if endpoint.host.is_empty() {
        return socket(lookup);
    }
    if endpoint.skip_tls_verify {
        return Err(wrong("skip-tls-verify is not supported"));
    }
    let certificates = Some(contexts.join("tls").join(&id).join("docker")).filter(|folder| folder.is_dir());
    let named_by = format!("the Docker context '{name}'");
    Ok(Endpoint { host: with_scheme(&endpoint.host), certificates, named_by })
}

/// Returns the names of all readable contexts, and `default`.
fn names(meta: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(meta).into_iter().flatten().flatten();
    let texts = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("meta.json")).ok());
    let names = texts.filter_map(|text| serde_json::from_str::<Meta>(&text).ok()).map(|meta| meta.name);
    names.chain([DEFAULT_CONTEXT.to_owned()]).collect()
}

/// Returns the default socket, else the first well-known one that exists.
fn socket(lookup: &DockerLookup) -> Result<Endpoint, DockerError> {
    first_socket(sockets(lookup))
}

fn first_socket(candidates: Vec<(PathBuf, &'static str)>) -> Result<Endpoint, DockerError> {
    // `exists` follows links: the dangling link that Docker Desktop leaves when it is stopped counts as absent.
    match candidates.iter().find(|(path, _)| path.exists()) {
        Some((path, engine)) => {
            let host = format!("unix://{}", path.display());
            Ok(Endpoint { host, certificates: None, named_by: (*engine).to_owned() })
        }
        None => Err(DockerError::NotFound { tried: candidates.into_iter().map(|(path, _)| path).collect() }),
    }
}

fn sockets(lookup: &DockerLookup) -> Vec<(PathBuf, &'static str)> {
    let home = |path: &str| lookup.home.join(path);
    let rootless = lookup.runtime_folder.iter().map(|folder| (folder.join("docker.sock"), "rootless Docker"));
    let mut sockets = vec![(PathBuf::from(DEFAULT_SOCKET), "the default socket")];
    sockets.extend(rootless);
    sockets.extend([
        (home(".docker/run/docker.sock"), "Docker Desktop"),
        (home(".docker/desktop/docker.sock"), "Docker Desktop"),
        (home(".colima/default/docker.sock"), "Colima"),
        (home(".config/colima/default/docker.sock"), "Colima"),
        (home(".orbstack/run/docker.sock"), "OrbStack"),
        (home(".rd/docker.sock"), "Rancher Desktop"),
    ]);
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home folder with the contexts `colima` (a socket) and `build` (TLS).
    fn home() -> (tempfile::TempDir, DockerLookup) {
        let home = tempfile::tempdir().unwrap();
        let config_folder = home.path().join(".docker");
        for (name, host) in [("colima", "unix:///colima.sock"), ("build", "tcp://build.example.com:2376")] {
            let id = sha256(name.as_bytes());
            let folder = config_folder.join("contexts/meta").join(&id);
            std::fs::create_dir_all(&folder).unwrap();
            let meta = serde_json::json!({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": false}}});
            std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
            if name == "build" {
                std::fs::create_dir_all(config_folder.join("contexts/tls").join(&id).join("docker")).unwrap();
            }
        }
        let lookup = DockerLookup { config_folder, home: home.path().to_owned(), ..DockerLookup::default() };
        (home, lookup)
    }

    #[test]
    fn without_a_socket_every_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let problem = first_socket(vec![(path.clone(), "Colima")]).unwrap_err().problem();
        assert_eq!(problem.code.as_deref(), Some("C200"));
        assert!(problem.message.ends_with(&path.display().to_string()), "{}", problem.message);
        std::fs::write(&path, "").unwrap();
        assert_eq!(first_socket(vec![(path, "Colima")]).unwrap().named_by, "Colima");
    }

    #[test]
    fn contexts_are_found_where_the_docker_cli_keeps_them() {
        // `printf colima | sha256sum`
        let id = sha256(b"colima");
        assert_eq!(id, "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16");
    }

    #[test]
    fn the_variables_win_over_the_file() {
        let (_home, mut lookup) = home();
        std::fs::write(lookup.config_folder.join("config.json"), r#"{"currentContext": "colima", "auths": {}}"#)
            .unwrap();
        assert_eq!(locate(&lookup).unwrap().host, "unix:///colima.sock");
        lookup.context = Some("build".to_owned());
        let endpoint = locate(&lookup).unwrap();
        assert_eq!(
            (endpoint.host.as_str(), endpoint.named_by.as_str()),
            ("tcp://build.example.com:2376", "the Docker context 'build'")
        );
        assert!(endpoint.certificates.is_some());
        lookup.host = Some("tcp://10.0.0.1:2376".to_owned());
        assert_eq!(locate(&lookup).unwrap().certificates, None);
        lookup.tls_verify = true;
        assert_eq!(locate(&lookup).unwrap().certificates, Some(lookup.config_folder.clone()));
    }

    #[test]
    fn an_unknown_context_is_an_error_that_knows_better() {
        let (_home, mut lookup) = home();
        lookup.context = Some("colma".to_owned());
        let error = locate(&lookup).unwrap_err();
        assert_eq!(error.to_string(), "Docker context 'colma' (from DOCKER_CONTEXT) not found");
        assert_eq!(error.hint().unwrap(), "did you mean 'colima'? run docker context ls to list all contexts");
    }

    #[test]
    fn a_broken_configuration_is_named() {
        let (_home, lookup) = home();
        std::fs::write(lookup.config_folder.join("config.json"), "{").unwrap();
        assert!(locate(&lookup).unwrap_err().to_string().contains("config.json"));
    }

    #[test]
    fn known_sockets_come_after_the_default() {
        let (home, mut lookup) = home();
        lookup.runtime_folder = Some(home.path().join("run"));
        let order: Vec<_> = sockets(&lookup).into_iter().map(|(_, engine)| engine).collect();
        let expected = [
            "the default socket",
            "rootless Docker",
            "Docker Desktop",
            "Docker Desktop",
            "Colima",
            "Colima",
            "OrbStack",
            "Rancher Desktop",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn hosts_without_a_scheme_are_read_as_docker_does() {
        assert_eq!(with_scheme("/run/docker.sock"), "unix:///run/docker.sock");
        assert_eq!(with_scheme("10.0.0.1:2375"), "tcp://10.0.0.1:2375");
        let endpoint =
            Endpoint { host: "tcp://a".to_owned(), certificates: Some("/c".into()), named_by: String::new() };
        assert!(endpoint.environment().contains(&("DOCKER_CERT_PATH", "/c".to_owned())));
    }
}
