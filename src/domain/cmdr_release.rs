//! The releases of cmdr in a folder on the web, and whether this cmdr may be replaced by one.

use std::path::{Component, Path};

use semver::Version;

/// The file with the checksums of a release.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// A release of cmdr for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmdrRelease {
    pub version: Version,
    /// The name of the archive, whose folder has the same name without `.tar.gz`.
    pub archive: String,
    /// SHA-256, hexadecimal.
    pub checksum: String,
}

impl CmdrRelease {
    /// The path of the program in the archive.
    pub fn member(&self) -> String {
        format!("{}/cmdr", self.archive.trim_end_matches(".tar.gz"))
    }
}

/// Returns the platform of a release, as in the names of archives; `None` if there are no releases for it.
pub fn release_target(os: &str, arch: &str) -> Option<&'static str> {
    match (os, arch) {
        ("linux", "x86_64") => Some("x86_64-unknown-linux-musl"),
        ("linux", "aarch64") => Some("aarch64-unknown-linux-musl"),
        _ => None,
    }
}

/// Returns the releases for a platform that a [`CHECKSUMS`] file lists, the newest first.
pub fn releases(checksums: &str, target: &str) -> Vec<CmdrRelease> {
    let read = |line: &str| {
        let (checksum, archive) = line.split_once(char::is_whitespace)?;
        let archive = archive.trim_start_matches([' ', '*']);
        let version = archive.strip_prefix("cmdr-")?.strip_suffix(&format!("-{target}.tar.gz"))?;
        let (archive, checksum) = (archive.to_owned(), checksum.to_owned());
        Some(CmdrRelease { version: Version::parse(version).ok()?, archive, checksum })
    };
    let mut found: Vec<CmdrRelease> = checksums.lines().filter_map(read).collect();
    found.sort_by(|one, other| other.version.cmp(&one.version));
    found
}

/// Folders of package managers, which know which files they have installed.
const PACKAGED: &[&str] =
    &["/usr/bin", "/usr/sbin", "/bin", "/nix", "/snap", "/opt/homebrew", "/home/linuxbrew", "/usr/local/Cellar"];

/// Returns how to update a program that something else than `install.sh` has installed; `None` if cmdr may replace it.
pub fn other_installer(program: &Path) -> Option<&'static str> {
    let has = |name: &str| program.components().any(|part| part == Component::Normal(name.as_ref()));
    if has(".cargo") {
        return Some("cargo has installed it: run cargo install --locked --path . in the repository of cmdr");
    }
    if has("target") && (has("debug") || has("release")) {
        return Some("it was built here: build it again with cargo build");
    }
    let is_packaged = PACKAGED.iter().any(|folder| program.starts_with(folder));
    is_packaged.then_some("a package manager has installed it: update it there")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-musl";

    #[test]
    fn releases_are_read_from_their_checksums() {
        let sums = format!(
            "aa  cmdr-0.9.0-{TARGET}.tar.gz\nbb *cmdr-0.10.0-{TARGET}.tar.gz\ncc  cmdr-1.0.0-aarch64-unknown-linux-musl.tar.gz\n\
             dd  install.sh\nee  cmdr-x-{TARGET}.tar.gz\nff  cmdr-0.10.0.cdx.json\n"
        );
        let found = releases(&sums, TARGET);
        let shown: Vec<_> = found.iter().map(|one| (one.version.to_string(), one.checksum.as_str())).collect();
        assert_eq!(shown, [("0.10.0".to_owned(), "bb"), ("0.9.0".to_owned(), "aa")]);
        assert_eq!(found[0].member(), format!("cmdr-0.10.0-{TARGET}/cmdr"));
    }

    #[test]
    fn a_program_of_another_installer_is_not_replaced() {
        let other = |path: &str| other_installer(Path::new(path)).map(|help| help.split(' ').next().unwrap());
        assert_eq!(other("/home/me/.cargo/bin/cmdr"), Some("cargo"));
        assert_eq!(other("/usr/bin/cmdr"), Some("a"));
        assert_eq!(other("/src/cmdr/target/release/cmdr"), Some("it"));
        assert_eq!(other("/home/me/.local/bin/cmdr"), None);
        assert_eq!(other("/usr/local/bin/cmdr"), None);
    }
}
