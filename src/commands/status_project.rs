//! `cmdr status PROJECT`: what runs of one project or platform release, and how it got there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        Name,
        platform::ResolvedPlatform,
        pressure::{Amounts, Demand},
        project_report::{ContainerReport, DeploymentReport, EventReport, PodReport, WorkloadReport},
    },
    error::CommandError,
    ops::{
        connect,
        describe::platform_releases,
        observe_environment,
        options::UpRequest,
        own_cluster,
        project_pods::named_releases,
        resources::{pod_demands, sum},
        run::not_deployed,
        session::{Session, external_here},
        status::{StatusRow, row},
        watch::repeat,
    },
    plan::{
        ReleaseSpec,
        up::{Described, ObservedCluster},
    },
    ui::{self, style::ago, table::table},
};

const MEBIBYTE: u64 = 1 << 20;
/// How much of a digest or record is shown.
const SHORT: usize = 12;

/// The description of a project.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Description {
    #[serde(flatten)]
    status: StatusRow,
    environment: String,
    /// The projects and platform releases that it needs.
    needs: Vec<String>,
    /// The projects that need it.
    needed_by: Vec<String>,
    /// What its pods request and use; `None` if none is running.
    resources: Option<Demand>,
    #[serde(flatten)]
    workloads: WorkloadReport,
}

/// # Errors
/// When the project is unknown, external or not deployed, or the cluster does not respond.
pub(super) async fn show(session: &Session, project: &str, is_watched: bool) -> Result<(), CommandError> {
    if is_watched {
        return repeat(session, async || described(session, project).await).await;
    }
    ui::print(&described(session, project).await?);
    Ok(())
}

/// The description in the requested format.
async fn described(session: &Session, project: &str) -> Result<String, CommandError> {
    let description = describe(session, project).await?;
    if session.settings.prints_json() {
        return Ok(format!("{}\n", serde_json::json!(description)));
    }
    Ok(text(&description, Timestamp::now(), session.settings.color))
}

async fn describe(session: &Session, name: &str) -> Result<Description, CommandError> {
    if session.projects.iter().any(|project| project.name.as_str() == name && project.external.is_some()) {
        return Err(external_here(name));
    }
    named_releases(session, &[name.to_owned()])?;
    let is_project = session.loaded.workspace.projects.contains_key(name);
    let platform = platform_releases(session).into_iter().find(|release| !is_project && release.name == name);
    let projects = if platform.is_some() { Vec::new() } else { vec![name.to_owned()] };
    let prepared = observe_environment(session, &UpRequest { projects, ..UpRequest::default() }).await?;
    if prepared.observation.observed.cluster != ObservedCluster::Running {
        return Err(own_cluster::not_running());
    }
    let (release, urls, needs) =
        release_of(&prepared.described, name, platform.as_ref()).ok_or_else(|| not_deployed(session, name))?;
    let (cluster, key) = (connect(session).await?, release.key());
    let found = cluster.releases().await?.into_iter().find(|release| release.key == key);
    let objects: Vec<_> =
        found.ok_or_else(|| not_deployed(session, name))?.rendered.into_iter().map(|it| it.object).collect();
    let workloads = cluster.describe(&key, &objects).await?;
    let pods = pod_demands(session, &cluster, &[name.to_owned()]).await?;
    let all = session.projects.iter();
    let needed_by = all.filter(|other| other.needs.iter().any(|need| need.as_str() == name));
    Ok(Description {
        status: row(&prepared, release, urls.to_vec()),
        environment: session.environment.name.to_string(),
        needs: needs.iter().map(ToString::to_string).collect(),
        needed_by: needed_by.map(|other| other.name.to_string()).collect(),
        resources: sum(pods).pop(),
        workloads,
    })
}

/// The release of a project or of the platform, with its URLs and what it needs.
fn release_of<'a>(
    described: &'a Described,
    name: &str,
    platform: Option<&'a ResolvedPlatform>,
) -> Option<(&'a ReleaseSpec, &'a [String], &'a [Name])> {
    if let Some(platform) = platform {
        let release = described.platform.iter().find(|release| release.name == name)?;
        return Some((release, &[], &platform.needs));
    }
    let project = described.projects.iter().find(|project| project.name.as_str() == name)?;
    Some((&project.release, &project.urls, &project.needs))
}

fn text(description: &Description, now: Timestamp, color: bool) -> String {
    let Description { status, workloads, .. } = description;
    let mut text = format!("{}  {}  {}/{} ready\n", status.name, status.state, status.ready_replicas, status.replicas);
    for (name, value) in facts(description) {
        text.push_str(&format!("  {name:<10}  {value}\n"));
    }
    if let Some(problem) = &workloads.problem {
        text.push_str(&ui::problem_text(problem, color));
    }
    let containers = workloads.pods.iter().flat_map(|pod| pod.containers.iter().map(move |it| (pod, it)));
    let tables = [
        rows(&["POD", "STATE", "READY", "RESTARTS", "AGE", "NODE"], workloads.pods.iter().map(|pod| pod_row(pod, now))),
        rows(
            &["CONTAINER", "POD", "STATE", "IMAGE", "DIGEST", "PROBES"],
            containers.map(|(pod, container)| container_row(pod, container)),
        ),
        rows(
            &["REVISION", "AGE", "STATUS", "VERSION", "RECORD"],
            workloads.deployments.iter().map(|deployment| deployment_row(deployment, now)),
        ),
        rows(
            &["EVENT", "AGE", "COUNT", "OBJECT", "MESSAGE"],
            workloads.events.iter().map(|event| event_row(event, now)),
        ),
    ];
    text.extend(tables.into_iter().flatten().map(|table| format!("\n{table}")));
    if let Some(log) = workloads.log.as_ref().filter(|log| !log.lines.is_empty()) {
        let container = log.container.as_deref().unwrap_or_default();
        text.push_str(&format!("\nlast log lines of {}/{container}:\n", log.pod));
        text.extend(log.lines.iter().map(|line| format!("  | {line}\n")));
    }
    text
}

/// The facts about the project that are known, each with its name.
fn facts(description: &Description) -> Vec<(&'static str, String)> {
    let Description { status, needs, needed_by, resources, .. } = description;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let record = status.record.as_deref().map_or("-", short);
    let running = format!("{} (record {record}, revision {})", or_none(&status.running), status.revision.unwrap_or(0));
    let desired = (status.record != status.desired_record).then(|| status.desired.clone());
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let facts = [
        ("running", Some(running)),
        ("desired", desired),
        ("commit", status.commit.clone()),
        ("urls", list(&status.urls)),
        ("needs", list(needs)),
        ("needed by", list(needed_by)),
        ("resources", resources.as_ref().map(used)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `uses 12m 41Mi, requests 50m 64Mi, limit - 128Mi`
fn used(demand: &Demand) -> String {
    let shown = |amounts: Amounts| format!("{}m {}Mi", amounts.cpu_millis, amounts.memory_bytes.div_ceil(MEBIBYTE));
    let used = demand.used.map_or_else(|| "usage not known".to_owned(), |used| format!("uses {}", shown(used)));
    let limit = demand.limits.map(|limits| format!(", memory limit {}Mi", limits.memory_bytes.div_ceil(MEBIBYTE)));
    format!("{used}, requests {}{}", shown(demand.requests), limit.unwrap_or_default())
}

fn rows(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Option<String> {
    let rows: Vec<Vec<String>> = rows.collect();
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    (!rows.is_empty()).then(|| table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

fn pod_row(pod: &PodReport, now: Timestamp) -> Vec<String> {
    let restarts: i32 = pod.containers.iter().map(|container| container.restarts).sum();
    vec![
        pod.name.clone(),
        pod.phase.clone(),
        if pod.ready { "yes" } else { "no" }.to_owned(),
        restarts.to_string(),
        age(pod.created, now),
        pod.node.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn container_row(pod: &PodReport, container: &ContainerReport) -> Vec<String> {
    let exit = container.last_exit_code.map(|code| format!(", last exit {code}")).unwrap_or_default();
    let digest = container.digest.as_deref().map(|digest| short(digest.trim_start_matches("sha256:")));
    let image = container.image.split('@').next().unwrap_or_default();
    vec![
        container.name.clone(),
        pod.name.clone(),
        format!("{}{exit}", container.state),
        image.to_owned(),
        digest.unwrap_or("-").to_owned(),
        container.probes.join("; "),
    ]
}

fn deployment_row(deployment: &DeploymentReport, now: Timestamp) -> Vec<String> {
    vec![
        deployment.revision.to_string(),
        age(deployment.at, now),
        deployment.status.clone(),
        deployment.version.clone().unwrap_or_else(|| "-".to_owned()),
        deployment.record.as_deref().map_or("-", short).to_owned(),
    ]
}

fn event_row(event: &EventReport, now: Timestamp) -> Vec<String> {
    let message = event.message.lines().next().unwrap_or_default().to_owned();
    let reason = event.reason.clone();
    vec![reason, age(event.last, now), event.count.to_string(), event.object.clone(), message]
}

/// The age of something for people.
pub(super) fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "-".to_owned(), |time| ago(now.duration_since(time).as_secs_f64()))
}

fn short(text: &str) -> &str {
    text.get(..SHORT).unwrap_or(text)
}
