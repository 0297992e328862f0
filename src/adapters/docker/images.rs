//! Images in the engine.

use std::collections::HashMap;

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::{CreateImageInfo, PushImageInfo},
    query_parameters::{CreateImageOptions, PushImageOptions, RemoveImageOptions, TagImageOptions},
};
use futures::TryStreamExt;

use super::{Docker, DockerError, error::cause};
use crate::{
    adapters::{Cause, credentials::RegistryCredential},
    domain::{ImageReference, mirror::ImageMirror},
};

/// The progress of a pull. The totals grow as the engine finds more layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullProgress {
    pub layers_done: usize,
    pub layers_total: usize,
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// The progress of a push. The total grows as the engine starts to send more layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushProgress {
    pub bytes_sent: u64,
    pub bytes_total: u64,
}

/// The number of layers of an image that were sent to a registry, and that it already had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    pub sent: usize,
    pub known: usize,
}

/// The download of one layer.
#[derive(Debug, Default)]
struct Layer {
    done: bool,
    current: u64,
    total: u64,
}

impl Docker {
    /// Returns whether the engine has an image with this reference.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn has_image(&self, reference: &str) -> Result<bool, DockerError> {
        match self.client.inspect_image(reference).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(DockerError::request(format!("inspect image {reference}"))(error)),
        }
    }

    /// Returns the ID of an image in the engine.
    ///
    /// # Errors
    /// If the engine does not have it.
    pub async fn image_id(&self, image: &ImageReference) -> Result<String, DockerError> {
        let found = self.client.inspect_image(&image.to_string()).await;
        let found = found.map_err(DockerError::request(format!("inspect image {image}")))?;
        Ok(found.id.unwrap_or_default())
    }

    /// Removes one name of an image that has others.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn untag_image(&self, image: &ImageReference) -> Result<(), DockerError> {
        let removed = self.client.remove_image(&image.to_string(), None::<RemoveImageOptions>, None).await;
        removed.map(drop).map_err(DockerError::request(format!("remove the name {image}")))
    }

    /// Pulls a public image as nodes do: from its mirrors in order, else from its own registry. The image is then
    /// stored under its own name.
    ///
    /// # Errors
    /// The error of the image's own registry, if no registry returns the image.
    pub async fn pull_by_mirrors(
        &self,
        image: &ImageReference,
        mirrors: &[ImageMirror],
        mut on_progress: impl FnMut(PullProgress),
    ) -> Result<(), DockerError> {
        let mirrors = ImageMirror::of(mirrors, &image.registry).into_iter().filter(|mirror| !mirror.has_path());
        // The engine stores an image by digest only under the name that it was pulled by.
        let mirrors = mirrors.filter(|_| image.digest.is_none());
        for reference in mirrors.filter_map(|mirror| at_mirror(image, mirror)) {
            if self.pull_image(&reference, None, &mut on_progress).await.is_ok() {
                self.tag_image(&reference.to_string(), image).await?;
                // Removes the mirror's name; the image keeps its own.
                let _ = self.untag_image(&reference).await;
                return Ok(());
            }
        }
        self.pull_image(image, None, on_progress).await
    }

    /// Tags an image (a reference or an ID) with another name.
    ///
    /// # Errors
    /// If the image does not exist in the engine.
    pub async fn tag_image(&self, image: &str, name: &ImageReference) -> Result<(), DockerError> {
        let options = TagImageOptions { repo: Some(name.name().to_owned()), tag: name.tag.clone() };
        let tagged = self.client.tag_image(image, Some(options)).await;
        tagged.map_err(DockerError::request(format!("tag image {image} as {name}")))
    }

    /// Pushes an image to a registry without authentication; `on_progress` is called at each message of the engine.
    ///
    /// # Errors
    /// If the registry rejects the image or cannot be reached.
    pub async fn push_image(
        &self,
        image: &ImageReference,
        mut on_progress: impl FnMut(PushProgress),
    ) -> Result<Pushed, DockerError> {
        let options = PushImageOptions { tag: image.tag.clone(), ..PushImageOptions::default() };
        let mut words = std::pin::pin!(self.client.push_image(image.name(), Some(options), None));
        let failed = |error: Error| DockerError::Push { image: image.to_string(), source: cause(error) };
        let (mut pushed, mut layers) = (Pushed::default(), HashMap::new());
        while let Some(word) = words.try_next().await.map_err(failed)? {
            note_push(&mut layers, &word);
            on_progress(push_progress(&layers));
            match word.status.as_deref() {
                Some("Pushed") => pushed.sent += 1,
                Some("Layer already exists") => pushed.known += 1,
                // The layer exists in another repository of the same registry.
                Some(status) if status.starts_with("Mounted from") => pushed.known += 1,
                _ => (),
            }
        }
        Ok(pushed)
    }

    /// Pulls an image; `on_progress` is called at each message of the engine.
    ///
    /// # Errors
    /// If the image is not found, access is denied, or the registry cannot be reached.
    pub async fn pull_image(
        &self,
        image: &ImageReference,
        credential: Option<&RegistryCredential>,
        mut on_progress: impl FnMut(PullProgress),
    ) -> Result<(), DockerError> {
        let reference = with_version(image);
        let options = CreateImageOptions { from_image: Some(reference), ..CreateImageOptions::default() };
        let mut words = std::pin::pin!(self.client.create_image(Some(options), None, credential.map(login)));
        let failed = |source: Cause| DockerError::Pull { image: image.to_string(), source };
        let mut layers = HashMap::new();
        while let Some(word) = words.try_next().await.map_err(|error| failed(cause(error)))? {
            if let Some(error) = word.error_detail {
                return Err(failed(error.message.unwrap_or_default().into()));
            }
            note(&mut layers, word);
            on_progress(progress(&layers));
        }
        Ok(())
    }
}

/// Returns the image's reference at a mirror. The engine itself supports mirrors only for Docker Hub.
fn at_mirror(image: &ImageReference, mirror: &ImageMirror) -> Option<ImageReference> {
    let full = image.full();
    let path = full.strip_prefix(&format!("{}/", image.registry))?;
    ImageReference::parse(&format!("{}/{path}", mirror.authority())).ok()
}

/// Returns the full reference: without a tag or digest the engine would pull every tag.
fn with_version(image: &ImageReference) -> String {
    match (&image.tag, &image.digest) {
        (None, None) => format!("{image}:latest"),
        _ => image.to_string(),
    }
}

fn login(credential: &RegistryCredential) -> DockerCredentials {
    let (username, password, identity_token) = credential.for_engine();
    DockerCredentials {
        username,
        password,
        identitytoken: identity_token,
        serveraddress: Some(credential.key()),
        ..DockerCredentials::default()
    }
}

fn note(layers: &mut HashMap<String, Layer>, word: CreateImageInfo) {
    let (Some(id), Some(status)) = (word.id, word.status) else { return };
    // The message `Pulling from library/redis` has the tag as its ID.
    if status.starts_with("Pulling from") {
        return;
    }
    let layer = layers.entry(id).or_default();
    layer.done |= status == "Pull complete" || status == "Already exists";
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    if let Some(detail) = word.progress_detail.filter(|_| status == "Downloading") {
        layer.current = number(detail.current).unwrap_or(layer.current);
        layer.total = number(detail.total).unwrap_or(layer.total);
    }
    if status == "Download complete" || layer.done {
        layer.current = layer.total;
    }
}

/// Notes how much of a layer is sent, by the size of the layer: the library does not pass on its ID. Layers that the
/// registry has are not sent.
fn note_push(layers: &mut HashMap<u64, u64>, word: &PushImageInfo) {
    let Some(detail) = word.progress_detail.as_ref().filter(|_| word.status.as_deref() == Some("Pushing")) else {
        return;
    };
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    if let (Some(sent), Some(total)) = (number(detail.current), number(detail.total)) {
        // The engine estimates the size, and may send more.
        layers.insert(total, sent.min(total));
    }
}

fn push_progress(layers: &HashMap<u64, u64>) -> PushProgress {
    PushProgress { bytes_sent: layers.values().sum(), bytes_total: layers.keys().sum() }
}

fn progress(layers: &HashMap<String, Layer>) -> PullProgress {
    layers.values().fold(PullProgress::default(), |sum, layer| PullProgress {
        layers_done: sum.layers_done + usize::from(layer.done),
        layers_total: sum.layers_total + 1,
        bytes_done: sum.bytes_done + layer.current,
        bytes_total: sum.bytes_total + layer.total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_summed_over_layers() {
        let words = [
            r#"{"status": "Pulling from library/redis", "id": "7.0"}"#,
            r#"{"status": "Already exists", "progressDetail": {}, "id": "a"}"#,
            r#"{"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "b"}"#,
            r#"{"status": "Downloading", "progressDetail": {"current": 50, "total": 50}, "id": "c"}"#,
            r#"{"status": "Extracting", "progressDetail": {"current": 1, "total": 50}, "id": "c"}"#,
            r#"{"status": "Digest: sha256:1"}"#,
        ];
        let mut layers = HashMap::new();
        for word in words {
            note(&mut layers, serde_json::from_str(word).unwrap());
        }
        let expected = PullProgress { layers_done: 1, layers_total: 3, bytes_done: 60, bytes_total: 150 };
        assert_eq!(progress(&layers), expected);
    }

    #[test]
    fn the_progress_of_a_push_is_summed_over_layers() {
        let words = [
            r#"{"status": "The push refers to repository [localhost:5001/shop]"}"#,
            r#"{"status": "Layer already exists", "progressDetail": {}, "id": "a"}"#,
            r#"{"status": "Pushing", "progressDetail": {"current": 50, "total": 200}, "id": "b"}"#,
            r#"{"status": "Pushing", "progressDetail": {"current": 15, "total": 10}, "id": "c"}"#,
            r#"{"status": "Pushing", "progressDetail": {"current": 150, "total": 200}, "id": "b"}"#,
            r#"{"status": "Pushed", "progressDetail": {}, "id": "c"}"#,
        ];
        let mut layers = HashMap::new();
        for word in words {
            note_push(&mut layers, &serde_json::from_str(word).unwrap());
        }
        assert_eq!(push_progress(&layers), PushProgress { bytes_sent: 160, bytes_total: 210 });
    }

    #[test]
    fn an_image_is_named_as_its_mirror_has_it() {
        let mirror = ImageMirror::new("*", "http://localhost:5555").unwrap();
        let image = ImageReference::parse("redis:7").unwrap();
        assert_eq!(at_mirror(&image, &mirror).unwrap().to_string(), "localhost:5555/library/redis:7");
    }

    #[test]
    fn a_reference_without_a_version_is_latest() {
        let full = |text: &str| with_version(&ImageReference::parse(text).unwrap());
        assert_eq!((full("redis").as_str(), full("redis:7").as_str()), ("redis:latest", "redis:7"));
    }
}
