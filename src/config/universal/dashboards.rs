//! `dashboard`: dashboards of Grafana that come from files of the workspace.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::{
    Mistake,
    files::{Wrong, find},
};
use crate::{
    config::error::quoted,
    domain::{
        ResolvedProject,
        dashboards::{LARGEST_SUM, compact, key},
    },
};

/// The path of the key, from the values on.
const KEY: &str = "dashboard";
const EXPECTED: &str =
    "expected a dashboard of Grafana as JSON, or a folder of them, relative to the file that names it";

/// Returns the dashboards of a project on the universal chart without whitespace, by their keys in a ConfigMap. `root` is
/// the folder of the workspace.
///
/// # Errors
/// The first file that cannot be used.
pub fn dashboards(project: &ResolvedProject, root: &Path) -> Result<BTreeMap<String, String>, String> {
    if !project.is_on_universal_chart() || project.external.is_some() {
        return Ok(BTreeMap::new());
    }
    read(project, root).map_err(|mistake| mistake.message)
}

/// Returns a mistake if the dashboards cannot be used.
pub(super) fn check(project: &ResolvedProject, root: &Path) -> Vec<Mistake> {
    read(project, root).err().into_iter().collect()
}

fn read(project: &ResolvedProject, root: &Path) -> Result<BTreeMap<String, String>, Mistake> {
    let Some(source) = project.values.get(KEY).and_then(Value::as_str) else { return Ok(BTreeMap::new()) };
    let mistake =
        |wrong: Wrong| Mistake { expected: EXPECTED.to_owned(), ..wrong.mistake(vec![KEY.to_owned()], root, source) };
    let found = find(root, source).map_err(mistake)?;
    let (mut all, mut wrong) = (BTreeMap::new(), Vec::new());
    for (below, file) in found {
        let file_name = Path::new(source).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = if below.is_empty() { file_name } else { below.trim_start_matches('/') };
        let text = fs::read(&file.source).map_err(|error| format!("cannot be read: {error}"));
        match text.and_then(|text| compact(&text)) {
            Ok(dashboard) => {
                if all.insert(key(project.name.as_str(), name), dashboard).is_some() {
                    wrong.push((format!("{source}{below}"), "has the name of another one in a ConfigMap".to_owned()));
                }
            }
            Err(reason) => wrong.push((format!("{source}{below}"), reason)),
        }
    }
    if !wrong.is_empty() {
        return Err(mistake(Wrong::Files(wrong)));
    }
    match all.values().map(String::len).sum::<usize>() {
        sum if sum > LARGEST_SUM => Err(too_large(source, sum)),
        _ => Ok(all),
    }
}

fn too_large(source: &str, sum: usize) -> Mistake {
    let kibibytes = |bytes: usize| format!("{} KiB", bytes.div_ceil(1024));
    let message = format!("the dashboards of {} have {} in all", quoted(source), kibibytes(sum));
    let expected = format!("expected at most {}, without whitespace", kibibytes(LARGEST_SUM));
    Mistake::new(vec![KEY.to_owned()], message, expected)
}
