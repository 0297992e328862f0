//! Copies files into and out of a container, and runs programs inside it.

use std::io::Read;

use bollard::{
    container::LogOutput,
    exec::StartExecResults,
    models::ExecConfig,
    query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions},
};
use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::{Docker, DockerError};

/// A file for a container.
#[derive(Debug, Clone, Copy)]
pub struct UploadFile<'a> {
    /// Relative to the target folder; missing folders are created.
    pub path: &'a str,
    pub content: &'a [u8],
    /// The mode, as for chmod: `0o644`.
    pub mode: u32,
}

/// The output of a program that ran in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// The program's exit code; 126 or 127 if it could not be started.
    pub exit_code: i64,
    pub stdout: String,
    pub stderr: String,
}

impl Docker {
    /// Writes files below `folder`, which must exist in the container, as root. The container need not be running.
    ///
    /// # Errors
    /// If a path is not relative, or the engine returns an error.
    pub async fn upload(&self, container: &str, folder: &str, files: &[UploadFile<'_>]) -> Result<(), DockerError> {
        let archive = archive(container, files)?;
        let options = UploadToContainerOptions { path: folder.to_owned(), ..UploadToContainerOptions::default() };
        let uploaded = self.client.upload_to_container(container, Some(options), bollard::body_full(archive.into()));
        uploaded.await.map_err(DockerError::request(format!("write files into container {container}")))
    }

    /// Reads one file in a container, running or not. Files that only the container's own processes see, such as on a
    /// tmpfs, cannot be read.
    ///
    /// # Errors
    /// If the file does not exist, or the engine returns an error.
    pub async fn read_file(&self, container: &str, path: &str) -> Result<Vec<u8>, DockerError> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let chunks = self.client.download_from_container(container, Some(options));
        let action = format!("read {path} in container {container}");
        let archive: Vec<u8> = chunks
            .try_fold(Vec::new(), |mut archive, chunk| async move {
                archive.extend_from_slice(&chunk);
                Ok(archive)
            })
            .await
            .map_err(DockerError::request(action))?;
        first_file(&archive).map_err(|why| file_error(container, path, why))
    }

    /// Runs a program in a container until it exits. An exit code other than 0 is not an error.
    ///
    /// # Errors
    /// If the engine returns an error, or the container is not running.
    pub async fn exec(&self, container: &str, args: &[&str]) -> Result<ExecOutput, DockerError> {
        self.exec_with_input(container, args, Vec::new()).await
    }

    /// As [`Self::exec`], with this standard input. The program must not wait for its end, which it may not see.
    ///
    /// # Errors
    /// As [`Self::exec`].
    pub async fn exec_with_input(
        &self,
        container: &str,
        args: &[&str],
        content: Vec<u8>,
    ) -> Result<ExecOutput, DockerError> {
        let action = format!("run {} in container {container}", args.first().copied().unwrap_or_default());
        let wrong = || DockerError::request(&action);
        let config = ExecConfig {
            cmd: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
            attach_stdin: Some(!content.is_empty()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.client.create_exec(container, config).await.map_err(wrong())?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, mut input } =
            self.client.start_exec(&exec.id, None).await.map_err(wrong())?
        {
            // A program that ends early reports why. The stream stays open: its end would close the connection.
            let feeding = tokio::spawn(async move {
                let _ = input.write_all(&content).await;
                let _ = input.flush().await;
                input
            });
            while let Some(part) = output.try_next().await.map_err(wrong())? {
                match part {
                    LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                    other => stdout.extend_from_slice(&other.into_bytes()),
                }
            }
            feeding.abort();
        }
        let ended = self.client.inspect_exec(&exec.id).await.map_err(wrong())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(ExecOutput { exit_code: ended.exit_code.unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) })
    }
}

fn file_error(container: &str, path: &str, why: impl Into<String>) -> DockerError {
    DockerError::File { container: container.to_owned(), path: path.to_owned(), why: why.into() }
}

fn archive(container: &str, files: &[UploadFile<'_>]) -> Result<Vec<u8>, DockerError> {
    let mut builder = tar::Builder::new(Vec::new());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(now);
        let appended = builder.append_data(&mut header, file.path, file.content);
        appended.map_err(|error| file_error(container, file.path, format!("cannot be copied: {error}")))?;
    }
    builder.into_inner().map_err(|error| file_error(container, "", format!("cannot be copied: {error}")))
}

/// Docker returns an archive that contains the file, or a folder with all its content.
fn first_file(archive: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().map_err(|error| error.to_string())?.next();
    let mut entry = entry.ok_or("is empty".to_owned())?.map_err(|error| error.to_string())?;
    if !entry.header().entry_type().is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_round_trips() {
        let files = [UploadFile { path: "etc/a/b.toml", content: b"x = 1", mode: 0o600 }];
        let archive = archive("c", &files).unwrap();
        assert_eq!(first_file(&archive).unwrap(), b"x = 1");
        let mut entries = tar::Archive::new(archive.as_slice());
        let entry = entries.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        assert_eq!(entry.path().unwrap().to_str(), Some("etc/a/b.toml"));
    }

    #[test]
    fn paths_must_be_relative() {
        let files = [UploadFile { path: "../b", content: b"", mode: 0o600 }];
        assert!(archive("c", &files).unwrap_err().to_string().starts_with("../b in container c cannot be copied"));
    }
}
