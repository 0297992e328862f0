//! `cmdr doctor`: checks this machine and the running environment, and shows each finding with its fix.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        docker::{Docker, DockerError, NETWORK},
        host,
        process::find_program,
    },
    cli::DoctorOptions,
    commands::examination,
    domain::{
        Problem,
        pinned_tools::{SOPS, TOOLS},
        pool::Subnet,
        ports::PortState,
        preflight::{EngineAbsent, Facts, Finding, FoundTool, Requested, Status, check, ports_to_probe},
    },
    error::{CommandError, ErrorKind},
    ops::{
        bug_report::{self, Diagnosis},
        examine::examine,
        options::UpRequest,
        secrets::uses_sops,
        selection::Selection,
        session::{Session, docker_lookup},
        tools::program,
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
    let mut findings = check(&facts);
    let examined = match &session {
        Some(session) => examine(session).await,
        None => Ok(None),
    };
    findings.extend(examination::findings(&examined));
    let diagnosis = Diagnosis { findings: &findings, tools: &facts.tools, session: session.as_ref() };
    let report = match &options.report {
        Some(path) => Some((path.as_path(), bug_report::write(path, &settings, diagnosis, &cancel).await?)),
        None => None,
    };
    match settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(document(&findings, report.as_ref())))),
        OutputFormat::Text => {
            let style = Style::new(settings.color);
            ui::print(&findings.iter().map(|finding| render_finding(finding, style)).collect::<String>());
            if let Some((path, content)) = &report {
                ui::print(&render_report(path, content));
            }
        }
    }
    if options.fix {
        return examination::fix(&settings, session.as_ref(), examined?).await;
    }
    let failed = findings.iter().any(|finding| finding.status == Status::Failure);
    if failed { Err(CommandError::reported(ErrorKind::Failed)) } else { Ok(()) }
}

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoctorDocument {
    findings: Vec<Finding>,
    /// The report of `--report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<WrittenReport>,
}

/// A report for a bug report.
#[derive(Debug, Serialize, JsonSchema)]
struct WrittenReport {
    file: PathBuf,
    /// The files in it.
    content: Vec<String>,
}

fn document(findings: &[Finding], report: Option<&(&Path, Vec<String>)>) -> DoctorDocument {
    let report = report.map(|(file, content)| WrittenReport { file: (*file).to_owned(), content: content.clone() });
    DoctorDocument { findings: findings.to_vec(), report }
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
    let session = Session::open(settings.clone(), cancel.clone()).ok();
    let tools = found_tools(&settings, session.as_ref(), &cancel).await;
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

/// The programs that cmdr runs here, with their versions; sops only if something must be decrypted.
async fn found_tools(settings: &Settings, session: Option<&Session>, cancel: &CancellationToken) -> Vec<FoundTool> {
    let pinned = TOOLS.into_iter().filter(|tool| tool.name != SOPS.name || session.is_some_and(uses_sops));
    let pinned = pinned.map(|tool| (tool.name, program(settings, tool)));
    let docker = find_program("docker", &settings.variables.path).unwrap_or_else(|| PathBuf::from("docker"));
    let all: Vec<(&str, PathBuf)> = std::iter::once(("docker", docker)).chain(pinned).collect();
    let versions = all.iter().map(|(name, path)| host::tool(name, path, cancel));
    futures::future::join_all(versions).await.into_iter().flatten().collect()
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
    let code = finding.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let mut text = format!("{mark} {}: {}{code}\n", finding.check, finding.what);
    if finding.status != Status::Ok {
        text.push_str(&format!("    {}\n    {} {}\n", style.dim(&finding.why), style.hint("help:"), finding.help));
    }
    text
}
