//! The programs that cmdr downloaded, in its cache.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use tar::Archive;

use super::{
    cache::{UNFINISHED, mark_used},
    download::{DownloadError, Downloader, check},
};
use crate::domain::pinned_tools::{PinnedTool, ToolFile};

/// Why a program is not available.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("the archive {file} does not contain {member}")]
    NoMember { file: String, member: String },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The folder of downloaded programs.
#[derive(Debug, Clone)]
pub struct ToolFolder(PathBuf);

impl ToolFolder {
    /// The one in a folder of caches.
    pub fn in_cache(cache: &Path) -> Self {
        Self(cache.join("tools"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn folder_of(&self, tool: &PinnedTool) -> PathBuf {
        self.0.join(format!("{}-{}", tool.name, tool.version))
    }

    /// Returns the program, if it was downloaded.
    pub fn installed(&self, tool: &PinnedTool) -> Option<PathBuf> {
        let folder = self.folder_of(tool);
        let program = folder.join(tool.name);
        program.is_file().then(|| {
            mark_used(&folder);
            program
        })
    }

    /// Downloads the program, or takes the file that the user has put into this folder. It appears as a whole: two runs at
    /// once are safe, and an interrupted one leaves nothing that is used.
    ///
    /// # Errors
    /// If the file cannot be downloaded, has another checksum, or cannot be unpacked or written.
    pub async fn install(
        &self,
        tool: &PinnedTool,
        file: &ToolFile,
        downloader: &Downloader,
    ) -> Result<PathBuf, ToolError> {
        let folder = self.folder_of(tool);
        let write = |source| ToolError::Write { path: self.0.clone(), source };
        fs::create_dir_all(&self.0).map_err(write)?;
        let prefix = format!("{}-{}{UNFINISHED}", tool.name, tool.version);
        let unfinished = tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.0).map_err(write)?;
        self.prepare(tool, file, unfinished.path(), downloader).await?;
        let renamed = fs::rename(unfinished.path(), &folder);
        // Another run may have been faster.
        renamed.or_else(|error| if folder.join(tool.name).is_file() { Ok(()) } else { Err(write(error)) })?;
        Ok(folder.join(tool.name))
    }

    async fn prepare(
        &self,
        tool: &PinnedTool,
        file: &ToolFile,
        unfinished: &Path,
        downloader: &Downloader,
    ) -> Result<(), ToolError> {
        let (brought, program) = (self.0.join(&file.name), unfinished.join(tool.name));
        let packed = unfinished.join("download");
        let write = |source| ToolError::Write { path: program.clone(), source };
        if brought.is_file() {
            check(&brought, &brought.display().to_string(), &file.checksum)?;
            fs::copy(&brought, &packed).map_err(write)?;
        } else {
            downloader.file(&file.url, &packed, &file.checksum).await?;
        }
        match &file.member {
            None => fs::rename(&packed, &program).map_err(write)?,
            Some(member) => {
                unpack(&packed, member, &program)
                    .map_err(write)?
                    .then_some(())
                    .ok_or_else(|| ToolError::NoMember { file: file.name.clone(), member: member.clone() })?;
                fs::remove_file(&packed).map_err(write)?;
            }
        }
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(write)
    }
}

/// Unpacks one file of an archive (`.tar.gz`); returns whether the archive contains it.
///
/// # Errors
/// If the archive cannot be read, or the file cannot be written.
pub fn unpack(archive: &Path, member: &str, to: &Path) -> io::Result<bool> {
    let mut archive = Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(member) && entry.header().entry_type().is_file() {
            io::copy(&mut entry, &mut File::create(to)?)?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::sync::CancellationToken;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use crate::domain::{
        digest::sha256,
        pinned_tools::{HELM, KIND},
    };

    struct Place {
        folder: tempfile::TempDir,
        server: MockServer,
        tools: ToolFolder,
    }

    impl Place {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tools = ToolFolder::in_cache(folder.path());
            Self { folder, server: MockServer::builder().start().await, tools }
        }

        async fn serve(&self, name: &str, bytes: &[u8]) -> ToolFile {
            let answer = ResponseTemplate::new(200).set_body_bytes(bytes);
            Mock::given(path(format!("/{name}"))).respond_with(answer).mount(&self.server).await;
            let url = format!("{}/{name}", self.server.uri());
            ToolFile { name: name.to_owned(), url, checksum: sha256(bytes), member: None }
        }

        async fn install(&self, tool: &PinnedTool, file: &ToolFile) -> Result<PathBuf, ToolError> {
            let downloader = Downloader::new(None, &CancellationToken::new()).unwrap();
            self.tools.install(tool, file, &downloader).await
        }

        fn entries(&self) -> Vec<String> {
            let found = fs::read_dir(self.tools.path()).unwrap();
            found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    #[tokio::test]
    async fn a_program_is_downloaded_once_also_by_two_runs() {
        let place = Place::new().await;
        let file = place.serve("kind-linux-amd64", b"#!/bin/sh\n").await;
        let (one, two) = tokio::join!(place.install(&KIND, &file), place.install(&KIND, &file));
        let program = one.unwrap();
        assert_eq!(program, two.unwrap());
        assert_eq!(place.tools.installed(&KIND), Some(program.clone()));
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(place.entries(), ["kind-0.30.0"], "nothing unfinished is left");
    }

    #[tokio::test]
    async fn another_checksum_is_refused_and_removed() {
        let place = Place::new().await;
        let file = place.serve("kind-linux-amd64", b"changed").await;
        let file = ToolFile { checksum: "0".repeat(64), ..file };
        let error = place.install(&KIND, &file).await.unwrap_err().to_string();
        assert!(error.contains("but must be 0000"), "{error}");
        assert_eq!((place.tools.installed(&KIND), place.entries()), (None, vec![]));
    }

    #[tokio::test]
    async fn an_archive_is_unpacked() {
        let place = Place::new().await;
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        archive.append_data(&mut header, "linux-amd64/helm", &b"helm"[..]).unwrap();
        let bytes = archive.into_inner().unwrap().finish().unwrap();
        let file = place.serve("helm.tar.gz", &bytes).await;
        let missing = ToolFile { member: Some("linux-arm64/helm".to_owned()), ..file.clone() };
        assert!(matches!(place.install(&HELM, &missing).await, Err(ToolError::NoMember { .. })));
        let file = ToolFile { member: Some("linux-amd64/helm".to_owned()), ..file };
        assert_eq!(fs::read(place.install(&HELM, &file).await.unwrap()).unwrap(), b"helm");
        assert_eq!(place.entries(), ["helm-4.2.2"]);
    }

    #[tokio::test]
    async fn a_file_that_the_user_brought_needs_no_network() {
        let place = Place::new().await;
        fs::create_dir_all(place.tools.path()).unwrap();
        fs::write(place.tools.path().join("kind-linux-amd64"), "brought").unwrap();
        let url = "http://127.0.0.1:1/kind-linux-amd64".to_owned();
        let file = ToolFile { name: "kind-linux-amd64".to_owned(), url, checksum: sha256(b"brought"), member: None };
        place.install(&KIND, &file).await.unwrap();
        let wrong = ToolFile { checksum: "0".repeat(64), ..file };
        assert!(place.install(&HELM, &wrong).await.is_err());
        assert!(place.folder.path().join("tools/kind-linux-amd64").exists(), "the user's file stays");
    }
}
