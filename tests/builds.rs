//! `cmdr build` with options of Docker and with commands of the user, on a real engine and without a cluster.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::fs;

use common::{Output, Stages, TestWorkspace, rig};

const PROJECTS: &str = r#"
projects:
  options:
    build:
      context: app
      target: runtime
      args: {GREETING: canary-of-an-argument, GOFLAGS: canary-of-a-variable}
      platforms: [linux/amd64]
  buildkit:
    build: {context: app, secrets: {token: $TOKEN}, cache-from: ['type=local,src=cache']}
  absent:
    build: {context: app, secrets: {file: missing.txt, variable: $CMDR_TEST_UNSET}, ssh: true}
  pushes:
    build:
      context: app
      command: |
        echo run >> ../runs
        docker build --quiet --target runtime --tag "$CMDR_IMAGE" . && docker push --quiet "$CMDR_IMAGE" &&
          docker rmi --no-prune "$CMDR_IMAGE"
  shares:
    build:
      context: app
      command: |
        echo run >> ../runs
        docker build --quiet --target runtime --tag "$CMDR_IMAGE" . && docker push --quiet "$CMDR_IMAGE" &&
          docker rmi --no-prune "$CMDR_IMAGE"
  loads:
    build: {command: "docker build --quiet --tag \"$CMDR_IMAGE\" app"}
  lies:
    build: {context: app, command: "true"}
  fails:
    build: {context: app, command: "echo compiling; echo 'main.c:3: broken' >&2; exit 3"}
"#;

struct Builder {
    workspace: TestWorkspace,
}

impl Builder {
    fn new() -> Self {
        let mut workspace = TestWorkspace::new("builds", PROJECTS);
        workspace.set_variable("TOKEN", "canary-of-a-secret");
        let base = format!("{}/stefanprodan/podinfo:6.9.2", rig("RIG_REGISTRY"));
        workspace.tool("docker", &["pull", "--quiet", &base]);
        let app = workspace.root().join("app");
        fs::create_dir_all(&app).unwrap();
        let stages = "ARG GREETING\nARG GOFLAGS\nLABEL greeting=$GREETING flags=$GOFLAGS stage=";
        let text =
            format!("FROM {base} AS runtime\n{stages}runtime\nFROM {base} AS last\nLABEL stage=last\nCOPY sent /\n");
        fs::write(app.join("Dockerfile"), text).unwrap();
        fs::create_dir(app.join("sent")).unwrap();
        fs::write(app.join("sent/kept"), "kept").unwrap();
        fs::write(app.join("sent/ignored"), "ignored").unwrap();
        fs::write(app.join(".dockerignore"), "sent/ignored\n").unwrap();
        Self { workspace }
    }

    fn build(&self, project: &str) -> Output {
        self.workspace.run(&["build", project, "-vv"])
    }

    /// The labels of the image that a run printed.
    fn labels(&self, output: &Output) -> serde_json::Value {
        let image = output.stdout.lines().next().unwrap().split('@').next().unwrap().to_owned();
        let labels = self.workspace.tool("docker", &["inspect", "--format", "{{json .Config.Labels}}", &image]);
        serde_json::from_str(&labels).unwrap()
    }

    fn options_reach_docker(&self) {
        let built = self.build("options").expect(0).expect_said("--build-arg GREETING");
        let labels = self.labels(&built);
        assert_eq!(labels["greeting"], "canary-of-an-argument");
        assert_eq!(labels["flags"], "canary-of-a-variable");
        assert_eq!(labels["stage"], "runtime");
        assert!(!built.said().contains("canary"), "{}", built.said());
    }

    fn a_changed_argument_is_reported(&self) {
        self.workspace.replace("canary-of-an-argument", "another-canary");
        let up = self.workspace.run(&["up", "options", "--dry-run"]).expect(0);
        up.expect_said("options: its build options have changed since the last build; cmdr up --build options");
        let labels = self.labels(&self.build("options").expect(0));
        assert_eq!(labels["greeting"], "another-canary");
    }

    fn what_is_missing_is_reported_first(&self) {
        let absent = self.build("absent").expect(2);
        let absent = absent.expect_said("missing.txt").expect_said("the variable CMDR_TEST_UNSET is not set");
        absent.expect_said("SSH_AUTH_SOCK is not set");
        if self.workspace.try_tool("docker", &["buildx", "version"]).is_none() {
            let cause = "'buildkit' cannot be built: `secrets`, `cache-from` need BuildKit, which is not installed";
            self.build("buildkit").expect(1).expect_said(cause);
        }
    }

    fn a_command_pushes_or_loads(&self) {
        let pushed = self.build("pushes").expect(0);
        assert_eq!(self.labels(&pushed)["stage"], "runtime");
        let runs = || fs::read_to_string(self.workspace.root().join("runs")).unwrap().lines().count();
        assert_eq!((pushed.stdout.lines().count(), runs()), (2, 1), "one build for both: {}", pushed.stdout);
        let loaded = self.build("loads").expect(0);
        assert_eq!(self.labels(&loaded)["stage"], "last");
        assert_eq!(self.build("loads").expect(0).stdout, loaded.stdout, "the same content is the same build");
        let names = self.workspace.tool("docker", &["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        assert!(!names.contains(":build-"), "only the names of builds stay: {names}");
    }

    fn only_the_result_of_a_command_counts(&self) {
        self.build("lies").expect(1).expect_said("its command neither pushed nor loaded localhost:");
        self.build("fails")
            .expect(1)
            .expect_said("its command failed (exit status: 3)")
            .expect_said("main.c:3: broken");
    }

    fn registry_is_removed(&self) {
        self.workspace.run(&["down", "--registry", "--yes"]).expect(0);
    }
}

#[test]
#[ignore = "creates and removes the registry of this machine"]
fn images_are_built_by_docker_and_by_commands() {
    let builder = Builder::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Builder)| stages.stage(name, || stage(&builder));
    stage("options reach Docker, and no log", Builder::options_reach_docker);
    stage("a changed argument is reported", Builder::a_changed_argument_is_reported);
    stage("missing secrets and tools are reported before the build", Builder::what_is_missing_is_reported_first);
    stage("a command pushes or loads an image", Builder::a_command_pushes_or_loads);
    stage("only the result of a command counts", Builder::only_the_result_of_a_command_counts);
    stage("down --registry removes the registry", Builder::registry_is_removed);
    stages.finish();
}
