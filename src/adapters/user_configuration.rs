//! The user's configuration file, `$XDG_CONFIG_HOME/cmdr/config.yaml`:
//!
//! ```yaml
//! mirrors:
//!   images: {docker.io: https://mirror.example.com, "*": http://localhost:5000}
//!   tools: https://mirror.example.com/tools
//!   charts: {"oci://*": oci://mirror.example.com, "*": https://charts.example.com}
//! ca: /etc/ssl/company.pem
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::domain::{
    mirror::{ChartMirror, ImageMirror, InvalidMirror, Mirrors, tools_mirror_url},
    user_configuration::UserConfiguration,
};

#[derive(Debug, thiserror::Error)]
pub enum UserConfigurationError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{}: {source}", path.display())]
    Mirror { path: PathBuf, source: InvalidMirror },
    /// `origin` is the variable or the file that names the CA file.
    #[error("{origin}: the CA file {} {why}", ca.display())]
    Ca { origin: String, ca: PathBuf, why: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    mirrors: FileMirrors,
    ca: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileMirrors {
    images: BTreeMap<String, String>,
    charts: BTreeMap<String, String>,
    tools: Option<String>,
}

/// Reads the file. A missing file counts as empty.
///
/// # Errors
/// If the file cannot be read, is not valid, or contains an invalid mirror.
pub fn read(path: &Path) -> Result<UserConfiguration, UserConfigurationError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(UserConfiguration::default()),
        Err(source) => Err(UserConfigurationError::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<UserConfiguration, UserConfigurationError> {
    // An empty document, or one that contains only comments, is null, which is allowed.
    let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| UserConfigurationError::Syntax {
        path: path.to_owned(),
        message: error.without_snippet().to_string(),
    })?;
    let File { mirrors, ca } = file.unwrap_or_default();
    let wrong = |source| UserConfigurationError::Mirror { path: path.to_owned(), source };
    let images = mirrors.images.iter().map(|(host, url)| ImageMirror::new(host, url)).collect::<Result<_, _>>();
    let charts = mirrors.charts.iter().map(|(prefix, url)| ChartMirror::new(prefix, url)).collect::<Result<_, _>>();
    let tools = mirrors.tools;
    let mirrors = Mirrors { images: images.map_err(wrong)?, charts: charts.map_err(wrong)? };
    let tools_mirror = tools.as_deref().map(tools_mirror_url).transpose().map_err(wrong)?;
    // The path is relative to the configuration file.
    let ca = ca.map(|ca| path.parent().unwrap_or(Path::new("")).join(ca));
    Ok(UserConfiguration { mirrors, tools_mirror, ca })
}

/// Reads the certificates of a company's CA as PEM text.
///
/// # Errors
/// If the CA file cannot be read, or contains no certificate.
pub fn read_ca(origin: &str, ca: &Path) -> Result<String, UserConfigurationError> {
    let wrong = |why: String| UserConfigurationError::Ca { origin: origin.to_owned(), ca: ca.to_owned(), why };
    let text = std::fs::read_to_string(ca).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----") {
        return Ok(text);
    }
    Err(wrong("must contain certificates in PEM format, and no private key".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<UserConfiguration, UserConfigurationError> {
        parse(Path::new("/home/me/config.yaml"), text)
    }

    #[test]
    fn reads_mirrors_and_ca() {
        let text = "mirrors:\n  images: {docker.io: 'http://m:5000', '*': 'http://n'}\n  charts: {'*': 'http://c'}\nca: ca.pem\n";
        let configuration = parsed(text).unwrap();
        assert_eq!(configuration.mirrors.images.len(), 2);
        assert_eq!(configuration.mirrors.chart_url("https://a/b"), "http://c");
        assert_eq!(configuration.ca, Some(PathBuf::from("/home/me/ca.pem")));
    }

    #[test]
    fn an_empty_or_missing_file_sets_nothing() {
        for text in ["", "# later\n", "{}\n"] {
            assert_eq!(parsed(text).unwrap(), UserConfiguration::default(), "{text:?}");
        }
        assert_eq!(read(Path::new("/no/such/config.yaml")).unwrap(), UserConfiguration::default());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let message = |text: &str| parsed(text).unwrap_err().to_string();
        let unknown = message("mirrors:\n  image: {}\n");
        assert!(unknown.contains("/home/me/config.yaml") && unknown.contains("image"), "{unknown}");
        assert!(unknown.contains("line 2") || unknown.contains("2:3"), "{unknown}");
        let url = message("mirrors: {images: {docker.io: mirror}}\n");
        assert!(url.contains("'mirror' is not a valid mirror URL"), "{url}");
    }

    #[test]
    fn a_ca_file_contains_only_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let read = |text: &str| {
            std::fs::write(&ca, text).unwrap();
            read_ca("CMDR_CA", &ca)
        };
        assert!(read("-----BEGIN CERTIFICATE-----\n").is_ok());
        assert!(read("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n").is_err());
        let error = read_ca("CMDR_CA", Path::new("/no/such.pem")).unwrap_err().to_string();
        assert!(error.starts_with("CMDR_CA: the CA file /no/such.pem cannot be read: "), "{error}");
    }
}
