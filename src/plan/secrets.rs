//! Secrets that cmdr applies before releases: those of a namespace, and those that External Secrets provides.

use std::{collections::BTreeMap, path::PathBuf};

use super::NamespaceSpec;
use crate::domain::project_secret::ExternalSecret;

/// A Secret that a namespace must contain. Its secret content is not part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// `shop-db`.
    pub name: String,
    pub content: SecretContent,
}

/// The source of a Secret's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretContent {
    /// A random value under this key, generated if the Secret does not exist.
    Random {
        key: String,
    },
    Sops(SopsFile),
}

/// A file that sops decrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SopsFile {
    /// Relative to the workspace folder.
    pub path: PathBuf,
    /// The checksum of the encrypted file: it shows that the content changed, but reveals nothing about it.
    pub checksum: String,
}

/// A Secret that External Secrets creates and updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSecretSpec {
    pub namespace: String,
    /// The name of the `ExternalSecret` and of its Secret.
    pub name: String,
    pub content: ExternalSecret,
    /// The checksum of `content`.
    pub checksum: String,
}

/// The Secrets that cmdr created in a namespace: name -> checksum of the source, if the source can change.
pub type OwnSecrets = BTreeMap<String, Option<String>>;

/// The observed state of an `ExternalSecret`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedExternalSecret {
    /// The checksum of its source; `None` if it was not created by cmdr.
    pub checksum: Option<String>,
    /// Its Secret exists and is up to date.
    pub is_ready: bool,
}

/// Returns the Secrets of `namespace` that must be written, with the reason for the first one.
pub(super) fn to_write(namespace: &NamespaceSpec, found: &OwnSecrets) -> (Vec<SecretSpec>, Option<String>) {
    let reasons = namespace.secrets.iter().filter_map(|secret| Some((secret, reason(secret, found)?)));
    let (secrets, reasons): (Vec<&SecretSpec>, Vec<String>) = reasons.unzip();
    (secrets.into_iter().cloned().collect(), reasons.into_iter().next())
}

fn reason(secret: &SecretSpec, found: &OwnSecrets) -> Option<String> {
    let name = &secret.name;
    match (&secret.content, found.get(name)) {
        (SecretContent::Random { .. }, Some(_)) => None,
        (SecretContent::Random { .. }, None) => Some(format!("generated secret does not exist yet: {name}")),
        (SecretContent::Sops(_), None) => Some(format!("SOPS secret does not exist yet: {name}")),
        (SecretContent::Sops(file), Some(written)) if written.as_ref() == Some(&file.checksum) => None,
        (SecretContent::Sops(_), Some(_)) => Some(format!("SOPS secret has changed: {name}")),
    }
}

/// Returns why an `ExternalSecret` must be applied, or `None` if it is up to date.
pub(super) fn external_reason(
    spec: &ExternalSecretSpec,
    found: Option<&ObservedExternalSecret>,
) -> Option<&'static str> {
    match found {
        None => Some("does not exist yet"),
        Some(found) if found.checksum.as_ref() != Some(&spec.checksum) => Some("its specification has changed"),
        Some(found) => (!found.is_ready).then_some("it is not ready"),
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::project_secret::RemoteKey;

    fn namespace() -> NamespaceSpec {
        let sops = SopsFile { path: "secrets/api.yaml".into(), checksum: "new".to_owned() };
        let random = SecretContent::Random { key: "password".to_owned() };
        NamespaceSpec {
            name: "tunes".to_owned(),
            registries: BTreeSet::new(),
            secrets: vec![
                SecretSpec { name: "shop-db".to_owned(), content: random },
                SecretSpec { name: "shop-api".to_owned(), content: SecretContent::Sops(sops) },
            ],
            privileged: false,
            copy: None,
            secrets_from: None,
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
        assert_eq!(reason.as_deref(), Some("SOPS secret has changed: shop-api"));
        let (names, reason) = written(&[]);
        assert_eq!(names, ["shop-db", "shop-api"]);
        assert_eq!(reason.as_deref(), Some("generated secret does not exist yet: shop-db"));
    }

    #[test]
    fn an_external_secret_is_applied_until_it_is_ready() {
        let spec = external_secret("shop-api");
        let found = |checksum: &str, is_ready| ObservedExternalSecret { checksum: Some(checksum.to_owned()), is_ready };
        assert_eq!(external_reason(&spec, None), Some("does not exist yet"));
        assert_eq!(external_reason(&spec, Some(&found("old", true))), Some("its specification has changed"));
        assert_eq!(external_reason(&spec, Some(&found("new", false))), Some("it is not ready"));
        assert_eq!(external_reason(&spec, Some(&found("new", true))), None);
    }
}
