//! `cmdr diff`: the differences between the projects of two environments, with the commits between them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::git,
    cli::DiffOptions,
    domain::{ImageReference, ImagesIn, Name, Presence, Problem, labels},
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        environment::no_review,
        observe::warning,
        remote::{
            access::{RemoteAccess, refuse_local},
            deploy_request::{Named, expand, is_external, presence},
        },
        session::Session,
        tags::registry,
    },
    plan::bundle_versions,
    settings::{OutputFormat, Settings},
    ui::{self, table::table},
};

/// The maximum number of commits to show for each project.
const COMMITS: usize = 10;

/// One project in both environments.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DiffRow {
    project: String,
    from: Option<Running>,
    to: Option<Running>,
    /// `same`, `differs`, `only in ...`, `external in ...`, `disabled in ...`.
    state: String,
    /// The commits that `from` has and `to` does not, the newest first.
    commits: Vec<String>,
}

/// The running release of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
struct Running {
    version: String,
    record: String,
    image: Option<String>,
    chart: String,
}

/// # Errors
/// When an environment is unknown or unreachable, or with exit code 3 when `--exit-code` is set and something differs.
pub(super) async fn diff(
    settings: Settings,
    cancel: CancellationToken,
    options: &DiffOptions,
) -> Result<(), CommandError> {
    let open = |name: &str| Session::open_in(name, &settings, &cancel);
    let (from, to) = (open(&options.from)?, open(&options.to)?);
    if settings.requires_review && from.environment.copy.is_none() && to.environment.copy.is_none() {
        return Err(no_review(&from.environment));
    }
    let named = Named::read(&from, &options.projects)?;
    let (projects, _) = expand(&from, &named.names)?;
    let (mut ahead, behind) = tokio::try_join!(running(&from), running(&to))?;
    ahead.extend(of_versions(&from, &named).await?);
    let mut rows = Vec::new();
    let is_meant = |project: &&Name| projects.is_empty() || projects.contains(*project);
    for project in from.loaded.workspace.projects.keys().filter(is_meant) {
        let (one, other) = (ahead.get(project.as_str()), behind.get(project.as_str()));
        let commits = match (one, other) {
            (Some(one), Some(other)) if !is_same_image(one, other) => commits(&from, one, other).await?,
            _ => Vec::new(),
        };
        let state = state(&from, &to, project.as_str(), one, other);
        rows.push(DiffRow { project: project.to_string(), from: one.cloned(), to: other.cloned(), state, commits });
    }
    show(&from, options, &rows);
    let is_wanted = |state: &str| ["same", "external", "disabled"].iter().any(|wanted| state.starts_with(wanted));
    let differs = rows.iter().any(|row| !is_wanted(&row.state));
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

async fn running(session: &Session) -> Result<BTreeMap<String, Running>, CommandError> {
    let releases = connect(session).await?.releases().await?;
    releases.iter().filter_map(warning).for_each(|warning| session.note(&warning));
    let own = releases.into_iter().filter(|release| {
        release.key.namespace == session.environment.namespace
            && release.labels.get(labels::WORKSPACE).is_some_and(|owner| owner == session.workspace().as_str())
    });
    let running = own.map(|release| {
        let label = |key: &str| release.labels.get(key).cloned().unwrap_or_default();
        let image = ImagesIn(&release.values).main().map(|image| image.to_string());
        let (version, record, chart) = (label(labels::VERSION), label(labels::RECORD), label(labels::CHART));
        (release.key.name, Running { version, record, image, chart })
    });
    Ok(running.collect())
}

/// What the members of bundles ran in the versions that were named.
async fn of_versions(session: &Session, named: &Named) -> Result<BTreeMap<String, Running>, CommandError> {
    let mut running = BTreeMap::new();
    if named.versions.is_empty() {
        return Ok(running);
    }
    refuse_local(session, "it has no ledger: compare what runs there, without @VERSION")?;
    let access = RemoteAccess::open(session).await?;
    let namespace = &session.environment.namespace;
    let histories = access.cluster.histories(namespace).await?;
    for (bundle, id) in &named.versions {
        let members = &session.loaded.workspace.bundles[bundle].projects;
        let version = bundle_versions::find(&histories, members, id).ok_or_else(|| {
            let environment = &session.environment.name;
            let cause = format!("version '{id}' of the bundle '{bundle}' not found in '{environment}'");
            let help = format!("list its deployments with cmdr history {bundle} --env {environment}");
            CommandError::usage(Problem::new(cause).help(help))
        })?;
        for (project, record) in version.records {
            let Some(content) = access.cluster.record(namespace, &record).await? else { continue };
            let image = ImagesIn(&content.values).main().map(|image| image.to_string());
            let (version, chart) = (labels::value(&content.version), labels::value(&content.chart.label()));
            running.insert(project, Running { version, record: record.to_string(), image, chart });
        }
    }
    Ok(running)
}

fn state(from: &Session, to: &Session, project: &str, one: Option<&Running>, other: Option<&Running>) -> String {
    let external = [from, to].into_iter().find(|session| is_external(session, project));
    if let Some(session) = external {
        return format!("external in {}", session.environment.name);
    }
    let is_absent = |(session, running): &(&Session, Option<&Running>)| {
        running.is_none() && presence(session, project) != Some(Presence::Enabled)
    };
    if let Some((session, _)) = [(from, one), (to, other)].into_iter().find(is_absent) {
        return format!("disabled in {}", session.environment.name);
    }
    match (one, other) {
        (None, None) => "in neither".to_owned(),
        (Some(_), None) => format!("only in {}", from.environment.name),
        (None, Some(_)) => format!("only in {}", to.environment.name),
        // Records are not compared: their values differ between environments.
        (Some(one), Some(other))
            if is_same_image(one, other) && one.chart == other.chart && one.version == other.version =>
        {
            "same".to_owned()
        }
        _ => "differs".to_owned(),
    }
}

/// Whether both run the same image. In `local`, an image may have no digest: then its name and tag decide.
fn is_same_image(one: &Running, other: &Running) -> bool {
    match (image(one), image(other)) {
        (Some(one), Some(other)) if one.digest.is_none() || other.digest.is_none() => {
            (one.registry, one.repository, one.tag) == (other.registry, other.repository, other.tag)
        }
        _ => one.image == other.image,
    }
}

fn image(running: &Running) -> Option<ImageReference> {
    ImageReference::parse(running.image.as_ref()?).ok()
}

/// The commits between two images, if both have a revision label and this repository contains the commits.
async fn commits(session: &Session, one: &Running, other: &Running) -> Result<Vec<String>, CommandError> {
    let (Some(one), Some(other)) = (image(one), image(other)) else { return Ok(Vec::new()) };
    let registry = registry(session)?;
    let (one, other) = futures::join!(registry.revision(&one), registry.revision(&other));
    let (Some(one), Some(other)) = (one, other) else { return Ok(Vec::new()) };
    Ok(git::commits_between(&session.loaded.workspace.root, &other, &one, COMMITS).await)
}

fn show(session: &Session, options: &DiffOptions, rows: &[DiffRow]) {
    if session.settings.output == OutputFormat::Json {
        ui::print(&format!("{}\n", serde_json::to_string(rows).unwrap_or_default()));
        return;
    }
    let upper = |name: &str| name.to_uppercase();
    let head = vec!["PROJECT".to_owned(), upper(&options.from), upper(&options.to), "STATE".to_owned()];
    let version = |running: &Option<Running>| running.as_ref().map_or_else(|| "-".to_owned(), |it| it.version.clone());
    let lines =
        rows.iter().map(|row| vec![row.project.clone(), version(&row.from), version(&row.to), row.state.clone()]);
    ui::print(&table(&std::iter::once(head).chain(lines).collect::<Vec<_>>()));
    let shown: BTreeSet<&str> =
        rows.iter().filter(|row| !row.commits.is_empty()).map(|row| row.project.as_str()).collect();
    for row in rows.iter().filter(|row| shown.contains(row.project.as_str())) {
        ui::print(&format!("\n{}:\n", row.project));
        row.commits.iter().for_each(|commit| ui::print(&format!("  {commit}\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_without_digest_is_the_same_image() {
        let running = |image: &str| Running {
            version: String::new(),
            record: String::new(),
            image: Some(image.to_owned()),
            chart: String::new(),
        };
        let (one, other) = ("1".repeat(64), "2".repeat(64));
        let same = |one: &str, other: &str| is_same_image(&running(one), &running(other));
        assert!(same("redis:7.0", &format!("docker.io/library/redis:7.0@sha256:{one}")));
        assert!(!same("redis:7.0", "redis:7.1"));
        assert!(!same(&format!("redis:7.0@sha256:{one}"), &format!("redis:7.0@sha256:{other}")));
    }
}
