//! What a local node has before pods start: images and volumes.

use super::{DescribedProject, Planner};
use crate::plan::{
    Change, CopiedVolumes, CopyStep, Step, StepId, VolumeSpec, images::images_of_later, volumes::volumes_of,
};

impl Planner<'_> {
    /// Adds the step that pulls images of new releases onto the local node, for pods that start later.
    pub(super) fn pull_images(&mut self, projects: &[&DescribedProject], cluster: StepId) {
        let installs = self.installs(projects);
        let images = images_of_later(installs.iter().map(|project| (&project.release, !project.needs.is_empty())));
        if self.described.local_node && !images.is_empty() {
            self.plan.add(Step::PullImages(images), "before their pods start", [cluster]);
        }
    }

    fn installs<'b>(&self, projects: &[&'b DescribedProject]) -> Vec<&'b DescribedProject> {
        projects.iter().copied().filter(|project| self.change(&project.release) == Change::Install).collect()
    }

    /// Adds the step that creates volumes for new releases on the local node.
    pub(super) fn provide_volumes(&mut self, projects: &[&DescribedProject], cluster: StepId) -> Option<StepId> {
        let installs = self.installs(projects);
        let volumes: Vec<VolumeSpec> = installs.iter().flat_map(|project| volumes_of(&project.release)).collect();
        if !self.described.local_node || volumes.is_empty() {
            return None;
        }
        let copied = self.described.data_from.clone().map(|source| {
            let reason = "instead of empty volumes";
            let step = Step::Copy(CopyStep::Volumes(CopiedVolumes { source, volumes: volumes.clone() }));
            self.plan.add(step, reason, [cluster])
        });
        let step = Step::ProvideVolumes(volumes);
        Some(self.plan.add(step, "for pods with volume claims", [copied.unwrap_or(cluster)]))
    }
}
