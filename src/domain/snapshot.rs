//! Snapshots of a local cluster: an image of its node with descriptive labels, and copies of the node's volumes.
//!
//! The image is created last: volumes without an image were left by an interrupted save.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Name;

/// The name of the snapshot, on its volumes and its image.
pub const SNAPSHOT_LABEL: &str = "cmdr/snapshot";
/// The workspace of the cluster.
pub const WORKSPACE_LABEL: &str = "cmdr/workspace";
/// The node image of the cluster, which a container from a snapshot image does not show.
pub const NODE_IMAGE_LABEL: &str = "cmdr/node-image";
const CREATED_LABEL: &str = "cmdr/created";
const VERSION_LABEL: &str = "cmdr/version";
const BYTES_LABEL: &str = "cmdr/bytes";
const VOLUMES_LABEL: &str = "cmdr/volumes";
const NODE_LABEL: &str = "cmdr/node";

/// A saved cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Snapshot {
    pub workspace: String,
    pub name: String,
    pub created: Timestamp,
    pub node_image: String,
    /// The version of cmdr that saved it.
    pub version: String,
    /// Its size on the engine's disk, without layers that it shares with the cluster.
    pub bytes: u64,
    pub volumes: Vec<KeptVolume>,
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
    /// Returns the repository and tag of the image.
    pub fn image(workspace: &str, name: &str) -> (String, String) {
        (format!("cmdr-snapshot/{workspace}"), name.to_owned())
    }

    /// Returns the image reference.
    pub fn reference(&self) -> String {
        let (repository, tag) = Self::image(&self.workspace, &self.name);
        format!("{repository}:{tag}")
    }

    pub fn volume_name(workspace: &str, name: &Name, number: usize) -> String {
        format!("cmdr-snapshot.{workspace}.{name}.{number}")
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
        let node = self.described();
        let binds = node.pointer("/host/Binds").and_then(Value::as_array).cloned().unwrap_or_default();
        binds.iter().filter_map(|bind| bind.as_str()?.split(':').nth(1).map(str::to_owned)).collect()
    }

    fn described(&self) -> Value {
        serde_json::from_str(&self.node).unwrap_or_default()
    }

    /// Returns the labels of its image.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let volumes = serde_json::to_string(&self.volumes).unwrap_or_default();
        let labels = [
            (SNAPSHOT_LABEL, self.name.clone()),
            (WORKSPACE_LABEL, self.workspace.clone()),
            (CREATED_LABEL, self.created.to_string()),
            (NODE_IMAGE_LABEL, self.node_image.clone()),
            (VERSION_LABEL, self.version.clone()),
            (BYTES_LABEL, self.bytes.to_string()),
            (VOLUMES_LABEL, volumes),
            (NODE_LABEL, self.node.clone()),
        ];
        labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Parses the output of [`Snapshot::labels`]; `None` for an image that is not a snapshot.
    pub fn from_labels(labels: &HashMap<String, String>) -> Option<Self> {
        let label = |key: &str| labels.get(key).cloned();
        Some(Self {
            workspace: label(WORKSPACE_LABEL)?,
            name: label(SNAPSHOT_LABEL)?,
            created: label(CREATED_LABEL)?.parse().ok()?,
            node_image: label(NODE_IMAGE_LABEL)?,
            version: label(VERSION_LABEL)?,
            bytes: label(BYTES_LABEL)?.parse().ok()?,
            volumes: serde_json::from_str(&label(VOLUMES_LABEL)?).ok()?,
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
            workspace: "tunes".to_owned(),
            name: "before".to_owned(),
            created: "2026-11-21T16:24:03Z".parse().unwrap(),
            node_image: "kindest/node:v1.34.0".to_owned(),
            version: "1.0.0".to_owned(),
            bytes: 4711,
            volumes: vec![KeptVolume {
                volume: Snapshot::volume_name("tunes", &Name::new("before").unwrap(), 0),
                destination: "/var".to_owned(),
            }],
            node: r#"{"host": {"Binds": ["/a:/etc/a:ro"], "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}"#
                .to_owned(),
        };
        assert_eq!(snapshot.host_ports(), BTreeMap::from([(80, 8080)]));
        assert_eq!(snapshot.mounted(), ["/etc/a"]);
        let mut labels: HashMap<String, String> = snapshot.labels().into_iter().collect();
        assert_eq!(Snapshot::from_labels(&labels), Some(snapshot.clone()));
        assert_eq!(snapshot.reference(), "cmdr-snapshot/tunes:before");
        assert_eq!(snapshot.volumes[0].volume, "cmdr-snapshot.tunes.before.0");
        labels.remove(CREATED_LABEL);
        assert_eq!(Snapshot::from_labels(&labels), None);
    }
}
