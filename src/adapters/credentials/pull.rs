//! Credentials that pods use to pull images: which ones a pull secret can contain, and its content.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{Credentials, RegistryCredential, key};
use crate::domain::Problem;

/// Tokens that expire soon, recognized by their user names.
struct ShortLived {
    /// The user name, or its start.
    user: &'static str,
    /// What the token is, and how long it lives.
    what: &'static str,
    /// Nodes of this provider's clusters log in to the registry themselves.
    nodes_log_in: bool,
}

/// From the documentation of each registry and of its credential helper.
const SHORT_LIVED: &[ShortLived] = &[
    ShortLived { user: "AWS", what: "a token of Amazon ECR, which expires after 12 hours", nodes_log_in: true },
    ShortLived { user: "oauth2accesstoken", what: GOOGLE, nodes_log_in: true },
    ShortLived { user: "_dcg", what: GOOGLE, nodes_log_in: true },
    ShortLived {
        user: "00000000-0000-0000-0000-000000000000",
        what: "a token of Azure Container Registry, which expires after 3 hours",
        nodes_log_in: true,
    },
    ShortLived {
        user: "gitlab-ci-token",
        what: "the token of a GitLab job, which expires with the job",
        nodes_log_in: false,
    },
];
const GOOGLE: &str = "a token of Google Artifact Registry, which expires after 1 hour";

/// The credentials of some registries for a pull secret.
#[derive(Debug, Default)]
pub struct PullCredentials {
    pub credentials: Vec<RegistryCredential>,
    /// About credentials that could not be read, that expire soon, or that Kubernetes cannot use.
    pub warnings: Vec<Problem>,
}

impl Credentials {
    /// Returns the credentials of `hosts` for a pull secret. In a cluster that cmdr did not create (`is_local` is
    /// false), tokens that expire soon are left out if the provider's nodes log in themselves.
    pub async fn for_pulls(&self, hosts: &[&str], is_local: bool, cancel: &CancellationToken) -> PullCredentials {
        let found = self.for_registries(hosts, cancel).await;
        let unreadable = |warning: &super::CredentialWarning| {
            Problem::new(warning.to_string()).help("check Docker's config.json, or log in again")
        };
        let warnings = found.warnings.iter().map(unreadable).collect();
        let mut usable = PullCredentials { credentials: Vec::new(), warnings };
        for credential in found.credentials {
            let (is_usable, warning) = judge(&credential, is_local);
            usable.warnings.extend(warning);
            usable.credentials.extend(is_usable.then_some(credential));
        }
        usable
    }
}

/// Whether a pull secret can contain a credential, and what to warn about.
fn judge(credential: &RegistryCredential, is_local: bool) -> (bool, Option<Problem>) {
    let host = &credential.host;
    if credential.is_identity_token() {
        let cause = format!("the login to {host} is an identity token, which Kubernetes cannot use");
        let help = format!("log in with a user name and a password or access token: docker login {host}");
        return (false, Some(Problem::new(cause).help(help)));
    }
    let Some(token) = SHORT_LIVED.iter().find(|token| credential.username.starts_with(token.user)) else {
        return (true, None);
    };
    let is_copied = is_local || !token.nodes_log_in;
    let cause = format!("the login to {host} is {}", token.what);
    let warning = match (is_local, is_copied) {
        (true, _) => Problem::new(cause).help("pods cannot pull images after that: run cmdr up again, which renews it"),
        (false, true) => Problem::new(format!("{cause}: pods cannot pull images after that"))
            .help(format!("log in to {host} with a token that lasts, such as a deploy token")),
        (false, false) => Problem::new(format!("{cause}: it is not copied to the cluster"))
            .help("let the nodes log in to the registry themselves, or log in with a token that lasts"),
    };
    (is_copied, Some(warning))
}

/// Returns the content of a pull secret, a Secret of type `kubernetes.io/dockerconfigjson`: `existing` with the entries
/// of `hosts` replaced by `credentials`. Entries of other registries are kept, because other pods use them.
pub fn pull_secret_content(existing: Option<&[u8]>, hosts: &[&str], credentials: &[RegistryCredential]) -> Vec<u8> {
    let existing: Option<Value> = existing.and_then(|content| serde_json::from_slice(content).ok());
    let auths = existing.and_then(|content| content.get("auths").and_then(Value::as_object).cloned());
    let mut auths: BTreeMap<String, Value> = auths.unwrap_or_default().into_iter().collect();
    auths.retain(|name, _| !hosts.iter().any(|host| key(host) == *name));
    auths.extend(credentials.iter().map(|RegistryCredential { host, username, password }| {
        let auth = STANDARD.encode(format!("{username}:{}", password.expose()));
        (key(host), json!({"username": username, "password": password.expose(), "auth": auth}))
    }));
    let auths: Map<String, Value> = auths.into_iter().collect();
    json!({ "auths": auths }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn login(host: &str, user: &str) -> RegistryCredential {
        let (host, username) = (host.to_owned(), user.to_owned());
        RegistryCredential { host, username, password: Secret::new("secret".to_owned()) }
    }

    #[test]
    fn tokens_that_expire_soon_are_not_copied_silently() {
        let judged = |user: &str, is_local| {
            let (is_copied, warning) = judge(&login("r.example", user), is_local);
            (is_copied, warning.map(|warning| warning.message))
        };
        assert_eq!(judged("me", true), (true, None));
        assert_eq!(judged("me", false), (true, None));
        let ecr = "the login to r.example is a token of Amazon ECR, which expires after 12 hours";
        assert_eq!(judged("AWS", true), (true, Some(ecr.to_owned())));
        assert_eq!(judged("AWS", false), (false, Some(format!("{ecr}: it is not copied to the cluster"))));
        assert!(!judged("_dcgcloud_token", false).0);
        assert!(!judged("oauth2accesstoken", false).0);
        assert!(!judged("00000000-0000-0000-0000-000000000000", false).0);
        let job = "the login to r.example is the token of a GitLab job, which expires with the job: pods cannot pull \
                   images after that";
        assert_eq!(judged("gitlab-ci-token", false), (true, Some(job.to_owned())));
        assert!(judged("<token>", true).1.is_some_and(|warning| warning.contains("Kubernetes cannot use")));
    }

    #[test]
    fn a_pull_secret_keeps_the_registries_of_other_pods() {
        let content = |existing: Option<&[u8]>, hosts: &[&str], credentials: &[RegistryCredential]| {
            pull_secret_content(existing, hosts, credentials)
        };
        let first = content(None, &["docker.io"], &[login("docker.io", "me")]);
        let both = content(Some(&first), &["ghcr.io", "quay.io"], &[login("ghcr.io", "you")]);
        let auths = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap()["auths"].clone();
        assert_eq!(auths(&both)["https://index.docker.io/v1/"]["username"], "me");
        assert_eq!(auths(&both)["ghcr.io"]["auth"], STANDARD.encode("you:secret"));
        assert_eq!(auths(&both).as_object().unwrap().len(), 2);
        let logged_out = content(Some(&both), &["docker.io"], &[]);
        assert_eq!(auths(&logged_out).as_object().unwrap().keys().collect::<Vec<_>>(), ["ghcr.io"]);
        assert_eq!(content(Some(b"broken"), &[], &[]), b"{\"auths\":{}}");
    }
}
