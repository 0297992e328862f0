//! Logins at registries, where `docker login` keeps them: the configuration file, or a helper that asks a keychain.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::secret::Secret;

/// Docker Hub, as image references have it.
const DOCKER_HUB: &str = "docker.io";
/// The key under which Docker, and Kubernetes after it, keep the login at Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that says that the password is an identity token.
const TOKEN_USER: &str = "<token>";
/// What every helper says of a registry that it has no login for.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// How long a helper may take: some wait for a keychain to be unlocked.
const HELPER_PATIENCE: Duration = Duration::from_secs(30);

/// A login at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// As image references have it: `docker.io`, `ghcr.io`, `localhost:5000`.
    pub host: String,
    pub username: String,
    pub password: Secret,
}

impl RegistryCredential {
    /// The key for this registry in a `config.json`, which is also what kubelet looks for.
    pub(super) fn key(&self) -> String {
        key(&self.host)
    }

    /// User name, password and identity token, as the engine's API wants them.
    pub(super) fn for_engine(&self) -> (Option<String>, Option<String>, Option<String>) {
        let secret = Some(self.password.expose().to_owned());
        if self.is_identity_token() { (None, None, secret) } else { (Some(self.username.clone()), secret, None) }
    }

    /// Whether this is a token from a browser login: Docker can use it, Kubernetes cannot.
    pub fn is_identity_token(&self) -> bool {
        self.username == TOKEN_USER
    }
}

/// Logins, and what stood in the way of others.
#[derive(Debug, Default)]
pub struct Found {
    pub credentials: Vec<RegistryCredential>,
    pub warnings: Vec<CredentialWarning>,
}

/// A login that cannot be had; pulls from the registry go on without one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialWarning {
    #[error("no login for {host}: the credential helper {helper} {why}")]
    Helper { host: String, helper: String, why: String },
    #[error("no login for {host}: its entry in {} is no user name and password", path.display())]
    Entry { host: String, path: PathBuf },
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read Docker's configuration {}: {why}", path.display())]
pub struct CredentialsError {
    path: PathBuf,
    why: String,
}

/// Docker's configuration, as far as it is about logins; by default, none.
#[derive(Debug, Default)]
pub struct Credentials {
    path: PathBuf,
    configuration: Configuration,
    search_path: Option<OsString>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

/// What stands under a registry's name. Without `Debug`: it holds secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Entry(***)")
    }
}

/// What a helper answers. Without `Debug`: it holds secrets.
#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Credentials {
    /// Reads `config.json` in Docker's configuration folder; without one, there are no logins.
    ///
    /// # Errors
    /// When it cannot be read or is no such file.
    pub fn read(config_folder: &Path) -> Result<Self, CredentialsError> {
        let path = config_folder.join("config.json");
        let configuration = match std::fs::read_to_string(&path) {
            // serde's message would quote the text around a mistake, and that may be a password: the place will do.
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                let why = format!("line {}, column {} is not as Docker writes it", error.line(), error.column());
                CredentialsError { path: path.clone(), why }
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Configuration::default(),
            Err(error) => return Err(CredentialsError { path, why: error.to_string() }),
        };
        Ok(Self { path, configuration, search_path: None })
    }

    /// Looks for helpers in these folders (a value for `PATH`) instead of in the process's own.
    #[must_use]
    pub fn with_search_path(mut self, search_path: impl Into<OsString>) -> Self {
        self.search_path = Some(search_path.into());
        self
    }

    /// The logins at those of `hosts` (as image references have them) that there are logins for. Helpers are asked
    /// side by side; one that fails is a warning.
    pub async fn for_registries(&self, hosts: &[&str], cancel: &CancellationToken) -> Found {
        let answers = join_all(hosts.iter().map(|host| self.for_registry(host, cancel))).await;
        let mut found = Found::default();
        for answer in answers {
            match answer {
                Ok(credential) => found.credentials.extend(credential),
                Err(warning) => found.warnings.push(warning),
            }
        }
        found
    }

    /// As the docker CLI decides: the registry's own helper, else the store, else the file. Where the store has
    /// nothing the file is looked at as well, for logins that other tools wrote there.
    async fn for_registry(
        &self,
        host: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<RegistryCredential>, CredentialWarning> {
        let own = self.configuration.cred_helpers.iter().find(|(name, _)| is_for(name, host)).map(|(_, helper)| helper);
        match own.unwrap_or(&self.configuration.creds_store).as_str() {
            "" => self.filed(host),
            helper => match self.kept_by(host, helper, cancel).await {
                Ok(None) => self.filed(host),
                answer => answer,
            },
        }
    }

    fn filed(&self, host: &str) -> Result<Option<RegistryCredential>, CredentialWarning> {
        let entries = &self.configuration.auths;
        let exact = entries.get(&key(host));
        let Some(entry) = exact.or_else(|| entries.iter().find(|(name, _)| is_for(name, host)).map(|(_, entry)| entry))
        else {
            return Ok(None);
        };
        match login(entry) {
            Login::Absent => Ok(None),
            Login::Known { username, password } => Ok(Some(credential(host, username, password))),
            Login::Unreadable => Err(CredentialWarning::Entry { host: host.to_owned(), path: self.path.clone() }),
        }
    }

    /// Speaks the `docker-credential-*` protocol: the registry on standard input, JSON on standard output.
    async fn kept_by(
        &self,
        host: &str,
        helper: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<RegistryCredential>, CredentialWarning> {
        let program = format!("docker-credential-{helper}");
        let mut tool = Tool::new(&program).arg("get").input(key(host));
        if let Some(path) = &self.search_path {
            tool = tool.env("PATH", path);
        }
        let warning = |why: String| CredentialWarning::Helper { host: host.to_owned(), helper: program.clone(), why };
        let answer = tokio::time::timeout(HELPER_PATIENCE, tool.run(cancel)).await;
        match answer {
            Err(_) => Err(warning(format!("did not answer within {} seconds", HELPER_PATIENCE.as_secs()))),
            Ok(Err(error)) => match helper_failure(error) {
                Some(why) => Err(warning(why)),
                None => Ok(None),
            },
            Ok(Ok(output)) => {
                let answer: HelperAnswer = serde_json::from_str(&output.stdout)
                    .map_err(|_| warning("answers what is no credential".to_owned()))?;
                Ok((!answer.secret.is_empty()).then(|| credential(host, answer.username, answer.secret)))
            }
        }
    }
}

/// What went wrong with a helper; `None` when it merely has no login.
fn helper_failure(error: ProcessError) -> Option<String> {
    match error {
        ProcessError::NotFound { .. } => Some("is not installed, or not on PATH".to_owned()),
        ProcessError::Start { source, .. } => Some(format!("cannot be started: {source}")),
        ProcessError::Interrupted { .. } => Some("was interrupted".to_owned()),
        ProcessError::Failed { stdout, .. } if stdout.contains(NOT_FOUND) => None,
        // Helpers write their errors to standard output. Not what looks like an answer: that would be the secret.
        ProcessError::Failed { status, stdout, stderr, .. } => {
            let said = [stdout, stderr].concat();
            let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let is_speakable = !line.is_empty() && !said.contains(['{', '}']);
            Some(if is_speakable { format!("failed: {line}") } else { format!("failed ({status})") })
        }
    }
}

fn credential(host: &str, username: String, password: String) -> RegistryCredential {
    RegistryCredential { host: host.to_owned(), username, password: Secret::new(password) }
}

/// What an entry of the file says. Without `Debug`: it holds secrets.
enum Login {
    /// Nothing, as where a helper keeps the login.
    Absent,
    Known {
        username: String,
        password: String,
    },
    Unreadable,
}

fn login(entry: &Entry) -> Login {
    if !entry.identitytoken.is_empty() {
        return Login::Known { username: TOKEN_USER.to_owned(), password: entry.identitytoken.clone() };
    }
    if !entry.auth.is_empty() {
        return decoded(&entry.auth).unwrap_or(Login::Unreadable);
    }
    if entry.username.is_empty() {
        return Login::Absent;
    }
    Login::Known { username: entry.username.clone(), password: entry.password.clone() }
}

/// Reads the base64 of `USER:PASSWORD`.
fn decoded(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // Docker itself takes trailing NULs away, which some writers leave.
    Some(Login::Known { username: username.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// The name under which a registry stands in `config.json` and at helpers.
fn key(host: &str) -> String {
    if host == DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { host.to_owned() }
}

/// Whether an entry's name is this registry's: with or without a scheme and path.
fn is_for(name: &str, host: &str) -> bool {
    let bare = |text: &str| {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.split('/').next().unwrap_or_default().to_owned()
    };
    name == key(host) || bare(name) == host || bare(name) == bare(&key(host))
}

/// The content of a Secret of type `kubernetes.io/dockerconfigjson`. Identity tokens are left out: kubelet does not
/// know them.
pub fn docker_config_json(credentials: &[RegistryCredential]) -> Vec<u8> {
    let usable = credentials.iter().filter(|credential| !credential.is_identity_token());
    let auths: serde_json::Map<String, serde_json::Value> = usable
        .map(|RegistryCredential { host, username, password }| {
            let auth = STANDARD.encode(format!("{username}:{}", password.expose()));
            (key(host), serde_json::json!({"username": username, "password": password.expose(), "auth": auth}))
        })
        .collect();
    serde_json::json!({ "auths": auths }).to_string().into_bytes()
}

#[cfg(test)]
mod tests;
