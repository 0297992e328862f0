//! Charts on this machine. Each chart is fetched once and cached.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    Helm, HelmError,
    definitions::{ChartDefinitions, is_definition_file},
    dependencies::ChartFolder,
    folder::{ChartFiles, read_chart},
    pull::RemoteChart,
    schema::ClosedSchema,
    subcharts,
};
use crate::{
    adapters::cache::{UNFINISHED, mark_used},
    domain::{Chart, ChartDigest, ChartSource, Values, mirror::ChartMirror, yaml},
};

/// The universal chart, which is embedded in cmdr.
static UNIVERSAL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/charts/service");

/// The file with the JSON Schema of a chart's values.
const SCHEMA_FILE: &str = "values.schema.json";

/// A chart on this machine that Helm can use.
#[derive(Debug, Clone)]
pub struct FetchedChart {
    /// A folder or an archive.
    pub path: PathBuf,
    pub name: String,
    pub version: String,
    pub app_version: Option<String>,
    /// SHA-256 of the archive, or of the folder's files.
    pub digest: ChartDigest,
    /// `values.schema.json`, if the chart has one, without references to documents outside of the chart.
    pub schema: Option<serde_json::Value>,
    /// References of the schema to documents outside of the chart, whose content is not checked.
    pub unread_references: BTreeSet<String>,
    /// The CustomResourceDefinitions in `crds/` folders.
    pub definitions: ChartDefinitions,
    /// `values.yaml`: the default values, which a project overrides.
    pub values: Values,
}

impl FetchedChart {
    /// Returns the label in the format of `helm.sh/chart`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// The folder of cached charts, and the mirrors to fetch them from.
#[derive(Debug, Clone)]
pub struct ChartCache {
    pub folder: PathBuf,
    pub mirrors: Vec<ChartMirror>,
}

/// The keys of `Chart.yaml` that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    version: String,
    /// As written: an unquoted `1.10` is that text.
    app_version: Option<String>,
}

impl ChartCache {
    /// Returns the chart from the cache, or fetches it with `helm pull`.
    ///
    /// # Errors
    /// If the chart cannot be fetched or is invalid.
    pub async fn fetch(
        &self,
        helm: &Helm,
        chart: &Chart,
        cancel: &CancellationToken,
    ) -> Result<FetchedChart, HelmError> {
        if let Some(remote) = RemoteChart::of(chart) {
            let target = self.folder.join(remote.file_name());
            if !target.is_file() {
                self.pull(helm, &remote, &target, cancel).await?;
            }
            mark_used(&target);
            return inspect_archive(&target);
        }
        match &chart.source {
            ChartSource::Path(path) => self.local(helm, path, cancel).await,
            _ => self.universal(),
        }
    }

    /// Returns whether [`ChartCache::fetch`] needs no network for the chart.
    pub fn has(&self, chart: &Chart) -> bool {
        RemoteChart::of(chart).is_none_or(|remote| self.folder.join(remote.file_name()).is_file())
    }

    /// Writes the universal chart to the cache, under its digest, unless it exists. Helm stores all files of a chart in
    /// each revision of each release: without the schema, by which cmdr itself checks the values, these have half the
    /// size.
    pub(super) fn universal(&self) -> Result<FetchedChart, HelmError> {
        let mut files = ChartFiles::new();
        embedded_files(&UNIVERSAL, &mut files);
        let schema = schema(&files).map_err(|error| HelmError::Chart(format!("{SCHEMA_FILE}: {error}")))?;
        files.remove(SCHEMA_FILE);
        let target = self.folder.join(format!("service-{}", &digest_of(&files).as_str()[..16]));
        if !target.is_dir() {
            self.write(&files, &target)?;
        }
        mark_used(&target);
        Ok(FetchedChart { schema: schema.map(|closed| closed.schema), ..inspect_folder(&target)? })
    }

    /// A chart in a folder of the workspace. With `file://` dependencies it is put together in the cache, under its
    /// digest, so that a change of a dependency is a change of the chart.
    async fn local(&self, helm: &Helm, path: &Path, cancel: &CancellationToken) -> Result<FetchedChart, HelmError> {
        let chart = ChartFolder::read(path)?;
        if !chart.is_assembled {
            return describe(path, digest_of(&chart.files), &chart.files);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self.folder.join(format!("{name}-assembled-{}", &digest_of(&chart.files).as_str()[..16]));
        if !target.is_dir() {
            let fresh = self.fresh(&name)?;
            write_files(&chart.files, fresh.path())?;
            helm.check_dependencies(fresh.path(), path, cancel).await?;
            put_in_place(fresh.path(), &target)?;
        }
        mark_used(&target);
        inspect_folder(&target)
    }

    /// A new folder in the cache. It is removed when it is dropped, unless it was renamed: an interrupted or failed
    /// fetch leaves nothing.
    pub(super) fn fresh(&self, name: &str) -> Result<TempDir, HelmError> {
        let prefix = format!("{name}{UNFINISHED}");
        let created = fs::create_dir_all(&self.folder)
            .and_then(|()| tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.folder));
        created.map_err(|error| cannot("create a folder in", &self.folder, &error))
    }

    fn write(&self, files: &ChartFiles, target: &Path) -> Result<(), HelmError> {
        let fresh = self.fresh("chart")?;
        write_files(files, fresh.path())?;
        put_in_place(fresh.path(), target)
    }
}

fn write_files(files: &ChartFiles, folder: &Path) -> Result<(), HelmError> {
    for (name, content) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(|error| cannot("write", &file, &error))?;
        fs::write(&file, content).map_err(|error| cannot("write", &file, &error))?;
    }
    Ok(())
}

/// Renames the chart, so that another cmdr run never sees an incomplete one. If that run was faster, its chart is the
/// same.
pub(super) fn put_in_place(fresh: &Path, target: &Path) -> Result<(), HelmError> {
    match fs::rename(fresh, target) {
        Err(_) if target.exists() => Ok(()),
        Err(error) => Err(cannot("write", target, &error)),
        Ok(()) => Ok(()),
    }
}

pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> HelmError {
    HelmError::Chart(format!("cannot {what} {}: {error}", path.display()))
}

fn embedded_files(folder: &Dir<'_>, files: &mut ChartFiles) {
    for file in folder.files() {
        files.insert(file.path().to_string_lossy().into_owned(), file.contents().to_vec());
    }
    for folder in folder.dirs() {
        embedded_files(folder, files);
    }
}

pub(super) fn digest_of(files: &ChartFiles) -> ChartDigest {
    let mut bytes = Vec::new();
    for (name, content) in files {
        for part in [name.as_bytes(), content] {
            bytes.extend(part.len().to_be_bytes());
            bytes.extend(part);
        }
    }
    ChartDigest::of(&bytes)
}

pub(super) fn inspect_folder(folder: &Path) -> Result<FetchedChart, HelmError> {
    let files = read_chart(folder)?;
    describe(folder, digest_of(&files), &files)
}

fn inspect_archive(archive: &Path) -> Result<FetchedChart, HelmError> {
    let packed = fs::read(archive).map_err(|error| cannot("read", archive, &error))?;
    let files = archived_files(archive, &packed)?;
    describe(archive, digest_of(&ChartFiles::from([(String::new(), packed)])), &files)
}

/// The files of a chart that cmdr itself reads: a folder, or an archive.
pub(super) fn chart_files(chart: &Path) -> Result<ChartFiles, HelmError> {
    if chart.is_dir() {
        return read_chart(chart);
    }
    archived_files(chart, &fs::read(chart).map_err(|error| cannot("read", chart, &error))?)
}

pub(super) fn archived_files(archive: &Path, packed: &[u8]) -> Result<ChartFiles, HelmError> {
    let mut files = ChartFiles::new();
    let broken = |error: std::io::Error| cannot("unpack", archive, &error);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        // An archive contains one folder with the name of the chart; files of subcharts are at deeper levels.
        let inner: PathBuf = path.components().skip(1).collect();
        let name = inner.to_string_lossy().into_owned();
        if is_schema_file(&name) || is_definition_file(&name) || subcharts::is_read(&name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(broken)?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

/// Whether a file of a chart, and not of its subcharts, can be a JSON Schema.
fn is_schema_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json") && !name.starts_with("charts/")
}

fn describe(path: &Path, digest: ChartDigest, files: &ChartFiles) -> Result<FetchedChart, HelmError> {
    let wrong = |what: String| HelmError::Chart(format!("{}: {what}", path.display()));
    let metadata = files.get("Chart.yaml").ok_or_else(|| wrong("not a chart: Chart.yaml not found".to_owned()))?;
    let metadata: Metadata = read(metadata).map_err(|error| wrong(format!("Chart.yaml: {error}")))?;
    let schema = schema(files).map_err(|error| wrong(format!("{SCHEMA_FILE}: {error}")))?;
    let values = files.get("values.yaml").map(|text| read::<Option<Values>>(text));
    let values = values.transpose().map_err(|error| wrong(format!("values.yaml: {error}")))?;
    Ok(FetchedChart {
        path: path.to_owned(),
        name: metadata.name,
        version: metadata.version,
        app_version: metadata.app_version,
        digest,
        definitions: ChartDefinitions::read(files).map_err(wrong)?,
        unread_references: schema.as_ref().map(|schema| schema.unread.clone()).unwrap_or_default(),
        schema: schema.map(|closed| closed.schema),
        values: values.flatten().unwrap_or_default(),
    })
}

/// `values.schema.json`, with the files of the chart that it refers to.
fn schema(files: &ChartFiles) -> Result<Option<ClosedSchema>, serde_json::Error> {
    let Some(text) = files.get(SCHEMA_FILE) else { return Ok(None) };
    let others = files.iter().filter(|(name, _)| is_schema_file(name));
    let others = others.filter_map(|(name, text)| Some((name.clone(), serde_json::from_slice(text).ok()?))).collect();
    Ok(Some(ClosedSchema::of(serde_json::from_slice(text)?, &others)))
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    yaml::read(std::str::from_utf8(bytes).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_chart_are_read_as_helm_reads_them() {
        let chart = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let files = ChartFiles::from([
            chart("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.0\nappVersion: 1.10\n"),
            chart("values.yaml", "defaultMode: 0644\nenabled: yes\n"),
        ]);
        let chart = describe(Path::new("shop"), digest_of(&files), &files).unwrap();
        assert_eq!((chart.version.as_str(), chart.app_version.as_deref()), ("1.2.0", Some("1.10")));
        assert_eq!((&chart.values["defaultMode"], &chart.values["enabled"]), (&420.into(), &true.into()));
        let empty = ChartFiles::from([
            files.get_key_value("Chart.yaml").map(|(name, text)| (name.clone(), text.clone())).unwrap(),
            ("values.yaml".to_owned(), b"# none\n".to_vec()),
        ]);
        assert!(describe(Path::new("shop"), digest_of(&empty), &empty).unwrap().values.is_empty());
    }

    #[test]
    fn the_universal_chart_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ChartCache { folder: folder.path().to_owned(), mirrors: Vec::new() };
        let first = cache.universal().unwrap();
        let again = cache.universal().unwrap();
        assert_eq!((first.name.as_str(), &first.path), ("service", &again.path));
        assert_eq!(first.digest, again.digest);
        assert!(first.schema.is_some());
        assert!(first.path.join("Chart.yaml").is_file() && !first.path.join(SCHEMA_FILE).exists());
        assert!(first.values.contains_key("kind"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_without_metadata_is_no_chart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(inspect_folder(folder.path()).unwrap_err().to_string().contains("Chart.yaml not found"));
    }
}
