//! The stage about images that were not promoted, and about a chart of the user's own with `chart.image`.

use super::{
    common::until,
    walk::{Walk, repository},
};

impl Walk {
    pub(crate) fn only_promoted_images_run(&self) {
        let refuses = |words: &str| {
            let refused = self.run(&format!("deploy {words} --env production")).expect(10);
            assert!(refused.stderr.contains("gate 'promotion'"), "{}", refused.stderr);
        };
        for container in ["sidecars.extra", "initContainers.extra"] {
            refuses(&format!("cart --set {container}.image=docker.io/library/redis:7.0"));
        }
        let verify = "  cart:\n    verify: {look: {image: docker.io/library/redis:7.0, command: [redis-cli, -v]}}\n";
        self.workspace.replace("  cart:\n", verify);
        refuses("cart --set env.A=1");
        self.workspace.replace(verify, "  cart:\n");
        refuses("search --set image.repository=docker.io/library/redis --set image.tag=7.0");

        self.run("deploy search=1.1.0 --env staging").expect(2).expect_said("add 'image: REPOSITORY'");
        let chart = "chart: {oci: ghcr.io/stefanprodan/charts/podinfo, version: 6.9.2";
        let keyed = format!(
            "image: {}/catalog\n    {chart}, image: {{repository: image.repository, tag: image.tag}}",
            repository()
        );
        self.workspace.replace(chart, &keyed);
        self.run("deploy search=1.1.0 --env staging").expect(0);
        let image = self.image(&self.staging, "search-podinfo");
        assert!(image.ends_with("/catalog:1.1.0"), "{image}");
        until("search to have soaked", || {
            let promoted = self.run("promote search --to production");
            // An older record, from before the key, is deployed with the default image of its chart.
            assert_eq!(promoted.code, 0, "{}", promoted.said());
            (self.image(&self.production, "search-podinfo") == image).then_some(())
        });
        self.run("deploy search=1.2.0 --env production").expect(10).expect_said("gate 'promotion'");
        self.run("up search --env production").expect(0);
        assert_eq!(self.image(&self.production, "search-podinfo"), image, "the image of the record stays");
    }
}
