//! Projects that somebody else runs: what stands in their place, and the question whether they answer.

use std::collections::BTreeMap;

use super::{ExternalSecretSpec, ObservedRelease};
use crate::domain::{Diagnosis, Name, external::ExternalService, labels};

/// A project that somebody else runs, as it should be found.
#[derive(Debug, Clone)]
pub struct DescribedExternal {
    pub name: Name,
    pub spec: ExternalSpec,
    /// The Secrets that External Secrets makes for those who need it.
    pub external_secrets: Vec<ExternalSecretSpec>,
}

/// A Service that leads out of the cluster, with the project's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSpec {
    pub namespace: String,
    pub service: ExternalService,
    /// Of `service`.
    pub checksum: String,
}

/// A place that must accept TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSpec {
    pub project: String,
    /// The project's namespace, whose pods must reach the place.
    pub namespace: String,
    pub host: String,
    pub port: u16,
}

/// The objects in a project's place as they are found: kind -> what it was made from.
pub type ObservedExternal = BTreeMap<String, Option<String>>;

impl ExternalSpec {
    /// The kinds of object that stand in the project's place.
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

/// What a project that somebody else runs needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalChange {
    /// Its name leads where it should.
    Unchanged,
    /// Its objects must be applied, with why.
    Point(String),
    /// The project's own release goes first.
    Replace,
    /// Somebody else has a release of its name.
    Refused(Box<Diagnosis>),
}

/// Compares what should stand in a project's place with what is found there.
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
            let holder = holder.map_or_else(|| "by hand".to_owned(), |other| format!("by the workspace '{other}'"));
            let cause = format!(
                "'{}' is to lead to {place}, and a release of that name was made {holder} in namespace '{}'",
                spec.service.name, spec.namespace
            );
            ExternalChange::Refused(Box::new(Diagnosis::new(cause).remedy("give the project another name")))
        }
        (Some(_), _) => ExternalChange::Replace,
        (None, None) => ExternalChange::Point(format!("to {place}: not there yet")),
        (None, Some(found)) => {
            let kinds = spec.kinds();
            let gone: Vec<&str> = kinds.iter().copied().filter(|kind| !found.contains_key(*kind)).collect();
            let is_other = |kind: &&str| found.get(*kind).is_some_and(|from| from.as_ref() != Some(&spec.checksum));
            if kinds.iter().any(is_other) {
                ExternalChange::Point(format!("to {place}: what stands there was made from something else"))
            } else if gone.is_empty() {
                ExternalChange::Unchanged
            } else {
                ExternalChange::Point(format!("to {place}: gone from the cluster: {}", gone.join(", ")))
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
    fn what_leads_there_stays() {
        assert_eq!(external_change(&spec("db"), Some(&found("new")), None, "tunes"), ExternalChange::Unchanged);
        assert_eq!(reason(None), "to 10.0.0.1:5432: not there yet");
        assert!(reason(Some(&found("old"))).ends_with("made from something else"));
        let mut half = found("new");
        half.remove("EndpointSlice");
        assert!(reason(Some(&half)).ends_with("gone from the cluster: EndpointSlice"));
    }

    #[test]
    fn a_release_gives_way_when_it_is_the_workspaces_own() {
        let change = |workspace: &str| external_change(&spec("db"), None, Some(&release()), workspace);
        assert_eq!(change("tunes"), ExternalChange::Replace);
        assert!(matches!(change("other"), ExternalChange::Refused(_)));
    }
}
