//! References to container images, in Docker's format.

use std::{collections::BTreeMap, fmt};

use super::{Digest, digest::InvalidDigest};

/// A container image: `[registry/]repository[:tag][@digest]`, stored as written and in its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageReference {
    written: String,
    /// The registry host with port; default: `docker.io`.
    pub registry: String,
    /// The path in the registry: `library/redis` for `redis`.
    pub repository: String,
    /// The tag, if set.
    pub tag: Option<String>,
    /// The digest, if set.
    pub digest: Option<Digest>,
}

/// Why a string is not a valid image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    #[error("the image reference is empty")]
    Empty,
    #[error("'{0}' is not a valid image repository: only lowercase letters, digits, '.', '_', '-' and '/' are allowed")]
    Repository(String),
    #[error(
        "'{0}' is not a valid image tag: only letters, digits, '.', '_' and '-' are allowed, at most 128 characters"
    )]
    Tag(String),
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl ImageReference {
    /// # Errors
    /// Fails if `text` is not a valid image reference.
    pub fn parse(text: &str) -> Result<Self, InvalidImage> {
        if text.is_empty() {
            return Err(InvalidImage::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(checked_tag(tag)?)),
            _ => (rest, None),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((host, repository)) if is_host(host) => (host.to_owned(), repository.to_owned()),
            Some(_) => ("docker.io".to_owned(), path.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{path}")),
        };
        let registry = if registry == "index.docker.io" { "docker.io".to_owned() } else { registry };
        if !is_repository(&repository) {
            return Err(InvalidImage::Repository(path.to_owned()));
        }
        Ok(Self { written: text.to_owned(), registry, repository, tag, digest })
    }

    /// Returns the fully qualified reference: `docker.io/library/redis:latest` for `redis`.
    pub fn full(&self) -> String {
        let tag = match (&self.tag, &self.digest) {
            (Some(tag), _) => format!(":{tag}"),
            (None, None) => ":latest".to_owned(),
            (None, Some(_)) => String::new(),
        };
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}/{}{tag}{digest}", self.registry, self.repository)
    }

    /// Pins the image to `digest`: `redis:latest@sha256:...` for `redis`. The registry is kept as written.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        let tag = match (&self.tag, &self.digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.clone(),
        };
        let version = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let written = format!("{}{version}@{digest}", self.name());
        Self { written, tag, digest: Some(digest.clone()), ..self.clone() }
    }

    /// Returns the reference as written, without tag and digest: `redis`, `ghcr.io/tunes/shop`.
    pub fn name(&self) -> &str {
        let name = self.written.split('@').next().unwrap_or_default();
        let tag = self.tag.as_ref().map_or(0, |tag| tag.len() + 1);
        &name[..name.len() - tag]
    }

    /// Returns the version to show: the tag, or the start of the digest, or `latest`.
    pub fn version(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => tag.clone(),
            (None, Some(digest)) => digest.hex()[..12].to_owned(),
            (None, None) => "latest".to_owned(),
        }
    }
}

/// Returns the digests of all images that have one, by reference without the digest.
pub fn digests_by_name(images: impl IntoIterator<Item = ImageReference>) -> BTreeMap<String, Digest> {
    let named = images.into_iter().filter_map(|image| {
        let name = image.to_string().split('@').next().unwrap_or_default().to_owned();
        Some((name, image.digest?))
    });
    named.collect()
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

/// The first part is a host if it contains a dot or a port, or is `localhost`.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_repository(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !text.is_empty()
        && text.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().all(allowed)
                && part.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        })
}

fn checked_tag(tag: &str) -> Result<String, InvalidImage> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let starts_well = tag.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
    if starts_well && tag.len() <= 128 && tag.bytes().all(allowed) {
        return Ok(tag.to_owned());
    }
    Err(InvalidImage::Tag(tag.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<String>) {
        let image = ImageReference::parse(text).unwrap();
        (image.registry, image.repository, image.tag)
    }

    #[test]
    fn reads_what_docker_writes() {
        let owned = |registry: &str, repository: &str, tag: Option<&str>| {
            (registry.to_owned(), repository.to_owned(), tag.map(str::to_owned))
        };
        assert_eq!(parts("redis"), owned("docker.io", "library/redis", None));
        assert_eq!(parts("grafana/k6:1.0"), owned("docker.io", "grafana/k6", Some("1.0")));
        assert_eq!(parts("localhost:5001/shop"), owned("localhost:5001", "shop", None));
        assert_eq!(parts("ghcr.io/a/b/c:v1"), owned("ghcr.io", "a/b/c", Some("v1")));
    }

    #[test]
    fn reads_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageReference::parse(&format!("redis:7@{digest}")).unwrap();
        assert_eq!((image.tag.as_deref(), image.digest), (Some("7"), Digest::parse(&digest).ok()));
        assert_eq!(ImageReference::parse("redis@sha256:12"), Err(InvalidDigest::Image("sha256:12".to_owned()).into()));
    }

    #[test]
    fn a_digest_pins_what_was_written() {
        let digest = Digest::of(b"b");
        let pinned = |text: &str| ImageReference::parse(text).unwrap().with_digest(&digest);
        assert_eq!(pinned("redis:7.0").to_string(), format!("redis:7.0@{digest}"));
        assert_eq!(pinned("localhost:5001/shop").to_string(), format!("localhost:5001/shop:latest@{digest}"));
        let old = format!("ghcr.io/a/b@sha256:{}", "a".repeat(64));
        assert_eq!(pinned(&old).to_string(), format!("ghcr.io/a/b@{digest}"));
        for text in ["redis", "redis:7.0", &old] {
            assert_eq!(ImageReference::parse(&pinned(text).to_string()), Ok(pinned(text)));
            assert_eq!(pinned(text).name(), ImageReference::parse(text).unwrap().name());
        }
    }

    #[test]
    fn the_full_reference_leaves_nothing_out() {
        let full = |text: &str| ImageReference::parse(text).unwrap().full();
        assert_eq!(full("redis"), "docker.io/library/redis:latest");
        let digest = format!("ghcr.io/a/b@sha256:{}", "a".repeat(64));
        assert_eq!(full(&digest), digest);
    }

    #[test]
    fn refuses_what_no_registry_takes() {
        assert_eq!(ImageReference::parse(""), Err(InvalidImage::Empty));
        assert!(matches!(ImageReference::parse("Shop:1"), Err(InvalidImage::Repository(_))));
        assert!(matches!(ImageReference::parse("shop:"), Err(InvalidImage::Tag(_))));
        assert!(matches!(ImageReference::parse("a//b"), Err(InvalidImage::Repository(_))));
    }
}
