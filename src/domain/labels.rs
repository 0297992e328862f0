//! Labels and annotations by which cmdr knows its own work. Written on Helm releases (their Secrets), and as
//! annotations on workloads; never on pod templates, where a change would restart pods.

/// The workspace that a release belongs to; a release without it is somebody else's.
pub const WORKSPACE: &str = "cmdr.dev/workspace";
/// The project or platform component that a release serves.
pub const PROJECT: &str = "cmdr.dev/project";
/// The environment, as the workspace names it.
pub const ENVIRONMENT: &str = "cmdr.dev/environment";
/// Identifies the content that was deployed; equal content has an equal record.
pub const RECORD: &str = "cmdr.dev/record";
/// Identifies what was deployed as it was written: chart, merged values and images before tags were looked up. Equal
/// ones need no look at any registry.
pub const FINGERPRINT: &str = "cmdr.dev/fingerprint";
/// The version that runs: the image's tag, or the chart's app version.
pub const VERSION: &str = "cmdr.dev/version";
/// Chart name and version, as `helm.sh/chart` writes it.
pub const CHART: &str = "cmdr.dev/chart";
/// The commit of the workspace at the last change, with `-dirty` when the tree had uncommitted changes.
pub const COMMIT: &str = "cmdr.dev/commit";
/// What an object of cmdr's own is for: `pull-secret`, `generated-secret`, `sops-secret`, `external-secret`, `history`,
/// `record`, `chart`, `lease`, `proof`, `external`, `probe`.
pub const PURPOSE: &str = "cmdr.dev/purpose";
/// An annotation that names what an object of cmdr's own was made from: of a Secret from SOPS, the encrypted file.
pub const CHECKSUM: &str = "cmdr.dev/checksum";
/// The field manager of what cmdr applies itself.
pub const FIELD_MANAGER: &str = "cmdr";
/// The longest label value that Kubernetes takes.
pub const LONGEST_VALUE: usize = 63;

/// `text` as a label value: characters that Kubernetes refuses become `-`, cut to [`LONGEST_VALUE`].
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
