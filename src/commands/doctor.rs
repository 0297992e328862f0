//! `cmdr doctor`: checks this machine, and shows each finding with its fix.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        docker::{Docker, DockerError, NETWORK},
        host,
    },
    cli::DoctorOptions,
    domain::{
        Problem,
        pool::Subnet,
        ports::PortState,
        preflight::{EngineAbsent, Facts, Finding, Requested, Status, check, ports_to_probe},
    },
    error::{CommandError, ErrorKind},
    ops::{
        bug_report::{self, Diagnosis},
        options::UpRequest,
        secrets::uses_sops,
        selection::Selection,
        session::{Session, docker_lookup},
    },
    settings::{OutputFormat, Settings},
    ui::{self, style::Style},
};

/// # Errors
/// With exit code 1 when something must be fixed before `up` can work.
pub(super) async fn doctor(
    settings: Settings,
    cancel: CancellationToken,
    options: &DoctorOptions,
) -> Result<(), CommandError> {
    if let Some(path) = &options.report {
        bug_report::check_path(path)?;
    }
    if settings.environment != crate::domain::workspace::LOCAL || settings.requires_review {
        // Any other environment was named on the command line, so it must exist.
        Session::open(settings.clone(), cancel.clone())?;
    }
    let (facts, session) = gather(settings.clone(), cancel.clone()).await;
    let findings = check(&facts);
    let diagnosis = Diagnosis { findings: &findings, tools: &facts.tools, session: session.as_ref() };
    let report = match &options.report {
        Some(path) => Some((path.as_path(), bug_report::write(path, &settings, diagnosis, &cancel).await?)),
        None => None,
    };
    match settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", as_json(&findings, report.as_ref()))),
        OutputFormat::Text => {
            let style = Style::new(settings.color);
            ui::print(&findings.iter().map(|finding| render_finding(finding, style)).collect::<String>());
            if let Some((path, content)) = &report {
                ui::print(&render_report(path, content));
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.status == Status::Failure);
    if failed { Err(CommandError::reported(ErrorKind::Failed)) } else { Ok(()) }
}

fn as_json(findings: &[Finding], report: Option<&(&Path, Vec<String>)>) -> serde_json::Value {
    match report {
        Some((file, content)) => {
            serde_json::json!({"findings": findings, "report": {"file": file, "content": content}})
        }
        None => serde_json::json!({"findings": findings}),
    }
}

fn render_report(path: &Path, content: &[String]) -> String {
    let mut text = format!("\nwrote the report {}; review it before you share it:\n", path.display());
    for name in content {
        text.push_str(&format!("  {name}\n"));
    }
    text
}

async fn gather(settings: Settings, cancel: CancellationToken) -> (Facts, Option<Session>) {
    let docker = Docker::connect(&docker_lookup(&settings)).await;
    let engine = match &docker {
        Ok(docker) => docker.info().await,
        Err(_) => Err(DockerError::NotFound { tried: Vec::new() }),
    };
    let free_disk_bytes = match (&docker, &engine) {
        (Ok(docker), Ok(engine)) => docker.free_disk_bytes(engine),
        _ => None,
    };
    let rootless = engine.as_ref().is_ok_and(|engine| engine.rootless);
    let session = Session::open(settings, cancel.clone()).ok();
    let programs = host::Programs {
        docker: OsStr::new("docker"),
        kind: OsStr::new("kind"),
        helm: OsStr::new("helm"),
        sops: session.as_ref().is_some_and(uses_sops).then_some(OsStr::new("sops")),
    };
    let tools = host::tools(programs, &cancel).await;
    let held = LockHolder::by(&docker, session.as_ref()).await;
    let facts = Facts {
        engine: docker.as_ref().map_err(absent).and_then(|_| engine.map_err(|error| absent(&error))),
        requested: session.as_ref().map(requested).unwrap_or_default(),
        free_disk_bytes,
        inotify: host::inotify(),
        ports: ports_to_probe().map(|port| (port, held.state(port, rootless))).to_vec(),
        resolver: host::resolver().await,
        tools,
        kubernetes: session.as_ref().and_then(|session| session.environment.kubernetes.clone()),
        networks: session.as_ref().map(|session| session.environment.networks).unwrap_or_default(),
        docker_network: held.network,
        routes: host::routes(),
        operating_system: std::env::consts::OS.to_owned(),
    };
    (facts, session)
}

fn absent(error: &DockerError) -> EngineAbsent {
    let Problem { message, details, help, .. } = error.problem();
    EngineAbsent { why: [vec![message], details].concat().join(": "), help: help.unwrap_or_default() }
}

/// Ports that containers publish, and addresses that they have.
#[derive(Default)]
struct LockHolder {
    own: Vec<u16>,
    others: BTreeMap<u16, String>,
    /// The network of kind's nodes.
    network: Option<Subnet>,
}

impl LockHolder {
    async fn by(docker: &Result<Docker, DockerError>, session: Option<&Session>) -> Self {
        let Ok(docker) = docker else { return Self::default() };
        let nodes = docker.node_containers().await.unwrap_or_default();
        let is_own = |cluster: &str| session.is_some_and(|session| session.workspace().as_str() == cluster);
        let own = nodes.iter().filter(|node| is_own(&node.cluster));
        let own = own.flat_map(|node| node.published.values().map(|published| published.port)).collect();
        let network = docker.network(NETWORK).await.ok().flatten().map(|network| network.subnet);
        Self { own, others: docker.port_holders().await.unwrap_or_default(), network }
    }

    fn state(&self, port: u16, rootless: bool) -> PortState {
        match self.others.get(&port) {
            _ if self.own.contains(&port) => PortState::Own,
            Some(holder) => PortState::Taken { by: Some(holder.clone()) },
            None => host::port_state(port, rootless),
        }
    }
}

/// The total requests of all projects; none for an invalid workspace.
fn requested(session: &Session) -> Requested {
    let Ok(selection) = Selection::choose(session, &UpRequest::default()) else { return Requested::default() };
    selection.projects.iter().fold(Requested::default(), |sum, project| {
        let own = Requested::of(&project.values);
        Requested { memory_bytes: sum.memory_bytes + own.memory_bytes, cpu_millis: sum.cpu_millis + own.cpu_millis }
    })
}

fn render_finding(finding: &Finding, style: Style) -> String {
    let mark = match finding.status {
        Status::Ok => style.good("✓"),
        Status::Warning => style.warning("!"),
        Status::Failure => style.bad("✗"),
    };
    let mut text = format!("{mark} {}: {}\n", finding.check, finding.what);
    if finding.status != Status::Ok {
        text.push_str(&format!("    {}\n    {} {}\n", style.dim(&finding.why), style.hint("help:"), finding.help));
    }
    text
}
