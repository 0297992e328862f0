//! How far the node's downloads of images are, from the files of its containerd.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::ImageReference;

/// Prints what [`NodePulls::parse`] reads.
pub const PULL_PROGRESS: &str = include_str!("node/pull-progress.sh");
/// containerd's label of a manifest: with a registry at its end, it contains the repositories it was pulled from.
const SOURCE: &str = "containerd.io/distribution.source.";

/// The images that a node downloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodePulls(Vec<NodePull>);

/// An image that a node downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodePull {
    labels: String,
    bytes: PulledBytes,
}

/// How much of an image the node has, in compressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PulledBytes {
    pub done: u64,
    pub total: u64,
}

/// A part of an image: the digits of its digest, and its bytes.
type ImagePart = (String, u64);

impl NodePulls {
    /// Reads the output of [`PULL_PROGRESS`]. What it does not know is left out.
    pub fn parse(text: &str) -> Self {
        let (mut parts, mut complete, mut pulls) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("part", rest)) => parts.extend(part(rest)),
                Some(("complete", rest)) => complete.extend(rest.split(' ')),
                Some(("manifest", rest)) => pulls.extend(rest.split_once(' ')),
                _ => (),
            }
        }
        let pull = |(labels, manifest): (&str, &str)| {
            let bytes = pulled(&layers(manifest)?, &parts, &complete)?;
            Some(NodePull { labels: labels.to_owned(), bytes })
        };
        Self(pulls.into_iter().filter_map(pull).collect())
    }

    /// Returns how much of an image the node has; `None` if it does not download it.
    pub fn of(&self, image: &ImageReference) -> Option<PulledBytes> {
        let source = format!("{SOURCE}{}", image.registry);
        self.0.iter().find(|pull| is_from(&pull.labels, &source, &image.repository)).map(|pull| pull.bytes)
    }
}

/// Reads `k8s.io/7/layer-sha256:4f4f... 41943040`: the digits of the digest, and the bytes.
fn part(text: &str) -> Option<(&str, u64)> {
    let (reference, bytes) = text.rsplit_once(' ')?;
    Some((reference.rsplit_once("layer-sha256:")?.1, bytes.parse().ok()?))
}

fn layers(manifest: &str) -> Option<Vec<ImagePart>> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let layers = manifest["layers"].as_array()?.iter();
    let part =
        |layer: &Value| Some((layer["digest"].as_str()?.strip_prefix("sha256:")?.to_owned(), layer["size"].as_u64()?));
    layers.map(part).collect()
}

/// Adds up layers. Those before the first one that is downloaded or complete are already unpacked.
fn pulled(layers: &[ImagePart], parts: &BTreeMap<&str, u64>, complete: &BTreeSet<&str>) -> Option<PulledBytes> {
    let done = |(digits, size): &ImagePart| {
        let is_complete = complete.contains(digits.as_str());
        if is_complete { Some(*size) } else { parts.get(digits.as_str()).map(|bytes| (*bytes).min(*size)) }
    };
    let missing: Vec<&ImagePart> = layers.iter().skip_while(|layer| done(layer).is_none()).collect();
    let is_pulled = missing.iter().any(|layer| done(layer).is_some_and(|done| done < layer.1));
    let done = missing.iter().filter_map(|layer| done(layer)).sum();
    is_pulled.then(|| PulledBytes { done, total: missing.iter().map(|(_, size)| size).sum() })
}

/// Returns whether labels such as `a=1,b=2,3` have a value; a value can contain several, separated by commas.
fn is_from(labels: &str, source: &str, repository: &str) -> bool {
    let mut key = "";
    labels.split(',').any(|item| {
        let value = match item.split_once('=') {
            Some((own, value)) => {
                key = own;
                value
            }
            None => item,
        };
        key == source && value == repository
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node printed while it pulled redis:7.0 through a slow connection; digests are shortened.
    const CAPTURED: &str = r#"part k8s.io/1/layer-sha256:fe6f 4194304
part k8s.io/1/layer-sha256:fea5 4194304
complete 29e1 40ea b4f7 d709 e8ea 
manifest containerd.io/distribution.source.docker.io=library/redis,cache/redis,containerd.io/gc.ref.content.config=sha256:40ea {   "schemaVersion": 2,   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",   "config": {      "mediaType": "application/vnd.docker.container.image.v1+json",      "size": 3072,      "digest": "sha256:40ea"   },   "layers": [      {         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",         "size": 36365604,         "digest": "sha256:fe6f"      },      {         "size": 1132,         "digest": "sha256:b4f7"      },      {         "size": 34276596,         "digest": "sha256:fea5"      },      {         "size": 361,         "digest": "sha256:29e1"      },      {         "size": 400,         "digest": "sha256:e8ea"      }   ]}
"#;

    fn of(text: &str, image: &str) -> Option<(u64, u64)> {
        let pulled = NodePulls::parse(text).of(&ImageReference::parse(image).unwrap())?;
        Some((pulled.done, pulled.total))
    }

    #[test]
    fn the_bytes_of_a_pull_are_added_up() {
        let expected = Some((2 * 4_194_304 + 1132 + 361 + 400, 36_365_604 + 34_276_596 + 1132 + 361 + 400));
        assert_eq!(of(CAPTURED, "redis:7.0"), expected);
        assert_eq!(of(CAPTURED, "docker.io/cache/redis"), expected, "pulled before under another name");
        assert_eq!(of(CAPTURED, "ghcr.io/library/redis:7.0"), None);
        assert_eq!(of(CAPTURED, "postgres:16"), None);
    }

    #[test]
    fn layers_that_are_already_unpacked_do_not_count() {
        let later = CAPTURED.replace("part k8s.io/1/layer-sha256:fe6f 4194304\n", "").replace("29e1 40ea b4f7", "40ea");
        assert_eq!(of(&later, "redis"), Some((4_194_304 + 400, 34_276_596 + 361 + 400)));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(NodePulls::parse(""), NodePulls::default());
        assert_eq!(NodePulls::parse("part x\ncomplete \nmanifest a=b {\nnice: error"), NodePulls::default());
        let complete = CAPTURED.replace("complete", "complete fe6f fea5");
        assert_eq!(of(&complete, "redis"), None, "it is being unpacked");
    }
}
