//! External projects: the objects that replace them, and the check whether they accept connections.

use std::collections::BTreeMap;

use super::{ExternalSecretSpec, ObservedRelease};
use crate::domain::{Name, Problem, ReleaseKey, external::ExternalService, labels};

/// The desired state of an external project.
#[derive(Debug, Clone)]
pub struct DescribedExternal {
    pub name: Name,
    pub spec: ExternalSpec,
    /// The Secrets that External Secrets creates for projects that need it.
    pub external_secrets: Vec<ExternalSecretSpec>,
}

/// A Service that points outside the cluster, with the project's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSpec {
    pub namespace: String,
    pub service: ExternalService,
    /// The checksum of `service`.
    pub checksum: String,
}

/// An address that must accept TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSpec {
    pub project: String,
    /// The namespace of the project; its pods must be able to reach the address.
    pub namespace: String,
    pub host: String,
    pub port: u16,
}

/// The observed objects of an external project: kind -> checksum of the source.
pub type ObservedExternal = BTreeMap<String, Option<String>>;

impl ExternalSpec {
    /// The release that the external project replaces.
    pub fn key(&self) -> ReleaseKey {
        ReleaseKey::new(&self.namespace, &self.service.name)
    }

    /// The kinds of objects that replace the project.
    fn kinds(&self) -> Vec<&'static str> {
        let slice = self.service.address().map(|_| "EndpointSlice");
        let config = (!self.service.config.is_empty()).then_some("ConfigMap");
        ["Service"].into_iter().chain(slice).chain(config).collect()
    }

    pub(super) fn answer(&self) -> Option<AnswerSpec> {
        let service = &self.service;
        service.speaks_tcp().then(|| AnswerSpec {
            project: service.name.clone(),
            namespace: self.namespace.clone(),
            host: service.host.clone(),
            port: service.port,
        })
    }
}

/// The change that an external project needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalChange {
    /// Its objects match the desired state.
    Unchanged,
    /// Its objects must be applied; with the reason.
    Point(String),
    /// The release of the project must be removed first.
    Replace,
    /// A release with its name is managed by another tool.
    Refused(Box<Problem>),
}

/// Compares the desired and the observed objects of an external project.
pub fn external_change(
    spec: &ExternalSpec,
    found: Option<&ObservedExternal>,
    release: Option<&ObservedRelease>,
    workspace: &str,
) -> ExternalChange {
    let place = spec.service.place();
    match (release, found) {
        (Some(release), _) if !release.belongs_to(workspace) => {
            let holder = release.labels.get(labels::WORKSPACE);
            let holder = holder.map_or_else(|| "outside of cmdr".to_owned(), |other| format!("by workspace '{other}'"));
            let cause = format!(
                "cannot redirect '{}' to {place}: a release with that name was created {holder} in namespace '{}'",
                spec.service.name, spec.namespace
            );
            ExternalChange::Refused(Box::new(Problem::new(cause).help("rename the project")))
        }
        (Some(_), _) => ExternalChange::Replace,
        (None, None) => ExternalChange::Point(format!("to {place}: does not exist yet")),
        (None, Some(found)) => {
            let kinds = spec.kinds();
            let gone: Vec<&str> = kinds.iter().copied().filter(|kind| !found.contains_key(*kind)).collect();
            let is_other = |kind: &&str| found.get(*kind).is_some_and(|from| from.as_ref() != Some(&spec.checksum));
            if kinds.iter().any(is_other) {
                ExternalChange::Point(format!("to {place}: its configuration has changed"))
            } else if gone.is_empty() {
                ExternalChange::Unchanged
            } else {
                ExternalChange::Point(format!("to {place}: missing from the cluster: {}", gone.join(", ")))
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{domain::external::ExternalPort, plan::change::tests::found as release};

    pub fn spec(name: &str) -> ExternalSpec {
        let port =
            ExternalPort { name: "postgres".to_owned(), service: 5432, target: 5432, protocol: "TCP".to_owned() };
        let service = ExternalService {
            name: name.to_owned(),
            host: "10.0.0.1".to_owned(),
            port: 5432,
            ports: vec![port],
            config: BTreeMap::new(),
        };
        ExternalSpec { namespace: "tunes".to_owned(), service, checksum: "new".to_owned() }
    }

    pub fn found(checksum: &str) -> ObservedExternal {
        let kind = |kind: &str| (kind.to_owned(), Some(checksum.to_owned()));
        BTreeMap::from([kind("Service"), kind("EndpointSlice")])
    }

    fn reason(found: Option<&ObservedExternal>) -> String {
        match external_change(&spec("db"), found, None, "tunes") {
            ExternalChange::Point(reason) => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn correct_objects_are_kept() {
        assert_eq!(external_change(&spec("db"), Some(&found("new")), None, "tunes"), ExternalChange::Unchanged);
        assert_eq!(reason(None), "to 10.0.0.1:5432: does not exist yet");
        assert!(reason(Some(&found("old"))).ends_with("its configuration has changed"));
        let mut half = found("new");
        half.remove("EndpointSlice");
        assert!(reason(Some(&half)).ends_with("missing from the cluster: EndpointSlice"));
    }

    #[test]
    fn a_release_gives_way_when_it_is_the_workspaces_own() {
        let change = |workspace: &str| external_change(&spec("db"), None, Some(&release()), workspace);
        assert_eq!(change("tunes"), ExternalChange::Replace);
        assert!(matches!(change("other"), ExternalChange::Refused(_)));
    }
}
