//! The workspace of the stages, its two clusters, and functions that observe them.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Stdio,
};

use serde_json::Value;

use super::{
    PROJECTS,
    common::{Output, TestWorkspace, cloud::Cloud, rig, tell},
};

/// The workspace with its clusters.
pub(crate) struct Walk {
    pub workspace: TestWorkspace,
    pub staging: Cloud,
    pub production: Cloud,
}

/// Builds of the test's own service: tag, and the defect of the build.
const BUILDS: [(&str, Option<&str>); 5] =
    [("1.0.0", None), ("1.1.0", None), ("1.2.0", None), ("1.3.0", None), ("9.9.9", Some(r#"ENTRYPOINT ["/missing"]"#))];

impl Walk {
    pub(crate) fn new() -> Self {
        let workspace = TestWorkspace::new("delivery", "projects: {}\n");
        let mut clouds = Cloud::start_during(&workspace, &["staging", "production"], || push_builds(&workspace));
        let (production, staging) = (clouds.pop().unwrap(), clouds.pop().unwrap());
        let walk = Self { workspace, staging, production };
        walk.install_balancer();
        let projects = PROJECTS
            .replace("STAGING", &walk.staging.name)
            .replace("PRODUCTION", &walk.production.name)
            .replace("REPOSITORY", &repository());
        walk.workspace.write_projects(&projects);
        walk
    }

    /// A new, empty cluster under the old context.
    pub(crate) fn restart_staging(&self) {
        self.staging.create(&self.workspace);
        self.install_balancer();
    }

    /// Builds an image that responds with `message`, and pushes it as `tag`.
    pub(crate) fn push_build(&self, tag: &str, message: &str) {
        push_build(&self.workspace, tag, message, None);
    }

    /// Installs addresses for load balancers, as a cloud provides them. They are in the middle of the network, where
    /// cmdr has no pools, and differ in each run of these tests, because two runs may be concurrent.
    fn install_balancer(&self) {
        let values = concat!(env!("CARGO_MANIFEST_DIR"), "/platform/metallb.yaml");
        let charts = rig("RIG_CHARTS");
        self.staging.helm(
            &self.workspace,
            &[
                "install",
                "metallb",
                "metallb",
                "--repo",
                &charts,
                "--namespace",
                "metallb-system",
                "--create-namespace",
                "--values",
                values,
                "--wait",
            ],
        );
        let gateway = ["network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{println .Gateway}}{{end}}"];
        let gateways = self.workspace.tool("docker", &gateway);
        let gateway = gateways.lines().find(|line| line.contains('.')).unwrap();
        let network = gateway.rsplitn(3, '.').nth(2).unwrap();
        let place = 100 + std::process::id() % 100;
        let pool = format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: cloud, namespace: metallb-system}}\n\
             spec: {{addresses: [{network}.{place}.10-{network}.{place}.20]}}\n---\napiVersion: metallb.io/v1beta1\n\
             kind: L2Advertisement\nmetadata: {{name: cloud, namespace: metallb-system}}\n"
        );
        let file = self.workspace.root().join("pool.yaml");
        fs::write(&file, pool).unwrap();
        self.staging.kubectl(&self.workspace, &["apply", "--filename", &file.to_string_lossy()]);
        fs::remove_file(file).unwrap();
    }

    /// Runs a stage. After a failure `projects.yaml` is restored, so that later stages can pass.
    pub(crate) fn with_file_kept(&self, stage: impl FnOnce()) {
        let file = self.workspace.root().join("projects.yaml");
        let text = fs::read_to_string(&file).unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(stage)) {
            fs::write(file, text).unwrap();
            resume_unwind(panic);
        }
    }

    pub(crate) fn run(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.workspace.run(&words)
    }

    /// The image in a project's pod template.
    pub(crate) fn image(&self, cloud: &Cloud, project: &str) -> String {
        let deployment = cloud.objects(&self.workspace, &["-n", "tunes", "get", "deployment", project]);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    }

    /// The newest revision of a release.
    pub(crate) fn revision(&self, cloud: &Cloud, release: &str) -> u64 {
        let list =
            cloud.helm(&self.workspace, &["ls", "-n", "tunes", "--filter", &format!("^{release}$"), "-o", "json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        list[0]["revision"].as_str().unwrap_or("0").parse().unwrap()
    }

    /// The deployments of a project, oldest first.
    pub(crate) fn history(&self, environment: &str, project: &str) -> Vec<Value> {
        let histories = self.workspace.run(&["history", "--env", environment, "--output", "json"]).expect(0).json();
        histories[project]["deployments"].as_array().cloned().unwrap_or_default()
    }

    /// The newest deployment of a project.
    pub(crate) fn last(&self, environment: &str, project: &str) -> Value {
        self.history(environment, project).pop().unwrap_or_default()
    }
}

/// The registry of the test's own images: a host that only the mirror resolves.
pub(crate) fn repository() -> String {
    format!("registry.example/delivery-{}", std::process::id())
}

/// Builds the images of [`BUILDS`] from an image of the rig, and pushes them to the rig's registry.
fn push_builds(workspace: &TestWorkspace) {
    tell("building and pushing images");
    for (tag, fault) in BUILDS {
        push_build(workspace, tag, tag, fault);
    }
}

fn push_build(workspace: &TestWorkspace, tag: &str, message: &str, fault: Option<&str>) {
    let registry = rig("RIG_REGISTRY");
    let image = format!("{registry}/{}/catalog:{tag}", repository().split_once('/').unwrap().1);
    let file = format!(
        "FROM {registry}/stefanprodan/podinfo:6.9.2\nENV PODINFO_UI_MESSAGE={message}\n{}\n",
        fault.unwrap_or_default()
    );
    let mut build = workspace.command("docker");
    let build = build.args(["build", "--quiet", "--tag", &image, "-"]);
    let mut build = build.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut build.stdin.take().unwrap(), file.as_bytes()).unwrap();
    assert!(build.wait().unwrap().success(), "docker build {tag}");
    workspace.tool("docker", &["push", "--quiet", &image]);
    workspace.tool("docker", &["image", "rm", &image]);
}
