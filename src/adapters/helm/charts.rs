//! Charts on this machine. Each chart is fetched once and cached.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use super::{Helm, HelmError, ProcessError};
use crate::domain::{Chart, ChartDigest, ChartSource, Values, mirror::ChartMirror, yaml};

/// The universal chart, which is embedded in cmdr.
static UNIVERSAL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/charts/service");

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
    /// `values.schema.json`, if the chart has one.
    pub schema: Option<serde_json::Value>,
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

/// A chart in a registry or a chart repository.
#[derive(Debug)]
struct RemoteChart<'a> {
    /// An `oci://` reference, or the URL of the repository.
    origin: &'a str,
    name: &'a str,
    /// Empty if the workspace sets none.
    version: &'a str,
}

impl RemoteChart<'_> {
    /// Returns the name of its archive in the cache, which is different for each origin.
    fn file_name(&self) -> String {
        let Self { origin, name, version } = self;
        let key = digest_of(&BTreeMap::from([(format!("{origin} {name} {version}"), Vec::new())]));
        format!("{name}-{version}-{}.tgz", &key.as_str()[..16])
    }
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
        let version = chart.version.as_deref().unwrap_or_default();
        match &chart.source {
            ChartSource::Universal => self.universal(),
            ChartSource::Path(path) => inspect_folder(path),
            ChartSource::Oci(reference) => {
                let name = reference.rsplit('/').next().unwrap_or(reference);
                let origin = &format!("oci://{reference}");
                self.pulled(helm, &RemoteChart { origin, name, version }, cancel).await
            }
            ChartSource::Repository { url: origin, name } => {
                self.pulled(helm, &RemoteChart { origin, name, version }, cancel).await
            }
        }
    }

    /// Writes the universal chart to the cache, under its digest, unless it exists.
    pub(super) fn universal(&self) -> Result<FetchedChart, HelmError> {
        let mut files = BTreeMap::new();
        embedded_files(&UNIVERSAL, &mut files);
        let target = self.folder.join(format!("service-{}", &digest_of(&files).as_str()[..16]));
        if !target.is_dir() {
            let fresh = target.with_extension(format!("new-{}", std::process::id()));
            for (name, content) in &files {
                let file = fresh.join(name);
                fs::create_dir_all(file.parent().unwrap_or(&fresh)).map_err(|error| cannot("write", &file, &error))?;
                fs::write(&file, content).map_err(|error| cannot("write", &file, &error))?;
            }
            put_in_place(&fresh, &target)?;
        }
        inspect_folder(&target)
    }

    async fn pulled(
        &self,
        helm: &Helm,
        chart: &RemoteChart<'_>,
        cancel: &CancellationToken,
    ) -> Result<FetchedChart, HelmError> {
        let target = self.folder.join(chart.file_name());
        if !target.is_file() {
            self.pull(helm, chart, &target, cancel).await?;
        }
        inspect_archive(&target)
    }

    async fn pull(
        &self,
        helm: &Helm,
        chart: &RemoteChart<'_>,
        target: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let fresh = target.with_extension(format!("new-{}", std::process::id()));
        fs::create_dir_all(&fresh).map_err(|error| cannot("create", &fresh, &error))?;
        let RemoteChart { name, version, .. } = *chart;
        let origin = self.mirrored(chart.origin);
        let mut tool = helm.bare().args(["pull", "--version", version, "--destination"]).arg(&fresh);
        tool = if origin.starts_with("oci://") { tool.arg(&origin) } else { tool.args([name, "--repo", &origin]) };
        if is_plain(&origin) {
            tool = tool.arg("--plain-http");
        }
        let pulled = tool.run(cancel).await.map_err(|error| match error {
            ProcessError::Failed { stderr, .. } => HelmError::Pull(stderr),
            other => other.into(),
        });
        let result = pulled.and_then(|_| {
            let archive = only_file(&fresh)?;
            put_in_place(&archive, target)
        });
        // Removes the remains of a failed pull.
        let _ = fs::remove_dir_all(&fresh);
        result
    }

    fn mirrored(&self, origin: &str) -> String {
        self.mirrors.iter().find_map(|mirror| mirror.apply(origin)).unwrap_or_else(|| origin.to_owned())
    }
}

/// Registries on this machine use plain HTTP.
fn is_plain(origin: &str) -> bool {
    let registry = origin.strip_prefix("oci://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let end = if registry.starts_with('[') { registry.find(']').map(|at| at + 1) } else { registry.find(':') };
    ["localhost", "127.0.0.1", "[::1]"].contains(&&registry[..end.unwrap_or(registry.len())])
}

fn only_file(folder: &Path) -> Result<PathBuf, HelmError> {
    let mut entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
    match entries.next() {
        Some(Ok(entry)) => Ok(entry.path()),
        _ => Err(HelmError::Chart("helm pull wrote no archive".to_owned())),
    }
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

fn embedded_files(folder: &Dir<'_>, files: &mut BTreeMap<String, Vec<u8>>) {
    for file in folder.files() {
        files.insert(file.path().to_string_lossy().into_owned(), file.contents().to_vec());
    }
    for folder in folder.dirs() {
        embedded_files(folder, files);
    }
}

fn digest_of(files: &BTreeMap<String, Vec<u8>>) -> ChartDigest {
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
    let mut files = BTreeMap::new();
    read_files(folder, folder, &mut files)?;
    let digest = digest_of(&files);
    describe(folder, digest, &files)
}

fn read_files(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), HelmError> {
    for entry in fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))? {
        let path = entry.map_err(|error| cannot("read", folder, &error))?.path();
        if path.is_dir() {
            read_files(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).map_err(|error| cannot("read", &path, &error))?);
        }
    }
    Ok(())
}

fn inspect_archive(archive: &Path) -> Result<FetchedChart, HelmError> {
    let packed = fs::read(archive).map_err(|error| cannot("read", archive, &error))?;
    let digest = digest_of(&BTreeMap::from([(String::new(), packed.clone())]));
    let mut files = BTreeMap::new();
    let broken = |error: std::io::Error| cannot("unpack", archive, &error);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        // An archive contains one folder with the name of the chart; files of subcharts are at deeper levels.
        let inner: PathBuf = path.components().skip(1).collect();
        if ["Chart.yaml", "values.yaml", "values.schema.json"].iter().any(|wanted| inner == Path::new(wanted)) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(broken)?;
            files.insert(inner.to_string_lossy().into_owned(), content);
        }
    }
    describe(archive, digest, &files)
}

fn describe(path: &Path, digest: ChartDigest, files: &BTreeMap<String, Vec<u8>>) -> Result<FetchedChart, HelmError> {
    let wrong = |what: String| HelmError::Chart(format!("{}: {what}", path.display()));
    let metadata = files.get("Chart.yaml").ok_or_else(|| wrong("not a chart: Chart.yaml not found".to_owned()))?;
    let metadata: Metadata = read(metadata).map_err(|error| wrong(format!("Chart.yaml: {error}")))?;
    let schema = match files.get("values.schema.json") {
        Some(text) => {
            Some(serde_json::from_slice(text).map_err(|error| wrong(format!("values.schema.json: {error}")))?)
        }
        None => None,
    };
    let values = files.get("values.yaml").map(|text| read::<Option<Values>>(text));
    let values = values.transpose().map_err(|error| wrong(format!("values.yaml: {error}")))?;
    Ok(FetchedChart {
        path: path.to_owned(),
        name: metadata.name,
        version: metadata.version,
        app_version: metadata.app_version,
        digest,
        schema,
        values: values.flatten().unwrap_or_default(),
    })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    yaml::read(std::str::from_utf8(bytes).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_chart_are_read_as_helm_reads_them() {
        let chart = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let files = BTreeMap::from([
            chart("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.0\nappVersion: 1.10\n"),
            chart("values.yaml", "defaultMode: 0644\nenabled: yes\n"),
        ]);
        let chart = describe(Path::new("shop"), digest_of(&files), &files).unwrap();
        assert_eq!((chart.version.as_str(), chart.app_version.as_deref()), ("1.2.0", Some("1.10")));
        assert_eq!((&chart.values["defaultMode"], &chart.values["enabled"]), (&420.into(), &true.into()));
        let empty = BTreeMap::from([
            files.get_key_value("Chart.yaml").map(|(name, text)| (name.clone(), text.clone())).unwrap(),
            ("values.yaml".to_owned(), b"# none\n".to_vec()),
        ]);
        assert!(describe(Path::new("shop"), digest_of(&empty), &empty).unwrap().values.is_empty());
    }

    #[test]
    fn only_registries_on_this_machine_use_plain_http() {
        for plain in ["oci://localhost/a", "oci://localhost:5001/a/b", "oci://127.0.0.1:5555/a", "oci://[::1]:5000/a"] {
            assert!(is_plain(plain), "{plain}");
        }
        let secure =
            ["oci://localhost.example.com/a", "oci://127.0.0.1.nip.io/a", "https://localhost/charts", "oci://[::2]/a"];
        for secure in secure {
            assert!(!is_plain(secure), "{secure}");
        }
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
        assert!(first.values.contains_key("kind"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_without_metadata_is_no_chart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(inspect_folder(folder.path()).unwrap_err().to_string().contains("Chart.yaml not found"));
    }
}
