//! `cmdr up --from-ledger`: rebuilds an environment from an exported ledger, on a cluster that may be empty.

use std::{fs, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{
    adapters::helm::{ChartCache, FetchedChart},
    domain::{
        Name, Presence, Problem,
        disk_files::{FileMap, file_maps},
        ledger::LedgerFile,
        record::{Record, RecordedSource},
    },
    error::{CommandError, ErrorKind},
    ops::{
        remote::deploy_request::{DeployRequest, presence},
        session::{Session, unknown},
    },
};

/// Fills a request with every record of an exported ledger.
///
/// # Errors
/// When the file is not a ledger, belongs to another workspace, or names projects that no longer exist: all at once.
pub(super) async fn read(session: &Session, file: &Path, request: &mut DeployRequest) -> Result<(), CommandError> {
    let ledger = parse(session, file)?;
    let helm = session.helm().await?;
    let is_absent = |subject: &&String| presence(session, subject).is_some_and(|it| it != Presence::Enabled);
    let absent: Vec<&str> = ledger.releases.keys().filter(is_absent).map(String::as_str).collect();
    if !absent.is_empty() {
        session.note(&format!("skipped projects that are not enabled here: {}", absent.join(", ")));
    }
    for (subject, release) in ledger.releases.iter().filter(|(subject, _)| !is_absent(subject)) {
        if release.content.id() != release.record {
            let record = &release.record;
            let cause = format!("record {record} of {subject} does not match its hash: the file was changed");
            return Err(CommandError::usage(Problem::new(cause)));
        }
        let chart = match crate::ops::remote::recorded_charts::known(session, &helm, &release.content).await? {
            Some(chart) => chart,
            None => kept(&session.charts(), &ledger, &release.content)?,
        };
        for name in file_maps(&release.content.values) {
            request.files.insert(name.to_owned(), Arc::new(files(&ledger, subject, name)?));
        }
        request.contents.insert(subject.clone(), (release.content.clone(), chart));
    }
    Ok(())
}

fn parse(session: &Session, file: &Path) -> Result<LedgerFile, CommandError> {
    let wrong = |reason: String| {
        let cause = format!("{} is not a valid ledger: {reason}", file.display());
        CommandError::usage(Problem::new(cause).help("write one with --export-ledger"))
    };
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let ledger: LedgerFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if ledger.version != 1 {
        return Err(wrong(format!("its version is {}, but this cmdr reads version 1", ledger.version)));
    }
    if ledger.workspace != session.workspace().as_str() || ledger.environment != session.environment.name.as_str() {
        let cause =
            format!("{} is the ledger of '{}' in workspace {}", file.display(), ledger.environment, ledger.workspace);
        return Err(CommandError::usage(Problem::new(cause)));
    }
    let projects = &session.loaded.workspace.projects;
    // Releases in other namespaces belong to the platform.
    let gone =
        ledger.releases.keys().filter(|subject| !subject.contains('.') && !projects.contains_key(subject.as_str()));
    let gone: Vec<Problem> =
        gone.flat_map(|name| unknown("project", name, projects.keys().map(Name::as_str)).problems).collect();
    CommandError::require_none(ErrorKind::Usage, gone)?;
    Ok(ledger)
}

/// The files of a release, which only the file contains.
fn files(ledger: &LedgerFile, subject: &str, name: &str) -> Result<FileMap, CommandError> {
    let wrong = |what: &str| CommandError::usage(Problem::new(format!("the files {name} of {subject} {what}")));
    let encoded = ledger.files.get(name).ok_or_else(|| wrong("are not in the ledger's file"))?;
    let decoded = encoded.iter().map(|(key, text)| Ok((key.clone(), BASE64.decode(text)?)));
    let data = decoded.collect::<Result<_, base64::DecodeError>>();
    let map = FileMap::new(subject, data.map_err(|error| wrong(&format!("are not valid base64: {error}")))?);
    if map.name == name && map.is_intact() {
        Ok(map)
    } else {
        Err(wrong("do not match their hash: the file was changed"))
    }
}

/// A chart that only the file contains.
fn kept(cache: &ChartCache, ledger: &LedgerFile, record: &Record) -> Result<FetchedChart, CommandError> {
    debug_assert!(record.chart.source == RecordedSource::Kept, "others are fetched");
    let chart = &record.chart;
    let archive = ledger.charts.get(&chart.digest).and_then(|text| BASE64.decode(text).ok());
    let missing = || CommandError::usage(Problem::new(format!("chart {} not found in the file", chart.label())));
    let archive = archive.ok_or_else(missing)?;
    cache.unpack(&chart.name, &chart.digest, &archive).map_err(|error| CommandError::failed(error.problem()))
}
