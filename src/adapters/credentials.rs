//! Registry credentials from the places where `docker login` stores them: `config.json` or a credential helper, and
//! from the variable `DOCKER_AUTH_CONFIG`.

mod pull;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
pub use pull::{PullCredentials, pull_secret_content};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::secret::Secret;

/// The variable with a `config.json` as text, which pipelines set.
const AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";
/// Docker Hub, as written in image references.
const DOCKER_HUB: &str = "docker.io";
/// The key that Docker and Kubernetes use for the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that marks the password as an identity token.
const TOKEN_USER: &str = "<token>";
/// The message of every helper that has no credentials for a registry.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The timeout for a helper; some wait for a keychain to be unlocked.
const HELPER_PATIENCE: Duration = Duration::from_secs(30);

/// Credentials for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// As written in image references: `docker.io`, `ghcr.io`, `localhost:5000`.
    pub host: String,
    pub username: String,
    pub password: Secret,
}

impl RegistryCredential {
    /// Returns the key of this registry in a `config.json`, which is also the key that kubelet looks for.
    pub(super) fn key(&self) -> String {
        key(&self.host)
    }

    /// Returns the user name, password and identity token in the form that the Docker API expects.
    pub(super) fn for_engine(&self) -> (Option<String>, Option<String>, Option<String>) {
        let secret = Some(self.password.expose().to_owned());
        if self.is_identity_token() { (None, None, secret) } else { (Some(self.username.clone()), secret, None) }
    }

    /// Returns whether this is a token from a browser login: Docker can use it, Kubernetes cannot.
    pub fn is_identity_token(&self) -> bool {
        self.username == TOKEN_USER
    }
}

/// Credentials, and warnings about the ones that could not be read.
#[derive(Debug, Default)]
pub struct FoundCredentials {
    pub credentials: Vec<RegistryCredential>,
    pub warnings: Vec<CredentialWarning>,
}

/// Credentials that could not be read; pulls from the registry continue without them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialWarning {
    #[error("cannot get credentials for {host}: credential helper {helper} {why}")]
    Helper { host: String, helper: String, why: String },
    #[error("cannot get credentials for {host}: the entry in {place} is not a valid user name and password")]
    Entry { host: String, place: String },
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read Docker's configuration {place}: {why}")]
pub struct CredentialsError {
    place: String,
    why: String,
}

/// The parts of Docker's configuration that concern credentials; empty by default.
#[derive(Debug, Default)]
pub struct Credentials {
    path: PathBuf,
    configuration: Configuration,
    /// The entries of `DOCKER_AUTH_CONFIG`, which take precedence.
    given: BTreeMap<String, StoredLogin>,
    search_path: Option<OsString>,
    /// Each is read only once, because a helper may ask the user to unlock a keychain.
    known: Mutex<HashMap<String, Arc<OnceCell<FoundCredential>>>>,
}

/// The credentials of one registry, if there are any.
type FoundCredential = Result<Option<RegistryCredential>, CredentialWarning>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: BTreeMap<String, StoredLogin>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

/// The entry of one registry. Without `Debug`, because it contains secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredLogin {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for StoredLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StoredLogin(***)")
    }
}

/// The response of a helper. Without `Debug`, because it contains secrets.
#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Credentials {
    /// Reads `config.json` in Docker's configuration folder. Without this file, there are no credentials.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn read(config_folder: &Path) -> Result<Self, CredentialsError> {
        let path = config_folder.join("config.json");
        let configuration = match std::fs::read_to_string(&path) {
            Ok(text) => parsed(&text, || path.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Configuration::default(),
            Err(error) => {
                return Err(CredentialsError { place: path.display().to_string(), why: error.to_string() });
            }
        };
        Ok(Self { path, configuration, ..Self::default() })
    }

    /// Adds the entries of `DOCKER_AUTH_CONFIG`, the text of a `config.json`. They take precedence, as for Docker.
    ///
    /// # Errors
    /// If the text cannot be parsed.
    pub fn with_auth_config(mut self, text: &str) -> Result<Self, CredentialsError> {
        self.given = parsed(text, || format!("in the variable {AUTH_CONFIG}"))?.auths;
        Ok(self)
    }

    /// Returns whether no registry can have credentials: there are no logins and no helpers.
    pub fn is_empty(&self) -> bool {
        let Configuration { auths, cred_helpers, creds_store } = &self.configuration;
        self.given.is_empty() && auths.is_empty() && cred_helpers.is_empty() && creds_store.is_empty()
    }

    /// Searches for helpers in these folders (a value for `PATH`) instead of the `PATH` of this process.
    #[must_use]
    pub fn with_search_path(mut self, search_path: impl Into<OsString>) -> Self {
        self.search_path = Some(search_path.into());
        self
    }

    /// Returns the credentials that exist for `hosts` (as written in image references). Helpers run in parallel; one
    /// that fails causes a warning.
    pub async fn for_registries(&self, hosts: &[&str], cancel: &CancellationToken) -> FoundCredentials {
        let answers = join_all(hosts.iter().map(|host| self.remembered(host, cancel))).await;
        let mut found = FoundCredentials::default();
        for answer in answers {
            match answer {
                Ok(credential) => found.credentials.extend(credential),
                Err(warning) => found.warnings.push(warning),
            }
        }
        found
    }

    async fn remembered(&self, host: &str, cancel: &CancellationToken) -> FoundCredential {
        let cell = Arc::clone(self.known.lock().await.entry(host.to_owned()).or_default());
        cell.get_or_init(async || self.for_registry(host, cancel).await).await.clone()
    }

    /// Uses the same order as the docker CLI: `DOCKER_AUTH_CONFIG`, the registry's own helper, else the store, else the file. If the store
    /// has no credentials, the file is read as well, for those that other tools wrote there.
    async fn for_registry(&self, host: &str, cancel: &CancellationToken) -> FoundCredential {
        let given = entry_of(&self.given, host, || format!("the variable {AUTH_CONFIG}"))?;
        if given.is_some() {
            return Ok(given);
        }
        let own = self.configuration.cred_helpers.iter().find(|(name, _)| is_for(name, host)).map(|(_, helper)| helper);
        match own.unwrap_or(&self.configuration.creds_store).as_str() {
            "" => self.filed(host),
            helper => match self.kept_by(host, helper, cancel).await {
                Ok(None) => self.filed(host),
                answer => answer,
            },
        }
    }

    fn filed(&self, host: &str) -> FoundCredential {
        entry_of(&self.configuration.auths, host, || self.path.display().to_string())
    }

    /// Uses the `docker-credential-*` protocol: the registry on standard input, JSON on standard output.
    async fn kept_by(&self, host: &str, helper: &str, cancel: &CancellationToken) -> FoundCredential {
        let program = format!("docker-credential-{helper}");
        let mut tool = Tool::new(&program).arg("get").input(key(host));
        if let Some(path) = &self.search_path {
            tool = tool.env("PATH", path);
        }
        let warning = |why: String| CredentialWarning::Helper { host: host.to_owned(), helper: program.clone(), why };
        let answer = tokio::time::timeout(HELPER_PATIENCE, tool.run(cancel)).await;
        match answer {
            Err(_) => Err(warning(format!("timed out after {} seconds", HELPER_PATIENCE.as_secs()))),
            Ok(Err(error)) => match helper_failure(error) {
                Some(why) => Err(warning(why)),
                None => Ok(None),
            },
            Ok(Ok(output)) => {
                let answer: HelperAnswer = serde_json::from_str(&output.stdout)
                    .map_err(|_| warning("returned an invalid response".to_owned()))?;
                Ok((!answer.secret.is_empty()).then(|| credential(host, answer.username, answer.secret)))
            }
        }
    }
}

/// Parses Docker's configuration. serde's message quotes the invalid text, which may be a password, so only the position
/// is reported.
fn parsed(text: &str, place: impl Fn() -> String) -> Result<Configuration, CredentialsError> {
    serde_json::from_str(text).map_err(|error| {
        let why = format!("line {}, column {} is not in Docker's format", error.line(), error.column());
        CredentialsError { place: place(), why }
    })
}

/// Returns the credentials of a registry in the entries of a configuration.
fn entry_of(entries: &BTreeMap<String, StoredLogin>, host: &str, place: impl Fn() -> String) -> FoundCredential {
    let exact = entries.get(&key(host));
    let Some(entry) = exact.or_else(|| entries.iter().find(|(name, _)| is_for(name, host)).map(|(_, entry)| entry))
    else {
        return Ok(None);
    };
    match login(entry) {
        LoginContent::Absent => Ok(None),
        LoginContent::Known { username, password } => Ok(Some(credential(host, username, password))),
        LoginContent::Unreadable => Err(CredentialWarning::Entry { host: host.to_owned(), place: place() }),
    }
}

/// Returns why a helper failed; `None` if it only has no credentials.
fn helper_failure(error: ProcessError) -> Option<String> {
    match error {
        ProcessError::NotFound { .. } => Some("is not installed, or not on PATH".to_owned()),
        ProcessError::Start { source, .. } => Some(format!("cannot be started: {source}")),
        ProcessError::Interrupted { .. } => Some("was interrupted".to_owned()),
        ProcessError::Failed { stdout, .. } if stdout.contains(NOT_FOUND) => None,
        // Helpers write errors to standard output. Output that looks like a response is not printed: it may be the
        // secret.
        ProcessError::Failed { status, stdout, stderr, .. } => {
            let detail = [stdout, stderr].concat();
            let line = detail.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let is_speakable = !line.is_empty() && !detail.contains(['{', '}']);
            Some(if is_speakable { format!("failed: {line}") } else { format!("failed ({status})") })
        }
    }
}

fn credential(host: &str, username: String, password: String) -> RegistryCredential {
    RegistryCredential { host: host.to_owned(), username, password: Secret::new(password) }
}

/// The credentials in an entry of the file. Without `Debug`, because it contains secrets.
enum LoginContent {
    /// The entry is empty, for example because a helper stores the credentials.
    Absent,
    Known {
        username: String,
        password: String,
    },
    Unreadable,
}

fn login(entry: &StoredLogin) -> LoginContent {
    if !entry.identitytoken.is_empty() {
        return LoginContent::Known { username: TOKEN_USER.to_owned(), password: entry.identitytoken.clone() };
    }
    if !entry.auth.is_empty() {
        return decoded(&entry.auth).unwrap_or(LoginContent::Unreadable);
    }
    if entry.username.is_empty() {
        return LoginContent::Absent;
    }
    LoginContent::Known { username: entry.username.clone(), password: entry.password.clone() }
}

/// Decodes the base64 of `USER:PASSWORD`.
fn decoded(auth: &str) -> Option<LoginContent> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // Docker also strips trailing NULs, which some tools write.
    Some(LoginContent::Known { username: username.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// Returns the key of a registry in `config.json` and for helpers.
fn key(host: &str) -> String {
    if host == DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { host.to_owned() }
}

/// Returns whether an entry's key matches this registry, with or without a scheme and path.
fn is_for(name: &str, host: &str) -> bool {
    let bare = |text: &str| {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.split('/').next().unwrap_or_default().to_owned()
    };
    name == key(host) || bare(name) == host || bare(name) == bare(&key(host))
}

#[cfg(test)]
mod tests;
