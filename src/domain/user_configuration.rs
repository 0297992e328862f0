//! User configuration of a machine: mirrors and a company's CA. Environment variables override the file.

use std::path::PathBuf;

use super::mirror::Mirrors;

/// From the user's `config.yaml`, or from environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserConfiguration {
    pub mirrors: Mirrors,
    /// Where kind, Helm and sops are downloaded from; without a trailing slash.
    pub tools_mirror: Option<String>,
    /// A PEM file with the CA certificates of the company's registries and repositories.
    pub ca: Option<PathBuf>,
}

impl UserConfiguration {
    /// Merges `over` into this: a mirror of `over` replaces all mirrors for the same host or prefix.
    #[must_use]
    pub fn overridden_by(self, over: Self) -> Self {
        let images = replaced(self.mirrors.images, over.mirrors.images, |mirror| &mirror.host);
        let charts = replaced(self.mirrors.charts, over.mirrors.charts, |mirror| &mirror.prefix);
        let tools_mirror = over.tools_mirror.or(self.tools_mirror);
        Self { mirrors: Mirrors { images, charts }, tools_mirror, ca: over.ca.or(self.ca) }
    }
}

/// Returns `base` without the keys that `over` contains, then `over`.
fn replaced<T>(base: Vec<T>, over: Vec<T>, key: impl Fn(&T) -> &String) -> Vec<T> {
    let mut kept: Vec<T> = base.into_iter().filter(|item| !over.iter().any(|other| key(other) == key(item))).collect();
    kept.extend(over);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mirror::{ChartMirror, ImageMirror};

    fn configuration(images: &str, charts: &str, ca: Option<&str>) -> UserConfiguration {
        let images = ImageMirror::parse_list(images).unwrap();
        let charts = ChartMirror::parse_list(charts).unwrap();
        UserConfiguration { mirrors: Mirrors { images, charts }, tools_mirror: None, ca: ca.map(PathBuf::from) }
    }

    #[test]
    fn variables_win_host_by_host() {
        let file = configuration("docker.io=http://a,docker.io=http://b,ghcr.io=http://c", "*=http://d", Some("/ca"));
        let variables = configuration("docker.io=http://x", "oci://*=oci://y", None);
        let expected = configuration("ghcr.io=http://c,docker.io=http://x", "*=http://d,oci://*=oci://y", Some("/ca"));
        assert_eq!(file.overridden_by(variables), expected);
    }
}
