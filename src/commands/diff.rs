//! `cmdr diff`: the differences between the projects of two environments, with the commits between them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::git,
    cli::DiffOptions,
    domain::{ImageReference, ImagesIn, Presence, labels},
    error::{CommandError, ErrorKind},
    ops::remote::access::refuse_local,
    ops::{
        environment::no_review,
        observe::warning,
        remote::{
            access::RemoteAccess,
            deploy_request::{is_external, presence},
        },
        session::Session,
        tags::registry,
    },
    settings::{OutputFormat, Settings},
    ui::{self, table::table},
};

/// The maximum number of commits to show for each project.
const COMMITS: usize = 10;

/// One project in both environments.
#[derive(Debug, Serialize)]
struct Row {
    project: String,
    from: Option<Running>,
    to: Option<Running>,
    /// `same`, `differs`, `only in ...`, `external in ...`, `disabled in ...`.
    state: String,
    /// The commits that `from` has and `to` does not, the newest first.
    commits: Vec<String>,
}

/// The running release of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    let open = |name: &str| {
        let session = Session::open_in(name, &settings, &cancel)?;
        refuse_local(&session, "use cmdr status to compare it with projects.yaml")?;
        Ok::<_, CommandError>(session)
    };
    let (from, to) = (open(&options.from)?, open(&options.to)?);
    if settings.requires_review && from.environment.copy.is_none() && to.environment.copy.is_none() {
        return Err(no_review(&from.environment));
    }
    let (ahead, behind) = tokio::try_join!(running(&from), running(&to))?;
    let mut rows = Vec::new();
    for project in from.loaded.workspace.projects.keys() {
        let (one, other) = (ahead.get(project.as_str()), behind.get(project.as_str()));
        let commits = match (one, other) {
            (Some(one), Some(other)) if one.image != other.image => commits(&from, one, other).await?,
            _ => Vec::new(),
        };
        let state = state(&from, &to, project.as_str(), one, other);
        rows.push(Row { project: project.to_string(), from: one.cloned(), to: other.cloned(), state, commits });
    }
    show(&from, options, &rows);
    let is_wanted = |state: &str| ["same", "external", "disabled"].iter().any(|wanted| state.starts_with(wanted));
    let differs = rows.iter().any(|row| !is_wanted(&row.state));
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

async fn running(session: &Session) -> Result<BTreeMap<String, Running>, CommandError> {
    let access = RemoteAccess::open(session).await?;
    let releases = access.cluster.releases().await?;
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
            if one.image == other.image && one.chart == other.chart && one.version == other.version =>
        {
            "same".to_owned()
        }
        _ => "differs".to_owned(),
    }
}

/// The commits between two images, if both have a revision label and this repository contains the commits.
async fn commits(session: &Session, one: &Running, other: &Running) -> Result<Vec<String>, CommandError> {
    let image = |running: &Running| running.image.as_ref().and_then(|image| ImageReference::parse(image).ok());
    let (Some(one), Some(other)) = (image(one), image(other)) else { return Ok(Vec::new()) };
    let registry = registry(session)?;
    let (one, other) = futures::join!(registry.revision(&one), registry.revision(&other));
    let (Some(one), Some(other)) = (one, other) else { return Ok(Vec::new()) };
    Ok(git::commits_between(&session.loaded.workspace.root, &other, &one, COMMITS).await)
}

fn show(session: &Session, options: &DiffOptions, rows: &[Row]) {
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
