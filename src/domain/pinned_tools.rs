//! The programs that cmdr downloads where they are missing: their versions, files and checksums.

/// A program at the version that cmdr downloads.
#[derive(Debug)]
pub struct PinnedTool {
    /// The name of the program: `helm`.
    pub name: &'static str,
    pub version: &'static str,
    /// The folder on the web of the files of this version.
    pub url: &'static str,
    /// The name of the file; `{os}` and `{arch}` stand for the platform.
    pub file: &'static str,
    /// The path of the program in the file, if that is an archive (`.tar.gz`).
    pub member: Option<&'static str>,
    /// The SHA-256 of the file on each platform, as published with the release.
    pub checksums: &'static [(ToolPlatform, &'static str)],
}

/// A platform, in the names of the releases of these programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolPlatform {
    pub os: &'static str,
    pub arch: &'static str,
}

const LINUX_AMD64: ToolPlatform = ToolPlatform { os: "linux", arch: "amd64" };
const LINUX_ARM64: ToolPlatform = ToolPlatform { os: "linux", arch: "arm64" };
const DARWIN_AMD64: ToolPlatform = ToolPlatform { os: "darwin", arch: "amd64" };
const DARWIN_ARM64: ToolPlatform = ToolPlatform { os: "darwin", arch: "arm64" };
const PLATFORMS: [ToolPlatform; 4] = [LINUX_AMD64, LINUX_ARM64, DARWIN_AMD64, DARWIN_ARM64];

/// kind 0.30, with which cmdr is tested.
pub static KIND: PinnedTool = PinnedTool {
    name: "kind",
    version: "0.30.0",
    url: "https://github.com/kubernetes-sigs/kind/releases/download/v0.30.0",
    file: "kind-{os}-{arch}",
    member: None,
    checksums: &[
        (LINUX_AMD64, "517ab7fc89ddeed5fa65abf71530d90648d9638ef0c4cde22c2c11f8097b8889"),
        (LINUX_ARM64, "7ea2de9d2d190022ed4a8a4e3ac0636c8a455e460b9a13ccf19f15d07f4f00eb"),
        (DARWIN_AMD64, "4f0b6e3b88bdc66d922c08469f05ef507d4903dd236e6319199bb9c868eed274"),
        (DARWIN_ARM64, "ceaf40df1d1551c481fb50e3deb5c3deecad5fd599df5469626b70ddf52a1518"),
    ],
};

pub static HELM: PinnedTool = PinnedTool {
    name: "helm",
    version: "4.2.2",
    url: "https://get.helm.sh",
    file: "helm-v4.2.2-{os}-{arch}.tar.gz",
    member: Some("{os}-{arch}/helm"),
    checksums: &[
        (LINUX_AMD64, "9adafecab4d406853bba163a70e9f104f47dbbf65ce24b7653bae7e36150bcb6"),
        (LINUX_ARM64, "78803142087a0069fa4b50d3f32a84d3ef25c14d1ee8a40fbccf86a6216d2f36"),
        (DARWIN_AMD64, "10c1e36ee8c5f2e2ee25a16599cb03ab74c0953cd889cacb980a49ba4b6574ba"),
        (DARWIN_ARM64, "5410a0dae3d5d91f45653b161260d9301aabc4ae80ae50a6605d66884b6df8ea"),
    ],
};

pub static SOPS: PinnedTool = PinnedTool {
    name: "sops",
    version: "3.13.1",
    url: "https://github.com/getsops/sops/releases/download/v3.13.1",
    file: "sops-v3.13.1.{os}.{arch}",
    member: None,
    checksums: &[
        (LINUX_AMD64, "620a9d7e3352ababeca6908cea24a6e8b14ce89a448ddbd3f94f1ef3398f470a"),
        (LINUX_ARM64, "19576fb1734dbf8fb77eda0cf0f3a2218f99bf4d33b814318e5e10d6babb9820"),
        (DARWIN_AMD64, "dad79d1b1dea767ca38ffaa50e10330a3e807dd13c853ef9c880567acef4f1ef"),
        (DARWIN_ARM64, "a2c0dd37eb031068af6ef213b78cfa67b7f1afd76c2e5cc404257f42bbc8367d"),
    ],
};

/// All of them.
pub static TOOLS: [&PinnedTool; 3] = [&KIND, &HELM, &SOPS];

impl ToolPlatform {
    /// Returns the platform with these names in Rust; `None` if no program is released for it.
    pub fn of(os: &str, arch: &str) -> Option<Self> {
        let os = if os == "macos" { "darwin" } else { os };
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        PLATFORMS.into_iter().find(|platform| platform.os == os && platform.arch == arch)
    }

    fn fill(self, text: &str) -> String {
        text.replace("{os}", self.os).replace("{arch}", self.arch)
    }
}

/// What is downloaded for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFile {
    pub name: String,
    pub url: String,
    /// SHA-256, hexadecimal.
    pub checksum: String,
    /// The path of the program in the file, if that is an archive.
    pub member: Option<String>,
}

impl PinnedTool {
    /// Returns the file for a platform, from its own place or from `NAME/vVERSION/FILE` of a mirror; `None` if there is no
    /// checksum for it.
    pub fn file_for(&self, platform: ToolPlatform, mirror: Option<&str>) -> Option<ToolFile> {
        let (_, checksum) = self.checksums.iter().find(|(own, _)| *own == platform)?;
        let name = platform.fill(self.file);
        let url = match mirror {
            Some(mirror) => format!("{mirror}/{}/v{}/{name}", self.name, self.version),
            None => format!("{}/{name}", self.url),
        };
        let member = self.member.map(|member| platform.fill(member));
        Some(ToolFile { name, url, checksum: (*checksum).to_owned(), member })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_a_checksum_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for tool in TOOLS {
            for platform in PLATFORMS {
                let file = tool.file_for(platform, None).unwrap();
                assert!(file.checksum.len() == 64 && seen.insert(file.checksum), "{} {platform:?}", tool.name);
                assert!(!file.url.contains('{') && file.url.starts_with("https://"), "{}", file.url);
            }
        }
    }

    #[test]
    fn a_mirror_has_its_own_paths() {
        let mac = ToolPlatform::of("macos", "aarch64").unwrap();
        let file = HELM.file_for(mac, Some("https://mirror.example.com/tools")).unwrap();
        assert_eq!(file.url, "https://mirror.example.com/tools/helm/v4.2.2/helm-v4.2.2-darwin-arm64.tar.gz");
        assert_eq!(file.member.as_deref(), Some("darwin-arm64/helm"));
        assert_eq!(ToolPlatform::of("linux", "riscv64"), None);
    }
}
