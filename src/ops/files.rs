//! Files from disk of projects, and their dashboards: read from the workspace, or taken from an exported ledger.

use std::{collections::BTreeMap, fs};

use crate::{
    config::{dashboards, disk_files},
    domain::{
        Name, Problem, ResolvedProject,
        disk_files::{DiskFile, PackedFiles, file_maps},
        objects::add_dashboards,
    },
    error::{CommandError, ErrorKind},
    ops::{selection::Selection, session::Session},
    plan::up::DescribedProject,
};

/// The files from disk of the selected projects, by project.
#[derive(Debug, Default)]
pub(crate) struct ProjectFiles {
    packed: BTreeMap<Name, PackedFiles>,
    /// By their keys in a ConfigMap.
    dashboards: BTreeMap<Name, BTreeMap<String, String>>,
}

impl ProjectFiles {
    /// Reads the files. The workspace was checked before, so only a file that was changed in the meantime is an error.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub(crate) fn read<'a>(
        session: &Session,
        projects: impl IntoIterator<Item = &'a ResolvedProject>,
    ) -> Result<Self, CommandError> {
        let root = &session.loaded.workspace.root;
        let (mut all, mut wrong) = (Self::default(), Vec::new());
        for project in projects {
            let mut files = Vec::new();
            for (path, found) in disk_files(project, root) {
                let is_executable = found.is_executable;
                match fs::read(&found.source) {
                    Ok(content) => files.push(DiskFile { path, content, is_executable }),
                    Err(error) => wrong.push(Problem::new(format!("cannot read {}: {error}", found.source.display()))),
                }
            }
            if !files.is_empty() {
                all.packed.insert(project.name.clone(), PackedFiles::new(project.name.as_str(), files));
            }
            match dashboards(project, root) {
                Ok(found) if found.is_empty() => (),
                Ok(found) => _ = all.dashboards.insert(project.name.clone(), found),
                Err(reason) => wrong.push(Problem::new(reason)),
            }
        }
        CommandError::require_none(ErrorKind::Usage, wrong)?;
        Ok(all)
    }

    /// The project with the values that mount its files, and with its dashboards: a changed file is a changed value.
    pub(crate) fn mounted(&self, mut project: ResolvedProject) -> ResolvedProject {
        if let Some(packed) = self.packed.get(&project.name) {
            packed.add_to(&mut project.values);
        }
        if let Some(dashboards) = self.dashboards.get(&project.name) {
            add_dashboards(&mut project.values, dashboards);
        }
        project
    }

    /// Adds the ConfigMaps to the described releases. The content of a record has those of an exported ledger; others
    /// that it mounts are in the cluster.
    pub(crate) fn add_to(&self, described: &mut [DescribedProject], selection: &Selection) {
        for DescribedProject { name, release, .. } in described {
            let of_ledger = |name: &str| selection.files.get(name).cloned();
            release.files = if selection.contents.contains_key(name.as_str()) {
                file_maps(&release.content.values).filter_map(of_ledger).collect()
            } else {
                self.packed.get(name).map(|packed| packed.maps.clone()).unwrap_or_default()
            };
        }
    }
}
