//! Stages about the user's own builder, private registries, and one image with two digests.

use std::{fs, os::unix::fs::PermissionsExt};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Walk,
    common::{Output, Running, rig},
    started,
};

/// A chart of the user's own with its own service account and an image that is not in its values.
const OWN_CHART: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: own}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: own, labels: {app.kubernetes.io/part-of: img}}
spec:
  selector: {matchLabels: {app: own}}
  template:
    metadata: {labels: {app: own}}
    spec:
      serviceAccountName: own
      terminationGracePeriodSeconds: 1
      containers: [{name: own, image: IMAGE}]
";

impl Walk {
    /// A stand-in for docker with BuildKit, which builds with the builder in `BUILDX_BUILDER`: not every machine has
    /// BuildKit.
    pub(crate) fn another_builder(&self) {
        let bin = self.workspace.root().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let docker = self.workspace.tool("sh", &["-c", "command -v docker"]);
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'buildx version' ] && exit 0\n[ \"$1\" = build ] || exec {docker} \"$@\"\n\
             [ -z \"$BUILDX_BUILDER\" ] || {{ echo \"built by $BUILDX_BUILDER\" >&2; exit 9; }}\n\
             unset DOCKER_BUILDKIT\nfor a; do shift; case $a in --progress|plain|--load) ;; *) set -- \"$@\" \"$a\" ;; \
             esac; done\nexec {docker} \"$@\"\n",
            docker = docker.trim()
        );
        fs::write(bin.join("docker"), script).unwrap();
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), self.workspace.variable("PATH"));
        let mut build = self.workspace.cmdr(&["build", "back"]);
        let build = Running::start(build.env("PATH", path).env("BUILDX_BUILDER", "other"));
        build.wait(std::time::Duration::from_mins(1)).expect(0).expect_said("/back:");
    }

    /// Runs cmdr with one more variable.
    fn run_with(&self, variable: (&str, &str), args: &[&str]) -> Output {
        let (name, value) = variable;
        Running::start(self.workspace.cmdr(args).env(name, value)).wait(std::time::Duration::from_mins(4))
    }

    /// A chart and the universal chart, each with its own account, and a chart whose image is not in its values.
    pub(crate) fn pull_secrets(&self) {
        let (host, image) = (rig("RIG_PRIVATE_REGISTRY"), rig("RIG_PRIVATE_IMAGE"));
        let templates = self.folder("charts/own").join("templates");
        fs::create_dir_all(&templates).unwrap();
        fs::write(templates.parent().unwrap().join("Chart.yaml"), "apiVersion: v1\nname: own\nversion: 0.1.0\n")
            .unwrap();
        fs::write(templates.join("all.yaml"), OWN_CHART.replace("IMAGE", &image)).unwrap();
        let described = format!(
            "  account:\n    image: {image}\n    values: {{ports: {{http: 9898}}, serviceAccount: {{create: true}}, \
             grace: 1}}\n  own: {{chart: {{path: charts/own}}}}\n"
        );
        self.workspace.replace("projects:\n", &format!("projects:\n{described}"));
        let plan = self.workspace.run(&["plan"]).expect(0);
        assert!(!plan.stdout.contains("pull secrets"), "{}", plan.stdout);
        let login = |user: &str| {
            let auth = STANDARD.encode(format!("{user}:{}", rig("RIG_PRIVATE_PASSWORD")));
            format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#)
        };
        let login_of_rig = login(&rig("RIG_PRIVATE_USER"));
        let login_of_rig = ("DOCKER_AUTH_CONFIG", login_of_rig.as_str());
        self.run_with(login_of_rig, &["plan"]).expect(0).expect_said(&format!("pull secrets for {host}"));
        let short = login("AWS");
        let plan = self.run_with(("DOCKER_AUTH_CONFIG", &short), &["plan"]).expect(0);
        plan.expect_said(&format!("pull secrets for {host}"));
        self.run_with(login_of_rig, &["up", "account", "own"]).expect(0);
        self.workspace.run(&["plan", "account", "own", "--exit-code"]).expect(0).expect_said("nothing to do");
        self.workspace.replace(&described, "");
        self.workspace.run(&["status", "--prune"]).expect(0).expect_said("account");
    }

    /// The node has one image with the digests of its manifest and of its index.
    pub(crate) fn one_image_of_two_digests(&self) {
        let running = self.running_image("back");
        let (_, digest) = running.split_once('@').unwrap();
        let url = format!("http://localhost:{}/v2/{}/back/manifests", self.port(), self.workspace.name);
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let accept = format!("Accept: {kind}");
        let manifest = self.workspace.tool("curl", &["-fsS", "-H", &accept, &format!("{url}/{digest}")]);
        let size = manifest.len();
        let index_kind = "application/vnd.oci.image.index.v1+json";
        let index = format!(
            r#"{{"schemaVersion": 2, "mediaType": "{index_kind}", "manifests": [{{"mediaType": "{kind}", "digest": "{digest}", "size": {size}, "platform": {{"os": "linux", "architecture": "{}"}}}}]}}"#,
            if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
        );
        for (tag, content, kind) in [("manifest", &manifest, kind), ("index", &index, index_kind)] {
            let kind = format!("Content-Type: {kind}");
            let target = format!("{url}/{tag}");
            self.workspace.tool("curl", &["-fsS", "-X", "PUT", "-H", &kind, "--data-binary", content, &target]);
        }
        let service = |tag: &str| {
            let repository = running.split_once('@').unwrap().0.rsplit_once(':').unwrap().0;
            format!("  twin-{tag}: {{image: {repository}:{tag}, values: {{ports: {{http: 9898}}, grace: 1}}}}\n")
        };
        let described = [service("index"), service("manifest")].concat();
        self.workspace.replace("projects:\n", &format!("projects:\n{described}"));
        for _ in 0..2 {
            self.workspace.run(&["up", "--refresh", "twin-index", "twin-manifest"]).expect(0);
        }
        let again =
            self.workspace.run(&["up", "--refresh", "twin-index", "twin-manifest", "--output", "json"]).expect(0);
        assert!(started(&again).iter().all(|(action, _)| action != "upgrade"), "{:?}", started(&again));
        self.workspace.replace(&described, "");
        self.workspace.run(&["status", "--prune"]).expect(0).expect_said("twin-index");
    }
}
