//! The Docker engine of this machine.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &DOCKER_NOT_FOUND,
    &DOCKER_NOT_RUNNING,
    &DOCKER_PERMISSION_DENIED,
    &DOCKER_UNREACHABLE,
    &DOCKER_NETWORKS_EXHAUSTED,
    &KnownCause {
        code: "C205",
        name: "port-in-use",
        sources: &[CauseSource::Docker],
        parts: &["port is already allocated", "address already in use"],
        message: "a port of this machine is already in use",
        remedy: "stop the program that uses the port; docker ps lists containers that publish it",
        explanation: "A container publishes a port that another program or container uses.",
        example: "driver failed programming external connectivity: Bind for 127.0.0.1:8080 failed: port is already \
            allocated",
        ..FATAL
    },
    &KnownCause {
        code: "C206",
        name: "docker-disk-full",
        sources: &[CauseSource::Docker],
        parts: &["no space left on device"],
        message: "Docker's disk is full",
        remedy: "free disk space: docker builder prune, docker image prune",
        explanation: "Images, volumes, build caches and logs share the disk of Docker.",
        example: "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
        ..FATAL
    },
    &KnownCause {
        code: "C207",
        name: "docker-restarted",
        sources: &[CauseSource::Docker],
        parts: &["unexpected EOF", "connection reset by peer", "broken pipe"],
        message: "the connection to Docker was lost",
        remedy: "wait until Docker has started again, then run the command again: it continues",
        explanation: "Docker was stopped, restarted or updated during the run. Containers of the cluster start with it.",
        example: "error during connect: unexpected EOF",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C208",
        name: "docker-firewall",
        sources: &[CauseSource::Docker],
        parts: &["No chain/target/match by that name", "iptables failed"],
        message: "Docker cannot change the firewall of this machine",
        remedy: "restart Docker after a restart of the firewall: sudo systemctl restart docker",
        explanation: "A restart of firewalld or a reload of iptables removes the chains that Docker created.",
        example: "failed to program FILTER chain: iptables: No chain/target/match by that name",
        ..FATAL
    },
];

/// No socket exists.
pub static DOCKER_NOT_FOUND: KnownCause = KnownCause {
    code: "C200",
    name: "docker-not-found",
    sources: &[CauseSource::Run],
    message: "cannot find a Docker engine",
    remedy: "start Docker (Docker Desktop, Colima, or sudo systemctl start docker), or set DOCKER_HOST",
    explanation: "No socket of a Docker engine exists at the usual paths.",
    example: "no socket at /var/run/docker.sock",
    ..FATAL
};

/// No engine behind the socket.
pub static DOCKER_NOT_RUNNING: KnownCause = KnownCause {
    code: "C201",
    name: "docker-not-running",
    sources: &[CauseSource::Run],
    message: "Docker is not running",
    remedy: "start Docker: Docker Desktop, colima start, or sudo systemctl start docker",
    explanation: "The socket exists, but no engine accepts connections. After a start of Docker, cmdr up starts the \
        cluster again.",
    example: "connect to /var/run/docker.sock: connection refused",
    ..FATAL
};

/// The user may not use the socket.
pub static DOCKER_PERMISSION_DENIED: KnownCause = KnownCause {
    code: "C202",
    name: "docker-permission-denied",
    sources: &[CauseSource::Run],
    message: "permission denied on the Docker socket",
    remedy: "run sudo usermod -aG docker $USER and log in again, or use a rootless Docker \
        (https://docs.docker.com/engine/security/rootless)",
    explanation: "The user may not use the socket. Members of the group docker may.",
    example: "connect to /var/run/docker.sock: permission denied",
    ..FATAL
};

/// A remote engine does not respond.
pub static DOCKER_UNREACHABLE: KnownCause = KnownCause {
    code: "C203",
    name: "docker-unreachable",
    sources: &[CauseSource::Run],
    message: "cannot connect to the Docker engine",
    remedy: "check DOCKER_HOST and the network, or switch engines: docker context use",
    explanation: "DOCKER_HOST or the Docker context names an engine that does not respond.",
    example: "connect to tcp://10.0.0.5:2376: timed out",
    ..FATAL
};

/// Docker has no free address range.
pub static DOCKER_NETWORKS_EXHAUSTED: KnownCause = KnownCause {
    code: "C204",
    name: "docker-networks-exhausted",
    sources: &[CauseSource::Run],
    message: "Docker has no free address range for a network",
    remedy: "remove unused networks: docker network prune",
    explanation: "Docker takes the addresses of networks from a few ranges. Each compose project has a network.",
    example: "all predefined address pools have been fully subnetted",
    ..FATAL
};
