//! Labels and annotations that identify objects of cmdr. They are set on Helm releases (their Secrets), and as
//! annotations on workloads; never on pod templates, where a change would restart pods.

/// The workspace that a release belongs to; a release without it is not managed by cmdr.
pub const WORKSPACE: &str = "cmdr.dev/workspace";
/// The project or platform component of a release.
pub const PROJECT: &str = "cmdr.dev/project";
/// The name of the environment in the workspace.
pub const ENVIRONMENT: &str = "cmdr.dev/environment";
/// The record ID of the deployed content; equal content has an equal ID.
pub const RECORD: &str = "cmdr.dev/record";
/// A hash of what was deployed as written: chart, merged values and images, before tags are resolved. If it is
/// unchanged, no registry needs to be queried.
pub const FINGERPRINT: &str = "cmdr.dev/fingerprint";
/// The version that runs: the image tag, or the chart's app version.
pub const VERSION: &str = "cmdr.dev/version";
/// Chart name and version, in the format of `helm.sh/chart`.
pub const CHART: &str = "cmdr.dev/chart";
/// The commit of the workspace at the last change, with `-dirty` when the tree had uncommitted changes.
pub const COMMIT: &str = "cmdr.dev/commit";
/// The purpose of an object that cmdr creates: `pull-secret`, `generated-secret`, `sops-secret`, `external-secret`,
/// `history`, `record`, `chart`, `files`, `lease`, `verification`, `run`, `trial`, `external`, `probe`,
/// `local-certificate`, `maintenance`, `rollout`.
pub const PURPOSE: &str = "cmdr.dev/purpose";
/// An annotation with the checksum of the source of an object that cmdr creates, such as an encrypted SOPS file.
pub const CHECKSUM: &str = "cmdr.dev/checksum";
/// An annotation of a workload whose traffic a process of this machine receives: who, and since when.
pub const LOCAL_RUN: &str = "cmdr.dev/local-run";
/// An annotation on a workload that `cmdr dev` has changed: how it is restored.
pub const DEV: &str = "cmdr.dev/dev";
/// An annotation of the objects that close the routes of a project: since when, until when, by whom.
pub const MAINTENANCE: &str = "cmdr.dev/maintenance";
/// An annotation of a workload that a drain has stopped: its replicas before, since when, by whom.
pub const DRAIN: &str = "cmdr.dev/drain";
/// An annotation of the namespace `kube-system` in a cluster that started from a kept node: the identity of the cluster.
pub const CLUSTER_ID: &str = "cmdr.dev/cluster-id";
/// The project whose new version a release is, for the time of a rollout.
pub const ROLLOUT: &str = "cmdr.dev/rollout";
/// The field manager of objects that cmdr applies.
pub const FIELD_MANAGER: &str = "cmdr";
/// The release of an object, by Kubernetes' convention.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The workspace of an object of the universal chart, by Kubernetes' convention.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// The maximum length of a label value in Kubernetes.
pub const LONGEST_VALUE: usize = 63;

/// Converts `text` to a label value: invalid characters become `-`, truncated to [`LONGEST_VALUE`].
pub fn value(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let clean: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).take(LONGEST_VALUE).collect();
    clean.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_what_kubernetes_takes() {
        assert_eq!(value("1.2.3+build"), "1.2.3-build");
        assert_eq!(value("_v1_"), "v1");
        assert_eq!(value(&"a".repeat(80)).len(), LONGEST_VALUE);
    }
}
