//! The images that are pulled onto a local node ahead of the pods that run them.

use super::up::DescribedProject;
use crate::domain::ImageReference;

/// Those of projects that wait for others, unless a project that waits for nobody brings them at once. Nothing is pulled
/// while the cluster is being made: unpacking then takes from its boot what it gains (38 s became 44 for the sample).
pub fn images_of_later(installs: &[&DescribedProject]) -> Vec<ImageReference> {
    let (at_once, later): (Vec<_>, Vec<_>) = installs.iter().partition(|project| project.needs.is_empty());
    let images = |of: Vec<&&DescribedProject>| -> Vec<ImageReference> {
        of.into_iter().filter_map(|project| project.release.image.clone()).collect()
    };
    let (at_once, mut later) = (images(at_once), images(later));
    later.retain(|image| !at_once.contains(image));
    later.sort();
    later.dedup();
    later
}
