//! The configuration for `kind create cluster`: one node, tuned for a fast start.

use std::{net::Ipv4Addr, path::Path};

use semver::Version;
use serde_json::{Value, json};

use crate::domain::{cluster_networks::ClusterNetworks, pool::Pool};

/// The mount point of cmdr's files in the node. The mount also marks a cluster as created by cmdr, and its last part is
/// the address pool of MetalLB. Both can be read while the cluster is stopped.
const MARK: &str = "/etc/cmdr/pool-";
/// The folder of kubeadm patches, below the mount point.
const PATCHES: &str = "patches";
/// The node ports of Traefik's Service for HTTP and HTTPS, published on 127.0.0.1. They are no ports that people choose,
/// and below 30086: Kubernetes assigns those to other Services only when no other node port is free.
pub const NODE_PORTS: (u16, u16) = (30047, 30059);
/// The node port of the Kubernetes API.
pub const API_PORT: u16 = 6443;
/// From this version on, kubeadm's configuration has arguments as lists (and kind follows it).
const LISTED_ARGUMENTS: Version = Version::new(1, 36, 0);
/// From this version on, kubelet has both crash back-off settings.
const CRASH_SETTINGS: Version = Version::new(1, 33, 0);

/// Settings that cannot change after a cluster is created.
#[derive(Debug, Clone)]
pub struct NodeSettings<'a> {
    pub image: &'a str,
    /// The Kubernetes version of the image, if known: older versions do not have all settings.
    pub kubernetes: Option<&'a Version>,
    pub http_port: u16,
    pub https_port: u16,
    pub networks: ClusterNetworks,
    pub pool: Pool,
    /// The folder on the Docker host that is mounted as the mark.
    pub folder: &'a Path,
    /// Other folders of the Docker host, each with its mount point in the node.
    pub mounts: &'a [(&'a str, &'a str)],
}

/// Returns the configuration as JSON, which is valid YAML.
pub fn configuration(settings: &NodeSettings<'_>) -> String {
    let published = |container: u16, host: u16| json!({"containerPort": container, "hostPort": host, "listenAddress": "127.0.0.1", "protocol": "TCP"});
    let mark = mark(settings.pool);
    let own = json!({"hostPath": settings.folder, "containerPath": mark, "readOnly": true});
    let further = settings.mounts.iter().map(|(source, target)| json!({"hostPath": source, "containerPath": target}));
    let mounts: Vec<Value> = std::iter::once(own).chain(further).collect();
    let node = json!({
        "role": "control-plane",
        "image": settings.image,
        "extraPortMappings": [
            published(NODE_PORTS.0, settings.http_port),
            published(NODE_PORTS.1, settings.https_port),
        ],
        "extraMounts": mounts,
        "kubeadmConfigPatches": kubeadm_patches(settings.kubernetes, &mark),
    });
    let configuration = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "apiServerAddress": "127.0.0.1",
            "podSubnet": settings.networks.pods.to_string(),
            "serviceSubnet": settings.networks.services.to_string(),
        },
        "nodes": [node],
        "containerdConfigPatches": CONTAINERD,
    });
    configuration.to_string()
}

/// Returns the configuration without what does not become a part of the node's data: published ports, and the address pool.
pub fn lasting_configuration(settings: &NodeSettings<'_>) -> String {
    let pool = Pool { first: Ipv4Addr::UNSPECIFIED, last: Ipv4Addr::UNSPECIFIED };
    configuration(&NodeSettings { http_port: 0, https_port: 0, pool, ..settings.clone() })
}

/// Mirrors and certificates are files that can change while the node runs. The first key is for containerd 1, and
/// containerd 2 still accepts it in a configuration of version 2. The second key is for containerd 2.
const CONTAINERD: [&str; 2] = [
    "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
    "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
];

/// Returns the mount point that marks a node as created by cmdr.
pub fn mark(pool: Pool) -> String {
    format!("{MARK}{}", pool.range())
}

/// Returns the pool of a node with this mount point; `None` if it is not cmdr's mark.
pub fn pool_of_mark(destination: &str) -> Option<Pool> {
    Pool::parse(destination.strip_prefix(MARK)?)
}

/// Returns kubeadm's patches for `folder`, as file names and contents.
pub fn node_files() -> [(&'static str, &'static str); 1] {
    // One CoreDNS pod is enough for one node. Its readiness is detected within 1 s instead of 10 s.
    let coredns = r#"{"spec": {"replicas": 1, "template": {"spec": {"containers": [
        {"name": "coredns", "readinessProbe": {"periodSeconds": 1}}]}}}}"#;
    [("patches/corednsdeployment+strategic.yaml", coredns)]
}

fn kubeadm_patches(kubernetes: Option<&Version>, mark: &str) -> Vec<String> {
    let listed = kubernetes.is_some_and(|version| *version >= LISTED_ARGUMENTS);
    let cluster = json!({
        "kind": "ClusterConfiguration",
        // One node needs no leader election, whose first attempt fails and is retried after 2 s. The controllers may
        // send requests as fast as they can while everything starts at once.
        "controllerManager": {"extraArgs": arguments(listed, &[
            ("kube-api-qps", "500"), ("kube-api-burst", "1000"), ("leader-elect", "false"),
        ])},
        "scheduler": {"extraArgs": arguments(listed, &[("leader-elect", "false")])},
    });
    let init = json!({"kind": "InitConfiguration", "patches": {"directory": format!("{mark}/{PATCHES}")}});
    let mut kubelet = json!({
        "kind": "KubeletConfiguration",
        "syncFrequency": "1s",
        "serializeImagePulls": false,
        "maxParallelImagePulls": 10,
        // kubelet's default limit is 110; the node's network has 254 addresses for pods.
        "maxPods": 250,
    });
    if kubernetes.is_some_and(|version| *version >= CRASH_SETTINGS) {
        // A container that starts before the network rules exist exits once; it must not wait 10 s to be restarted.
        kubelet["featureGates"] =
            json!({"KubeletCrashLoopBackOffMax": true, "ReduceDefaultCrashLoopBackOffDecay": true});
        kubelet["crashLoopBackOff"] = json!({"maxContainerRestartPeriod": "1s"});
    }
    // By default, the rules for a pod are written up to 1 s after it is ready. A migration that starts as soon as its
    // database is ready would fail to connect, and wait to be retried.
    let proxy = json!({"kind": "KubeProxyConfiguration", "iptables": {"minSyncPeriod": "100ms"}});
    [cluster, init, kubelet, proxy].iter().map(Value::to_string).collect()
}

fn arguments(listed: bool, arguments: &[(&str, &str)]) -> Value {
    if listed {
        return arguments.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    }
    Value::Object(arguments.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::parse("172.18.128.0-172.18.128.31").unwrap()
    }

    fn made(kubernetes: Option<&Version>) -> Value {
        let settings = NodeSettings {
            image: "kindest/node:v1.34.0",
            kubernetes,
            http_port: 8080,
            https_port: 8443,
            networks: ClusterNetworks::default(),
            pool: pool(),
            folder: Path::new("/state/tunes"),
            mounts: &[("/volumes/images", "/var/lib/containerd")],
        };
        serde_json::from_str(&configuration(&settings)).unwrap()
    }

    #[test]
    fn etcd_writes_with_fsync() {
        assert!(!made(None).to_string().contains("no-fsync"), "it would save less than 3 % of the time of `up`");
    }

    #[test]
    fn ports_are_published_only_on_this_machine() {
        let made = made(None);
        let ports = made.pointer("/nodes/0/extraPortMappings").unwrap().as_array().unwrap().clone();
        assert_eq!(ports.len(), 2);
        assert!(ports.iter().all(|port| port["listenAddress"] == "127.0.0.1"));
        assert_eq!(ports[0]["hostPort"], 8080);
        assert_eq!(made["networking"]["podSubnet"], "10.244.0.0/16");
        assert_eq!(made["networking"]["serviceSubnet"], "10.96.0.0/16");
    }

    #[test]
    fn the_mark_contains_the_pool() {
        let made = made(None);
        let destination = made.pointer("/nodes/0/extraMounts/0/containerPath").unwrap().as_str().unwrap();
        assert_eq!(pool_of_mark(destination), Some(pool()));
        assert_eq!(pool_of_mark("/var"), None);
        assert_eq!(made.pointer("/nodes/0/extraMounts/1/hostPath").unwrap(), "/volumes/images");
    }

    #[test]
    fn a_lasting_configuration_has_no_ports_and_no_pool() {
        let lasting = |pool: &str, http_port| {
            lasting_configuration(&NodeSettings {
                image: "kindest/node:v1.34.0",
                kubernetes: None,
                http_port,
                https_port: 8443,
                networks: ClusterNetworks::default(),
                pool: Pool::parse(pool).unwrap(),
                folder: Path::new("/state/tunes"),
                mounts: &[],
            })
        };
        let one = lasting("172.18.128.0-172.18.128.31", 8080);
        assert_eq!(one, lasting("172.18.128.32-172.18.128.63", 80));
        assert!(one.contains("kindest/node:v1.34.0") && one.contains("/state/tunes"));
    }

    #[test]
    fn settings_follow_the_version() {
        let patches =
            |version: Option<&Version>| made(version).pointer("/nodes/0/kubeadmConfigPatches").unwrap().to_string();
        assert!(!patches(None).contains("crashLoopBackOff"));
        assert!(patches(Some(&Version::new(1, 34, 0))).contains("crashLoopBackOff"));
        assert!(patches(Some(&Version::new(1, 34, 0))).contains(r#"\"leader-elect\":\"false\""#));
        assert!(patches(Some(&Version::new(1, 36, 1))).contains(r#"\"name\":\"leader-elect\""#));
    }
}
