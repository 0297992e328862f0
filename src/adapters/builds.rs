//! The last build of each project, stored on this machine next to the folder of a local cluster.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    adapters::build_context::ContextState,
    domain::{ImageReference, Name},
};

/// Steps that build in parallel write the same file.
static WRITING: Mutex<()> = Mutex::new(());

/// The file of builds. It survives the cluster, as the registry does.
#[derive(Debug, Clone)]
pub struct Builds(pub PathBuf);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KnownBuilds {
    /// `localhost:5001/tunes/shop:0123456789ab@sha256:...` by project.
    builds: BTreeMap<String, String>,
    /// The folder of each project when it was built.
    folders: BTreeMap<String, ContextState>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot save builds in {}: {source}", path.display())]
pub struct BuildsError {
    path: PathBuf,
    source: std::io::Error,
}

impl Builds {
    /// Returns the last build of each project. Without a readable file there are none: projects are built again.
    pub fn all(&self) -> BTreeMap<String, ImageReference> {
        let built = self.read().builds.into_iter();
        built.filter_map(|(project, image)| Some((project, ImageReference::parse(&image).ok()?))).collect()
    }

    /// Returns the folder of each project when it was last built.
    pub fn folders(&self) -> BTreeMap<String, ContextState> {
        self.read().folders
    }

    /// Saves the build of projects that share it, with the state of its folder.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember<'a>(
        &self,
        projects: impl IntoIterator<Item = &'a Name>,
        image: &ImageReference,
        folder: Option<&ContextState>,
    ) -> Result<(), BuildsError> {
        self.change(|content| {
            for project in projects {
                content.builds.insert(project.to_string(), image.to_string());
                content.folders.remove(project.as_str());
                content.folders.extend(folder.map(|folder| (project.to_string(), folder.clone())));
            }
        })
    }

    /// Removes the builds of these projects.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget(&self, projects: &[Name]) -> Result<(), BuildsError> {
        let is_kept = |project: &String| !projects.iter().any(|name| name.as_str() == project);
        self.change(|content| {
            content.builds.retain(|project, _| is_kept(project));
            content.folders.retain(|project, _| is_kept(project));
        })
    }

    /// Removes every build.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn clear(&self) -> Result<(), BuildsError> {
        match fs::remove_file(&self.0) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(BuildsError { path: self.0.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut KnownBuilds)) -> Result<(), BuildsError> {
        let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = self.read();
        change(&mut content);
        let text = serde_json::to_vec_pretty(&content).unwrap_or_default();
        write_whole(&self.0, &text).map_err(|source| BuildsError { path: self.0.clone(), source })
    }

    fn read(&self) -> KnownBuilds {
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// Writes a file atomically: readers find the old or the new content, even if this process is killed.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_remembered_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let builds = Builds(folder.path().join("clusters/tunes.builds.json"));
        assert!(builds.all().is_empty());
        let name = |name: &str| Name::new(name).unwrap();
        let image = ImageReference::parse("localhost:5001/tunes/shop:0123456789ab").unwrap();
        builds.remember([&name("shop"), &name("search")], &image, None).unwrap();
        assert_eq!(builds.all()["shop"], image);
        builds.forget(&[name("shop")]).unwrap();
        assert_eq!(builds.all().into_keys().collect::<Vec<_>>(), ["search"]);
        assert_eq!(fs::read_dir(folder.path().join("clusters")).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_remembers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let builds = Builds(folder.path().join("builds.json"));
        fs::write(&builds.0, "{\"builds\": {\"shop\": ").unwrap();
        assert!(builds.all().is_empty());
        fs::write(&builds.0, "{\"builds\": {\"shop\": \"localhost:5001/Shop\"}}").unwrap();
        assert!(builds.all().is_empty());
    }
}
