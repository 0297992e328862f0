//! Container registries, over the distribution API of the Open Container Initiative: what a tag stands for now, and
//! what is known of an image.
//!
//! Mirrors are asked first, as nodes do it. Small enough to stand here: the clients that there are tell neither what a
//! registry said nor how long it asked to wait, and know mirrors by their host alone.

mod authorization;
mod challenge;
mod client;
mod document;
mod endpoint;
mod error;
mod logins;

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, LINK},
};
use tokio_util::sync::CancellationToken;

pub use self::error::{Problem, RegistryError, RegistrySetupError};
use self::{
    client::{Answer, Client},
    document::{MANIFEST_TYPES, Manifest, Tags, nearest_tag},
    endpoint::Endpoint,
    error::Failure,
};
use super::{credentials::Credentials, patience::Patience};
use crate::domain::{ImageReference, digest::sha256, mirror::ImageMirror};

/// How many images are asked for side by side.
const SIDE_BY_SIDE: usize = 8;
/// How many pages of referrers are read; each has hundreds.
const MOST_PAGES: usize = 20;
/// The header with the digest of what is answered.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// What an image stands for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// As it was asked for.
    pub image: ImageReference,
    /// `repository:tag@sha256:...`: the same content for good.
    pub pinned: ImageReference,
}

/// Asks container registries.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    mirrors: Vec<ImageMirror>,
}

impl Registry {
    /// `certificate_authority` is PEM, one or more certificates that are trusted beside the system's.
    ///
    /// # Errors
    /// When those are no certificates.
    pub fn new(
        mirrors: Vec<ImageMirror>,
        credentials: Credentials,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, RegistrySetupError> {
        let client = Client::new(credentials, certificate_authority, cancel)?;
        Ok(Self { client, mirrors })
    }

    /// For a registry of this machine, which asks for no password.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn local(cancel: CancellationToken) -> Result<Self, RegistrySetupError> {
        Self::new(Vec::new(), Credentials::default(), None, cancel)
    }

    /// With other times to wait than the usual ones.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.client.patience = patience;
        self
    }

    /// What the image's tag (`latest` without one) stands for now. Of a reference with a digest: that this exists.
    ///
    /// # Errors
    /// When neither a mirror nor the registry has it, or none of them says so.
    pub async fn resolve(&self, image: &ImageReference) -> Result<ResolvedImage, RegistryError> {
        let mut failures = Vec::new();
        for endpoint in self.endpoints(image) {
            let found = self
                .digest(&endpoint, image)
                .await
                .and_then(|digest| image.with_digest(&digest).map_err(|error| endpoint.no_image(error.to_string())));
            match found {
                Ok(pinned) => return Ok(ResolvedImage { image: image.clone(), pinned }),
                Err(failure) => failures.push(failure),
            }
        }
        Err(RegistryError::new(image, failures))
    }

    /// Resolves all, each distinct one once; the answers stand in the order of `images`.
    ///
    /// # Errors
    /// All that failed, each distinct one once.
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

    /// The commit that the image was built from, as its label `org.opencontainers.image.revision` says. It is a nicety:
    /// what cannot be asked is as good as absent.
    pub async fn revision(&self, image: &ImageReference) -> Option<String> {
        for endpoint in self.endpoints(image) {
            if let Ok(configuration) = self.configuration(&endpoint, image).await {
                return document::revision(&configuration);
            }
        }
        None
    }

    /// Whether something of this type (`application/sarif+json`) refers to the image, as scans and signatures do.
    /// `image` has a digest; without one nothing can refer to it.
    ///
    /// # Errors
    /// When neither a mirror nor the registry says so.
    pub async fn has_artifact(&self, image: &ImageReference, artifact_type: &str) -> Result<bool, RegistryError> {
        let Some(digest) = &image.digest else { return Ok(false) };
        let (mut failures, mut is_known) = (Vec::new(), false);
        for endpoint in self.endpoints(image) {
            // A mirror may lack what refers to the images that it has.
            match self.refers(&endpoint, &image.repository, digest, artifact_type).await {
                Ok(true) => return Ok(true),
                Ok(false) => is_known = true,
                Err(failure) => failures.push(failure),
            }
        }
        if is_known { Ok(false) } else { Err(RegistryError::new(image, failures)) }
    }

    fn endpoints(&self, image: &ImageReference) -> Vec<Endpoint> {
        Endpoint::all(&self.mirrors, image)
    }

    /// The digest of the image at one endpoint. Asked by HEAD, which registries do not count as a pull.
    async fn digest(&self, endpoint: &Endpoint, image: &ImageReference) -> Result<String, Failure> {
        let reference = reference(image);
        let url = endpoint.url(&image.repository, &format!("manifests/{reference}"), &[])?;
        let head = self.client.ask(endpoint, &image.repository, Method::HEAD, &url).await?;
        if let Some(digest) = head.manifest_digest().filter(|digest| is_wanted(reference, digest)) {
            return Ok(digest);
        }
        // Without a body, nothing says why; and not every registry knows HEAD.
        match self.manifest(endpoint, &image.repository, reference).await {
            Ok((_, digest)) => Ok(digest),
            Err(mut failure) => {
                if let Problem::NotFound { nearest } = &mut failure.problem {
                    *nearest = self.nearest(endpoint, image).await;
                }
                Err(failure)
            }
        }
    }

    /// The manifest of a tag or digest, with its digest.
    async fn manifest(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        reference: &str,
    ) -> Result<(Manifest, String), Failure> {
        let body = self.content(endpoint, repository, &format!("manifests/{reference}"), reference).await?;
        let manifest = Manifest::parse(&body).map_err(|why| endpoint.no_image(why))?;
        Ok((manifest, digest_of(&body)))
    }

    /// The configuration of an image; of an index's first image.
    async fn configuration(&self, endpoint: &Endpoint, image: &ImageReference) -> Result<Vec<u8>, Failure> {
        let repository = &image.repository;
        let (mut manifest, _) = self.manifest(endpoint, repository, reference(image)).await?;
        if let Some(first) = manifest.first_image() {
            (manifest, _) = self.manifest(endpoint, repository, &first.digest.clone()).await?;
        }
        let configuration = manifest.config.ok_or_else(|| endpoint.no_image("an index without images"))?;
        self.content(endpoint, repository, &format!("blobs/{}", configuration.digest), &configuration.digest).await
    }

    /// What is at `path`. Where `reference` is a digest, the content is checked against it.
    async fn content(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        path: &str,
        reference: &str,
    ) -> Result<Vec<u8>, Failure> {
        let url = endpoint.url(repository, path, &[])?;
        let answer = self.get(endpoint, repository, &url).await?;
        if !is_wanted(reference, &digest_of(&answer.body)) {
            return Err(endpoint.no_image(format!("the content of {reference} has another digest")));
        }
        Ok(answer.body)
    }

    async fn get(&self, endpoint: &Endpoint, repository: &str, url: &Url) -> Result<Answer, Failure> {
        let answer = self.client.ask(endpoint, repository, Method::GET, url).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(Failure::new(Problem::NotFound { nearest: None }).said(format!(
                "{}: {}",
                endpoint.name,
                answer.said()
            ))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.client.refused(endpoint, &answer).await),
            _ => Err(endpoint.no_image(answer.said())),
        }
    }

    /// The tag that was probably meant, where the registry tells its tags.
    async fn nearest(&self, endpoint: &Endpoint, image: &ImageReference) -> Option<String> {
        if image.digest.is_some() {
            return None;
        }
        let url = endpoint.url(&image.repository, "tags/list", &[("n", "1000")]).ok()?;
        let answer = self.get(endpoint, &image.repository, &url).await.ok()?;
        let tags: Tags = serde_json::from_slice(&answer.body).ok()?;
        nearest_tag(reference(image), tags.tags.unwrap_or_default())
    }

    /// Whether an artifact refers to `digest`, by the API for it; where a registry does not have that, by the tag that
    /// stands in for it.
    async fn refers(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        digest: &str,
        artifact_type: &str,
    ) -> Result<bool, Failure> {
        let filter = [("artifactType", artifact_type)];
        let mut next = Some(endpoint.url(repository, &format!("referrers/{digest}"), &filter)?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let answer = match self.get(endpoint, repository, &url).await {
                Err(Failure { problem: Problem::NotFound { .. }, .. }) => {
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
        endpoint: &Endpoint,
        repository: &str,
        digest: &str,
        artifact_type: &str,
    ) -> Result<bool, Failure> {
        match self.manifest(endpoint, repository, &digest.replace(':', "-")).await {
            Ok((index, _)) => Ok(index.has_artifact(artifact_type)),
            Err(Failure { problem: Problem::NotFound { .. }, .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

impl Answer {
    /// The digest of the manifest that this tells about; `None` when it tells of none.
    fn manifest_digest(&self) -> Option<String> {
        let header = |name: &str| self.headers.get(name)?.to_str().ok();
        let media_type = header(CONTENT_TYPE.as_str())?.split(';').next().unwrap_or_default().trim();
        let digest = header(CONTENT_DIGEST).filter(|digest| digest.starts_with("sha256:"))?;
        let is_manifest = self.status == StatusCode::OK && MANIFEST_TYPES.contains(&media_type);
        is_manifest.then(|| digest.to_owned())
    }

    /// The next page of a list, at the same registry: the login goes there too.
    fn next_page(&self, url: &Url) -> Option<Url> {
        let link = self.headers.get(LINK)?.to_str().ok()?;
        let (target, relation) = link.split_once('<')?.1.split_once('>')?;
        let next = url.join(target).ok().filter(|next| next.origin() == url.origin())?;
        relation.contains("next").then_some(next)
    }
}

/// The tag or digest that a registry is asked for.
fn reference(image: &ImageReference) -> &str {
    image.digest.as_deref().or(image.tag.as_deref()).unwrap_or("latest")
}

/// Whether `digest` is what was asked for: itself, or anything for a tag.
fn is_wanted(reference: &str, digest: &str) -> bool {
    !reference.starts_with("sha256:") || reference.eq_ignore_ascii_case(digest)
}

fn digest_of(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

#[cfg(test)]
mod tests;
