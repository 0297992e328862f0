//! Review environments: one namespace and host per merge request, on staging's cluster.

use super::{common::until, walk::Walk};

impl Walk {
    pub(crate) fn reviews_come_and_go(&self) {
        self.run("up --env review").expect(2).expect_said("--slug");
        self.run("up --env review --slug _/_").expect(2).expect_said("has no letter and no digit");
        self.kubectl("create namespace review-foreign");
        self.run("up site --env review --slug foreign")
            .expect(14)
            .expect_said("is not a review environment of this workspace");
        self.run("down --env review --slug foreign").expect(14);
        // A branch that GitLab created from an issue. Its environment is deleted, and requested again immediately.
        let up = self.run("up site --env review --slug 123-Title").expect(0);
        assert_eq!(up.stdout.trim(), "http://site-123-title-3d8deb.staging.example/");
        self.run("down --env review --slug 123-Title").expect(0);
        let again = self.run("up site --env review --slug 123-Title").expect(0);
        again.expect_said("waiting until the earlier review environment '123-title-3d8deb' is deleted");
        self.run("down --env review --slug 123-Title").expect(0);
        self.run("down --env review --slug 123-Title").expect(0).expect_said("is already being deleted");
        self.run("up --env review --slug fix-1 --tag cart=7.7.7").expect(1).expect_said("catalog:7.7.7");
        assert!(!self.kubectl("get namespaces -o name").contains("review-fix-1"), "the build is looked up before");
        let up = self.run("up site catalog cart --env review --slug fix-1 --tag cart=1.3.0").expect(0);
        assert_eq!(up.stdout.trim(), "http://site-fix-1.staging.example/");
        let build = self.kubectl("-n review-fix-1 get deployment cart -o jsonpath={..containers[0].image}");
        assert!(build.contains("catalog:1.3.0@sha256:"), "the build of the merge request: {build}");
        let history = self.run("history cart --env review --slug fix-1 --output json").expect(0).json();
        assert_eq!(history["cart"]["deployments"][0]["version"], "1.3.0");
        let image = self.kubectl("-n review-fix-1 get deployment catalog -o jsonpath={..containers[0].image}");
        assert_eq!(image, self.image(&self.staging, "catalog"), "without a tag: what its source runs");
        self.run("up site catalog --env review --slug fix-1").expect(0);
    }

    /// Needs the review environment of the previous stage.
    pub(crate) fn reviews_pass_the_gates(&self) {
        self.kubectl("annotate namespace review-fix-1 --overwrite cmdr.dev/expires=2020-01-01T00:00:00Z");
        self.run("hold site --env review --slug fix-1 --because demo").expect(0);
        self.run("down --env review --slug fix-1").expect(10).expect_said("gate 'hold'");
        self.frozen("up cart --env review --slug fix-2").expect(10);
        assert!(!self.kubectl("get namespaces -o name").contains("review-fix-2"), "a refused run creates nothing");
        let up = self.run("up cart --env review --slug fix-2").expect(0);
        up.expect_said("kept the expired review environment 'fix-1': held by");
        self.run("unhold site --env review --slug fix-1").expect(0);
        let again = self.run("up cart --env review --slug fix-2").expect(0);
        again.expect_said("deleted the expired review environment 'fix-1'");
        self.run("down --env review --slug fix-2 --dry-run").expect(0).expect_said("delete namespace review-fix-2");
        self.frozen("down --env review --slug fix-2").expect(10).expect_said("gate 'freeze'");
        let down = "down --env review --slug fix-2 --override freeze --because merged";
        self.frozen(down).expect(0).expect_said("deleted the review environment 'fix-2'");
        until("both reviews to be gone", || {
            let left = self.kubectl("get namespaces -o name");
            (!left.contains("review-fix")).then_some(())
        });
        self.run("down --env review --slug fix-2").expect(0).expect_said("review environment 'fix-2' not found");
        assert!(self.kubectl("get namespaces -o name").contains("review-foreign"));
    }

    fn kubectl(&self, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.staging.kubectl(&self.workspace, &words)
    }
}
