//! Containers that run and do not become ready.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub static CAUSES: &[&KnownCause] = &[
    &PROBE_STOPPED,
    &PROBE_FAILS,
    &STARTUP_PROBE_FAILS,
    &PORT_MISMATCH,
    &LISTENS_ON_LOCALHOST,
    &LISTENS_ON_NOTHING,
    &KnownCause {
        code: "C106",
        name: "probe-not-found",
        sources: &[CauseSource::Probe],
        parts: &["statuscode: 404"],
        message: "the path of the probe does not exist: {message}",
        remedy: "set values.probes to a path that the program serves, such as /healthz",
        explanation: "The program responds to the probe with 404.",
        example: "Readiness probe failed: HTTP probe failed with statuscode: 404",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C107",
        name: "probe-needs-login",
        sources: &[CauseSource::Probe],
        parts: &["statuscode: 401", "statuscode: 403"],
        message: "the path of the probe requires a login: {message}",
        remedy: "set values.probes to a path without a login, or use a tcp probe",
        explanation: "The program responds to the probe with 401 or 403, which counts as a failure.",
        example: "Readiness probe failed: HTTP probe failed with statuscode: 401",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C108",
        name: "probe-reports-unready",
        sources: &[CauseSource::Probe],
        parts: &["statuscode: "],
        message: "the program reports that it is not ready: {message}",
        remedy: "read its log: it often waits for a database or another project",
        explanation: "The program responds to the probe with an error of its own.",
        example: "Readiness probe failed: HTTP probe failed with statuscode: 503",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C109",
        name: "probe-timeout",
        sources: &[CauseSource::Probe],
        parts: &["context deadline exceeded", "timed out after", "i/o timeout", "client.timeout"],
        message: "the program does not respond to the probe in time: {message}",
        remedy: "raise timeoutSeconds under values.probes, or give the container more CPU",
        explanation: "A probe waits for one second by default. A busy program or a low CPU limit makes the response late.",
        example: "Readiness probe failed: Get \"http://10.244.0.9:8080/\": context deadline exceeded (Client.Timeout \
            exceeded while awaiting headers)",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
];

/// kubelet stopped a container because of a probe.
pub static PROBE_STOPPED: KnownCause = KnownCause {
    code: "C100",
    name: "probe-stopped-container",
    sources: &[CauseSource::State],
    reasons: &["ProbeFailed"],
    message: "the probe of {who} failed, so kubelet stopped it: {message}",
    remedy: "check that the container responds to the probe: values.ports and values.probes",
    explanation: "A liveness or startup probe failed too often. The kubelet then ends the container and starts it again.",
    example: "exit code 137",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A running container that is not ready.
pub static PROBE_FAILS: KnownCause = KnownCause {
    code: "C101",
    name: "probe-fails",
    sources: &[CauseSource::Run],
    message: "{who} is running, but its probe fails",
    remedy: "check that the container responds to the probe: values.ports and values.probes",
    explanation: "The container runs, and its readiness probe has not passed yet. Until then it receives no requests.",
    example: "0/1 ready",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A sidecar that has not started.
pub static STARTUP_PROBE_FAILS: KnownCause = KnownCause {
    code: "C102",
    name: "startup-probe-fails",
    sources: &[CauseSource::Run],
    message: "{who} is running, but its startup probe fails",
    remedy: "check that the container responds to the probe: values.ports and values.probes",
    explanation: "Other containers of the pod wait until the startup probe of the sidecar passes.",
    example: "0/1 ready",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// The probe asks a port that the container does not listen on.
pub static PORT_MISMATCH: KnownCause = KnownCause {
    code: "C103",
    name: "port-mismatch",
    sources: &[CauseSource::Run],
    message: "{who} is running, but its probe fails: it asks port {port}, and the program listens on {ports}",
    remedy: "set `ports: {{name}: {nearest}}` under `projects.{project}.values`, or let the program listen on {port}",
    explanation: "The program listens on another port than the one in 'ports', which probes, Service and routes use.",
    example: "port 1F90",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A program that accepts connections from its own pod only.
pub static LISTENS_ON_LOCALHOST: KnownCause = KnownCause {
    code: "C104",
    name: "listens-on-localhost",
    sources: &[CauseSource::Run],
    message: "{who} is running, but its probe fails: the program listens on port {port} of 127.0.0.1 only",
    remedy: "let the program listen on 0.0.0.0: many have an option or a variable such as HOST or --host",
    explanation: "Probes and other pods connect to the address of the pod. A program on 127.0.0.1 accepts connections from \
        its own pod only.",
    example: "0100007F:1F90",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A container without an open port.
pub static LISTENS_ON_NOTHING: KnownCause = KnownCause {
    code: "C105",
    name: "listens-on-nothing",
    sources: &[CauseSource::Run],
    message: "{who} is running, but its probe fails: it asks port {port}, and the program listens on no port",
    remedy: "read its log for what it waits for; if it has no server, remove values.ports or set another probe",
    explanation: "The program runs without opening a port: it is still starting, waits for something, or is not a server.",
    example: "0/1 ready",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};
