//! Dependencies of a chart in a folder: those with `file://` are taken from their folders, as they are now.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Helm, HelmError,
    charts::read,
    folder::{ChartFiles, read_chart},
};

/// Folders that depend on each other in a chain longer than this depend on themselves.
const DEEPEST: usize = 16;
/// States of a dependency in which Helm uses it.
const USABLE: [&str; 2] = ["ok", "unpacked"];

/// The keys of `Chart.yaml` or `requirements.yaml` that are read.
#[derive(Default, Deserialize)]
pub(super) struct Declared {
    #[serde(default)]
    name: String,
    #[serde(default)]
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    repository: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) condition: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

impl Dependency {
    /// Returns the folder of a `file://` dependency.
    fn folder(&self, chart: &Path) -> Option<PathBuf> {
        Some(chart.join(self.repository.as_deref()?.strip_prefix("file://")?))
    }
}

/// A chart's folder with its dependencies.
pub(super) struct ChartFolder {
    pub(super) files: ChartFiles,
    /// Whether files were added that the folder itself does not contain.
    pub(super) is_assembled: bool,
}

impl ChartFolder {
    /// Reads a chart, and puts the files of its `file://` dependencies below `charts/`.
    ///
    /// # Errors
    /// If a file cannot be read, or a dependency is missing or has another name: all such dependencies at once.
    pub(super) fn read(folder: &Path) -> Result<Self, HelmError> {
        Self::read_at(folder, 0)
    }

    fn read_at(folder: &Path, depth: usize) -> Result<Self, HelmError> {
        if depth > DEEPEST {
            return Err(HelmError::Chart(format!("{}: the chart depends on itself", folder.display())));
        }
        let mut chart = Self { files: read_chart(folder)?, is_assembled: false };
        let mut missing = Vec::new();
        for dependency in declared(folder, &chart.files)?.dependencies {
            match dependency.folder(folder).filter(|path| path.is_dir()) {
                Some(path) => chart.add(&dependency.name, &path, depth)?,
                None if !chart.contains(&dependency.name) => missing.push(dependency.name),
                None => (),
            }
        }
        if missing.is_empty() { Ok(chart) } else { Err(HelmError::Dependencies(folder.to_owned(), missing)) }
    }

    /// Replaces the copy of a dependency below `charts/` by the files of its folder.
    fn add(&mut self, name: &str, folder: &Path, depth: usize) -> Result<(), HelmError> {
        let dependency = Self::read_at(folder, depth + 1)?;
        let own = declared(folder, &dependency.files)?.name;
        if own != name {
            let cause = format!("{}: expected the chart '{name}', found '{own}'", folder.display());
            return Err(HelmError::Chart(cause));
        }
        self.files.retain(|file, _| !is_part_of(file, name));
        let placed = dependency.files.into_iter().map(|(file, content)| (format!("charts/{name}/{file}"), content));
        self.files.extend(placed);
        self.is_assembled = true;
        Ok(())
    }

    fn contains(&self, name: &str) -> bool {
        let is_named = |(file, text): (&String, &Vec<u8>)| {
            let is_metadata = file.starts_with("charts/") && file.ends_with("/Chart.yaml");
            is_metadata && read::<Declared>(text).is_ok_and(|chart| chart.name == name)
        };
        self.files.keys().any(|file| is_part_of(file, name)) || self.files.iter().any(is_named)
    }
}

/// Whether a file below `charts/` belongs to this dependency: it is its archive, or in its folder.
fn is_part_of(file: &str, name: &str) -> bool {
    let version = |archive: &str| {
        let version = archive.strip_prefix('-').and_then(|rest| rest.strip_suffix(".tgz"));
        version.is_some_and(|version| semver::Version::parse(version.trim_start_matches('v')).is_ok())
    };
    let rest = file.strip_prefix("charts/").and_then(|file| file.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('/') || version(rest))
}

/// What a chart depends on. Charts of the first API version declare it in a file of its own.
pub(super) fn declared(folder: &Path, files: &ChartFiles) -> Result<Declared, HelmError> {
    let mut all = Declared::default();
    for name in ["Chart.yaml", "requirements.yaml"] {
        let Some(text) = files.get(name) else { continue };
        let part: Declared =
            read(text).map_err(|error| HelmError::Chart(format!("{}: {name}: {error}", folder.display())))?;
        all.dependencies.extend(part.dependencies);
        all.name.push_str(&part.name);
    }
    Ok(all)
}

impl Helm {
    /// Checks that Helm uses every dependency of a chart: it leaves out one of another version without an error.
    pub(super) async fn check_dependencies(
        &self,
        assembled: &Path,
        written: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let listed = self.bare().args(["dependency", "list"]).arg(assembled).run(cancel).await?;
        let unusable: Vec<String> = listed.stdout.lines().filter_map(unusable).collect();
        if unusable.is_empty() {
            return Ok(());
        }
        let help = "correct the version under 'dependencies' in Chart.yaml";
        Err(HelmError::Chart(format!("{}: {}; {help}", written.display(), unusable.join(", "))))
    }
}

/// Returns what is wrong with the dependency in a line of Helm's table: name, version, repository, status.
fn unusable(line: &str) -> Option<String> {
    let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [name, version, _, status] = columns[..] else { return None };
    (status != "STATUS" && !USABLE.contains(&status)).then(|| format!("dependency '{name}' {version}: {status}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chart(folder: &Path, name: &str, dependencies: &str) -> PathBuf {
        let chart = folder.join(name);
        fs::create_dir_all(chart.join("templates")).unwrap();
        let text = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\ndependencies: [{dependencies}]\n");
        fs::write(chart.join("Chart.yaml"), text).unwrap();
        fs::write(chart.join("templates/all.yaml"), name).unwrap();
        chart
    }

    #[test]
    fn dependencies_by_file_come_from_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        chart(folder.path(), "base", "");
        chart(folder.path(), "common", r#"{name: base, repository: "file://../base"}"#);
        let app = chart(folder.path(), "app", r#"{name: common, repository: "file://../common"}"#);
        fs::create_dir(app.join("charts")).unwrap();
        fs::write(app.join("charts/common-0.1.0.tgz"), "a stale copy").unwrap();
        let read = ChartFolder::read(&app).unwrap();
        assert!(read.is_assembled);
        let names: Vec<&str> = read.files.keys().map(String::as_str).collect();
        let common = "charts/common";
        let expected = [
            "Chart.yaml",
            &format!("{common}/Chart.yaml"),
            &format!("{common}/charts/base/Chart.yaml"),
            &format!("{common}/charts/base/templates/all.yaml"),
            &format!("{common}/templates/all.yaml"),
            "templates/all.yaml",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn missing_dependencies_are_named_together() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = r#"{name: a, repository: "file://../a"}, {name: b, repository: "https://b.example"}, {name: c}"#;
        let app = chart(folder.path(), "app", wanted);
        fs::create_dir_all(app.join("charts/other")).unwrap();
        fs::write(app.join("charts/other/Chart.yaml"), "name: c").unwrap();
        let Err(HelmError::Dependencies(_, missing)) = ChartFolder::read(&app) else { panic!("it is complete") };
        assert_eq!(missing, ["a", "b"]);
    }

    #[test]
    fn a_chart_that_depends_on_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let app = chart(folder.path(), "app", r#"{name: app, repository: "file://../app"}"#);
        let error = ChartFolder::read(&app).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("depends on itself")));
    }

    #[test]
    fn a_dependency_that_helm_leaves_out_is_found() {
        assert_eq!(unusable("NAME  \tVERSION\tREPOSITORY      \tSTATUS"), None);
        assert_eq!(unusable("common\t0.1.0  \tfile://../common\tunpacked"), None);
        let wrong = unusable("common\t^2.0.0  \tfile://../common\twrong version");
        assert_eq!(wrong.as_deref(), Some("dependency 'common' ^2.0.0: wrong version"));
    }
}
