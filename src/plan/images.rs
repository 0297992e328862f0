//! The images that are pulled onto a local node ahead of the pods that run them.

use crate::domain::ImageReference;

use super::up::DescribedProject;

/// What is pulled when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullSpec {
    /// While the cluster is being made and its processor has little to do: those of projects that the most wait for
    /// come first. What has not begun when the cluster is there is left to its pods.
    pub at_boot: Vec<ImageReference>,
    /// Afterwards: those of pods that come later, since they wait for others.
    pub later: Vec<ImageReference>,
}

impl PullSpec {
    /// For these projects, which are to be installed, in the order of need.
    pub fn of(installs: &[&DescribedProject], is_new_cluster: bool) -> Self {
        let images = |is_meant: fn(&DescribedProject) -> bool| {
            let mut images: Vec<ImageReference> = Vec::new();
            for project in installs.iter().filter(|project| is_meant(project)) {
                images.extend(project.release.image.clone().filter(|image| !images.contains(image)));
            }
            images
        };
        let at_once = images(|project| project.needs.is_empty());
        let mut later = images(|project| !project.needs.is_empty());
        later.retain(|image| !at_once.contains(image));
        let at_boot = if is_new_cluster { images(|_| true) } else { Vec::new() };
        Self { at_boot, later }
    }

    pub fn is_empty(&self) -> bool {
        self.at_boot.is_empty() && self.later.is_empty()
    }
}
