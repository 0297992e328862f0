//! What Helm says when it fails, in the words that a person needs. The rules are a table.

use crate::{adapters::forbidden::missing_rule, domain::Diagnosis};

/// A part of Helm's message, what it means and what to do.
struct Rule {
    part: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        part: "another operation (install/upgrade/rollback) is in progress",
        cause: "somebody else's helm is at work on this release",
        remedy: "wait for it to end, then run cmdr up again",
    },
    Rule {
        part: "conflict with",
        cause: "somebody else has changed what the chart sets",
        remedy: "see what with cmdr status; --repair takes it back",
    },
    Rule {
        part: "invalid ownership metadata",
        cause: "an object of the chart is there already and belongs to somebody else",
        remedy: "delete it, or take it over with --adopt",
    },
    Rule {
        part: "no matches for kind",
        cause: "the chart uses a kind that the cluster does not know",
        remedy: "install its CustomResourceDefinition first: an entry of 'platform' in projects.yaml",
    },
    Rule {
        part: "Too long: must have at most 1048576",
        cause: "the release is larger than the 1 MiB that Kubernetes keeps in a Secret",
        remedy: "make the chart smaller: .helmignore, fewer files",
    },
    Rule {
        part: "field is immutable",
        cause: "a field that cannot change was changed",
        remedy: "undo the change, or delete the object that the message names and run cmdr up again",
    },
    Rule {
        part: "updates to statefulset spec for fields other than",
        cause: "a StatefulSet's volumes cannot change once made",
        remedy: "undo the change of 'volumes', or delete the StatefulSet (its volumes stay) and run cmdr up again",
    },
    Rule {
        part: "less than terminationGracePeriodSeconds",
        cause: "the pods get less time to end than they need to drain",
        remedy: "set values.grace higher than values.drain",
    },
    Rule {
        part: "provided port is already allocated",
        cause: "the node port is another Service's, or was kept by a request that was cut off",
        remedy: "see whose it is: kubectl get services -A; nobody's comes free by itself within ten minutes",
    },
    Rule {
        part: "exceeded quota",
        cause: "the namespace's quota is used up",
        remedy: "raise the quota or lower the requests",
    },
    Rule {
        part: "is forbidden",
        cause: "the account that cmdr runs as may not do this",
        remedy: "add a rule to its role, as the message names it",
    },
    Rule {
        part: "connection refused",
        cause: "the cluster does not answer",
        remedy: "see whether it runs: cmdr doctor",
    },
];

/// The same for `helm pull`, whose other side is a repository or a registry.
const PULL_RULES: &[Rule] = &[
    Rule {
        part: "x509",
        cause: "the certificate of the chart's repository is not trusted",
        remedy: "have the company's certificate authority trusted by this system, or name a mirror",
    },
    Rule {
        part: "not found",
        cause: "there is no such chart",
        remedy: "check its name and version under 'chart' in projects.yaml",
    },
    Rule {
        part: "unauthorized",
        cause: "the registry does not give the chart out",
        remedy: "log in: helm registry login",
    },
    Rule {
        part: "",
        cause: "the chart cannot be fetched",
        remedy: "see that its repository can be reached, or name a mirror with CMDR_CHART_MIRRORS",
    },
];

/// What is said of a request that an API server, or the way to it, could not serve just then.
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

/// Whether the same may work a moment later.
pub(super) fn is_transient(stderr: &str) -> bool {
    TRANSIENT.iter().any(|part| stderr.contains(part))
}

/// What `helm pull` says, as a diagnosis.
pub(super) fn diagnose_pull(stderr: &str) -> Diagnosis {
    match PULL_RULES.iter().find(|rule| stderr.contains(rule.part)) {
        Some(rule) => Diagnosis::new(rule.cause).detail(said(stderr)).remedy(rule.remedy),
        None => diagnose(stderr),
    }
}

/// Helm's standard error as a diagnosis; what no rule knows is told in Helm's own words.
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

/// The line that says what went wrong.
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
        assert_eq!(told.cause, "somebody else's helm is at work on this release");
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
