//! Explains errors of Helm and suggests how to fix them, from a table of rules.

use crate::{adapters::forbidden::missing_rule, domain::Diagnosis};

/// A part of Helm's message, the cause and the remedy.
struct Rule {
    part: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        part: "another operation (install/upgrade/rollback) is in progress",
        cause: "another Helm operation on this release is in progress",
        remedy: "wait for it to finish, then run cmdr up again",
    },
    Rule {
        part: "conflict with",
        cause: "another field manager has changed fields that the chart sets",
        remedy: "see the changes with cmdr status; --repair reverts them",
    },
    Rule {
        part: "invalid ownership metadata",
        cause: "an object of the chart already exists and is managed by another tool",
        remedy: "delete it, or take it over with --adopt",
    },
    Rule {
        part: "no matches for kind",
        cause: "the chart uses a kind that is not installed in the cluster",
        remedy: "install its CustomResourceDefinition first: an entry of 'platform' in projects.yaml",
    },
    Rule {
        part: "Too long: must have at most 1048576",
        cause: "the release is larger than 1 MiB, the size limit of a Secret",
        remedy: "reduce the size of the chart: .helmignore, fewer files",
    },
    Rule {
        part: "field is immutable",
        cause: "an immutable field was changed",
        remedy: "undo the change, or delete the object in the message and run cmdr up again",
    },
    Rule {
        part: "updates to statefulset spec for fields other than",
        cause: "the volumes of an existing StatefulSet cannot be changed",
        remedy: "undo the change of 'volumes', or delete the StatefulSet (its volumes are kept) and run cmdr up again",
    },
    Rule {
        part: "less than terminationGracePeriodSeconds",
        cause: "the grace period of the pods is shorter than their drain time",
        remedy: "set values.grace higher than values.drain",
    },
    Rule {
        part: "provided port is already allocated",
        cause: "the node port is used by another Service, or still reserved by an interrupted request",
        remedy: "find the Service with kubectl get services -A; an orphaned port is released within ten minutes",
    },
    Rule {
        part: "exceeded quota",
        cause: "the quota of the namespace is exceeded",
        remedy: "raise the quota or lower the requests",
    },
    Rule {
        part: "is forbidden",
        cause: "the account that cmdr uses does not have permission for this",
        remedy: "add the rule in the message to its role",
    },
    Rule {
        part: "connection refused",
        cause: "cannot connect to the cluster",
        remedy: "check that it is running: cmdr doctor",
    },
];

/// The rules for `helm pull`, which connects to a repository or a registry.
const PULL_RULES: &[Rule] = &[
    Rule {
        part: "x509",
        cause: "the certificate of the chart's repository is not trusted",
        remedy: "add the company's certificate authority to the trust store of this system, or configure a mirror",
    },
    Rule {
        part: "not found",
        cause: "chart not found",
        remedy: "check its name and version under 'chart' in projects.yaml",
    },
    Rule {
        part: "unauthorized",
        cause: "the registry denied access to the chart",
        remedy: "log in: helm registry login",
    },
    Rule {
        part: "",
        cause: "cannot fetch the chart",
        remedy: "check the connection to its repository, or set a mirror with CMDR_CHART_MIRRORS",
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

/// Returns whether a retry may succeed.
pub(super) fn is_transient(stderr: &str) -> bool {
    TRANSIENT.iter().any(|part| stderr.contains(part))
}

/// Converts the standard error of `helm pull` to a diagnosis.
pub(super) fn diagnose_pull(stderr: &str) -> Diagnosis {
    match PULL_RULES.iter().find(|rule| stderr.contains(rule.part)) {
        Some(rule) => Diagnosis::new(rule.cause).detail(said(stderr)).remedy(rule.remedy),
        None => diagnose(stderr),
    }
}

/// Converts Helm's standard error to a diagnosis. If no rule matches, Helm's own message is shown.
pub(super) fn diagnose(stderr: &str) -> Diagnosis {
    let said = said(stderr);
    match RULES.iter().find(|rule| stderr.contains(rule.part)) {
        Some(rule) => {
            let remedy = missing_rule(stderr).unwrap_or_else(|| rule.remedy.to_owned());
            Diagnosis::new(rule.cause).detail(said).remedy(remedy)
        }
        None => Diagnosis::new(format!("helm failed: {said}")),
    }
}

/// Returns the line with the error message.
fn said(stderr: &str) -> &str {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| is_telling(line)).collect();
    let said = lines.iter().rev().find(|line| line.starts_with("Error:")).or(lines.last()).copied().unwrap_or_default();
    said.trim_start_matches("Error:").trim()
}

fn is_telling(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("WARNING") && !line.starts_with("level=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_failures_get_a_remedy() {
        let told = diagnose(
            "WARNING: x\nError: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress\n",
        );
        assert_eq!(told.cause, "another Helm operation on this release is in progress");
        assert_eq!(told.details, ["UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"]);
    }

    #[test]
    fn what_may_work_a_moment_later_is_known() {
        assert!(is_transient("Error: UPGRADE FAILED: create: failed to create: etcdserver: request timed out\n"));
        assert!(!is_transient("Error: template: shop: nil pointer\n"));
    }

    #[test]
    fn unknown_failures_are_told_as_helm_says_them() {
        assert_eq!(diagnose("Error: template: shop: nil pointer\n").cause, "helm failed: template: shop: nil pointer");
    }
}
