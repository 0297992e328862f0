//! Explains a problem of a pod from its log, its events and its neighbours: the decisive line first, noise left out.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, api::LogParams};

use super::{exec::ExecTarget, logs::is_removed, neighbours::explain_host};
use crate::{
    adapters::cluster::{
        Cluster,
        workloads::rollout::{PodName, RolloutProblem, essence, project_of},
    },
    domain::{
        Problem,
        causes::{self, CauseSource, LogFinding, containers, find_in_log, logs, probes},
        quantity::parse_memory_bytes,
        sockets::ListeningPorts,
    },
};

/// Enough lines to find the error, and few enough to read.
const LOG_LINES: i64 = 20;
/// The maximum number of warnings that are shown in addition to the cause.
const EVENTS: usize = 2;
/// Warnings that repeat the pod's status, or that kubelet resolves by itself within seconds.
const NOISE: &[&str] = &[
    "Back-off ",
    "Error: ErrImagePull",
    "Error: ImagePullBackOff",
    "failed to sync configmap cache",
    "failed to sync secret cache",
    "not registered",
    "Error updating Endpoint",
];
/// Events about probes; they only explain a container that runs.
const PROBES: &[&str] = &["Readiness probe", "Liveness probe", "Startup probe"];
/// The tables of sockets of a pod.
const SOCKETS: [&str; 3] = ["cat", "/proc/net/tcp", "/proc/net/tcp6"];
const MEBIBYTE: u64 = 1 << 20;
const EXEC: Duration = Duration::from_secs(5);

/// What is known about a pod besides its problem.
struct Surroundings {
    pod: Option<Pod>,
    log: Vec<String>,
    warnings: Vec<String>,
}

impl Cluster {
    /// Returns the problem's cause with the decisive line of the container's log, its last lines and the pod's newest
    /// warnings. Errors are ignored, because the cause is known without them. `ports` are those that the pod listens
    /// on, if the node was asked.
    pub async fn explain(&self, found: &RolloutProblem, ports: Option<&ListeningPorts>) -> Problem {
        let mut problem = found.cause.clone();
        let Some(PodName { namespace, name }) = &found.pod else { return problem };
        let pods: Api<Pod> = self.namespaced(namespace);
        let (log, pod) = futures::join!(self.last_log(namespace, name, found), pods.get_opt(name));
        let pod = pod.ok().flatten();
        let warnings = self.warnings(namespace, name, pod.as_ref()).await;
        let known = Surroundings { pod, log, warnings };
        let container = known.container(found.container.as_deref());
        if problem.code.as_deref() == Some(containers::OUT_OF_MEMORY.code) {
            add_memory_limit(&mut problem, container, known.project());
        }
        let mismatch =
            container.zip(ports).and_then(|(container, ports)| port_problem(found, container, ports, known.project()));
        if let Some(mismatch) = mismatch {
            problem = mismatch;
        }
        if let Some(decisive) = find_in_log(known.log.iter().map(String::as_str)).filter(|_| is_open(&problem)) {
            let explained = self.explain_line(&decisive, namespace, &known, container).await;
            add_decisive(&mut problem, &decisive.line, explained, found.is_failed_job);
        }
        known.add_warnings(&mut problem);
        problem.logs = known.log;
        problem
    }

    /// Returns what the decisive line of a log means.
    async fn explain_line(
        &self,
        line: &LogFinding,
        namespace: &str,
        known: &Surroundings,
        container: Option<&Container>,
    ) -> Problem {
        let is_about_host = *line.cause == logs::CONNECTION_REFUSED || *line.cause == logs::UNKNOWN_HOST;
        let neighbours = if is_about_host { self.neighbours(namespace).await } else { Vec::new() };
        explain_host(line, &neighbours, known.project()).unwrap_or_else(|| {
            let mut values = line.values();
            values.push(("who", "the container".to_owned()));
            values.push(("project", known.project().to_owned()));
            values.extend(container.and_then(|container| Some(("image", container.image.clone()?))));
            let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
            line.cause.problem(&values)
        })
    }

    /// Returns the ports that a pod listens on, from a container with `cat`; `None` without it, or without permission.
    pub async fn listening_ports(&self, pod: &PodName, container: Option<&str>) -> Option<ListeningPorts> {
        let (namespace, pod) = (pod.namespace.clone(), pod.name.clone());
        let target = ExecTarget { namespace, pod, container: container?.to_owned() };
        let output = tokio::time::timeout(EXEC, self.output(&target, &SOCKETS)).await.ok()?.ok()?;
        (!output.stdout.is_empty()).then(|| ListeningPorts::parse(&output.stdout))
    }

    /// Returns the ID of a container at its runtime.
    pub async fn container_id(&self, pod: &PodName, container: Option<&str>) -> Option<String> {
        let pods: Api<Pod> = self.namespaced(&pod.namespace);
        let status = pods.get_opt(&pod.name).await.ok()??.status?;
        let mut all = status.container_statuses.into_iter().flatten();
        let own = all.find(|status| container.is_none_or(|name| status.name == name))?;
        own.container_id.map(|id| id.rsplit('/').next().unwrap_or_default().to_owned())
    }

    async fn last_log(&self, namespace: &str, pod: &str, problem: &RolloutProblem) -> Vec<String> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let parameters = |previous| LogParams {
            container: problem.container.clone(),
            tail_lines: Some(LOG_LINES),
            previous,
            ..LogParams::default()
        };
        let text = match pods.logs(pod, &parameters(problem.has_previous_log)).await {
            Ok(text) if !is_removed(&text) => text,
            _ => pods.logs(pod, &parameters(!problem.has_previous_log)).await.unwrap_or_default(),
        };
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the newest warnings about a pod and the claims of its volumes.
    async fn warnings(&self, namespace: &str, name: &str, pod: Option<&Pod>) -> Vec<String> {
        let mut events = self.events(namespace, "Pod", name).await;
        for claim in pod.into_iter().flat_map(claims) {
            events.extend(self.events(namespace, "PersistentVolumeClaim", &claim).await);
        }
        let warnings = events.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let messages = warnings.filter_map(|event| event.message);
        let messages = messages.filter(|message| !NOISE.iter().any(|noise| message.contains(noise)));
        let mut report: Vec<String> = Vec::new();
        for message in messages.map(|message| essence(&message).to_owned()) {
            if !report.contains(&message) {
                report.push(message);
            }
        }
        report
    }
}

impl Surroundings {
    /// The project whose keys remedies name; empty if the pod is not one of the universal chart.
    fn project(&self) -> &str {
        self.pod.as_ref().and_then(project_of).unwrap_or_default()
    }

    fn container(&self, name: Option<&str>) -> Option<&Container> {
        let spec = self.pod.as_ref()?.spec.as_ref()?;
        let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        all.find(|container| name.is_none_or(|name| container.name == name))
    }

    /// Adds the newest warnings that the problem does not contain. Those about probes explain only a container that runs.
    fn add_warnings(&self, problem: &mut Problem) {
        let is_about_probe = is_about_probe(problem);
        let is_probe = |text: &str| PROBES.iter().any(|probe| text.starts_with(probe));
        let new = self.warnings.iter().filter(|text| !problem.message.contains(text.as_str()));
        let new: Vec<&String> = new.filter(|text| is_about_probe || !is_probe(text)).take(EVENTS).collect();
        let explained = new.iter().find_map(|text| causes::find(CauseSource::Probe, text)).filter(|_| is_about_probe);
        problem.details.extend(new.into_iter().cloned());
        if let Some(cause) = explained.filter(|_| is_generic(problem)) {
            problem.help = Some(cause.remedy(&[]));
            problem.code = Some(cause.code.to_owned());
        }
        let of_claim = || self.warnings.iter().find_map(|text| causes::find_state("ProvisioningFailed", text));
        let is_claim = problem.code.as_deref() == causes::get("claim-unbound").map(|cause| cause.code);
        if let Some(cause) = is_claim.then(of_claim).flatten() {
            problem.help = Some(cause.remedy(&[]));
            problem.code = Some(cause.code.to_owned());
        }
    }
}

/// Adds what the decisive line of the log means. The first message stays.
fn add_decisive(problem: &mut Problem, line: &str, explained: Problem, is_failed_job: bool) {
    problem.message = format!("{}: {}", problem.message, explained.message);
    if !problem.message.contains(line) {
        problem.details.insert(0, line.to_owned());
    }
    let retry = if is_failed_job { "; then run cmdr up again to retry the job" } else { "" };
    problem.help = explained.help.map(|help| format!("{help}{retry}"));
    problem.code = explained.code;
}

/// Whether a log can contain the reason of a problem: the container runs or has run.
fn is_open(problem: &Problem) -> bool {
    problem.code.as_deref().is_some_and(causes::is_explained_by_log)
}

fn is_about_probe(problem: &Problem) -> bool {
    problem.code.as_deref().is_some_and(|code| probes::CAUSES.iter().any(|cause| cause.code == code))
}

/// Whether the problem only says that a probe fails.
fn is_generic(problem: &Problem) -> bool {
    let generic = [&probes::PROBE_FAILS, &probes::STARTUP_PROBE_FAILS, &probes::PROBE_STOPPED];
    generic.iter().any(|cause| problem.code.as_deref() == Some(cause.code))
}

/// Names the limit that was exceeded, and proposes twice as much. The kernel ends a container when it would need more,
/// so its peak is the limit.
fn add_memory_limit(problem: &mut Problem, container: Option<&Container>, project: &str) {
    let limits = container.and_then(|container| container.resources.as_ref()?.limits.as_ref());
    let Some(limit) = limits.and_then(|limits| limits.get("memory")) else { return };
    problem.message = format!("{} of {}", problem.message, limit.0);
    problem.details.push(format!("limit {0}, peak {0} or more", limit.0));
    let twice = parse_memory_bytes(&limit.0).map(|bytes| format!("{}Mi", (2 * bytes).div_ceil(MEBIBYTE)));
    let values = [("limit", twice.as_deref().unwrap_or_default()), ("project", project)];
    problem.help = Some(containers::OUT_OF_MEMORY.remedy(&values));
}

/// Compares the port of the probe of a running container with the ports that it listens on.
fn port_problem(
    found: &RolloutProblem,
    container: &Container,
    ports: &ListeningPorts,
    project: &str,
) -> Option<Problem> {
    if !is_generic(&found.cause) {
        return None;
    }
    let port = probed_port(container)?;
    let open: Vec<String> = ports.open.iter().map(ToString::to_string).collect();
    let (port_text, open_text) = (port.to_string(), open.join(", "));
    let named = container.ports.iter().flatten().find(|named| named.container_port == i32::from(port));
    let name = named.and_then(|named| named.name.as_deref()).unwrap_or("http");
    let values = [
        ("who", found.who.as_str()),
        ("port", port_text.as_str()),
        ("ports", open_text.as_str()),
        ("name", name),
        ("project", project),
        ("nearest", open.first().map_or("", String::as_str)),
    ];
    let cause = match () {
        () if ports.open.contains(&port) => return None,
        () if ports.loopback.contains(&port) => &probes::LISTENS_ON_LOCALHOST,
        () if open.is_empty() => &probes::LISTENS_ON_NOTHING,
        () => &probes::PORT_MISMATCH,
    };
    Some(cause.problem(&values))
}

/// The port that the readiness or startup probe of a container asks.
fn probed_port(container: &Container) -> Option<u16> {
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    probes.into_iter().flatten().find_map(|probe| port_of(probe, container))
}

fn port_of(probe: &Probe, container: &Container) -> Option<u16> {
    let http = probe.http_get.as_ref().map(|http| http.port.clone());
    let tcp = probe.tcp_socket.as_ref().map(|tcp| tcp.port.clone());
    let grpc = probe.grpc.as_ref().map(|grpc| IntOrString::Int(grpc.port));
    let number = match http.or(tcp).or(grpc)? {
        IntOrString::Int(port) => port,
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            ports.into_iter().find(|port| port.name.as_ref() == Some(&name))?.container_port
        }
    };
    number.try_into().ok()
}

fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::adapters::cluster::workloads::rollout::GiveUpAfter;

    fn unready() -> RolloutProblem {
        RolloutProblem::new(GiveUpAfter::Timeout, probes::PROBE_FAILS.problem(&[("who", "the container")]))
    }

    #[test]
    fn the_ports_of_probe_and_program_are_compared() {
        let container = json!({"name": "a", "ports": [{"name": "http", "containerPort": 80}],
            "readinessProbe": {"tcpSocket": {"port": "http"}}});
        let container: Container = serde_json::from_value(container).unwrap();
        let of = |open: &[u16], loopback: &[u16]| {
            let ports = ListeningPorts {
                open: open.iter().copied().collect::<BTreeSet<_>>(),
                loopback: loopback.iter().copied().collect::<BTreeSet<_>>(),
            };
            port_problem(&unready(), &container, &ports, "shop")
                .map(|problem| (problem.code.unwrap(), problem.message, problem.help.unwrap()))
        };
        let (code, message, help) = of(&[8080], &[]).unwrap();
        assert_eq!((code.as_str(), message.contains("listens on 8080")), ("C103", true), "{message}");
        assert!(help.contains("under `projects.shop.values`"), "{help}");
        assert_eq!(of(&[], &[80]).unwrap().0, "C104");
        assert_eq!(of(&[80], &[]), None);
        assert_eq!(of(&[], &[]).unwrap().0, "C105");
    }

    #[test]
    fn a_failed_job_is_run_again_after_the_repair() {
        let explained = || Problem::new("a table does not exist").help("run the migrations first");
        // The code of a failed Job is that of its container, where that is known.
        let mut problem = Problem::new("the job failed: exit code 6");
        add_decisive(&mut problem, "no such table", explained(), true);
        assert_eq!(problem.help.as_deref(), Some("run the migrations first; then run cmdr up again to retry the job"));
        assert_eq!(
            (problem.message.as_str(), problem.details.as_slice()),
            ("the job failed: exit code 6: a table does not exist", ["no such table".to_owned()].as_slice())
        );
        let mut problem = Problem::new("the container exits");
        add_decisive(&mut problem, "no such table", explained(), false);
        assert_eq!(problem.help.as_deref(), Some("run the migrations first"));
    }

    #[test]
    fn the_memory_limit_is_named() {
        let container = json!({"name": "a", "resources": {"limits": {"memory": "64Mi"}}});
        let container: Container = serde_json::from_value(container).unwrap();
        let mut problem = containers::OUT_OF_MEMORY.problem(&[("who", "the container")]);
        add_memory_limit(&mut problem, Some(&container), "shop");
        assert_eq!(problem.message, "the container was killed because it exceeded its memory limit of 64Mi");
        assert!(
            problem.help.is_some_and(|help| help.contains("limits: {memory: 128Mi}}` under `projects.shop.values`"))
        );
    }

    #[test]
    fn old_probe_failures_are_left_out_of_a_crash() {
        let warnings = ["Readiness probe failed: connection refused", "mount failed"].map(str::to_owned).to_vec();
        let known = Surroundings { pod: None, log: Vec::new(), warnings };
        let mut crash = containers::JOB_FAILED.problem(&[("message", "exit code 1")]);
        known.add_warnings(&mut crash);
        assert_eq!(crash.details, ["mount failed"]);
        let mut unready = unready().cause;
        known.add_warnings(&mut unready);
        assert_eq!(unready.details.len(), 2);
    }

    #[test]
    fn the_response_to_a_probe_chooses_the_help() {
        let warnings = vec!["Readiness probe failed: HTTP probe failed with statuscode: 404".to_owned()];
        let mut unready = unready().cause;
        Surroundings { pod: None, log: Vec::new(), warnings }.add_warnings(&mut unready);
        assert_eq!(unready.code.as_deref(), Some("C106"));
    }
}
