//! Files that options request: checked before anything is changed, written completely or not at all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::domain::Problem;

/// An option and the file that it requests.
pub type OutputFile<'a> = (&'static str, &'a Path);

/// Checks the files that a run is to write at its end, before it changes anything.
///
/// # Errors
/// Every file that cannot be written, and every file that several options name. All files are left unchanged.
pub fn check_output_files(files: &[OutputFile<'_>]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for (index, (option, path)) in files.iter().enumerate() {
        if let Err(error) = check(path) {
            let cause = format!("{option}: cannot write {}: {error}", path.display());
            problems.push(Problem::new(cause).help("choose a file in an existing, writable folder"));
        } else if let Some((other, _)) = files[..index].iter().find(|(_, other)| is_same(other, path)) {
            let cause = format!("{other} and {option} name the same file: {}", path.display());
            problems.push(Problem::new(cause).help("choose another file for one of them"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Whether both are the same file. A device or a pipe can take several.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        fs::canonicalize(path)
            .or_else(|_| Ok::<_, io::Error>(folder(path).canonicalize()?.join(path.file_name().unwrap_or_default())))
    };
    match (place(one), place(other)) {
        (Ok(one), Ok(other)) => one == other && (one.is_file() || !one.exists()),
        _ => false,
    }
}

/// # Errors
/// When the file cannot be written. The file is left unchanged.
fn check(path: &Path) -> io::Result<()> {
    if path.exists() {
        return fs::OpenOptions::new().append(true).open(path).map(|_| ());
    }
    beside(path).map(|_| ()).map_err(|error| without_path(&error))
}

/// The system's error message, without the name of the temporary file.
fn without_path(error: &io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), text.split(" at path ").next().unwrap_or_default())
}

/// # Errors
/// When the file cannot be written. Its previous content is kept then.
pub fn write_output_file(path: &Path, text: &str) -> io::Result<()> {
    // A device or a pipe is written to, not replaced. The target of a link is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() && !path.is_file() {
        return fs::write(path, text);
    }
    let mut fresh = beside(&path)?;
    fresh.write_all(text.as_bytes())?;
    fresh.persist(path)?;
    Ok(())
}

/// A temporary file in the same folder that can replace the other one, with the default permissions of a new file.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder(path))
}

fn folder(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(PathBuf::from("."), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.html"), folder.path().join("b.html"));
        check(&file).unwrap();
        assert!(!file.exists(), "a check writes nothing");
        write_output_file(&file, "one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        check(&link).unwrap();
        write_output_file(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_is_no_place_for_a_file_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).is_err());
        assert!(check(&folder.path().join("nowhere/a.html")).is_err());
        assert!(check(Path::new("/dev/null")).is_ok());
        write_output_file(Path::new("/dev/null"), "gone").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }

    #[test]
    fn all_wrong_files_are_reported_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (good, same) = (folder.path().join("a.xml"), folder.path().join("./a.xml"));
        let nowhere = folder.path().join("nowhere/a.json");
        let found = check_output_files(&[("--junit", &good), ("--dotenv", &same), ("--export-ledger", &nowhere)]);
        let messages: Vec<String> = found.unwrap_err().into_iter().map(|problem| problem.message).collect();
        assert_eq!(messages[0], format!("--junit and --dotenv name the same file: {}", same.display()));
        let expected = format!("--export-ledger: cannot write {}: ", nowhere.display());
        assert!(messages[1].starts_with(&expected), "{messages:?}");
        assert!(!good.exists(), "a check writes nothing");
        let device = Path::new("/dev/null");
        check_output_files(&[("--junit", device), ("--dotenv", device)]).unwrap();
    }
}
