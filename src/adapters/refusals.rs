//! Explains why an API server rejected a request although the account has permission: limits, policies and fields that
//! cannot change.

use crate::domain::Problem;

/// A part of the API server's message, the cause and the help. `{name}` is the object's name.
struct RefusalRule {
    parts: &'static [&'static str],
    message: &'static str,
    help: &'static str,
}

/// The first matching rule applies. Sources: the admission plugins and the validation of Kubernetes.
const RULES: &[RefusalRule] = &[
    RefusalRule {
        parts: &["because it is being terminated"],
        message: "the namespace is being deleted",
        help: "wait until it is gone (kubectl get namespaces), then run the command again; the status of the namespace \
               names what holds it up",
    },
    RefusalRule {
        parts: &["exceeded quota"],
        message: "the quota of the namespace is exceeded",
        help: "lower 'replicas', 'resources' or 'size', or raise the quota: kubectl describe resourcequotas",
    },
    RefusalRule {
        parts: &["failed quota"],
        message: "the quota of the namespace requires resources that are not set",
        help: "set values.resources with the requests and limits in the message",
    },
    RefusalRule {
        parts: &[
            "usage per Container is",
            "usage per Pod is",
            "usage per PersistentVolumeClaim is",
            "limit to request ratio per",
        ],
        message: "a LimitRange of the namespace forbids these resources",
        help: "change 'resources' or 'size', or the LimitRange: kubectl describe limitranges",
    },
    RefusalRule {
        parts: &["violates PodSecurity"],
        message: "Pod Security of the namespace forbids the pods",
        help: "change values.security as the message says, or the level of the namespace",
    },
    RefusalRule {
        parts: &["only dynamically provisioned pvc can be resized"],
        message: "the storage of an existing volume cannot grow",
        help: "undo the change of 'size'; for a larger volume, save its data, delete PersistentVolumeClaim '{name}' \
               and its pods, and run the command again",
    },
    RefusalRule {
        parts: &["field can not be less than"],
        message: "an existing volume cannot shrink",
        help: "undo the change of 'size'; for a smaller volume, save its data, delete PersistentVolumeClaim '{name}' \
               and its pods, and run the command again",
    },
    RefusalRule {
        parts: &["updates to statefulset spec for fields other than"],
        message: "volumes, selector and service name of an existing StatefulSet cannot be changed",
        help: "undo the change; or delete the StatefulSet without its pods and volumes, and run the command again: \
               kubectl delete statefulset {name} --cascade=orphan",
    },
    RefusalRule {
        parts: &["denied the request", "denied request"],
        message: "a policy of the cluster denied the request",
        help: "fix the error in the message, or ask the owner of the policy",
    },
];

/// Parts of messages about objects that are too large: of the API server, of etcd and of their connection.
const TOO_LARGE: &[&str] = &[
    "Too long: must have at most 1048576",
    "Too long: may not be more than 1048576",
    "request is too large",
    "equest entity too large",
    "trying to send message larger than max",
];
/// The names of Helm's own Secrets begin with this.
const RELEASE: &str = "sh.helm.release.v1.";

/// Returns the cause and its remedy; `None` for any other message. The message itself is not included.
pub(super) fn explain(message: &str) -> Option<Problem> {
    let object = named_object(message);
    if TOO_LARGE.iter().any(|part| message.contains(part)) {
        return Some(too_large(object));
    }
    let rule = RULES.iter().find(|rule| rule.parts.iter().any(|part| message.contains(part)))?;
    let name = object.map(|(_, name)| name).unwrap_or_default();
    Some(Problem::new(rule.message).help(rule.help.replace("{name}", name)))
}

fn too_large(object: Option<(&str, &str)>) -> Problem {
    let help = "put large files into the image or a volume instead of 'files' and 'config'";
    match object {
        Some((_, name)) if name.starts_with(RELEASE) => {
            Problem::new("the release is larger than 1 MiB, the size limit of a Secret")
                .help("reduce what the chart and its values contain: .helmignore, and fewer or smaller 'files'")
        }
        Some((kind, name)) => Problem::new(format!("{kind} '{name}' is larger than 1 MiB, its size limit")).help(help),
        None => Problem::new("an object is larger than the cluster accepts").help(help),
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
        let map = "ConfigMap \"big-files\" is invalid: []: Too long: must have at most 1048576 bytes";
        assert_eq!(explained(map).0, "ConfigMap 'big-files' is larger than 1 MiB, its size limit");
        assert_eq!(explained("etcdserver: request is too large").0, "an object is larger than the cluster accepts");
    }

    #[test]
    fn what_cannot_change_is_named_in_the_remedy() {
        let message = "cannot patch \"db\" with kind StatefulSet: StatefulSet.apps \"db\" is invalid: spec: Forbidden: \
                       updates to statefulset spec for fields other than 'replicas' are forbidden";
        assert!(explained(message).1.contains("kubectl delete statefulset db --cascade=orphan"));
    }
}
