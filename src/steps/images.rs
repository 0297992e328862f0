//! The images of pods on the local node: pulled before the pods start, and explained if no registry has them.

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::cluster::rollout::RolloutProblem,
    domain::{
        ImageReference, Problem,
        local_registry::{PORTS, RegistryService, pushed_to},
    },
    engine::StepFailure,
};

impl Runner {
    /// Pulls public images one at a time, because the node is busy with other work. If a pull fails, the pod reports
    /// the error.
    pub(super) async fn pull_images(
        &self,
        images: &[ImageReference],
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        let mut pulled = 0;
        for image in images {
            let found = self.credentials.for_registries(&[&image.registry], cancel).await;
            if found.credentials.is_empty() {
                tokio::select! {
                    done = local.pull_onto_node(image) => pulled += usize::from(done),
                    () = cancel.cancelled() => return Err(StepFailure::Interrupted),
                }
            }
        }
        Ok(Some(format!("{pulled} of {} pulled in advance", images.len())))
    }

    /// Names the real cause if no registry has an image, but Docker on this machine has it: nodes do not share its
    /// images.
    pub(super) async fn with_local_image(&self, problem: RolloutProblem, cancel: &CancellationToken) -> RolloutProblem {
        let (Some(local), Some(image)) = (&self.local, &problem.image) else { return problem };
        let reference = &image.reference;
        if !local.docker.has_image(reference).await.is_ok_and(|has| has) {
            return problem;
        }
        // Docker may have pulled a private image with a login.
        if image.is_denied && self.has_login(reference, cancel).await {
            return problem;
        }
        let port = local.registry.iter().find_map(RegistryService::port).unwrap_or(*PORTS.start());
        RolloutProblem { cause: only_here(reference, port), ..problem }
    }

    async fn has_login(&self, image: &str, cancel: &CancellationToken) -> bool {
        let Ok(image) = ImageReference::parse(image) else { return false };
        !self.credentials.for_registries(&[&image.registry], cancel).await.credentials.is_empty()
    }
}

fn only_here(image: &str, port: u16) -> Problem {
    let name = image.rsplit('/').next().unwrap_or(image);
    let target = format!("{}/{name}", pushed_to(port));
    let push = format!("docker tag {image} {target} && docker push {target}");
    Problem::new(format!("image not found in any registry, only in Docker on this machine: {image}")).help(format!(
        "let cmdr build it: projects.NAME.build: {{context: FOLDER}}; or push it with '{push}' and set 'image' to {target}"
    ))
}
