//! Packs changed files for the node, which unpacks them where containers see them.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::domain::dev::{SyncPath, SyncedFile};

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// Changed files, as [`DEV_SYNC`](super::kind::node_scripts::DEV_SYNC) reads them.
#[derive(Debug, Default)]
pub struct SyncArchive {
    /// Standard input of the script.
    pub content: Vec<u8>,
    pub written: usize,
    pub deleted: usize,
}

impl SyncArchive {
    /// Packs the current content of files. `owners` are the user and group of the files of each source. With
    /// `keeps_inodes`, single files are overwritten, which containers see that have mounted them.
    ///
    /// # Errors
    /// The path of a file that cannot be read, with the reason. One that no longer exists is deleted.
    pub fn read(
        files: &[SyncedFile],
        sources: &[SyncPath],
        owners: &[(u64, u64)],
        keeps_inodes: bool,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut parts = Parts { keeps_inodes, ..Parts::default() };
        for file in files {
            let (Some(sync), Some(owner)) = (sources.get(file.number), owners.get(file.number)) else {
                continue;
            };
            parts.add(file, sync, *owner).map_err(|error| (sync.source.join(&file.below), error))?;
        }
        parts.finish().map_err(|error| (PathBuf::new(), error))
    }
}

struct Parts {
    deleted: Vec<u8>,
    /// The files below folders, and the single files, which keep their inode.
    below: tar::Builder<Vec<u8>>,
    single: tar::Builder<Vec<u8>>,
    /// The folders that have been added.
    folders: BTreeSet<PathBuf>,
    counts: (usize, usize),
    keeps_inodes: bool,
}

impl Default for Parts {
    fn default() -> Self {
        let archive = || tar::Builder::new(Vec::new());
        let (below, single) = (archive(), archive());
        Self { deleted: Vec::new(), below, single, folders: BTreeSet::new(), counts: (0, 0), keeps_inodes: true }
    }
}

impl Parts {
    fn add(&mut self, file: &SyncedFile, sync: &SyncPath, owner: (u64, u64)) -> io::Result<()> {
        let number = file.number.to_string();
        if sync.source.is_file() {
            // A mounted file cannot be deleted.
            let metadata = existing(fs::symlink_metadata(&sync.source))?;
            let Some(metadata) = metadata.filter(|_| !file.is_deleted) else { return Ok(()) };
            let archive = if self.keeps_inodes { &mut self.single } else { &mut self.below };
            self.counts.0 += usize::from(append(archive, (&sync.source, Path::new(&number)), &metadata, owner)?);
            return Ok(());
        }
        // The mounted folder keeps the owner and the permissions that it has in the image.
        if file.below.as_os_str().is_empty() {
            return Ok(());
        }
        let (source, name) = (sync.source.join(&file.below), Path::new(&number).join(&file.below));
        let found = if file.is_deleted { None } else { existing(fs::symlink_metadata(&source))? };
        let Some(metadata) = found else {
            self.deleted.extend_from_slice(name.as_os_str().as_bytes());
            self.deleted.push(0);
            self.counts.1 += 1;
            return Ok(());
        };
        self.add_parents(&sync.source, &file.below, &number, owner)?;
        if append(&mut self.below, (&source, &name), &metadata, owner)? && !metadata.is_dir() {
            self.counts.0 += 1;
        }
        Ok(())
    }

    /// Adds the folders of a file, so that what is a link in the container becomes a folder.
    fn add_parents(&mut self, source: &Path, below: &Path, number: &str, owner: (u64, u64)) -> io::Result<()> {
        let parents = below.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        let mut parents: Vec<&Path> = parents.collect();
        parents.reverse();
        for parent in parents {
            let (path, name) = (source.join(parent), Path::new(number).join(parent));
            if let Some(metadata) = existing(fs::symlink_metadata(&path))?
                && self.folders.insert(name.clone())
            {
                append(&mut self.below, (&path, &name), &metadata, owner)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> io::Result<SyncArchive> {
        let (below, single) = (self.below.into_inner()?, self.single.into_inner()?);
        let sizes = format!("{} {} {}\n", self.deleted.len(), below.len(), single.len());
        let content = [sizes.as_bytes(), &self.deleted, &below, &single].concat();
        let (written, deleted) = self.counts;
        Ok(SyncArchive { content, written, deleted })
    }
}

fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Appends a file, a link or a folder. Returns whether there was anything to append: sockets and pipes are not copied.
fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    (source, name): (&Path, &Path),
    metadata: &Metadata,
    owner: (u64, u64),
) -> io::Result<bool> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(metadata.mode() & PERMISSIONS);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_size(0);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
    if metadata.is_symlink() {
        let Some(target) = existing(fs::read_link(source))? else { return Ok(false) };
        header.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut header, name, target)?;
    } else if metadata.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, name, io::empty())?;
    } else if metadata.is_file() {
        // Read at once: its size may change meanwhile.
        let Some(content) = existing(fs::read(source))? else { return Ok(false) };
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice())?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn files(below: &[(&str, bool)]) -> Vec<SyncedFile> {
        below
            .iter()
            .map(|(path, is_deleted)| SyncedFile { number: 0, below: path.into(), is_deleted: *is_deleted })
            .collect()
    }

    #[test]
    fn files_links_permissions_and_deletions_are_packed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/run"), "go").unwrap();
        fs::set_permissions(folder.path().join("bin/run"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let sync = SyncPath { source: folder.path().to_owned(), target: "/app".to_owned() };
        let changed = files(&[("bin/run", false), ("gone", false), ("link", false), ("old", true)]);
        let packed = SyncArchive::read(&changed, &[sync], &[(1000, 100)], true).unwrap();
        assert_eq!((packed.written, packed.deleted), (2, 2), "a file that no longer exists is deleted");
        let end = packed.content.iter().position(|byte| *byte == b'\n').unwrap();
        let sizes = String::from_utf8(packed.content[..end].to_vec()).unwrap();
        let sizes: Vec<usize> = sizes.split(' ').map(|size| size.parse().unwrap()).collect();
        let (deleted, rest) = packed.content[end + 1..].split_at(sizes[0]);
        assert_eq!(deleted, b"0/gone\x000/old\x00");
        let mut archive = tar::Archive::new(&rest[..sizes[1]]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap() & 0o777, header.uid().unwrap(), link)
        });
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries[0].0, "0/bin");
        assert_eq!((entries[1].0.as_str(), entries[1].1, entries[1].2), ("0/bin/run", 0o750, 1000));
        assert_eq!(entries[2].3.as_deref(), Some("/etc/passwd"), "a link is copied as it is");
    }

    #[test]
    fn a_single_file_keeps_its_inode() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("app.py");
        fs::write(&source, "pass").unwrap();
        let sync = SyncPath { source, target: "/app/app.py".to_owned() };
        let read = |keeps_inodes| {
            let source = std::slice::from_ref(&sync);
            SyncArchive::read(&files(&[("", false)]), source, &[(0, 0)], keeps_inodes).unwrap()
        };
        assert!(read(true).content.starts_with(b"0 1024 "), "nothing is unpacked with a new inode");
        assert_eq!(read(true).written, 1);
        assert!(read(false).content.starts_with(b"0 2048 1024\n"), "a running program cannot be overwritten");
    }
}
