//! The charts of releases, and the values that their schemas reject.
//!
//! Charts on this machine come first: a mistake in a value of theirs is reported without any download.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use futures::future::join_all;

use crate::{
    adapters::helm::{FetchedChart, Helm, HelmError},
    config::{ValuesHolder, ValuesSchema, check_empty_keys, check_values},
    domain::{Chart, ChartSource, Problem, platform::ResolvedPlatform, values},
    error::{CommandError, ErrorKind},
    ops::{
        externals,
        selection::{Selection, refuse},
        session::Session,
    },
};

/// Fetches the charts, and checks the values of the selected projects and of `platform` against their schemas.
///
/// # Errors
/// When a chart cannot be fetched, or values are invalid: all mistakes in values of charts on this machine at once.
pub(super) async fn fetch_and_check(
    session: &Session,
    helm: &Helm,
    selection: &Selection,
    platform: &[ResolvedPlatform],
) -> Result<BTreeMap<Chart, FetchedChart>, CommandError> {
    let cache = session.charts();
    let (here, elsewhere): (BTreeSet<&Chart>, BTreeSet<&Chart>) =
        selection.wanted_charts(platform).into_iter().partition(|chart| cache.has(chart));
    let mut charts = fetch(session, helm, here).await?;
    check_all_values(session, selection, platform, &charts)?;
    if !elsewhere.is_empty() {
        charts.extend(fetch(session, helm, elsewhere).await?);
        check_all_values(session, selection, platform, &charts)?;
    }
    note_unread(session, &charts);
    session.cache().prune_daily();
    Ok(charts)
}

async fn fetch(
    session: &Session,
    helm: &Helm,
    wanted: BTreeSet<&Chart>,
) -> Result<BTreeMap<Chart, FetchedChart>, CommandError> {
    let folder = session.charts().folder;
    std::fs::create_dir_all(&folder).map_err(|error| {
        let cause = format!("cannot create {}: {error}", folder.display());
        CommandError::failed(Problem::new(cause).help("set CMDR_CACHE to a writable folder"))
    })?;
    let fetched = wanted.into_iter().map(|chart| async move {
        let cache = session.charts();
        let fetched = cache.fetch(helm, chart, &session.cancel).await;
        let named = |error: HelmError| error.problem().detail(format!("while fetching {}", chart_name(chart)));
        fetched.map(|fetched| (chart.clone(), fetched)).map_err(named)
    });
    let (mut charts, mut problems) = (BTreeMap::new(), Vec::new());
    for fetched in join_all(fetched).await {
        match fetched {
            Ok((chart, fetched)) => drop(charts.insert(chart, fetched)),
            Err(problem) => problems.push(problem),
        }
    }
    if session.cancel.is_cancelled() {
        return Err(CommandError::reported(ErrorKind::Interrupted));
    }
    CommandError::require_none(ErrorKind::Failed, problems)?;
    Ok(charts)
}

/// The name of a chart for messages: with its version, and where it comes from.
pub(super) fn chart_name(chart: &Chart) -> String {
    let version = chart.version.as_deref().unwrap_or_default();
    match &chart.source {
        ChartSource::Universal => "the universal chart".to_owned(),
        ChartSource::Oci(reference) => format!("oci://{reference} {version}"),
        ChartSource::Repository { url, name } => format!("{name} {version} from {url}"),
        ChartSource::Path(path) => path.display().to_string(),
    }
}

fn check_all_values(
    session: &Session,
    selection: &Selection,
    platform: &[ResolvedPlatform],
    charts: &BTreeMap<Chart, FetchedChart>,
) -> Result<(), CommandError> {
    let mut diagnostics = externals::misplaced(session, &selection.externals);
    let is_described = |key: &str| !selection.contents.contains_key(key);
    let projects = selection.projects.iter().filter(|project| is_described(project.name.as_str())).map(|project| {
        let origin = selection.origin(session, &project.name);
        (origin, ValuesHolder::Project(&project.name), selection.chart(project, charts), &project.values)
    });
    let platform = platform.iter().filter(|release| is_described(&release.key())).map(|release| {
        let holder = ValuesHolder::Platform(&release.name);
        (session.value_origin(), holder, charts.get(&release.chart), &release.values)
    });
    let mut schemas: BTreeMap<&Path, ValuesSchema<'_>> = BTreeMap::new();
    for (origin, holder, chart, values) in platform.chain(projects) {
        let Some(chart) = chart else { continue };
        if let Some(schema) = &chart.schema {
            let schema = &*schemas.entry(&chart.path).or_insert_with(|| ValuesSchema::new(schema));
            let merged = values::merged([&chart.values, values]);
            diagnostics.extend(check_values(origin, holder, &merged, schema));
            diagnostics.extend(check_empty_keys(origin, holder, &merged, schema));
        }
    }
    refuse(session, diagnostics)
}

/// Reports the parts of schemas that are not on this machine: the values that they describe were not checked.
fn note_unread(session: &Session, charts: &BTreeMap<Chart, FetchedChart>) {
    for chart in charts.values() {
        for reference in &chart.unread_references {
            session.note(&format!(
                "warning: values.schema.json of the chart {} refers to {reference}, which is not a file of the chart: \
                 values that it describes are not checked",
                chart.label()
            ));
        }
    }
}
