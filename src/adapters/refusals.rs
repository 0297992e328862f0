//! Explains why an API server rejected a request although the account has permission: limits, policies and fields that
//! cannot change.

use crate::domain::{
    Problem,
    causes::{
        self, CauseSource,
        cluster::{OBJECT_TOO_LARGE, RELEASE_TOO_LARGE},
    },
};

/// The names of Helm's own Secrets begin with this.
const RELEASE: &str = "sh.helm.release.v1.";

/// Returns the cause and its remedy; `None` for any other message. The message itself is not included.
pub(super) fn explain(message: &str) -> Option<Problem> {
    let object = named_object(message);
    let cause = causes::find(CauseSource::Refusal, message)?;
    if *cause == OBJECT_TOO_LARGE {
        return Some(too_large(object));
    }
    Some(cause.problem(&[("name", object.map_or("", |(_, name)| name))]))
}

fn too_large(object: Option<(&str, &str)>) -> Problem {
    match object {
        Some((_, name)) if name.starts_with(RELEASE) => RELEASE_TOO_LARGE.problem(&[]),
        Some((kind, name)) => OBJECT_TOO_LARGE.problem(&[("name", &format!("{kind} '{name}'"))]),
        None => OBJECT_TOO_LARGE.problem(&[("name", "an object")]),
    }
}

/// Returns kind and name of the object in a message such as `StatefulSet.apps "db" is invalid: ...` or
/// `persistentvolumeclaims "data" is forbidden: ...`.
fn named_object(message: &str) -> Option<(&str, &str)> {
    let end = ["\" is invalid", "\" is forbidden"].iter().find_map(|end| message.find(end))?;
    let (before, name) = message[..end].rsplit_once('"')?;
    let kind = before.trim_end().rsplit([' ', ':']).next()?;
    Some((kind.split('.').next()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(message: &str) -> (String, String) {
        let problem = explain(message).unwrap();
        (problem.message, problem.help.unwrap())
    }

    #[test]
    fn a_refusal_that_is_no_missing_permission_has_its_own_remedy() {
        for (message, cause) in [
            (
                "persistentvolumeclaims \"a-data\" is forbidden: only dynamically provisioned pvc can be resized and the \
              storageclass that provisions the pvc must support resize",
                "the storage of an existing volume",
            ),
            (
                "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
                "the namespace is being deleted",
            ),
            (
                "pods \"a-1\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1",
                "the quota of the namespace is exceeded",
            ),
            ("pods \"a-1\" is forbidden: failed quota: few: must specify limits.memory for: a", "requires resources"),
            (
                "pods \"a-1\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi",
                "a LimitRange",
            ),
            ("admission webhook \"policy.test\" denied the request: no", "a policy of the cluster denied"),
        ] {
            assert!(explained(message).0.contains(cause), "{message}");
        }
        assert_eq!(explain("secrets is forbidden: User \"x\" cannot list resource \"secrets\""), None);
    }

    #[test]
    fn objects_over_the_size_limit_are_named_for_old_and_new_messages() {
        let release = "create: failed to create: Secret \"sh.helm.release.v1.big.v1\" is invalid: data: Too long: may not \
                       be more than 1048576 bytes";
        assert!(explained(release).0.starts_with("the release is larger than 1 MiB"));
        assert_eq!(explain(release).unwrap().code.as_deref(), Some("C189"));
        let map = "ConfigMap \"big-files\" is invalid: []: Too long: must have at most 1048576 bytes";
        assert_eq!(explained(map).0, "ConfigMap 'big-files' is larger than 1 MiB, its size limit");
        assert_eq!(explained("etcdserver: request is too large").0, "an object is larger than 1 MiB, its size limit");
    }

    #[test]
    fn what_cannot_change_is_named_in_the_remedy() {
        let message = "cannot patch \"db\" with kind StatefulSet: StatefulSet.apps \"db\" is invalid: spec: Forbidden: \
                       updates to statefulset spec for fields other than 'replicas' are forbidden";
        assert!(explained(message).1.contains("kubectl delete statefulset db --cascade=orphan"));
    }
}
