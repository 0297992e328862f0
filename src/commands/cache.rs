//! `cmdr cache`: the size of the cache on this machine and of the kept nodes in Docker, and what is removed from them.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    adapters::{
        cache::{CacheFolder, CachePart, Pruning},
        docker::Docker,
    },
    cli::CacheCommand,
    domain::{Problem, kept_node::is_outdated, snapshot::SnapshotKind},
    error::CommandError,
    ops::session::{docker_error, docker_lookup},
    settings::{OutputFormat, Settings},
    ui::{self, table::table},
};

/// # Errors
/// When the cache cannot be read, or an entry cannot be removed.
pub(super) async fn cache(settings: &Settings, command: &CacheCommand) -> Result<(), CommandError> {
    let folder = CacheFolder(settings.folders.cache.clone());
    let failed = |error: std::io::Error| {
        let cause = format!("cannot clean up or read the cache in {}: {error}", folder.0.display());
        CommandError::failed(Problem::new(cause).help("set CMDR_CACHE to a writable folder"))
    };
    match command {
        CacheCommand::Dir => show_folder(settings),
        CacheCommand::Size => {
            let mut parts = folder.parts().map_err(failed)?;
            parts.extend(kept_nodes(settings, None).await?);
            show(settings, &parts);
        }
        CacheCommand::Prune { all } => {
            let pruning = if *all { Pruning::All } else { Pruning::Unused };
            let mut removed = folder.prune(pruning, settings.dry_run).map_err(failed)?;
            removed.extend(kept_nodes(settings, Some(pruning)).await?);
            if !settings.quiet {
                ui::print_message(if settings.dry_run { "would remove:" } else { "removed:" });
            }
            show(settings, &removed);
        }
    }
    Ok(())
}

/// The kept nodes of this user's clusters, or those that are removed. Without Docker, there are none.
async fn kept_nodes(settings: &Settings, pruning: Option<Pruning>) -> Result<Option<CachePart>, CommandError> {
    let docker = match Docker::connect(&docker_lookup(settings)).await {
        Ok(docker) => docker,
        Err(error) => {
            if !settings.quiet {
                ui::print_message(&format!("kept nodes are not included: {}", error.problem().message));
            }
            return Ok(None);
        }
    };
    let mut kept = docker.snapshots(SnapshotKind::KeptNode, None).await.map_err(docker_error)?;
    let now = Timestamp::now();
    kept.retain(|kept| kept.mounts_from(&settings.folders.state));
    kept.retain(|kept| pruning != Some(Pruning::Unused) || is_outdated(kept, now));
    for kept in kept.iter().filter(|_| pruning.is_some() && !settings.dry_run) {
        docker.delete_snapshot(kept).await.map_err(docker_error)?;
    }
    let bytes = kept.iter().map(|kept| kept.bytes).sum();
    Ok(Some(CachePart { content: "kept nodes", entries: kept.len(), bytes }))
}

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CacheDocument {
    folder: PathBuf,
    parts: Vec<CachePart>,
    entries: usize,
    bytes: u64,
}

fn show_folder(settings: &Settings) {
    let folder = &settings.folders.cache;
    ui::print(&match settings.output {
        OutputFormat::Json => format!("{}\n", json!({"folder": folder})),
        OutputFormat::Text => format!("{}\n", folder.display()),
    });
}

/// Prints each part, then the total.
fn show(settings: &Settings, parts: &[CachePart]) {
    let entries: usize = parts.iter().map(|part| part.entries).sum();
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if settings.output == OutputFormat::Json {
        let folder = settings.folders.cache.clone();
        let document = CacheDocument { folder, parts: parts.to_vec(), entries, bytes };
        return ui::print(&format!("{}\n", json!(document)));
    }
    let total = CachePart { content: "total", entries, bytes };
    let head = ["CONTENT", "ENTRIES", "SIZE"].map(str::to_owned).to_vec();
    let lines = parts
        .iter()
        .chain([&total])
        .map(|part| vec![part.content.to_owned(), part.entries.to_string(), size(part.bytes)]);
    ui::print(&table(&std::iter::once(head).chain(lines).collect::<Vec<_>>()));
}

/// A size in bytes in the largest unit in which it is at least 1, with one decimal place: `12.4 MB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // In tenths of a unit, so that no digit is lost to a floating-point number.
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let shown = [0, 999, 1000, 1_234_567, 999_999, 12_345_678_901].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.2 MB", "999.9 kB", "12.3 GB"]);
    }
}
