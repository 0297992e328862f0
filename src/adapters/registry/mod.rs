//! Container registries, by the OCI distribution API: resolves tags to digests, and reads the metadata of images.
//!
//! Mirrors are tried first, as on nodes. This client is small enough to maintain here: existing libraries return
//! neither the registry's error message nor its `Retry-After`, and identify mirrors only by their host.

mod authorization;
mod challenge;
mod client;
mod document;
mod endpoint;
mod error;
mod logins;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, LINK},
};
use tokio_util::sync::CancellationToken;

pub use self::error::{RegistryError, RegistryErrorKind, RegistrySetupError};
use self::{
    client::{RegistryClient, RegistryResponse},
    document::{MANIFEST_TYPES, Manifest, Tags},
    endpoint::RegistryEndpoint,
    error::RegistryFailure,
};
use super::{credentials::Credentials, retry_policy::RetryPolicy};
use crate::domain::{Digest, ImageReference, mirror::ImageMirror, nearest::nearest};

/// The number of images that are resolved in parallel.
const SIDE_BY_SIDE: usize = 8;
/// The maximum number of pages of referrers to read; each has hundreds of entries.
const MOST_PAGES: usize = 20;
/// The header with the digest of the content.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// An image with the digest that its tag currently has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The reference as requested.
    pub image: ImageReference,
    /// `repository:tag@sha256:...`, whose content never changes.
    pub pinned: ImageReference,
}

/// A client for container registries.
#[derive(Debug)]
pub struct Registry {
    client: RegistryClient,
    mirrors: Vec<ImageMirror>,
}

impl Registry {
    /// `certificate_authority` is PEM: one or more certificates that are trusted in addition to the system's.
    ///
    /// # Errors
    /// If they are not valid certificates.
    pub fn new(
        mirrors: Vec<ImageMirror>,
        credentials: impl Into<Arc<Credentials>>,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, RegistrySetupError> {
        let client = RegistryClient::new(credentials.into(), certificate_authority, cancel)?;
        Ok(Self { client, mirrors })
    }

    /// Returns a client for a registry on this machine without authentication.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub fn local(cancel: CancellationToken) -> Result<Self, RegistrySetupError> {
        Self::new(Vec::new(), Credentials::default(), None, cancel)
    }

    /// Replaces the timeouts and retries.
    #[must_use]
    pub fn with_patience(mut self, patience: RetryPolicy) -> Self {
        self.client.web.patience = patience;
        self
    }

    /// Resolves the image's tag (`latest` by default) to its digest. For a reference with a digest, checks that it
    /// exists.
    ///
    /// # Errors
    /// If neither a mirror nor the registry has the image, or all requests fail.
    pub async fn resolve(&self, image: &ImageReference) -> Result<ResolvedImage, RegistryError> {
        let mut failures = Vec::new();
        for endpoint in self.endpoints(image) {
            match self.digest(&endpoint, image).await {
                Ok(digest) => return Ok(ResolvedImage { image: image.clone(), pinned: image.with_digest(&digest) }),
                Err(failure) => failures.push(failure),
            }
        }
        Err(RegistryError::new(image, failures))
    }

    /// Resolves all images, each distinct one once. The results are in the order of `images`.
    ///
    /// # Errors
    /// All errors, one for each distinct image.
    pub async fn resolve_all(&self, images: &[ImageReference]) -> Result<Vec<ResolvedImage>, Vec<RegistryError>> {
        let distinct: BTreeMap<String, &ImageReference> =
            images.iter().map(|image| (image.to_string(), image)).collect();
        let answers: Vec<_> = stream::iter(distinct.into_values().cloned())
            .map(|image| async move { self.resolve(&image).await })
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        let (mut resolved, mut failures) = (BTreeMap::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(found) => {
                    resolved.insert(found.image.to_string(), found);
                }
                Err(error) => failures.push(error),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        Ok(images.iter().filter_map(|image| resolved.get(&image.to_string()).cloned()).collect())
    }

    /// Returns the commit that the image was built from, from its label `org.opencontainers.image.revision`. It is only
    /// informational: errors are ignored.
    pub async fn revision(&self, image: &ImageReference) -> Option<String> {
        for endpoint in self.endpoints(image) {
            if let Ok(configuration) = self.configuration(&endpoint, image).await {
                return document::revision(&configuration);
            }
        }
        None
    }

    /// Returns whether two references with digests are the same image: an index and the manifest of a platform in it,
    /// two indexes with a common manifest, or two manifests of one configuration. Errors count as different.
    pub async fn is_same_image(&self, one: &ImageReference, other: &ImageReference) -> bool {
        one.digest == other.digest || !self.parts(one).await.is_disjoint(&self.parts(other).await)
    }

    /// Returns the digests that identify an image: its own, and those of its images or of its configuration.
    async fn parts(&self, image: &ImageReference) -> BTreeSet<String> {
        for endpoint in self.endpoints(image) {
            if let Ok((manifest, digest)) = self.manifest(&endpoint, &image.repository, reference(image)).await {
                return manifest.parts().map(str::to_owned).chain([digest.to_string()]).collect();
            }
        }
        BTreeSet::new()
    }

    /// Returns whether an artifact of this type (`application/sarif+json`) refers to the image, as scans and signatures
    /// do. `image` must have a digest; otherwise nothing can refer to it.
    ///
    /// # Errors
    /// If neither a mirror nor the registry responds.
    pub async fn has_artifact(&self, image: &ImageReference, artifact_type: &str) -> Result<bool, RegistryError> {
        let Some(digest) = &image.digest else { return Ok(false) };
        let (mut failures, mut is_known) = (Vec::new(), false);
        for endpoint in self.endpoints(image) {
            // A mirror may have an image without the artifacts that refer to it.
            match self.refers(&endpoint, &image.repository, digest, artifact_type).await {
                Ok(true) => return Ok(true),
                Ok(false) => is_known = true,
                Err(failure) => failures.push(failure),
            }
        }
        if is_known { Ok(false) } else { Err(RegistryError::new(image, failures)) }
    }

    fn endpoints(&self, image: &ImageReference) -> Vec<RegistryEndpoint> {
        RegistryEndpoint::all(&self.mirrors, image)
    }

    /// Returns the digest of the image at one endpoint. Uses HEAD, which registries do not count as a pull.
    async fn digest(&self, endpoint: &RegistryEndpoint, image: &ImageReference) -> Result<Digest, RegistryFailure> {
        let reference = reference(image);
        let url = endpoint.url(&image.repository, &format!("manifests/{reference}"), &[])?;
        let head = self.client.ask(endpoint, &image.repository, Method::HEAD, &url).await?;
        if let Some(digest) = head.manifest_digest().filter(|digest| is_wanted(reference, digest)) {
            return Ok(digest);
        }
        // A HEAD response contains no error message, and not every registry supports HEAD.
        match self.manifest(endpoint, &image.repository, reference).await {
            Ok((_, digest)) => Ok(digest),
            Err(mut failure) => {
                if let RegistryErrorKind::NotFound { nearest } = &mut failure.problem {
                    *nearest = self.nearest(endpoint, image).await;
                }
                Err(failure)
            }
        }
    }

    /// Returns the manifest of a tag or digest, with its digest.
    async fn manifest(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        reference: &str,
    ) -> Result<(Manifest, Digest), RegistryFailure> {
        let body = self.content(endpoint, repository, &format!("manifests/{reference}"), reference).await?;
        let manifest = Manifest::parse(&body).map_err(|why| endpoint.no_image(why))?;
        Ok((manifest, Digest::of(&body)))
    }

    /// Returns the configuration of an image, or of the first image of an index.
    async fn configuration(
        &self,
        endpoint: &RegistryEndpoint,
        image: &ImageReference,
    ) -> Result<Vec<u8>, RegistryFailure> {
        let repository = &image.repository;
        let (mut manifest, _) = self.manifest(endpoint, repository, reference(image)).await?;
        if let Some(first) = manifest.first_image() {
            (manifest, _) = self.manifest(endpoint, repository, &first.digest.clone()).await?;
        }
        let configuration = manifest.config.ok_or_else(|| endpoint.no_image("the index contains no images"))?;
        self.content(endpoint, repository, &format!("blobs/{}", configuration.digest), &configuration.digest).await
    }

    /// Returns the content at `path`. If `reference` is a digest, verifies the content.
    async fn content(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        path: &str,
        reference: &str,
    ) -> Result<Vec<u8>, RegistryFailure> {
        let url = endpoint.url(repository, path, &[])?;
        let answer = self.get(endpoint, repository, &url).await?;
        if !is_wanted(reference, &Digest::of(&answer.body)) {
            return Err(endpoint.no_image(format!("the content of {reference} does not match its digest")));
        }
        Ok(answer.body)
    }

    async fn get(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        url: &Url,
    ) -> Result<RegistryResponse, RegistryFailure> {
        let answer = self.client.ask(endpoint, repository, Method::GET, url).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(RegistryFailure::new(RegistryErrorKind::NotFound { nearest: None })
                .detail(format!("{}: {}", endpoint.name, answer.detail()))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.client.refused(endpoint, &answer).await),
            _ => Err(endpoint.no_image(answer.detail())),
        }
    }

    /// Returns the most similar tag, if the registry lists its tags.
    async fn nearest(&self, endpoint: &RegistryEndpoint, image: &ImageReference) -> Option<String> {
        if image.digest.is_some() {
            return None;
        }
        let url = endpoint.url(&image.repository, "tags/list", &[("n", "1000")]).ok()?;
        let answer = self.get(endpoint, &image.repository, &url).await.ok()?;
        let tags: Tags = serde_json::from_slice(&answer.body).ok()?;
        let tags = tags.tags.unwrap_or_default();
        nearest(reference(image), tags.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Returns whether an artifact refers to `digest`, by the referrers API. If a registry does not support it, uses
    /// the tag schema.
    async fn refers(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        digest: &Digest,
        artifact_type: &str,
    ) -> Result<bool, RegistryFailure> {
        let filter = [("artifactType", artifact_type)];
        let mut next = Some(endpoint.url(repository, &format!("referrers/{digest}"), &filter)?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let answer = match self.get(endpoint, repository, &url).await {
                Err(RegistryFailure { problem: RegistryErrorKind::NotFound { .. }, .. }) => {
                    return self.refers_by_tag(endpoint, repository, digest, artifact_type).await;
                }
                answer => answer?,
            };
            let index = Manifest::parse(&answer.body).map_err(|why| endpoint.no_image(why))?;
            if index.has_artifact(artifact_type) {
                return Ok(true);
            }
            next = answer.next_page(&url);
        }
        Ok(false)
    }

    async fn refers_by_tag(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        digest: &Digest,
        artifact_type: &str,
    ) -> Result<bool, RegistryFailure> {
        match self.manifest(endpoint, repository, &digest.as_str().replace(':', "-")).await {
            Ok((index, _)) => Ok(index.has_artifact(artifact_type)),
            Err(RegistryFailure { problem: RegistryErrorKind::NotFound { .. }, .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

impl RegistryResponse {
    /// Returns the digest of the manifest in this response; `None` if it is not a manifest.
    fn manifest_digest(&self) -> Option<Digest> {
        let header = |name: &str| self.headers.get(name)?.to_str().ok();
        let media_type = header(CONTENT_TYPE.as_str())?.split(';').next().unwrap_or_default().trim();
        let digest = Digest::parse(header(CONTENT_DIGEST)?).ok()?;
        let is_manifest = self.status == StatusCode::OK && MANIFEST_TYPES.contains(&media_type);
        is_manifest.then_some(digest)
    }

    /// Returns the next page of a list. It must be at the same registry, because the credentials are sent there.
    fn next_page(&self, url: &Url) -> Option<Url> {
        let link = self.headers.get(LINK)?.to_str().ok()?;
        let (target, relation) = link.split_once('<')?.1.split_once('>')?;
        let next = url.join(target).ok().filter(|next| next.origin() == url.origin())?;
        relation.contains("next").then_some(next)
    }
}

/// Returns the tag or digest that is requested from a registry.
fn reference(image: &ImageReference) -> &str {
    image.digest.as_ref().map(Digest::as_str).or(image.tag.as_deref()).unwrap_or("latest")
}

/// Returns whether `digest` matches the reference: the same digest, or any digest for a tag.
fn is_wanted(reference: &str, digest: &Digest) -> bool {
    !reference.starts_with("sha256:") || reference.eq_ignore_ascii_case(digest.as_str())
}

#[cfg(test)]
mod tests;
