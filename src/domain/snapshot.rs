//! Copies of a local cluster's node: an image of it with descriptive labels, and copies of its volumes. Users save some as
//! snapshots; `cmdr up` keeps one of each new node.
//!
//! The image is created last: volumes without an image were left by an interrupted copy.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The workspace of the cluster.
pub const WORKSPACE_LABEL: &str = "cmdr/workspace";
/// The node image of the cluster, which a container from a snapshot image does not show.
pub const NODE_IMAGE_LABEL: &str = "cmdr/node-image";
const CREATED_LABEL: &str = "cmdr/created";
const VERSION_LABEL: &str = "cmdr/version";
const BYTES_LABEL: &str = "cmdr/bytes";
const VOLUMES_LABEL: &str = "cmdr/volumes";
const NODE_LABEL: &str = "cmdr/node";
const FILES_LABEL: &str = "cmdr/files";

/// What a copy of a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotKind {
    /// `cmdr snapshot save`, with a name.
    #[default]
    Saved,
    /// A kept node, from which the next cluster starts. Its name is its [key](super::kept_node::key).
    KeptNode,
}

impl SnapshotKind {
    pub const ALL: [Self; 2] = [Self::Saved, Self::KeptNode];

    /// The label with the name, on the volumes and the image.
    pub fn label(self) -> &'static str {
        match self {
            Self::Saved => "cmdr/snapshot",
            Self::KeptNode => "cmdr/kept-node",
        }
    }

    /// How the names of the image and the volumes begin.
    fn prefix(self) -> &'static str {
        match self {
            Self::Saved => "cmdr-snapshot",
            Self::KeptNode => "cmdr-kept-node",
        }
    }
}

/// A saved cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Snapshot {
    #[serde(skip)]
    pub kind: SnapshotKind,
    pub workspace: String,
    pub name: String,
    pub created: Timestamp,
    pub node_image: String,
    /// The version of cmdr that saved it.
    pub version: String,
    /// Its size on the engine's disk, without layers that it shares with the cluster.
    pub bytes: u64,
    pub volumes: Vec<KeptVolume>,
    /// The checksum of the names and sizes of its files; snapshots of older versions have none.
    #[serde(skip)]
    pub files: Option<String>,
    /// Docker's description of the node container, in JSON.
    #[serde(skip)]
    pub node: String,
}

/// A copy of a volume that was mounted into the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct KeptVolume {
    pub volume: String,
    /// The mount path in the node.
    pub destination: String,
}

impl Snapshot {
    /// Returns the repository of the image. Its tag is the name.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.kind.prefix(), self.workspace)
    }

    /// Returns the image reference.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repository(), self.name)
    }

    pub fn volume_name(kind: SnapshotKind, workspace: &str, name: &str, number: usize) -> String {
        format!("{}.{workspace}.{name}.{number}", kind.prefix())
    }

    /// Returns the published TCP ports of the node, with the ports on this machine.
    pub fn host_ports(&self) -> BTreeMap<u16, u16> {
        let node = self.described();
        let bindings = node.pointer("/host/PortBindings").and_then(Value::as_object).cloned().unwrap_or_default();
        let ports = bindings.iter().filter_map(|(port, places)| {
            let there = places.pointer("/0/HostPort")?.as_str()?.parse().ok()?;
            Some((port.strip_suffix("/tcp")?.parse().ok()?, there))
        });
        ports.collect()
    }

    /// Returns the paths in the node where folders of this machine are mounted.
    pub fn mounted(&self) -> Vec<String> {
        self.binds().into_iter().map(|(_, target)| target).collect()
    }

    /// Returns whether its node mounts something below this folder of the machine.
    pub fn mounts_from(&self, folder: &Path) -> bool {
        self.binds().iter().any(|(source, _)| Path::new(source).starts_with(folder))
    }

    /// Returns the folders of this machine that its node mounts, each with the path in the node.
    fn binds(&self) -> Vec<(String, String)> {
        let node = self.described();
        let binds = node.pointer("/host/Binds").and_then(Value::as_array).cloned().unwrap_or_default();
        let parts = |bind: &Value| {
            let mut parts = bind.as_str()?.split(':').map(str::to_owned);
            Some((parts.next()?, parts.next()?))
        };
        binds.iter().filter_map(parts).collect()
    }

    fn described(&self) -> Value {
        serde_json::from_str(&self.node).unwrap_or_default()
    }

    /// Returns the labels of its image.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let volumes = serde_json::to_string(&self.volumes).unwrap_or_default();
        let labels = [
            (self.kind.label(), self.name.clone()),
            (WORKSPACE_LABEL, self.workspace.clone()),
            (CREATED_LABEL, self.created.to_string()),
            (NODE_IMAGE_LABEL, self.node_image.clone()),
            (VERSION_LABEL, self.version.clone()),
            (BYTES_LABEL, self.bytes.to_string()),
            (VOLUMES_LABEL, volumes),
            (NODE_LABEL, self.node.clone()),
        ];
        let files = self.files.iter().map(|files| (FILES_LABEL, files.clone()));
        labels.into_iter().chain(files).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Parses the output of [`Snapshot::labels`]; `None` for an image that is no snapshot of this kind.
    pub fn from_labels(kind: SnapshotKind, labels: &HashMap<String, String>) -> Option<Self> {
        let label = |key: &str| labels.get(key).cloned();
        Some(Self {
            kind,
            workspace: label(WORKSPACE_LABEL)?,
            name: label(kind.label())?,
            created: label(CREATED_LABEL)?.parse().ok()?,
            node_image: label(NODE_IMAGE_LABEL)?,
            version: label(VERSION_LABEL)?,
            bytes: label(BYTES_LABEL)?.parse().ok()?,
            volumes: serde_json::from_str(&label(VOLUMES_LABEL)?).ok()?,
            files: label(FILES_LABEL),
            node: label(NODE_LABEL)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_its_snapshot() {
        let snapshot = Snapshot {
            kind: SnapshotKind::Saved,
            workspace: "tunes".to_owned(),
            name: "before".to_owned(),
            created: "2026-11-21T16:24:03Z".parse().unwrap(),
            node_image: "kindest/node:v1.34.0".to_owned(),
            version: "1.0.0".to_owned(),
            bytes: 4711,
            volumes: vec![KeptVolume {
                volume: Snapshot::volume_name(SnapshotKind::Saved, "tunes", "before", 0),
                destination: "/var".to_owned(),
            }],
            files: Some("0123".to_owned()),
            node: r#"{"host": {"Binds": ["/a:/etc/a:ro"], "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}"#
                .to_owned(),
        };
        assert_eq!(snapshot.host_ports(), BTreeMap::from([(80, 8080)]));
        assert_eq!(snapshot.mounted(), ["/etc/a"]);
        assert!(snapshot.mounts_from(Path::new("/a")) && !snapshot.mounts_from(Path::new("/etc")));
        let mut labels: HashMap<String, String> = snapshot.labels().into_iter().collect();
        assert_eq!(Snapshot::from_labels(SnapshotKind::Saved, &labels), Some(snapshot.clone()));
        assert_eq!(Snapshot::from_labels(SnapshotKind::KeptNode, &labels), None, "users have saved it");
        assert_eq!(snapshot.reference(), "cmdr-snapshot/tunes:before");
        assert_eq!(snapshot.volumes[0].volume, "cmdr-snapshot.tunes.before.0");
        labels.remove(CREATED_LABEL);
        assert_eq!(Snapshot::from_labels(SnapshotKind::Saved, &labels), None);
    }
}
