//! Parses the responses of registries: manifests, image indexes, image configurations and lists of tags.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The media types of manifests and indexes that nodes can pull.
pub(super) const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// The label with the commit that an image was built from.
const REVISION: &str = "org.opencontainers.image.revision";
/// The annotation that BuildKit sets on attestations and other manifests that are not images.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// A manifest, or an image index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u8,
    pub(super) config: Option<Descriptor>,
    pub(super) manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    /// As the registry writes it; not only SHA-256.
    pub(super) digest: String,
    artifact_type: Option<String>,
    platform: Option<ImagePlatform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct ImagePlatform {
    #[serde(default)]
    os: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfiguration {
    config: Option<RunConfiguration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfiguration {
    labels: Option<BTreeMap<String, String>>,
}

/// The tags of a repository.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tags {
    pub(super) tags: Option<Vec<String>>,
}

impl Manifest {
    /// # Errors
    /// Why the body is not a valid manifest.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(body).map_err(|error| format!("not a manifest: {error}"))?;
        if manifest.schema_version != 2 {
            return Err(format!("a manifest with schema version {}, which nodes cannot pull", manifest.schema_version));
        }
        if manifest.config.is_none() && manifest.manifests.is_none() {
            return Err("a manifest that has neither a configuration nor other manifests".to_owned());
        }
        Ok(manifest)
    }

    /// Returns the first image of an index.
    pub(super) fn first_image(&self) -> Option<&Descriptor> {
        self.manifests.iter().flatten().find(|manifest| manifest.is_image())
    }

    /// Returns the digests of the images of an index, or of the configuration of an image.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        let images = self.manifests.iter().flatten().filter(|manifest| manifest.is_image());
        images.chain(&self.config).map(|part| part.digest.as_str())
    }

    /// Returns whether an index of referrers contains this artifact type.
    pub(super) fn has_artifact(&self, artifact_type: &str) -> bool {
        self.manifests.iter().flatten().any(|manifest| manifest.artifact_type.as_deref() == Some(artifact_type))
    }
}

impl Descriptor {
    /// An index also lists attestations, with the platform `unknown/unknown`.
    fn is_image(&self) -> bool {
        let is_nowhere = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        !is_nowhere && !self.annotations.contains_key(REFERENCE_TYPE) && self.artifact_type.is_none()
    }
}

/// Returns the commit in an image's configuration; `None` if it has no such label.
pub(super) fn revision(configuration: &[u8]) -> Option<String> {
    let configuration: ImageConfiguration = serde_json::from_slice(configuration).ok()?;
    configuration.config?.labels?.remove(REVISION).filter(|revision| !revision.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nodes_can_pull_is_a_manifest() {
        let why = |text: &str| Manifest::parse(text.as_bytes()).err().unwrap_or_default();
        assert_eq!(why(r#"{"schemaVersion": 2, "config": {"digest": "sha256:1"}, "layers": []}"#), "");
        assert_eq!(why(r#"{"schemaVersion": 2, "manifests": []}"#), "");
        assert!(why("<html>").starts_with("not a manifest: "));
        assert!(why(r#"{"schemaVersion": 1, "name": "library/redis"}"#).contains("schema version 1"));
        assert!(why(r#"{"schemaVersion": 2}"#).contains("neither a configuration"));
    }

    #[test]
    fn an_attestation_is_no_image() {
        let index = r#"{"schemaVersion": 2, "manifests": [
            {"digest": "sha256:1", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": "sha256:2", "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
            {"digest": "sha256:3", "artifactType": "application/spdx+json"},
            {"digest": "sha256:4", "platform": {"os": "linux", "architecture": "arm64"}}]}"#;
        let index = Manifest::parse(index.as_bytes()).unwrap();
        assert_eq!(index.first_image().map(|image| image.digest.as_str()), Some("sha256:4"));
        assert!(index.has_artifact("application/spdx+json") && !index.has_artifact("application/sarif+json"));
    }

    #[test]
    fn the_revision_is_a_label() {
        let labelled = br#"{"config": {"Labels": {"org.opencontainers.image.revision": "4f2a9c1"}}}"#;
        assert_eq!(revision(labelled).as_deref(), Some("4f2a9c1"));
        for without in [r#"{"config": {"Labels": null}}"#, r#"{"config": null}"#, "{}", "no JSON"] {
            assert_eq!(revision(without.as_bytes()), None);
        }
    }
}
