//! Writes a new project. Its folder appears as a whole, and projects.yaml is written last: a run that is killed leaves no
//! entry without files, and the next run continues.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{NewProject, exists};
use crate::{
    config::EditedFile,
    domain::{
        Problem,
        project_template::{FileContent, FileTree},
    },
    error::CommandError,
};

/// Checks that the folder does not exist. One with exactly these files was written by a run that was killed.
///
/// # Errors
/// If it exists with other content.
pub(super) fn check_absent(folder: &Path, files: &FileTree) -> Result<(), CommandError> {
    if !exists(folder) || has_exactly(folder, files) {
        return Ok(());
    }
    let cause = format!("{} already exists", folder.display());
    Err(CommandError::usage(Problem::new(cause).help("choose another name, or another folder with --folder")))
}

fn has_exactly(folder: &Path, files: &FileTree) -> bool {
    let is_same =
        |(path, file): (&String, &FileContent)| fs::read(folder.join(path)).is_ok_and(|found| found == file.bytes);
    files.iter().all(is_same) && count(folder).is_ok_and(|found| found == files.len())
}

/// The number of files below a folder.
fn count(folder: &Path) -> io::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        found += if fs::symlink_metadata(&path)?.is_dir() { count(&path)? } else { 1 };
    }
    Ok(found)
}

/// Writes the files of the project, then the files of the workspace that name it.
///
/// # Errors
/// If a file cannot be written, or was changed in the meantime.
pub(crate) fn write(project: &NewProject) -> Result<(), CommandError> {
    for (edited, before) in &project.edits {
        if fs::read(&edited.path).is_ok_and(|now| now != before.as_bytes()) {
            let cause = format!("{} was changed in the meantime", edited.path.display());
            return Err(CommandError::failed(Problem::new(cause).help("run the command again")));
        }
    }
    if !exists(&project.folder) {
        write_folder(&project.folder, &project.files).map_err(|error| cannot_write(&project.folder, &error))?;
    }
    for (edited, _) in &project.edits {
        replace(edited).map_err(|error| cannot_write(&edited.path, &error))?;
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(Problem::new(format!("cannot write {}: {error}", path.display())))
}

/// Writes the files to a folder beside the final one, which then gets its name.
fn write_folder(folder: &Path, files: &FileTree) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let unfinished = unfinished(folder);
    // A run that was killed may have left it.
    let _ = fs::remove_dir_all(&unfinished);
    let written = write_files(&unfinished, files).and_then(|()| {
        if exists(folder) { Err(io::ErrorKind::AlreadyExists.into()) } else { fs::rename(&unfinished, folder) }
    });
    let _ = fs::remove_dir_all(&unfinished);
    written
}

fn unfinished(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.cmdr-new"))
}

fn write_files(folder: &Path, files: &FileTree) -> io::Result<()> {
    for (path, file) in files {
        let target = folder.join(path);
        fs::create_dir_all(target.parent().unwrap_or(folder))?;
        fs::write(&target, &file.bytes)?;
        if file.is_executable {
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Replaces a file as a whole, with the permissions that it has. A link stays a link.
fn replace(edited: &EditedFile) -> io::Result<()> {
    let path = fs::canonicalize(&edited.path)?;
    let new = NamedTempFile::new_in(path.parent().unwrap_or(&path))?;
    fs::write(new.path(), &edited.text)?;
    fs::set_permissions(new.path(), fs::metadata(&path)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|error| error.error).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> FileTree {
        let file = |is_executable| FileContent { bytes: b"x".to_vec(), is_executable };
        FileTree::from([("src/main.go".to_owned(), file(false)), ("run".to_owned(), file(true))])
    }

    #[test]
    fn a_folder_appears_as_a_whole_and_a_killed_run_continues() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("services/cart");
        fs::create_dir_all(unfinished(&folder).join("half")).unwrap();
        write_folder(&folder, &files()).unwrap();
        assert_eq!(fs::read_dir(place.path().join("services")).unwrap().count(), 1, "nothing unfinished is left");
        assert_eq!(fs::metadata(folder.join("run")).unwrap().permissions().mode() & 0o111, 0o111);
        check_absent(&folder, &files()).unwrap();
        fs::write(folder.join("more"), "").unwrap();
        assert!(check_absent(&folder, &files()).is_err(), "a file of the user is in the folder");
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_its_link() {
        let place = tempfile::tempdir().unwrap();
        let (file, link) = (place.path().join("real.yaml"), place.path().join("projects.yaml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yaml", &link).unwrap();
        replace(&EditedFile { path: link.clone(), text: "new".to_owned() }).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
