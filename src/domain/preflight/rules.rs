//! The checks, one function each, and the required minimums.

use semver::Version;

use super::{Engine, Facts, Finding, FoundTool, RESOLVER_PROBE, ResolverResult, Status, ToolVersion};
use crate::domain::{
    cluster_networks::MachineRoute,
    pinned_tools::{TOOLS, ToolPlatform},
    ports::PortState,
};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The memory for node processes, MetalLB and Traefik in addition to the projects: an estimate with a margin.
pub const PLATFORM_MEMORY_BYTES: u64 = 3 * GIB / 2;
/// A node image takes 1 GiB, the images of a medium platform another 1 GiB, and their copies in the node the same.
const DISK_MINIMUM_BYTES: u64 = 5 * GIB;
const DISK_COMFORTABLE_BYTES: u64 = 10 * GIB;
/// From kind's known issues, "Pod errors due to too many open files".
const INOTIFY_WATCHES: u64 = 524_288;
const INOTIFY_INSTANCES: u64 = 512;
/// Since this version's node images, containerd reads `certs.d` without a patch (kind's guide to local registries).
const KIND_MINIMUM: Version = Version::new(0, 27, 0);
/// The oldest tested version of Helm. 4.2.1 hangs while it waits for a deletion (helm issue 32214).
const HELM_MINIMUM: Version = Version::new(3, 20, 0);
const HELM_BROKEN: Version = Version::new(4, 2, 1);
/// The first Docker version with `--cgroupns`, which kind sets for its nodes.
const DOCKER_MINIMUM: Version = Version::new(20, 10, 0);
/// Since this minor version of Kubernetes, the kubelet refuses cgroup v1.
const KUBERNETES_WITHOUT_CGROUP_V1: u64 = 35;

type PreflightRule = fn(&Facts) -> Vec<Finding>;

/// In the order in which users should fix them.
const RULES: [PreflightRule; 9] = [engine, tools, cgroups, memory, cpu, disk, inotify, networks, reachability];

/// Evaluates the facts: returns at least one finding for each check that could run.
pub fn check(facts: &Facts) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(facts)).collect()
}

fn engine(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "docker";
    let engine = match &facts.engine {
        Ok(engine) => engine,
        Err(absent) => {
            let what = "no response from a Docker engine";
            return vec![Finding::bad(CHECK, Status::Failure, what, &absent.why, &absent.help)];
        }
    };
    let what = format!("Docker {} ({})", engine.version, engine.operating_system);
    if engine.os_type != "linux" {
        let why = format!("it runs {} containers, but kind nodes need Linux containers", engine.os_type);
        return vec![Finding::bad(CHECK, Status::Failure, what, why, "switch Docker to Linux containers")];
    }
    if Version::parse(&engine.version).is_ok_and(|version| version < DOCKER_MINIMUM) {
        let why = format!("kind nodes require Docker {DOCKER_MINIMUM} or later");
        return vec![Finding::bad(CHECK, Status::Failure, what, why, "update Docker")];
    }
    vec![Finding::ok(CHECK, what)]
}

fn tools(facts: &Facts) -> Vec<Finding> {
    facts.tools.iter().map(|found| downloadable(tool(found))).collect()
}

/// Whether cmdr can run a program: it has a version that is supported.
pub fn is_supported(found: &FoundTool) -> bool {
    matches!(found.version, ToolVersion::Found(_)) && tool(found).status == Status::Ok
}

/// A program that cmdr can download is no reason to fix anything.
fn downloadable(finding: Finding) -> Finding {
    let platform = ToolPlatform::of(std::env::consts::OS, std::env::consts::ARCH);
    let pinned = TOOLS.into_iter().find(|tool| tool.name == finding.check);
    match pinned.filter(|tool| platform.is_some_and(|platform| tool.file_for(platform, None).is_some())) {
        Some(tool) if finding.status == Status::Failure => Finding {
            status: Status::Warning,
            why: format!(
                "{}; cmdr downloads {} {} when it needs it, after a question",
                finding.why, tool.name, tool.version
            ),
            ..finding
        },
        _ => finding,
    }
}

fn tool(tool: &FoundTool) -> Finding {
    let (minimum, help) = match tool.name {
        "helm" => (Some(HELM_MINIMUM), "install Helm 4: https://helm.sh/docs/intro/install"),
        "kind" => (Some(KIND_MINIMUM), "install kind: https://kind.sigs.k8s.io/docs/user/quick-start"),
        "sops" => (None, "install sops: https://getsops.io/docs/#download"),
        _ => (None, "install the Docker CLI, which kind uses: https://docs.docker.com/engine/install"),
    };
    let version = match &tool.version {
        ToolVersion::Found(version) => version,
        ToolVersion::Missing => {
            let what = format!("{} is not installed, or not on PATH", tool.name);
            if tool.name == "sops" {
                let why = "cmdr needs it when a secret of this workspace is new or has changed";
                return Finding::bad(tool.name, Status::Warning, what, why, help);
            }
            return Finding::bad(tool.name, Status::Failure, what, "cmdr needs it", help);
        }
        ToolVersion::Unreadable(text) => {
            let what = format!("unexpected version of {}: '{text}'", tool.name);
            return Finding::bad(
                tool.name,
                Status::Warning,
                what,
                "cmdr cannot determine whether this version is supported",
                help,
            );
        }
    };
    let path = if tool.program.is_absolute() { format!(" ({})", tool.program.display()) } else { String::new() };
    let what = format!("{} {version}{path}", tool.name);
    if tool.name == "helm" && *version == HELM_BROKEN {
        let why = "it hangs while it waits for a deletion (helm issue 32214)";
        return Finding::bad(tool.name, Status::Failure, what, why, "install a later or earlier version of Helm 4");
    }
    match minimum {
        Some(minimum) if *version < minimum => {
            Finding::bad(tool.name, Status::Failure, what, format!("{minimum} or later is required"), help)
        }
        _ => Finding::ok(tool.name, what),
    }
}

fn cgroups(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "cgroups";
    let Ok(Engine { cgroup_version: Some(version), rootless, .. }) = &facts.engine else { return Vec::new() };
    let what = format!("cgroup v{version}");
    let help = "boot the kernel with systemd.unified_cgroup_hierarchy=1 to enable cgroup v2";
    if *version == 1 && *rootless {
        let why = "rootless Docker cannot limit containers without cgroup v2, and kind refuses it";
        return vec![Finding::bad(CHECK, Status::Failure, what, why, help)];
    }
    let minor = facts.kubernetes.as_deref().and_then(minor_version);
    if *version == 1 && minor.is_some_and(|minor| minor >= KUBERNETES_WITHOUT_CGROUP_V1) {
        let why = format!(
            "the kubelet of Kubernetes 1.{KUBERNETES_WITHOUT_CGROUP_V1} and later does not start with cgroup v1"
        );
        let help = format!("{help}, or set 'kubernetes: \"1.34\"' in the environment");
        return vec![Finding::bad(CHECK, Status::Failure, what, why, help)];
    }
    vec![Finding::ok(CHECK, what)]
}

/// The minor version of `1.34`, `v1.34.2`.
fn minor_version(text: &str) -> Option<u64> {
    text.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

fn memory(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "memory";
    let Ok(engine) = &facts.engine else { return Vec::new() };
    let needed = facts.requested.memory_bytes + PLATFORM_MEMORY_BYTES;
    let what = format!("Docker has {}, {} are required", gibibytes(engine.memory_bytes), gibibytes(needed));
    if engine.memory_bytes >= needed {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = format!(
        "projects request {} and the platform needs {}: some pods will stay Pending",
        gibibytes(facts.requested.memory_bytes),
        gibibytes(PLATFORM_MEMORY_BYTES)
    );
    let leave_out = "exclude projects (cmdr up --without PROJECT) or lower their requests";
    let help = if engine.virtual_machine {
        format!("increase the memory of Docker's virtual machine in its settings, or {leave_out}")
    } else {
        leave_out.to_owned()
    };
    vec![Finding::bad(CHECK, Status::Failure, what, why, help)]
}

fn cpu(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "cpu";
    let Ok(engine) = &facts.engine else { return Vec::new() };
    let (have, wanted) = (u64::from(engine.cpus) * 1000, facts.requested.cpu_millis);
    let what = format!("Docker has {} CPUs, {wanted}m are requested", engine.cpus);
    if wanted <= have {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = "pods whose requests do not fit stay Pending";
    vec![Finding::bad(CHECK, Status::Failure, what, why, "lower the projects' resources.requests.cpu")]
}

fn disk(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "disk";
    let Some(free) = facts.free_disk_bytes else { return Vec::new() };
    let what = format!("{} free for Docker", gibibytes(free));
    let status = match free {
        DISK_COMFORTABLE_BYTES.. => return vec![Finding::ok(CHECK, what)],
        DISK_MINIMUM_BYTES.. => Status::Warning,
        _ => Status::Failure,
    };
    let why = "images and volumes need disk space; databases and the cluster fail when the disk is full";
    vec![Finding::bad(
        CHECK,
        status,
        what,
        why,
        "free disk space: docker builder prune and docker image prune remove unused data",
    )]
}

fn inotify(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "inotify";
    let Some(limits) = facts.inotify else { return Vec::new() };
    let what = format!("{} watches and {} instances per user", limits.watches, limits.instances);
    if limits.watches >= INOTIFY_WATCHES && limits.instances >= INOTIFY_INSTANCES {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = "pods fail with 'too many open files' when these limits are exceeded";
    let help = format!(
        "sudo sysctl fs.inotify.max_user_watches={INOTIFY_WATCHES} fs.inotify.max_user_instances={INOTIFY_INSTANCES}, \
         and add the same settings to /etc/sysctl.d/99-cmdr.conf to keep them"
    );
    vec![Finding::bad(CHECK, Status::Warning, what, why, help)]
}

fn networks(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "networks";
    const OTHER: &str = "set another network as environments.local.KEY in projects.yaml, then run cmdr up --recreate";
    const DOCKER: &str =
        "set default-address-pools in Docker's daemon.json, then remove its network: docker network rm kind";
    let all = [
        ("the network of Pods", Some(facts.networks.pods), OTHER.replace("KEY", "pods")),
        ("the network of Services", Some(facts.networks.services), OTHER.replace("KEY", "services")),
        ("Docker's network 'kind'", facts.docker_network, DOCKER.to_owned()),
    ];
    let collisions = all.iter().filter_map(|(name, subnet, help)| {
        let subnet = subnet.as_ref()?;
        // Docker's own route to its network has the same addresses.
        let is_own = |route: &&MachineRoute| Some(route.subnet) == facts.docker_network;
        let route = facts.routes.iter().filter(|route| !is_own(route)).find(|route| route.subnet.overlaps(subnet))?;
        let what = format!("{name}, {subnet}, overlaps with the route {} ({})", route.subnet, route.interface);
        let why = "pods cannot reach the hosts of that route";
        Some(Finding::bad(CHECK, Status::Warning, what, why, help))
    });
    let collisions: Vec<Finding> = collisions.collect();
    if !collisions.is_empty() || facts.routes.is_empty() {
        return collisions;
    }
    vec![Finding::ok(CHECK, "the cluster's networks overlap with no route of this machine")]
}

fn reachability(facts: &Facts) -> Vec<Finding> {
    let ports = facts.ports.iter().map(|(port, state)| port_finding(*port, state));
    ports.chain(std::iter::once(resolver(&facts.resolver))).collect()
}

fn port_finding(port: u16, state: &PortState) -> Finding {
    const CHECK: &str = "ports";
    let (what, help) = match state {
        PortState::Free => return Finding::ok(CHECK, format!("port {port} on 127.0.0.1 is free")),
        PortState::Own => {
            return Finding::ok(CHECK, format!("port {port} on 127.0.0.1 is used by the cluster of this workspace"));
        }
        PortState::Taken { by } => {
            let holder = by.as_deref().unwrap_or("another program");
            (
                format!("port {port} on 127.0.0.1 is in use by {holder}"),
                "stop that program before the cluster is created",
            )
        }
        PortState::Forbidden => (
            format!("port {port} on 127.0.0.1 is not allowed for rootless Docker"),
            "sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
        ),
    };
    let why = "a new cluster uses other ports, which are then part of URLs; an existing cluster keeps its ports";
    Finding::bad(CHECK, Status::Warning, what, why, help)
}

fn resolver(resolver: &ResolverResult) -> Finding {
    const CHECK: &str = "resolver";
    let what = match resolver {
        ResolverResult::Loopback => return Finding::ok(CHECK, "*.localhost resolves to this machine"),
        ResolverResult::Unknown => format!("the system resolver cannot resolve {RESOLVER_PROBE}"),
        ResolverResult::Elsewhere(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("the system resolver resolves {RESOLVER_PROBE} to {}", addresses.join(", "))
        }
    };
    let why =
        "Chrome, Firefox and curl resolve *.localhost themselves; Safari, Java and others use the system resolver";
    let help = "use Chrome or Firefox, add the projects' hosts to /etc/hosts, or install nss-myhostname (Linux)";
    Finding::bad(CHECK, Status::Warning, what, why, help)
}

/// `1.5 GiB`, rounded to a tenth.
fn gibibytes(bytes: u64) -> String {
    let tenths = (bytes * 10 + GIB / 2) / GIB;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}
