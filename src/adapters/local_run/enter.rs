//! Runs a process with files of its own: cmdr starts itself in new namespaces, mounts the files, and becomes the
//! process. Nothing of it is visible to other processes, and it needs no root.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// A file or folder of this machine at another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
    pub is_folder: bool,
}

/// What the process sees that others do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    pub binds: Vec<Bind>,
}

/// Mounts the files of the plan and becomes the command. Returns only if that fails: with the exit code of a shell, and
/// what failed.
#[cfg(target_os = "linux")]
pub fn enter(plan: &Path, command: &[OsString]) -> (u8, String) {
    use std::os::unix::process::CommandExt;
    let prepared = linux::prepare(plan);
    if let Err(error) = prepared {
        return (126, format!("cannot mount the files of the container: {error}"));
    }
    let Some((program, args)) = command.split_first() else { return (126, "no command".to_owned()) };
    let error = std::process::Command::new(program).args(args).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    (code, format!("cannot start '{}': {error}", program.display()))
}

/// Mounts need Linux.
#[cfg(not(target_os = "linux"))]
pub fn enter(_plan: &Path, _command: &[OsString]) -> (u8, String) {
    (126, io::Error::from(io::ErrorKind::Unsupported).to_string())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeSet,
        fs, io,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    use rustix::{
        mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount},
        process::{Signal, pivot_root, set_parent_process_death_signal},
        thread::clear_ambient_capability_set,
    };

    use super::{Bind, ProcessPlan};

    /// Where the former content of a folder is while its replacement is built.
    const ASIDE: &str = "cmdr-aside";

    pub(super) fn prepare(plan: &Path) -> io::Result<()> {
        // The process must not outlive cmdr, which passes its traffic on.
        set_parent_process_death_signal(Some(Signal::TERM))?;
        let ProcessPlan { binds } = serde_json::from_slice(&fs::read(plan)?)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let mut scratch = Scratch { folder: plan.with_extension("scratch"), count: 0, own: BTreeSet::new() };
        fs::create_dir_all(&scratch.folder)?;
        in_memory(&scratch.folder)?;
        let folder = Path::new(".").canonicalize()?;
        for bind in &binds {
            scratch
                .apply(bind)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", bind.target.display())))?;
        }
        // The root may be a new one.
        std::env::set_current_dir(folder)?;
        Ok(clear_ambient_capability_set()?)
    }

    /// A folder for mounts that are needed for a moment.
    struct Scratch {
        folder: PathBuf,
        count: usize,
        /// The folders in memory.
        own: BTreeSet<PathBuf>,
    }

    impl Scratch {
        fn apply(&mut self, bind: &Bind) -> io::Result<()> {
            let target = resolved(&bind.target);
            // Mounted first: the replacement of a folder may hide the source.
            let source = self.fresh();
            if bind.is_folder {
                fs::create_dir(&source)?;
            } else {
                fs::write(&source, "")?;
            }
            mount_bind_recursive(&bind.source, &source)?;
            if !target.exists() {
                self.create(&target, bind.is_folder)?;
            }
            mount_bind_recursive(&source, &target)?;
            Ok(())
        }

        fn fresh(&mut self) -> PathBuf {
            self.count += 1;
            self.folder.join(self.count.to_string())
        }

        /// Creates a path that does not exist, although the user may not write there: its closest folder is replaced by
        /// one in memory, with everything that it contains.
        fn create(&mut self, target: &Path, is_folder: bool) -> io::Result<()> {
            let parent = target.parent().unwrap_or(Path::new("/"));
            let existing = parent.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
            // Nothing is written to folders of this machine.
            if !self.own.contains(existing) {
                self.replace(existing)?;
            }
            fs::create_dir_all(parent)?;
            let folders = target.ancestors().take_while(|folder| *folder != existing);
            self.own.extend(folders.chain([existing]).map(Path::to_owned));
            if is_folder { fs::create_dir(target) } else { fs::write(target, "") }
        }

        fn replace(&mut self, folder: &Path) -> io::Result<()> {
            let new = self.fresh();
            fs::create_dir(&new)?;
            in_memory(&new)?;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // What the user may not see, the process does not see either.
                let _ = copy_entry(&entry.path(), &new.join(entry.file_name()));
            }
            if folder == Path::new("/") {
                return change_root(&new);
            }
            Ok(mount_bind_recursive(&new, folder)?)
        }
    }

    /// Hides what a folder contains by an empty folder in memory.
    fn in_memory(folder: &Path) -> io::Result<()> {
        Ok(mount("cmdr", folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?)
    }

    /// Shows an entry of a folder at another path.
    fn copy_entry(entry: &Path, target: &Path) -> io::Result<()> {
        let kind = fs::symlink_metadata(entry)?.file_type();
        if kind.is_symlink() {
            return symlink(fs::read_link(entry)?, target);
        }
        if kind.is_dir() {
            fs::create_dir(target)?;
        } else {
            fs::write(target, "")?;
        }
        Ok(mount_bind_recursive(entry, target)?)
    }

    fn change_root(new: &Path) -> io::Result<()> {
        let former = new.join(ASIDE);
        fs::create_dir(&former)?;
        pivot_root(new, &former)?;
        std::env::set_current_dir("/")?;
        let former = Path::new("/").join(ASIDE);
        unmount(&former, UnmountFlags::DETACH)?;
        fs::remove_dir(former)
    }

    /// Follows symbolic links in the part of a path that exists.
    fn resolved(path: &Path) -> PathBuf {
        let existing = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
        let existing = existing.canonicalize().unwrap_or_else(|_| existing.to_owned());
        if rest.as_os_str().is_empty() { existing } else { existing.join(rest) }
    }
}
