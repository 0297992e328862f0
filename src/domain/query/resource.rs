//! The kinds of objects that a cluster has, and how people name them.

use crate::domain::nearest::nearest_key;

/// A kind of objects, as the API server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceKind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub is_namespaced: bool,
}

impl ResourceKind {
    /// Whether `word`, in lower case, is one of its names: `pods`, `pod`, `po`, `deployments.apps`.
    fn is_named(&self, word: &str) -> bool {
        let names = [self.plural.as_str(), self.singular.as_str()];
        let plain = |word: &str| {
            names.contains(&word)
                || self.kind.eq_ignore_ascii_case(word)
                || self.short_names.iter().any(|it| it == word)
        };
        match word.split_once('.') {
            None => plain(word),
            Some((start, group)) => {
                plain(start) && (group == self.group || group == format!("{}.{}", self.version, self.group))
            }
        }
    }
}

/// A word that is not the name of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind {
    /// The closest name.
    pub nearest: Option<String>,
}

/// Finds the kind that a word names, as kubectl does: plural, singular or short name, or the kind itself, with or without
/// its group. Of several, the one of the first group counts.
///
/// # Errors
/// If no kind has this name, with the closest one.
pub fn find_kind<'a>(kinds: &'a [ResourceKind], word: &str) -> Result<&'a ResourceKind, UnknownKind> {
    let lower = word.to_ascii_lowercase();
    let found = kinds.iter().find(|kind| kind.is_named(&lower));
    found.ok_or_else(|| UnknownKind {
        nearest: nearest_key(&lower, kinds.iter().map(|kind| kind.plural.as_str())).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, kind: &str, plural: &str, short: &[&str]) -> ResourceKind {
        ResourceKind {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_ascii_lowercase(),
            short_names: short.iter().map(|name| (*name).to_owned()).collect(),
            is_namespaced: true,
        }
    }

    #[test]
    fn a_kind_has_the_names_that_kubectl_takes() {
        let kinds = [
            kind("", "Pod", "pods", &["po"]),
            kind("apps", "Deployment", "deployments", &["deploy"]),
            kind("metrics.k8s.io", "PodMetrics", "pods", &[]),
            kind("cert-manager.io", "Certificate", "certificates", &["cert", "certs"]),
            kind("traefik.io", "TLSStore", "tlsstores", &[]),
        ];
        let found = |word: &str| find_kind(&kinds, word).map(|kind| kind.kind.as_str()).map_err(|error| error.nearest);
        for word in ["pods", "pod", "po", "Pod", "PODS"] {
            assert_eq!(found(word), Ok("Pod"), "{word}");
        }
        for word in ["deploy", "deployments.apps", "deploy.apps", "deployments.v1.apps", "Deployment"] {
            assert_eq!(found(word), Ok("Deployment"), "{word}");
        }
        assert_eq!(found("pods.metrics.k8s.io"), Ok("PodMetrics"));
        assert_eq!(found("certs"), Ok("Certificate"));
        assert_eq!(found("deployment.batch"), Err(Some("deployments".to_owned())));
        assert_eq!(found("certificats"), Err(Some("certificates".to_owned())));
        assert_eq!(found("httproutes"), Err(None), "its definition is not installed");
    }
}
