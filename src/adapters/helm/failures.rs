//! Explains errors of Helm and suggests how to fix them, from a table of rules.

use crate::{
    adapters::{forbidden::missing_rule, refusals},
    domain::Problem,
};

/// A part of Helm's message, the cause and the help.
struct FailureRule {
    part: &'static str,
    message: &'static str,
    help: &'static str,
}

const RULES: &[FailureRule] = &[
    FailureRule {
        part: "another operation (install/upgrade/rollback) is in progress",
        message: "another Helm operation on this release is in progress",
        help: "wait for it to finish, then run cmdr up again",
    },
    FailureRule {
        part: "conflict with",
        message: "another field manager has changed fields that the chart sets",
        help: "see the changes with cmdr status; --repair reverts them",
    },
    FailureRule {
        part: "invalid ownership metadata",
        message: "an object of the chart already exists and is managed by another tool",
        help: "delete it, or take it over with --adopt",
    },
    FailureRule {
        part: "no matches for kind",
        message: "the chart uses a kind that is not installed in the cluster",
        help: "install its CustomResourceDefinition first: an entry of 'platform' in projects.yaml",
    },
    FailureRule {
        part: "failed calling webhook",
        message: "a webhook of the cluster does not respond",
        help: "check the pods of the operator that it belongs to, and run cmdr up again",
    },
    FailureRule {
        part: "conversion webhook for",
        message: "a webhook of the cluster does not respond",
        help: "check the pods of the operator that it belongs to, and run cmdr up again",
    },
    FailureRule {
        part: "field is immutable",
        message: "an immutable field was changed",
        help: "undo the change, or delete the object in the message and run cmdr up again",
    },
    FailureRule {
        part: "less than terminationGracePeriodSeconds",
        message: "the grace period of the pods is shorter than their drain time",
        help: "set values.grace higher than values.drain",
    },
    FailureRule {
        part: "provided port is already allocated",
        message: "the node port is used by another Service, or still reserved by an interrupted request",
        help: "leave the node port of the chart empty or choose another one: kubectl get services -A shows those in use, \
               Traefik has 30047 and 30059 in a local cluster, and an orphaned port is released within ten minutes",
    },
    FailureRule {
        part: "is forbidden: User",
        message: "the account that cmdr uses does not have permission for this",
        help: "add the rule in the message to its role",
    },
    FailureRule {
        part: "is forbidden",
        message: "the cluster rejected a request",
        help: "fix the error in the message, or ask the owner of the cluster",
    },
    FailureRule {
        part: "connection refused",
        message: "cannot connect to the cluster",
        help: "check that it is running: cmdr doctor",
    },
];

/// The rules for `helm pull`, which connects to a repository or a registry.
const PULL_RULES: &[FailureRule] = &[
    FailureRule {
        part: "x509",
        message: "the certificate of the chart's repository is not trusted",
        help: "add the company's certificate authority to the trust store of this system, or configure a mirror",
    },
    FailureRule {
        part: "401 Unauthorized",
        message: "the chart repository requires a login",
        help: "add it to Helm with your login: helm repo add NAME URL --username USER --password-stdin",
    },
    FailureRule {
        part: "403 Forbidden",
        message: "the login of the chart repository does not have access to the chart",
        help: "use another login: helm repo add NAME URL --username USER --password-stdin --force-update",
    },
    FailureRule {
        part: "basic credential not found",
        message: "the registry of the chart requires a login",
        help: "log in: helm registry login",
    },
    FailureRule {
        part: "unauthorized",
        message: "the registry denied access to the chart",
        help: "log in: helm registry login",
    },
    FailureRule {
        part: "not found",
        message: "chart not found",
        help: "check its name and version under 'chart' in projects.yaml",
    },
    FailureRule {
        part: "404 Not Found",
        message: "chart or repository not found",
        help: "check 'chart' in projects.yaml: the URL, the name and the version",
    },
    FailureRule {
        part: "",
        message: "cannot fetch the chart",
        help: "check the connection to its repository, or set a mirror with CMDR_CHART_MIRRORS",
    },
];

/// Messages about a request that failed because the API server or the connection was temporarily unavailable.
const TRANSIENT: &[&str] = &[
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "http2: client connection lost",
    "connection refused",
    "connection reset by peer",
    "TLS handshake timeout",
    "unexpected EOF",
    "the server is currently unable to handle the request",
];

/// What a release of the platform may still provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Kind,
    Webhook,
}

/// Messages about something that an operator provides some time after its chart is installed.
const PROVIDED: &[(&str, Missing)] = &[
    ("failed calling webhook", Missing::Webhook),
    ("conversion webhook for", Missing::Webhook),
    ("no matches for kind", Missing::Kind),
    ("could not find the requested resource", Missing::Kind),
];

/// Returns what was missing, if a release of the platform may provide it.
pub(super) fn missing(stderr: &str) -> Option<Missing> {
    PROVIDED.iter().find(|(part, _)| stderr.contains(part)).map(|(_, missing)| *missing)
}

/// Returns whether a retry may succeed.
pub(super) fn is_transient(stderr: &str) -> bool {
    TRANSIENT.iter().any(|part| stderr.contains(part))
}

/// Parts of Helm's messages about hooks: `failed pre-install: ...`, `post-upgrade hooks failed: ...`.
const HOOKS: &[&str] = &["failed pre-", "failed post-", "hooks failed"];

/// Returns whether a hook has failed.
pub(super) fn is_about_hooks(stderr: &str) -> bool {
    HOOKS.iter().any(|part| stderr.contains(part))
}

/// Converts the standard error of `helm pull` to a problem.
pub(super) fn diagnose_pull(stderr: &str) -> Problem {
    match PULL_RULES.iter().find(|rule| stderr.contains(rule.part)) {
        Some(rule) => Problem::new(rule.message).detail(detail(stderr)).help(rule.help),
        None => diagnose(stderr),
    }
}

/// Converts Helm's standard error to a problem. If no rule matches, Helm's own message is shown.
pub(super) fn diagnose(stderr: &str) -> Problem {
    let detail = detail(stderr);
    if let Some(problem) = refusals::explain(detail) {
        return problem.detail(detail);
    }
    match RULES.iter().find(|rule| stderr.contains(rule.part)) {
        Some(rule) => {
            let help = missing_rule(stderr).unwrap_or_else(|| rule.help.to_owned());
            Problem::new(rule.message).detail(detail).help(help)
        }
        None => Problem::new(format!("helm failed: {detail}")),
    }
}

/// Returns the line with the error message.
fn detail(stderr: &str) -> &str {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| is_telling(line)).collect();
    let detail =
        lines.iter().rev().find(|line| line.starts_with("Error:")).or(lines.last()).copied().unwrap_or_default();
    detail.trim_start_matches("Error:").trim()
}

fn is_telling(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("WARNING") && !line.starts_with("level=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_failures_get_a_remedy() {
        let text = diagnose(
            "WARNING: x\nError: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress\n",
        );
        assert_eq!(text.message, "another Helm operation on this release is in progress");
        assert_eq!(text.details, ["UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"]);
    }

    #[test]
    fn a_missing_login_differs_from_a_missing_chart() {
        for (detail, message) in [
            (
                "looks like \"http://a\" is not a valid chart repository or cannot be reached: failed to fetch \
                 http://a/index.yaml : 401 Unauthorized",
                "the chart repository requires a login",
            ),
            (
                "failed to perform \"FetchReference\" on source: GET \"http://a/v2/x/manifests/1.0.0\": basic \
                 credential not found",
                "the registry of the chart requires a login",
            ),
            ("failed to perform \"FetchReference\" on source: a/x:1.0.0: not found", "chart not found"),
            ("failed to fetch http://a/index.yaml : 404 Not Found", "chart or repository not found"),
        ] {
            assert_eq!(diagnose_pull(&format!("Error: {detail}\n")).message, message);
        }
    }

    #[test]
    fn only_a_missing_permission_is_a_matter_of_roles() {
        let of = |message: &str| diagnose(&format!("Error: UPGRADE FAILED: {message}")).message;
        let role = "secrets \"a\" is forbidden: User \"x\" cannot get resource \"secrets\" in API group \"\"";
        assert!(of(role).contains("does not have permission"));
        assert_eq!(of("pods \"a\" is forbidden: error looking up service account"), "the cluster rejected a request");
        let larger = "cannot patch \"a-data\" with kind PersistentVolumeClaim: persistentvolumeclaims \"a-data\" is \
                      forbidden: only dynamically provisioned pvc can be resized and the storageclass must support resize";
        assert_eq!(of(larger), "the storage of an existing volume cannot grow");
        // Helm also logs the message, with its quotes escaped.
        let large = "level=ERROR msg=\"ConfigMap \\\"a\\\" is invalid\"\nError: UPGRADE FAILED: ConfigMap \"a\" is invalid: \
                     []: Too long: may not be more than 1048576 bytes\n";
        assert_eq!(diagnose(large).message, "ConfigMap 'a' is larger than 1 MiB, its size limit");
    }

    #[test]
    fn what_may_work_a_moment_later_is_known() {
        assert!(is_transient("Error: UPGRADE FAILED: create: failed to create: etcdserver: request timed out\n"));
        assert!(!is_transient("Error: template: shop: nil pointer\n"));
    }

    #[test]
    fn what_an_operator_provides_later_is_known() {
        let webhook = |why: &str| {
            format!("Error: UPGRADE FAILED: Internal error occurred: failed calling webhook \"w.example.com\": {why}\n")
        };
        let post = "failed to call webhook: Post \"https://w.default.svc:443/?timeout=10s\":";
        for why in [
            format!("{post} no endpoints available for service \"w\""),
            format!("{post} tls: failed to verify certificate: x509: certificate signed by unknown authority"),
            format!("{post} dial tcp 10.96.0.9:443: connect: connection refused"),
        ] {
            assert_eq!(missing(&webhook(&why)), Some(Missing::Webhook), "{why}");
            assert_eq!(diagnose(&webhook(&why)).message, "a webhook of the cluster does not respond");
        }
        let kind = "Error: unable to build kubernetes objects from release manifest: resource mapping not found for name: \
                    \"one\" namespace: \"\" from \"\": no matches for kind \"Thing\" in version \"example.test/v1\"\n";
        assert_eq!(missing(kind), Some(Missing::Kind));
        assert_eq!(missing("Error: admission webhook \"w.example.com\" denied the request: no\n"), None);
        assert_eq!(missing("Error: Get \"https://127.0.0.1:6443\": dial tcp: connect: connection refused\n"), None);
    }

    #[test]
    fn unknown_failures_are_reported_in_helms_words() {
        assert_eq!(
            diagnose("Error: template: shop: nil pointer\n").message,
            "helm failed: template: shop: nil pointer"
        );
    }
}
