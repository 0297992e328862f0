//! Starts the process that takes the place of a project's pods.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::enter::ProcessPlan;

/// The first argument of cmdr that makes it [`super::enter`].
pub const ENTER: &str = "__enter-local-run";
/// The program of util-linux that creates namespaces, with its options: those of the user and of mounts.
const UNSHARE: [&str; 6] = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--"];
/// A folder in memory that every user has on Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// A folder for files with secrets: in memory where possible, and only for the user. It is removed when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Returns the path of the folder with this name. `runtime` is the user's folder for files of running programs, and
    /// `other` is used where nothing is in memory.
    pub fn path_of(name: &str, runtime: Option<&Path>, other: &Path) -> PathBuf {
        let shared = Path::new(SHARED_MEMORY);
        let memory = runtime.filter(|folder| folder.is_dir()).or(Some(shared).filter(|folder| folder.is_dir()));
        let name = format!("cmdr-{}-{name}", rustix::process::getuid().as_raw());
        memory.unwrap_or(other).join(name)
    }

    /// Creates the folder, and removes one of a run that was killed.
    ///
    /// # Errors
    /// If it belongs to another user, or cannot be created.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().mode(0o700).create(&path)?,
        }
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // The next run removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command of a user, and what it gets.
#[derive(Debug)]
pub struct LocalCommand<'a> {
    pub command: &'a [String],
    pub variables: BTreeMap<String, String>,
    /// The file with the mounts; without it, the process sees this machine as it is.
    pub plan: Option<PathBuf>,
    /// This program.
    pub cmdr: PathBuf,
}

impl LocalCommand<'_> {
    fn build(&self, command: &[String]) -> Command {
        let mut words: Vec<&std::ffi::OsStr> = Vec::new();
        if let Some(plan) = &self.plan {
            words.extend(UNSHARE.iter().map(std::ffi::OsStr::new));
            words.extend([self.cmdr.as_os_str(), ENTER.as_ref(), plan.as_os_str()]);
        }
        words.extend(command.iter().map(std::ffi::OsStr::new));
        let mut built = Command::new(words.first().copied().unwrap_or_default());
        built.args(words.iter().skip(1)).kill_on_drop(true);
        built
    }

    /// Tests whether the process can be started with its files. Returns why not.
    ///
    /// # Errors
    /// If the test cannot be run.
    pub async fn test(&self) -> Result<(), String> {
        let output = self.build(&["true".to_owned()]).stdin(Stdio::null()).output().await;
        let output = output.map_err(|error| format!("{}: {error}", UNSHARE[0]))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Starts the process with the streams of cmdr. It is in the process group of cmdr, so that Ctrl-C reaches it and it
    /// can read from the terminal.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self) -> io::Result<Child> {
        self.build(self.command).envs(&self.variables).spawn()
    }
}

/// Writes the file with the mounts.
///
/// # Errors
/// If it cannot be written.
pub fn write_plan(path: &Path, plan: &ProcessPlan) -> io::Result<()> {
    fs::write(path, serde_json::to_vec(plan)?)
}

/// Asks a process to end.
pub fn terminate(child: &Child) {
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    // It may have ended already.
    let _ = id.map(|id| kill_process(id, Signal::TERM));
}

/// The exit code of a process, as a shell reports it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_private_and_removed() {
        let base = tempfile::tempdir().unwrap();
        let path = PrivateFolder::path_of("shop-catalog", Some(base.path()), base.path());
        let folder = PrivateFolder::create(path.clone()).unwrap();
        fs::write(folder.path().join("secret"), "x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        // As after a run that was killed.
        std::mem::forget(folder);
        let folder = PrivateFolder::create(path.clone()).unwrap();
        assert!(!path.join("secret").exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_signal_has_the_exit_code_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
    }
}
