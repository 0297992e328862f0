//! Clusters that kind cannot create or start.

use super::{CauseSource, FATAL, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C210",
        name: "kind-open-files",
        sources: &[CauseSource::Kind],
        parts: &["too many open files", "Too many open files"],
        message: "the system's inotify limits are too low to start another node",
        remedy: "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
        explanation: "Each node runs systemd and a kubelet, which watch files. All containers of this machine share the \
            limits.",
        example: "Failed to create inotify object: Too many open files",
        ..FATAL
    },
    &KnownCause {
        code: "C211",
        name: "kind-port-in-use",
        sources: &[CauseSource::Kind],
        parts: &["port is already allocated", "address already in use"],
        message: "a port that the cluster publishes is already in use",
        remedy: "stop the program that uses it, or set environments.local.ports in projects.yaml",
        explanation: "The node publishes ports on 127.0.0.1 for URLs and for the API.",
        example: "Bind for 127.0.0.1:8080 failed: port is already allocated",
        ..FATAL
    },
    &KnownCause {
        code: "C212",
        name: "kind-disk-full",
        sources: &[CauseSource::Kind],
        parts: &["no space left"],
        message: "the disk is full",
        remedy: "run docker builder prune and docker image prune, then cmdr up again",
        explanation: "A node needs a few GB of Docker's disk for its image and the images of the projects.",
        example: "failed to register layer: write /usr/bin/kubelet: no space left on device",
        ..FATAL
    },
    &KnownCause {
        code: "C213",
        name: "node-not-booted",
        sources: &[CauseSource::Kind],
        parts: &["could not find a log line that matches"],
        message: "the node did not boot",
        remedy: "give Docker more memory, or run cmdr doctor for details",
        explanation: "systemd of the node did not reach its target: cgroups are missing, or memory is short.",
        example: "could not find a log line that matches \"Reached target .*Multi-User System.*|detected cgroup v1\"",
        ..FATAL
    },
    &KnownCause {
        code: "C214",
        name: "cgroup-namespaces-missing",
        sources: &[CauseSource::Kind],
        parts: &["cgroup namespaces"],
        message: "the kernel does not support cgroup namespaces",
        remedy: "use Linux kernel 4.6 or later",
        explanation: "kind runs each node in a cgroup namespace of its own.",
        example: "docker: Error response from daemon: cgroup namespaces aren't enabled in the kernel",
        ..FATAL
    },
    &KnownCause {
        code: "C215",
        name: "docker-init",
        sources: &[CauseSource::Kind],
        parts: &["Couldn't find an alternative telinit"],
        message: "Docker runs with \"init\": true, which kind's nodes do not support",
        remedy: "remove \"init\" from Docker's daemon.json",
        explanation: "The first process of a node must be systemd.",
        example: "Couldn't find an alternative telinit implementation to spawn.",
        ..FATAL
    },
    &KnownCause {
        code: "C216",
        name: "cluster-exists",
        sources: &[CauseSource::Kind],
        parts: &["node(s) already exist for a cluster"],
        message: "a cluster with this name already exists",
        remedy: "run cmdr up --recreate to delete and re-create it",
        explanation: "Containers of a cluster with this name exist, for example from an interrupted run.",
        example: "node(s) already exist for a cluster with the name \"shop\"",
        ..FATAL
    },
    &KnownCause {
        code: "C217",
        name: "node-image-not-pulled",
        sources: &[CauseSource::Kind],
        parts: &["failed to pull image"],
        message: "the node image cannot be pulled",
        remedy: "check the connection to the registry, or set another image with CMDR_NODE_IMAGE",
        explanation: "The first cluster pulls the image of its node from Docker Hub, or from CMDR_NODE_IMAGE.",
        example: "failed to pull image \"kindest/node:v1.34.0\": command \"docker pull\" failed",
        ..FATAL
    },
    &KnownCause {
        code: "C218",
        name: "rootless-cgroups",
        sources: &[CauseSource::Kind],
        parts: &["Delegate=yes", "rootless provider requires"],
        message: "rootless Docker lacks permission for cgroups",
        remedy: "enable cgroup v2 and delegation: https://kind.sigs.k8s.io/docs/user/rootless",
        explanation: "Without root, Docker needs cgroup v2 and the systemd setting Delegate=yes to limit containers.",
        example: "running kind with rootless provider requires setting systemd property \"Delegate=yes\"",
        ..FATAL
    },
    &KnownCause {
        code: "C219",
        name: "node-rootfs-device",
        sources: &[CauseSource::Kind],
        parts: &["failed to get rootfs info"],
        message: "the kubelet cannot find the disk of the node",
        remedy: "mount the device in the message into the node (extraMounts of kind), or move Docker's data off btrfs \
            or ZFS",
        explanation: "The kubelet reads the free space of its disk, and the device of Docker's file system is not in the \
            node.",
        example: "failed to get rootfs info: failed to get device for dir \"/var/lib/kubelet\": could not find device",
        ..FATAL
    },
    &KnownCause {
        code: "C220",
        name: "kubelet-cgroup-version",
        sources: &[CauseSource::Kind],
        parts: &["using cgroup v1", "mountpoint for cpu not found", "mountpoint for  not found"],
        message: "the kubelet does not start with the cgroup version of this machine",
        remedy: "boot with systemd.unified_cgroup_hierarchy=1 (cgroup v2), or set 'kubernetes: \"1.34\"' in the \
            environment",
        explanation: "Kubernetes 1.35 and later refuse cgroup v1; Kubernetes before 1.19 does not know v2.",
        example: "kubelet is configured to not run on a host using cgroup v1",
        ..FATAL
    },
    &KnownCause {
        code: "C221",
        name: "docker-snap-folder",
        sources: &[CauseSource::Kind],
        parts: &["snap.docker", "no such file or directory: snap"],
        message: "Docker from snap cannot read kind's temporary files",
        remedy: "set TMPDIR to a folder in your home, or install Docker without snap",
        explanation: "A snap may only read the home folder, and kind writes to the temporary folder.",
        example: "open /tmp/kind-config: no such file or directory: snap",
        ..FATAL
    },
    &KnownCause {
        code: "C222",
        name: "kubeadm-timeout",
        sources: &[CauseSource::Kind],
        parts: &["failed to init node with kubeadm", "The kubelet is not healthy"],
        message: "the control plane of the node did not start in time",
        remedy: "run cmdr up again; give Docker more CPUs and memory if it repeats: cmdr doctor",
        explanation: "The API server or etcd did not respond within kubeadm's limit, mostly on a busy machine or a slow \
            disk.",
        example: "[kubelet-check] The kubelet is not healthy after 4m0.001s: failed to init node with kubeadm",
        ..FATAL
    },
];
