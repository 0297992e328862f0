//! Secrets that cmdr applies itself: those of a namespace, before releases come, and those that External Secrets fills.

use std::{collections::BTreeMap, path::PathBuf};

use super::NamespaceSpec;
use crate::domain::project_secret::ExternalSecret;

/// A Secret that a namespace must hold. What is secret in it is no part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// `shop-db`.
    pub name: String,
    pub content: SecretContent,
}

/// What a Secret is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretContent {
    /// A random value under this key, unless the Secret exists.
    Random {
        key: String,
    },
    Sops(SopsFile),
}

/// A file that sops decrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SopsFile {
    /// Below the workspace's root.
    pub path: PathBuf,
    /// Of the file as it is encrypted: another one means that something has changed, and tells nothing of what.
    pub checksum: String,
}

/// A Secret that External Secrets makes and keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSecretSpec {
    pub namespace: String,
    /// Of the `ExternalSecret` and of the Secret that comes of it.
    pub name: String,
    pub content: ExternalSecret,
    /// Of `content`.
    pub checksum: String,
}

/// The Secrets of one namespace that cmdr made: name -> what they were made from, where that can change.
pub type OwnSecrets = BTreeMap<String, Option<String>>;

/// An `ExternalSecret` as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedExternalSecret {
    /// What cmdr made it from; `None` where somebody else made it.
    pub checksum: Option<String>,
    /// Its Secret is there and as it says.
    pub is_ready: bool,
}

/// The Secrets of `namespace` that must be written, with why: for the first of them.
pub(super) fn to_write(namespace: &NamespaceSpec, found: &OwnSecrets) -> (Vec<SecretSpec>, Option<String>) {
    let reasons = namespace.secrets.iter().filter_map(|secret| Some((secret, reason(secret, found)?)));
    let (secrets, reasons): (Vec<&SecretSpec>, Vec<String>) = reasons.unzip();
    (secrets.into_iter().cloned().collect(), reasons.into_iter().next())
}

fn reason(secret: &SecretSpec, found: &OwnSecrets) -> Option<String> {
    let name = &secret.name;
    match (&secret.content, found.get(name)) {
        (SecretContent::Random { .. }, Some(_)) => None,
        (SecretContent::Random { .. }, None) => Some(format!("a generated secret is not there yet: {name}")),
        (SecretContent::Sops(_), None) => Some(format!("a secret from SOPS is not there yet: {name}")),
        (SecretContent::Sops(file), Some(written)) if written.as_ref() == Some(&file.checksum) => None,
        (SecretContent::Sops(_), Some(_)) => Some(format!("a secret from SOPS has changed: {name}")),
    }
}

/// Why an `ExternalSecret` must be applied, if it must.
pub(super) fn external_reason(
    spec: &ExternalSecretSpec,
    found: Option<&ObservedExternalSecret>,
) -> Option<&'static str> {
    match found {
        None => Some("not there yet"),
        Some(found) if found.checksum.as_ref() != Some(&spec.checksum) => Some("what it asks for has changed"),
        Some(found) => (!found.is_ready).then_some("it is not ready"),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::domain::project_secret::RemoteKey;

    fn namespace() -> NamespaceSpec {
        let sops = SopsFile { path: "secrets/api.yaml".into(), checksum: "new".to_owned() };
        let random = SecretContent::Random { key: "password".to_owned() };
        NamespaceSpec {
            name: "tunes".to_owned(),
            registries: Vec::new(),
            secrets: vec![
                SecretSpec { name: "shop-db".to_owned(), content: random },
                SecretSpec { name: "shop-api".to_owned(), content: SecretContent::Sops(sops) },
            ],
            privileged: false,
        }
    }

    pub fn external_secret(name: &str) -> ExternalSecretSpec {
        let remote = RemoteKey { key: "tunes/api".to_owned(), property: None };
        let content = ExternalSecret {
            store: "vault".to_owned(),
            store_kind: "SecretStore".to_owned(),
            refresh: "1h".to_owned(),
            data: BTreeMap::from([("PASSWORD".to_owned(), remote)]),
        };
        let (namespace, checksum) = ("tunes".to_owned(), "new".to_owned());
        ExternalSecretSpec { namespace, name: name.to_owned(), content, checksum }
    }

    fn written(found: &[(&str, Option<&str>)]) -> (Vec<String>, Option<String>) {
        let found = found.iter().map(|(name, from)| ((*name).to_owned(), from.map(str::to_owned))).collect();
        let (secrets, reason) = to_write(&namespace(), &found);
        (secrets.into_iter().map(|secret| secret.name).collect(), reason)
    }

    #[test]
    fn what_is_there_and_the_same_is_not_written_again() {
        assert_eq!(written(&[("shop-db", None), ("shop-api", Some("new"))]), (Vec::new(), None));
    }

    #[test]
    fn a_changed_file_is_written_and_named() {
        let (names, reason) = written(&[("shop-db", None), ("shop-api", Some("old"))]);
        assert_eq!(names, ["shop-api"]);
        assert_eq!(reason.as_deref(), Some("a secret from SOPS has changed: shop-api"));
        let (names, reason) = written(&[]);
        assert_eq!(names, ["shop-db", "shop-api"]);
        assert_eq!(reason.as_deref(), Some("a generated secret is not there yet: shop-db"));
    }

    #[test]
    fn an_external_secret_is_applied_until_it_is_ready() {
        let spec = external_secret("shop-api");
        let found = |checksum: &str, is_ready| ObservedExternalSecret { checksum: Some(checksum.to_owned()), is_ready };
        assert_eq!(external_reason(&spec, None), Some("not there yet"));
        assert_eq!(external_reason(&spec, Some(&found("old", true))), Some("what it asks for has changed"));
        assert_eq!(external_reason(&spec, Some(&found("new", false))), Some("it is not ready"));
        assert_eq!(external_reason(&spec, Some(&found("new", true))), None);
    }
}
