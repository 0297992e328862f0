//! Records: the content of a release, identified by a hash.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Chart, ChartDigest, ChartSource, Digest, ImageReference, Values, digest::sha256};

/// Incremented if cmdr passes the same content to Helm in a different way, so that releases are upgraded.
const RENDERING: u32 = 2;
/// The number of hexadecimal digits of a record ID: 80 bits fit in a label and are enough to avoid collisions.
const LENGTH: usize = 20;

/// Identifies a record: a hash of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct RecordId(String);

impl RecordId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the record that a user means by `prefix`.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix)
    }
}

impl From<&str> for RecordId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The content of a release, without its time, environment and user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    pub chart: RecordedChart,
    /// The image tag, or the chart's app version.
    pub version: String,
    /// The digest of each image, by its reference as rendered. Empty in `local`, where tags are not resolved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Digest>,
    /// The merged Helm values.
    pub values: Values,
}

/// An exact version of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedChart {
    pub name: String,
    pub version: String,
    /// The SHA-256 digest of the archive, or of the files in the folder.
    pub digest: ChartDigest,
    pub source: RecordedSource,
}

/// Where a chart can be fetched from again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedSource {
    /// Only stored in the ledger: the universal chart, and charts by path.
    Kept,
    Oci {
        reference: String,
    },
    Repository {
        url: String,
        name: String,
    },
}

impl Record {
    /// Returns the record ID: equal content has an equal ID, independent of commit and environment.
    pub fn id(&self) -> RecordId {
        let Self { chart, version, images, values } = self;
        let content = json!({
            "rendering": RENDERING,
            "chart": chart.label(),
            "digest": chart.digest,
            "version": version,
            "images": images,
            "values": sha256(json!(values).to_string().as_bytes()),
        });
        let mut digest = sha256(content.to_string().as_bytes());
        digest.truncate(LENGTH);
        RecordId(digest)
    }

    /// Returns its images, each with its digest.
    pub fn pinned_images(&self) -> Vec<ImageReference> {
        let exact = |(image, digest): (&String, &Digest)| Some(ImageReference::parse(image).ok()?.with_digest(digest));
        self.images.iter().filter_map(exact).collect()
    }
}

impl RecordedChart {
    /// The format of `helm.sh/chart`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The chart reference as in a workspace; `None` if it is only stored in the ledger.
    pub fn to_chart(&self) -> Option<Chart> {
        let source = match &self.source {
            RecordedSource::Kept => return None,
            RecordedSource::Oci { reference } => ChartSource::Oci(reference.clone()),
            RecordedSource::Repository { url, name } => {
                ChartSource::Repository { url: url.clone(), name: name.clone() }
            }
        };
        Some(Chart { source, version: Some(self.version.clone()) })
    }
}

impl From<&ChartSource> for RecordedSource {
    fn from(source: &ChartSource) -> Self {
        match source {
            ChartSource::Universal | ChartSource::Path(_) => Self::Kept,
            ChartSource::Oci(reference) => Self::Oci { reference: reference.clone() },
            ChartSource::Repository { url, name } => Self::Repository { url: url.clone(), name: name.clone() },
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn record(values: &str) -> Record {
        Record {
            chart: RecordedChart {
                name: "service".to_owned(),
                version: "1.0.0".to_owned(),
                digest: ChartDigest::of(b"d"),
                source: RecordedSource::Kept,
            },
            version: "1".to_owned(),
            images: BTreeMap::new(),
            values: serde_json::from_str(values).unwrap(),
        }
    }

    #[test]
    fn only_content_decides() {
        let one = record(r#"{"a": 1, "b": 2}"#);
        assert_eq!(one.id(), record(r#"{"b": 2, "a": 1}"#).id());
        assert_ne!(one.id(), record(r#"{"a": 1, "b": 3}"#).id());
        assert_eq!(one.id().as_str().len(), LENGTH);
        let mut other_chart = one.clone();
        other_chart.chart.digest = ChartDigest::of(b"e");
        assert_ne!(one.id(), other_chart.id());
        let mut resolved = one.clone();
        resolved.images.insert("shop:1".to_owned(), Digest::of(b"1"));
        assert_ne!(one.id(), resolved.id());
        let mut elsewhere = one.clone();
        elsewhere.chart.source = RecordedSource::Oci { reference: "ghcr.io/org/service".to_owned() };
        assert_eq!(one.id(), elsewhere.id());
    }

    #[test]
    fn records_survive_the_round_trip() {
        let one = record(r#"{"a": {"b": [1, "2"]}}"#);
        assert_eq!(serde_json::from_value::<Record>(json!(one)).unwrap(), one);
    }
}
