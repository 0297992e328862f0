//! Downloads of files, which are checked before anything uses them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    call::{self, Caller},
    root_cause,
    wait::{Interrupted, pause},
    web,
};
use crate::domain::{digest::hexadecimal, redact::masked_url};

/// The timeout of a connection, and of a download that receives nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pauses before a download is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// The maximum size of a text, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("cannot download {}: {why}", masked_url(url))]
    Request { url: String, why: String },
    #[error("cannot download {}: HTTP {status}", masked_url(url))]
    Status { url: String, status: u16 },
    #[error("the checksum of {} is {found}, but must be {expected}", masked_url(url))]
    Checksum { url: String, expected: String, found: String },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the download was interrupted")]
    Interrupted,
}

impl DownloadError {
    /// Whether a later attempt may succeed.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Request { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// A client for downloads.
#[derive(Debug)]
pub struct Downloader {
    http: reqwest::Client,
    cancel: CancellationToken,
}

impl Downloader {
    /// Also trusts the certificate authority of a company (PEM).
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn new(certificate_authority: Option<&str>, cancel: &CancellationToken) -> Result<Self, String> {
        let builder = web::builder_trusting(certificate_authority)?.connect_timeout(PATIENCE).read_timeout(PATIENCE);
        let http = builder.build().map_err(|error| root_cause(&error))?;
        Ok(Self { http, cancel: cancel.clone() })
    }

    /// Downloads a file whose content must have this SHA-256. A file with any other content is removed.
    ///
    /// # Errors
    /// If there is no complete response, or the content is another one.
    pub async fn file(&self, url: &str, path: &Path, checksum: &str) -> Result<(), DownloadError> {
        let result = self.repeated(url, |bytes| write(path, bytes)).await;
        let result = result.and_then(|()| check(path, url, checksum));
        if result.is_err() {
            let _ = fs::remove_file(path);
        }
        result
    }

    /// Downloads a short text.
    ///
    /// # Errors
    /// If there is no complete response.
    pub async fn text(&self, url: &str) -> Result<String, DownloadError> {
        let mut text = Vec::new();
        let collect = |bytes: Chunk<'_>| {
            match bytes {
                Chunk::First => text.clear(),
                Chunk::Next(bytes) if text.len() + bytes.len() <= LONGEST_TEXT => text.extend_from_slice(bytes),
                Chunk::Next(_) => return Err(too_long(url)),
            }
            Ok(())
        };
        self.repeated(url, collect).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn repeated(
        &self,
        url: &str,
        mut take: impl FnMut(Chunk<'_>) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        let mut pauses = PAUSES.iter();
        loop {
            let error = tokio::select! {
                () = self.cancel.cancelled() => return Err(DownloadError::Interrupted),
                done = self.once(url, &mut take) => match done {
                    Err(error) if error.is_temporary() => error,
                    done => return done,
                },
            };
            let Some(next) = pauses.next() else { return Err(error) };
            pause(*next, &self.cancel).await.map_err(|Interrupted| DownloadError::Interrupted)?;
        }
    }

    async fn once(
        &self,
        url: &str,
        take: &mut impl FnMut(Chunk<'_>) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        let failed = |error: reqwest::Error| DownloadError::Request {
            url: url.to_owned(),
            why: root_cause(&error.without_url()),
        };
        let mut response = call::send(Caller::Http, self.http.get(url)).await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(DownloadError::Status { url: url.to_owned(), status: status.as_u16() });
        }
        take(Chunk::First)?;
        while let Some(bytes) = response.chunk().await.map_err(failed)? {
            take(Chunk::Next(&bytes))?;
        }
        Ok(())
    }
}

/// A part of a download.
#[derive(Clone, Copy)]
enum Chunk<'a> {
    /// A new attempt begins.
    First,
    Next(&'a [u8]),
}

fn too_long(url: &str) -> DownloadError {
    DownloadError::Request { url: url.to_owned(), why: "the text is too long".to_owned() }
}

fn write(path: &Path, chunk: Chunk<'_>) -> Result<(), DownloadError> {
    let written = match chunk {
        Chunk::First => File::create(path).map(drop),
        Chunk::Next(bytes) => File::options().append(true).open(path).and_then(|mut file| file.write_all(bytes)),
    };
    written.map_err(|source| DownloadError::Write { path: path.to_owned(), source })
}

/// Checks the SHA-256 of a file.
///
/// # Errors
/// If it has another content, or cannot be read; `origin` is where it is from.
pub(super) fn check(path: &Path, origin: &str, expected: &str) -> Result<(), DownloadError> {
    let mut hash = Sha256::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut HashWriter(&mut hash)));
    read.map_err(|source| DownloadError::Write { path: path.to_owned(), source })?;
    let found = hexadecimal(&hash.finalize());
    if found == expected.to_lowercase() {
        return Ok(());
    }
    Err(DownloadError::Checksum { url: origin.to_owned(), expected: expected.to_owned(), found })
}

/// Adds what is written to a hash.
struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
