//! The checks, one function each, and the minimums that they know.

use semver::Version;

use super::{Engine, Facts, Finding, RESOLVER_PROBE, Resolver, Status, Tool, ToolVersion};
use crate::domain::ports::PortState;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// What the node's own processes, MetalLB and Traefik need beside the projects: an estimate, with room.
pub const PLATFORM_MEMORY_BYTES: u64 = 3 * GIB / 2;
/// A node image takes 1 GiB, the images of a middling platform as much again, and their copies in the node the same.
const DISK_MINIMUM_BYTES: u64 = 5 * GIB;
const DISK_COMFORTABLE_BYTES: u64 = 10 * GIB;
/// From kind's known issues, "Pod errors due to too many open files".
const INOTIFY_WATCHES: u64 = 524_288;
const INOTIFY_INSTANCES: u64 = 512;
/// From its node images on, containerd reads `certs.d` without a patch (kind's guide to local registries).
const KIND_MINIMUM: Version = Version::new(0, 27, 0);
/// The oldest Helm that is tested. 4.2.1 hangs when it waits for a deletion (helm issue 32214).
const HELM_MINIMUM: Version = Version::new(3, 20, 0);
const HELM_BROKEN: Version = Version::new(4, 2, 1);
/// The first Docker with `--cgroupns`, which kind gives its nodes.
const DOCKER_MINIMUM: Version = Version::new(20, 10, 0);
/// The kubelet refuses cgroup v1 from this minor version of Kubernetes on.
const KUBERNETES_WITHOUT_CGROUP_V1: u64 = 35;

type Rule = fn(&Facts) -> Vec<Finding>;

/// In the order in which a reader should mend them.
const RULES: [Rule; 8] = [engine, tools, cgroups, memory, cpu, disk, inotify, reachability];

/// Judges the facts: at least one finding for each check that could be made.
pub fn check(facts: &Facts) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(facts)).collect()
}

fn engine(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "docker";
    let engine = match &facts.engine {
        Ok(engine) => engine,
        Err(absent) => {
            let what = "no Docker engine answers";
            return vec![Finding::bad(CHECK, Status::Failure, what, &absent.why, &absent.remedy)];
        }
    };
    let what = format!("Docker {} ({})", engine.version, engine.operating_system);
    if engine.os_type != "linux" {
        let why = format!("it runs {} containers, and kind's nodes are Linux", engine.os_type);
        return vec![Finding::bad(CHECK, Status::Failure, what, why, "switch Docker to Linux containers")];
    }
    if Version::parse(&engine.version).is_ok_and(|version| version < DOCKER_MINIMUM) {
        let why = format!("kind's nodes need Docker {DOCKER_MINIMUM} or later");
        return vec![Finding::bad(CHECK, Status::Failure, what, why, "update Docker")];
    }
    vec![Finding::ok(CHECK, what)]
}

fn tools(facts: &Facts) -> Vec<Finding> {
    facts.tools.iter().map(tool).collect()
}

fn tool(tool: &Tool) -> Finding {
    let (minimum, remedy) = match tool.name {
        "helm" => (Some(HELM_MINIMUM), "install Helm 4: https://helm.sh/docs/intro/install"),
        "kind" => (Some(KIND_MINIMUM), "install kind: https://kind.sigs.k8s.io/docs/user/quick-start"),
        "sops" => (None, "install sops: https://getsops.io/docs/#download"),
        _ => (None, "install the Docker CLI, which kind starts: https://docs.docker.com/engine/install"),
    };
    let version = match &tool.version {
        ToolVersion::Found(version) => version,
        ToolVersion::Missing => {
            let what = format!("{} is not installed, or not on PATH", tool.name);
            if tool.name == "sops" {
                let why = "cmdr starts it when a secret of this workspace is new or has changed";
                return Finding::bad(tool.name, Status::Warning, what, why, remedy);
            }
            return Finding::bad(tool.name, Status::Failure, what, "cmdr starts it", remedy);
        }
        ToolVersion::Unreadable(text) => {
            let what = format!("{} answers '{text}' when asked for its version", tool.name);
            return Finding::bad(tool.name, Status::Warning, what, "cmdr cannot tell whether it will do", remedy);
        }
    };
    let what = format!("{} {version}", tool.name);
    if tool.name == "helm" && *version == HELM_BROKEN {
        let why = "it hangs when it waits for a deletion (helm issue 32214)";
        return Finding::bad(tool.name, Status::Failure, what, why, "install a later or an earlier Helm 4");
    }
    match minimum {
        Some(minimum) if *version < minimum => {
            Finding::bad(tool.name, Status::Failure, what, format!("{minimum} or later is needed"), remedy)
        }
        _ => Finding::ok(tool.name, what),
    }
}

fn cgroups(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "cgroups";
    let Ok(Engine { cgroup_version: Some(version), rootless, .. }) = &facts.engine else { return Vec::new() };
    let what = format!("cgroup v{version}");
    let remedy = "boot the kernel with systemd.unified_cgroup_hierarchy=1, for cgroup v2";
    if *version == 1 && *rootless {
        let why = "a rootless Docker cannot limit containers without cgroup v2, and kind refuses it";
        return vec![Finding::bad(CHECK, Status::Failure, what, why, remedy)];
    }
    let minor = facts.kubernetes.as_deref().and_then(minor_version);
    if *version == 1 && minor.is_some_and(|minor| minor >= KUBERNETES_WITHOUT_CGROUP_V1) {
        let why = format!("the kubelet of Kubernetes 1.{KUBERNETES_WITHOUT_CGROUP_V1} and later does not start on it");
        let remedy = format!("{remedy}, or write 'kubernetes: \"1.34\"' into the environment");
        return vec![Finding::bad(CHECK, Status::Failure, what, why, remedy)];
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
    let what = format!("Docker has {}, {} are asked for", gibibytes(engine.memory_bytes), gibibytes(needed));
    if engine.memory_bytes >= needed {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = format!(
        "projects request {} and the platform needs {}: the last pods will stay Pending",
        gibibytes(facts.requested.memory_bytes),
        gibibytes(PLATFORM_MEMORY_BYTES)
    );
    let leave_out = "leave projects out (cmdr up --without PROJECT) or lower their requests";
    let remedy = if engine.virtual_machine {
        format!("give Docker's virtual machine more memory in its settings, or {leave_out}")
    } else {
        leave_out.to_owned()
    };
    vec![Finding::bad(CHECK, Status::Failure, what, why, remedy)]
}

fn cpu(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "cpu";
    let Ok(engine) = &facts.engine else { return Vec::new() };
    let (have, wanted) = (u64::from(engine.cpus) * 1000, facts.requested.cpu_millis);
    let what = format!("Docker has {} CPUs, {wanted}m are requested", engine.cpus);
    if wanted <= have {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = "the scheduler leaves pods Pending whose requests do not fit";
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
    let why = "images and volumes fill it, and on a full disk databases and the cluster itself fail";
    vec![Finding::bad(
        CHECK,
        status,
        what,
        why,
        "free some: docker builder prune and docker image prune remove what nothing uses",
    )]
}

fn inotify(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "inotify";
    let Some(limits) = facts.inotify else { return Vec::new() };
    let what = format!("{} watches and {} instances for a user", limits.watches, limits.instances);
    if limits.watches >= INOTIFY_WATCHES && limits.instances >= INOTIFY_INSTANCES {
        return vec![Finding::ok(CHECK, what)];
    }
    let why = "pods fail with 'too many open files' when these run out";
    let remedy = format!(
        "sudo sysctl fs.inotify.max_user_watches={INOTIFY_WATCHES} fs.inotify.max_user_instances={INOTIFY_INSTANCES}, \
         and the same in /etc/sysctl.d/99-cmdr.conf to keep it"
    );
    vec![Finding::bad(CHECK, Status::Warning, what, why, remedy)]
}

fn reachability(facts: &Facts) -> Vec<Finding> {
    let ports = facts.ports.iter().map(|(port, state)| port_finding(*port, state));
    ports.chain(std::iter::once(resolver(&facts.resolver))).collect()
}

fn port_finding(port: u16, state: &PortState) -> Finding {
    const CHECK: &str = "ports";
    let (what, remedy) = match state {
        PortState::Free => return Finding::ok(CHECK, format!("port {port} on 127.0.0.1 is free")),
        PortState::Own => {
            return Finding::ok(CHECK, format!("port {port} on 127.0.0.1 leads to this workspace's cluster"));
        }
        PortState::Taken { by } => {
            let holder = by.as_deref().unwrap_or("another program");
            (format!("port {port} on 127.0.0.1 is taken by {holder}"), "end that program before the cluster is made")
        }
        PortState::Forbidden => (
            format!("port {port} on 127.0.0.1 is forbidden to a rootless Docker"),
            "sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
        ),
    };
    let why = "a new cluster publishes other ports then, and URLs name them; one that exists keeps its own";
    Finding::bad(CHECK, Status::Warning, what, why, remedy)
}

fn resolver(resolver: &Resolver) -> Finding {
    const CHECK: &str = "resolver";
    let what = match resolver {
        Resolver::Loopback => return Finding::ok(CHECK, "*.localhost is this machine"),
        Resolver::Unknown => format!("the system's resolver does not know {RESOLVER_PROBE}"),
        Resolver::Elsewhere(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("the system's resolver takes {RESOLVER_PROBE} for {}", addresses.join(", "))
        }
    };
    let why = "Chrome, Firefox and curl know *.localhost by themselves; Safari, Java and others ask the system";
    let remedy = "use such a browser, or add the projects' hosts to /etc/hosts, or install nss-myhostname (Linux)";
    Finding::bad(CHECK, Status::Warning, what, why, remedy)
}

/// `1.5 GiB`, rounded to a tenth.
fn gibibytes(bytes: u64) -> String {
    let tenths = (bytes * 10 + GIB / 2) / GIB;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}
