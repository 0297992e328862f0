//! Nodes and their resources.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C240",
        name: "pod-evicted",
        sources: &[CauseSource::State],
        reasons: &["Evicted"],
        message: "the pod was evicted: {message}",
        remedy: "free the resource in the message on the node; set requests and limits for it: values.resources",
        explanation: "A node that is short of memory, disk or process IDs ends pods, first those that use more than they \
            request.",
        example: "The node was low on resource: ephemeral-storage. Container shop was using 2Gi, request is 0",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C241",
        name: "pod-rejected-by-node",
        sources: &[CauseSource::State],
        reasons: &["OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "NodeAffinity", "NodePorts"],
        message: "the node rejected the pod: {message}",
        remedy: "run cmdr up again after the node has started completely; delete the failed pod with cmdr doctor \
            --fix",
        explanation: "After a restart of Docker or of the node, the kubelet admits pods again and may find less free than \
            the scheduler did.",
        example: "Node didn't have enough resource: cpu, requested: 500, used: 3900, capacity: 4000",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C242",
        name: "node-shut-down",
        sources: &[CauseSource::State],
        reasons: &["NodeShutdown", "Terminated", "Shutdown", "NodeLost"],
        message: "the node was shut down: {message}",
        remedy: "wait until the node has started; its pods are created again",
        explanation: "The pod ended because its node was shut down or restarted.",
        example: "Pod was terminated in response to imminent node shutdown.",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &NODE_UNREADY,
    &NODE_DISK_PRESSURE,
    &NODE_MEMORY_PRESSURE,
    &NODE_PID_PRESSURE,
    &CLOCK_DIFFERENCE,
    &POD_RESTARTS,
    &POD_FAILED,
];

/// A node that is not ready.
pub static NODE_UNREADY: KnownCause = KnownCause {
    code: "C243",
    name: "node-unready",
    sources: &[CauseSource::Environment],
    message: "node {name} is not ready: {message}",
    remedy: "local: cmdr stop && cmdr start; elsewhere, see the kubelet of the node: kubectl describe node {name}",
    explanation: "The kubelet of the node does not report, or its container runtime or network does not work.",
    example: "container runtime network not ready: NetworkReady=false",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// The condition DiskPressure.
pub static NODE_DISK_PRESSURE: KnownCause = KnownCause {
    code: "C244",
    name: "node-disk-pressure",
    sources: &[CauseSource::Environment],
    message: "node {name} is short of disk space: {message}",
    remedy: "free disk space: docker builder prune and docker image prune for a local cluster",
    explanation: "The kubelet ends pods and removes images until enough disk is free.",
    example: "kubelet has disk pressure",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// The condition MemoryPressure.
pub static NODE_MEMORY_PRESSURE: KnownCause = KnownCause {
    code: "C245",
    name: "node-memory-pressure",
    sources: &[CauseSource::Environment],
    message: "node {name} is short of memory: {message}",
    remedy: "stop projects (cmdr up --without PROJECT), lower their memory, or give Docker more: cmdr status \
        --resources",
    explanation: "The kubelet ends pods that use more memory than they request.",
    example: "kubelet has insufficient memory available",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// The condition PIDPressure.
pub static NODE_PID_PRESSURE: KnownCause = KnownCause {
    code: "C246",
    name: "node-pid-pressure",
    sources: &[CauseSource::Environment],
    message: "node {name} is short of process IDs: {message}",
    remedy: "find the project that starts many processes: kubectl top pods -A; restart it",
    explanation: "A program that starts processes without end leaves none for others.",
    example: "kubelet has insufficient PID available",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// The clocks of this machine and the cluster differ.
pub static CLOCK_DIFFERENCE: KnownCause = KnownCause {
    code: "C247",
    name: "clock-difference",
    sources: &[CauseSource::Environment],
    message: "the clock of the cluster differs from this machine's by {age}",
    remedy: "synchronize both clocks with NTP; restart Docker Desktop after a suspend of the machine",
    explanation: "Certificates, tokens and logs depend on the time. Virtual machines often lose time while the machine is \
        suspended.",
    example: "Date: Thu, 26 Nov 2026 19:00:00 GMT",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A pod whose container restarts.
pub static POD_RESTARTS: KnownCause = KnownCause {
    code: "C248",
    name: "pod-restarts",
    sources: &[CauseSource::Environment],
    message: "{name} restarts: {message}",
    remedy: "read the log of its previous container: cmdr logs {project} --previous",
    explanation: "A container ended several times and was started again. Its project may be ready in between.",
    example: "restarts: 5",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A failed pod whose replacement exists.
pub static POD_FAILED: KnownCause = KnownCause {
    code: "C249",
    name: "pod-failed",
    sources: &[CauseSource::Environment],
    message: "{name} has ended and remains: {message}",
    remedy: "delete it: cmdr doctor --fix; its replacement runs already",
    explanation: "Evicted and rejected pods remain until someone deletes them.",
    example: "phase: Failed",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};
