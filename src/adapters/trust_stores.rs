//! The stores of trusted certificates of a system and its browsers, and the commands that change them.
//!
//! Which commands these are is a function of facts about the machine.

use std::{
    ffi::OsStr,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A folder for certificates that the system trusts, and the command that reads it.
struct AnchorLayout {
    folder: &'static str,
    update: &'static [&'static str],
    /// After a certificate was removed, if that is another command.
    update_after_removal: &'static [&'static str],
}

/// The layouts of Linux distributions; the first folder that exists is used.
const LAYOUTS: [AnchorLayout; 4] = [
    // Fedora, RHEL and their derivatives.
    AnchorLayout {
        folder: "/etc/pki/ca-trust/source/anchors",
        update: &["update-ca-trust", "extract"],
        update_after_removal: &["update-ca-trust", "extract"],
    },
    // Arch.
    AnchorLayout {
        folder: "/etc/ca-certificates/trust-source/anchors",
        update: &["trust", "extract-compat"],
        update_after_removal: &["trust", "extract-compat"],
    },
    // openSUSE.
    AnchorLayout {
        folder: "/etc/pki/trust/anchors",
        update: &["update-ca-certificates"],
        update_after_removal: &["update-ca-certificates"],
    },
    // Debian, Ubuntu and Alpine.
    AnchorLayout {
        folder: "/usr/local/share/ca-certificates",
        update: &["update-ca-certificates"],
        update_after_removal: &["update-ca-certificates", "--fresh"],
    },
];

/// Folders below the home folder with one NSS database.
const DATABASES: [&str; 2] = [".pki/nssdb", "snap/chromium/current/.pki/nssdb"];
/// Folders below the home folder with one NSS database for each profile of Firefox.
const PROFILES: [&str; 4] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
];
/// The file that a database consists of.
const DATABASE_FILE: &str = "cert9.db";
/// The trust of an authority that may sign certificates of servers, in the notation of certutil.
const TRUST: &str = "C,,";

/// Whether the certificate is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustChange {
    Install,
    Remove,
}

/// Facts about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFacts {
    pub is_macos: bool,
    /// The folder of the system's own anchors, with the number of its layout.
    anchors: Option<usize>,
    /// The NSS databases of browsers.
    pub databases: Vec<PathBuf>,
    pub has_certutil: bool,
    /// Commands that change the system are run by sudo.
    pub needs_sudo: bool,
}

/// A certificate of an authority.
#[derive(Debug, Clone, Copy)]
pub struct TrustedCertificate<'a> {
    pub file: &'a Path,
    /// `cmdr local authority 1a2b3c4d`
    pub name: &'a str,
}

impl TrustFacts {
    /// Looks for stores below the root of the file system and the user's home folder, and for certutil in `PATH`.
    pub fn find(root: &Path, home: &Path, search_path: &OsStr) -> Self {
        let is_there = |layout: &AnchorLayout| root.join(layout.folder.trim_start_matches('/')).is_dir();
        let is_macos = cfg!(target_os = "macos");
        Self {
            is_macos,
            anchors: LAYOUTS.iter().position(is_there).filter(|_| !is_macos),
            databases: databases(home),
            has_certutil: std::env::split_paths(search_path).any(|folder| folder.join("certutil").is_file()),
            needs_sudo: !rustix::process::geteuid().is_root(),
        }
    }

    /// Whether there is any store that can be changed.
    pub fn has_store(&self) -> bool {
        self.is_macos || self.anchors.is_some() || self.has_certutil && !self.databases.is_empty()
    }

    /// Returns the commands that change the trust in a certificate, as words.
    pub fn commands(&self, change: TrustChange, certificate: TrustedCertificate<'_>) -> Vec<Vec<String>> {
        let system = self.system_commands(change, certificate);
        let databases = self.databases.iter().filter(|_| self.has_certutil);
        system.into_iter().chain(databases.map(|folder| database_command(folder, change, certificate))).collect()
    }

    fn system_commands(&self, change: TrustChange, certificate: TrustedCertificate<'_>) -> Vec<Vec<String>> {
        let file = certificate.file.to_string_lossy();
        if self.is_macos {
            // The user's own keychain; the system asks for the password.
            return vec![match change {
                TrustChange::Install => words(["security", "add-trusted-cert", "-r", "trustRoot", &file]),
                TrustChange::Remove => words(["security", "remove-trusted-cert", &file]),
            }];
        }
        let Some(layout) = self.anchors.and_then(|at| LAYOUTS.get(at)) else { return Vec::new() };
        let anchor = format!("{}/{}.crt", layout.folder, certificate.name.replace(' ', "-"));
        let commands = match change {
            TrustChange::Install => {
                [words(["install", "-m", "0644", &file, &anchor]), words(layout.update.iter().copied())]
            }
            TrustChange::Remove => [words(["rm", "-f", &anchor]), words(layout.update_after_removal.iter().copied())],
        };
        let sudo = self.needs_sudo.then(|| "sudo".to_owned());
        commands.into_iter().map(|command| sudo.iter().cloned().chain(command).collect()).collect()
    }
}

/// Runs a command in the terminal of the user, because sudo may ask for a password there.
///
/// # Errors
/// Why it failed.
pub fn run(command: &[String]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    // Only data goes to standard output.
    let output = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    let ended = Command::new(program).args(arguments).stdout(output).status().map_err(|error| error.to_string())?;
    if ended.success() { Ok(()) } else { Err(ended.to_string()) }
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn database_command(folder: &Path, change: TrustChange, certificate: TrustedCertificate<'_>) -> Vec<String> {
    let database = format!("sql:{}", folder.display());
    let (name, file) = (certificate.name, certificate.file.to_string_lossy());
    match change {
        TrustChange::Install => words(["certutil", "-A", "-d", &database, "-t", TRUST, "-n", name, "-i", &file]),
        TrustChange::Remove => words(["certutil", "-D", "-d", &database, "-n", name]),
    }
}

/// The NSS databases of the browsers of a user.
fn databases(home: &Path) -> Vec<PathBuf> {
    let single = DATABASES.iter().map(|folder| home.join(folder));
    let profiles = PROFILES.iter().filter_map(|folder| std::fs::read_dir(home.join(folder)).ok());
    let profiles = profiles.flatten().filter_map(|profile| Some(profile.ok()?.path()));
    let mut found: Vec<PathBuf> =
        single.chain(profiles).filter(|folder| folder.join(DATABASE_FILE).is_file()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shown(facts: &TrustFacts, change: TrustChange) -> Vec<String> {
        let certificate =
            TrustedCertificate { file: Path::new("/state/ca.crt"), name: "cmdr local authority 1a2b3c4d" };
        facts.commands(change, certificate).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn each_distribution_has_its_own_folder_and_command() {
        for (folder, update) in [
            ("usr/local/share/ca-certificates", "update-ca-certificates --fresh"),
            ("etc/pki/ca-trust/source/anchors", "update-ca-trust extract"),
            ("etc/ca-certificates/trust-source/anchors", "trust extract-compat"),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join(folder)).unwrap();
            let facts = TrustFacts { needs_sudo: true, ..TrustFacts::find(root.path(), root.path(), OsStr::new("")) };
            let anchor = format!("/{folder}/cmdr-local-authority-1a2b3c4d.crt");
            assert_eq!(shown(&facts, TrustChange::Install)[0], format!("sudo install -m 0644 /state/ca.crt {anchor}"));
            assert_eq!(shown(&facts, TrustChange::Remove), [format!("sudo rm -f {anchor}"), format!("sudo {update}")]);
        }
        let root = tempfile::tempdir().unwrap();
        assert!(!TrustFacts::find(root.path(), root.path(), OsStr::new("")).has_store());
    }

    #[test]
    fn browsers_have_databases_of_their_own_and_need_no_root() {
        let home = tempfile::tempdir().unwrap();
        for folder in [".pki/nssdb", ".mozilla/firefox/ab12.default", ".mozilla/firefox/Crash Reports"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        for folder in [".pki/nssdb", ".mozilla/firefox/ab12.default"] {
            fs::write(home.path().join(folder).join("cert9.db"), "").unwrap();
        }
        fs::write(home.path().join("certutil"), "").unwrap();
        let facts = TrustFacts::find(home.path(), home.path(), home.path().as_os_str());
        assert_eq!(facts.databases.len(), 2);
        let commands = shown(&facts, TrustChange::Install);
        assert!(commands.iter().all(|command| command.starts_with("certutil -A -d sql:")), "{commands:?}");
        let name = "-n cmdr local authority 1a2b3c4d";
        assert!(shown(&facts, TrustChange::Remove).iter().all(|command| command.ends_with(name)));
        assert_eq!(shown(&TrustFacts { has_certutil: false, ..facts }, TrustChange::Install), Vec::<String>::new());
    }

    #[test]
    fn a_command_that_fails_says_how() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(run(&words(&["true"])), Ok(()));
        assert_eq!(run(&words(&["sh", "-c", "exit 3"])), Err("exit status: 3".to_owned()));
        assert!(run(&words(&["no-such-program"])).is_err() && run(&[]).is_err());
    }

    #[test]
    fn macos_uses_the_keychain_of_the_user() {
        let facts =
            TrustFacts { is_macos: true, anchors: None, databases: Vec::new(), has_certutil: false, needs_sudo: true };
        assert_eq!(shown(&facts, TrustChange::Remove), ["security remove-trusted-cert /state/ca.crt"]);
    }
}
