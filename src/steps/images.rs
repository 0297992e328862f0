//! The images of pods on the local node: pulled before the pods start, and explained if no registry has them.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use super::{LocalCluster, Runner, rollout::LOOK_AGAIN};
use crate::{
    adapters::cluster::rollout::RolloutProblem,
    domain::{
        ImageReference, Problem,
        causes::images::IMAGE_ONLY_IN_DOCKER,
        local_registry::{PORTS, RegistryService, pushed_to},
        wait_reason::WaitReason,
    },
    engine::{Reporter, StepFailure},
};

impl Runner {
    /// Pulls public images one at a time, because the node is busy with other work. If a pull fails, the pod reports
    /// the error.
    pub(super) async fn pull_images(
        &self,
        images: &[ImageReference],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        let mut pulled = 0;
        for image in images {
            let found = self.credentials.for_registries(&[&image.registry], cancel).await;
            if found.credentials.is_empty() {
                pulled += usize::from(self.pull_image(local, image, reporter, cancel).await?);
            }
        }
        Ok(Some(format!("{pulled} of {} pulled in advance", images.len())))
    }

    /// Pulls an image and reports how far the node is. Returns whether the node has the image.
    async fn pull_image(
        &self,
        local: &LocalCluster,
        image: &ImageReference,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<bool, StepFailure> {
        let mut shown = WaitReason::Image { image: image.to_string(), bytes_done: None, bytes_total: None };
        reporter.waits_for(shown.clone());
        let mut pull = pin!(local.pull_onto_node(image));
        loop {
            tokio::select! {
                has_image = &mut pull => return Ok(has_image),
                () = tokio::time::sleep(LOOK_AGAIN) => (),
                () = cancel.cancelled() => return Err(StepFailure::Interrupted),
            }
            let reason = self.pulls.with_bytes(local, shown.clone());
            if reason != shown {
                reporter.waits_for(reason.clone());
                shown = reason;
            }
        }
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

    /// Proposes the closest tag that the registry has, if it does not have the image.
    pub(super) async fn with_nearest_tag(&self, mut problem: RolloutProblem) -> RolloutProblem {
        let missing = problem.image.as_ref().filter(|image| !image.is_denied);
        let Some(Ok(image)) = missing.map(|image| ImageReference::parse(&image.reference)) else { return problem };
        let Err(error) = self.registry.resolve(&image).await else { return problem };
        if let Some(tag) = error.nearest_tag() {
            let project = problem.project.as_deref().unwrap_or("PROJECT");
            let help = format!("set `image: {}:{tag}` under `projects.{project}`, or push the image", image.name());
            problem.cause = problem.cause.help(help);
        }
        problem
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
    IMAGE_ONLY_IN_DOCKER.problem(&[("image", image)]).help(format!(
        "let cmdr build it: projects.NAME.build: {{context: FOLDER}}; or push it with '{push}' and set 'image' to {target}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_only_docker_has_is_to_be_built_or_pushed() {
        let problem = only_here("shop:dev", 5001);
        assert_eq!(problem.code.as_deref(), Some("C013"));
        let push = "docker tag shop:dev localhost:5001/shop:dev && docker push localhost:5001/shop:dev";
        assert!(problem.help.is_some_and(|help| help.contains(push)));
    }
}
