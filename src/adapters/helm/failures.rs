//! Explains errors of Helm: each has a cause in the catalogue.

use crate::{
    adapters::{forbidden::missing_rule, refusals},
    domain::{
        Problem,
        causes::{
            self, CauseSource,
            helm::{CLUSTER_UNREACHABLE, HOOK_FAILED, KIND_MISSING, WEBHOOK_NO_RESPONSE},
        },
    },
};

/// What a release of the platform may still provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Kind,
    Webhook,
}

/// What an operator provides some time after its chart is installed.
const PROVIDED: [(&causes::KnownCause, Missing); 2] =
    [(&WEBHOOK_NO_RESPONSE, Missing::Webhook), (&KIND_MISSING, Missing::Kind)];

/// Returns what was missing, if a release of the platform may provide it.
pub(super) fn missing(stderr: &str) -> Option<Missing> {
    let provided = PROVIDED.iter().find(|(cause, _)| cause.matches(CauseSource::Helm, "", stderr));
    provided.map(|(_, missing)| *missing)
}

/// Returns whether a retry may succeed.
pub(super) fn is_transient(stderr: &str) -> bool {
    CLUSTER_UNREACHABLE.matches(CauseSource::Helm, "", stderr)
}

/// Returns whether a hook has failed.
pub(super) fn is_about_hooks(stderr: &str) -> bool {
    HOOK_FAILED.matches(CauseSource::Helm, "", stderr)
}

/// Converts the standard error of `helm pull` to a problem.
pub(super) fn diagnose_pull(stderr: &str) -> Problem {
    match causes::find(CauseSource::Chart, stderr) {
        Some(cause) => cause.problem(&[]).detail(detail(stderr)),
        None => diagnose(stderr),
    }
}

/// Converts Helm's standard error to a problem. If no rule matches, Helm's own message is shown.
pub(super) fn diagnose(stderr: &str) -> Problem {
    let detail = detail(stderr);
    if let Some(problem) = refusals::explain(detail) {
        return problem.detail(detail);
    }
    match causes::find(CauseSource::Helm, stderr) {
        Some(cause) => {
            let problem = cause.problem(&[]).detail(detail);
            let help = missing_rule(stderr).or_else(|| problem.help.clone());
            Problem { help, ..problem }
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
