//! The CI/CD component of `templates/gitlab` in whole pipelines: gitlab-ci-local runs its jobs with cmdr on two real
//! clusters, from a merge to production and a rollback, and for a merge request.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use common::{Output, Running, Stages, TestWorkspace, cloud::Cloud, rig, tell, until};

/// The release of gitlab-ci-local, which contains GitLab's schema, and its Node.js.
const PACKAGES: [&str; 2] = ["gitlab-ci-local@4.75.1", "node@22"];
/// The limit of a job.
const JOB: Duration = Duration::from_mins(4);

const PROJECTS: &str = "
environments:
  staging: {context: kind-STAGING, namespace: tunes, platform: external, only: ci}
  production:
    context: kind-PRODUCTION
    namespace: tunes
    platform: external
    only: ci
    promote: {from: staging}
  review:
    review: {from: staging, namespace: 'review-{slug}'}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: REPOSITORY
    values: {ports: {http: 9898}}
";

const PIPELINE: &str = "stages: [build, deploy, promote]
include:
  - local: templates/gitlab/template.yml
    inputs:
      image: registry.example.com/tools/cmdr:1
      projects: shop
      review: true
# A shell runner has no services; its jobs use the engine of the machine.
cmdr-build:
  services: []
";

/// A repository with the component, its registry, and the clusters of its environments.
struct Pipelines {
    workspace: TestWorkspace,
    staging: Cloud,
    production: Cloud,
    /// The folder with the programs of [`PACKAGES`].
    programs: PathBuf,
    repository: String,
}

impl Pipelines {
    fn new() -> Self {
        let workspace = TestWorkspace::new("pipeline", "projects: {}\n");
        let programs = install(&workspace);
        let mut clouds = Cloud::start(&workspace, &["ci-staging", "ci-production"]);
        let (production, staging) = (clouds.pop().unwrap(), clouds.pop().unwrap());
        let repository = format!("{}/{}", rig("RIG_PRIVATE_REGISTRY"), workspace.name);
        let pipelines = Self { workspace, staging, production, programs, repository };
        let projects = PROJECTS
            .replace("STAGING", &pipelines.staging.name)
            .replace("PRODUCTION", &pipelines.production.name)
            .replace("REPOSITORY", &pipelines.repository);
        pipelines.workspace.write_projects(&projects);
        let component = pipelines.workspace.root().join("templates/gitlab/template.yml");
        fs::create_dir_all(component.parent().unwrap()).unwrap();
        fs::write(component, include_str!("../templates/gitlab/template.yml")).unwrap();
        fs::write(pipelines.workspace.root().join(".gitlab-ci.yml"), PIPELINE).unwrap();
        fs::write(pipelines.workspace.root().join(".gitignore"), ".gitlab-ci-local\ncmdr*\n").unwrap();
        pipelines.git(&["init", "--quiet", "--initial-branch", "main"]);
        pipelines.git(&["remote", "add", "origin", "git@gitlab.example.com:tunes/tunes.git"]);
        pipelines.commit("first");
        pipelines
    }

    fn git(&self, words: &[&str]) -> String {
        let own = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        self.workspace.tool("git", &[&own, words].concat())
    }

    /// Commits a service that responds with `message`, and returns the commit.
    fn commit(&self, message: &str) -> String {
        let base = format!("{}/stefanprodan/podinfo:6.9.2", rig("RIG_REGISTRY"));
        let file = format!("FROM {base}\nENV PODINFO_UI_MESSAGE={message}\n");
        fs::write(self.workspace.root().join("Dockerfile"), file).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs gitlab-ci-local as a runner of the project would: with the registry's login and in a protected branch.
    fn ci(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        tell(&format!("gitlab-ci-local {}", words.join(" ")));
        let mut command = self.workspace.command(self.programs.join("gitlab-ci-local"));
        let cmdr = self.workspace.root().parent().unwrap().display().to_string();
        let path = [&self.programs.display().to_string(), &cmdr, self.workspace.variable("PATH")].join(":");
        // The jobs write Docker's configuration themselves.
        command.env("PATH", path).env_remove("DOCKER_CONFIG").env("KUBECONFIG", self.workspace.user_kubeconfig());
        let given = [
            ("GITLAB_CI", "true"),
            ("CI_COMMIT_REF_PROTECTED", "true"),
            ("CI_REGISTRY", &rig("RIG_PRIVATE_REGISTRY")),
            ("CI_REGISTRY_IMAGE", &self.repository),
            ("CI_REGISTRY_USER", &rig("RIG_PRIVATE_USER")),
            ("CI_REGISTRY_PASSWORD", &rig("RIG_PRIVATE_PASSWORD")),
            ("DOCKER_HOST", self.workspace.variable("DOCKER_HOST")),
            ("DOCKER_TLS_VERIFY", ""),
            ("GITLAB_USER_LOGIN", "deborah"),
        ];
        for (name, value) in given.iter().chain(variables) {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        let overridden: Vec<&str> = given.iter().chain(variables).map(|(name, _)| *name).collect();
        command.args(["--ignore-predefined-vars", &overridden.join(",")]);
        command.arg("--force-shell-executor").args(words);
        let output = Running::start(&mut command).wait(JOB);
        tell(&format!("  exit code {} after {:.1} s", output.code, output.seconds));
        output
    }

    /// The tag of the image that runs.
    #[track_caller]
    fn tag(&self, cloud: &Cloud, namespace: &str) -> String {
        let deployment = cloud.objects(&self.workspace, &["-n", namespace, "get", "deployment", "shop"]);
        let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
        let (tagged, digest) = image.split_once('@').expect("the image is pinned");
        assert!(digest.starts_with("sha256:"), "{image}");
        tagged.rsplit_once(':').unwrap().1.to_owned()
    }

    fn the_jobs_are_those_of_their_pipelines(&self) {
        let of_branch = self.ci(&["--list-csv"], &[]).expect(0).expect_said("json schema validated").said();
        for job in ["cmdr-build", "cmdr-deploy;", "cmdr-promote;", "cmdr-rollback;", "cmdr-unhold;"] {
            assert!(of_branch.contains(job), "{of_branch}");
        }
        assert!(!of_branch.contains("cmdr-review"), "{of_branch}");
        let of_request = self.ci(&["--list-csv"], &MERGE_REQUEST).expect(0).said();
        for job in ["cmdr-build", "cmdr-review;", "cmdr-review-end;"] {
            assert!(of_request.contains(job), "{of_request}");
        }
        assert!(!of_request.contains("cmdr-deploy") && !of_request.contains("cmdr-promote"), "{of_request}");
    }

    fn a_merge_is_built_and_deployed_to_staging(&self) {
        let commit = self.git(&["rev-parse", "HEAD"]);
        self.ci(&[], &[]).expect(0);
        assert_eq!(self.tag(&self.staging, "tunes"), commit);
        for file in ["cmdr-junit.xml", "cmdr.env", "cmdr-ledger.json"] {
            assert!(self.workspace.root().join(file).exists(), "{file} is an artifact");
        }
    }

    fn a_promotion_deploys_to_production(&self) {
        let commit = self.git(&["rev-parse", "HEAD"]);
        self.ci(&["cmdr-promote"], &[]).expect(0);
        assert_eq!(self.tag(&self.production, "tunes"), commit);
    }

    fn a_rollback_sets_a_hold(&self) {
        let before = self.git(&["rev-parse", "HEAD"]);
        let commit = self.commit("second");
        self.ci(&[], &[]).expect(0);
        self.ci(&["cmdr-promote"], &[]).expect(0);
        assert_eq!(self.tag(&self.production, "tunes"), commit);
        self.ci(&["cmdr-rollback"], &[]).expect(0);
        assert_eq!(self.tag(&self.production, "tunes"), before);
        // A manual job may fail; the pipeline continues.
        let held = self.ci(&["cmdr-promote"], &[]).expect(0);
        held.expect_said("blocked by gate 'hold'").expect_said("cmdr-rollback of deborah").expect_said("WARN 10");
        assert_eq!(self.tag(&self.production, "tunes"), before);
        self.ci(&["cmdr-unhold"], &[]).expect(0);
        self.ci(&["cmdr-promote"], &[]).expect(0);
        assert_eq!(self.tag(&self.production, "tunes"), commit);
    }

    fn a_merge_request_has_a_review_of_its_own_build(&self) {
        self.git(&["switch", "--quiet", "--create", "123-Another_Title"]);
        let merged = self.tag(&self.staging, "tunes");
        let commit = self.commit("third");
        let slug = [("CI_COMMIT_REF_SLUG", "123-another-title")];
        let variables = [&MERGE_REQUEST[..], &slug].concat();
        self.ci(&[], &variables).expect(0);
        let namespaces = self.staging.kubectl(&self.workspace, &["get", "namespaces", "--output", "name"]);
        let review =
            namespaces.lines().find_map(|line| line.strip_prefix("namespace/").filter(|it| it.starts_with("review-")));
        let review = review.expect("a namespace of the review").to_owned();
        assert_eq!(self.tag(&self.staging, &review), commit);
        assert_eq!(self.tag(&self.staging, "tunes"), merged, "staging is as it was");
        self.ci(&["cmdr-review-end"], &variables).expect(0);
        until("the review to be gone", || {
            let left = self.staging.kubectl(&self.workspace, &["get", "namespaces", "--output", "name"]);
            (!left.contains(&review)).then_some(())
        });
    }
}

/// GitLab's variables in a pipeline of a merge request.
const MERGE_REQUEST: [(&str, &str); 2] = [("CI_PIPELINE_SOURCE", "merge_request_event"), ("CI_COMMIT_BRANCH", "")];

/// Installs [`PACKAGES`] with npm, and returns the folder of their programs.
fn install(workspace: &TestWorkspace) -> PathBuf {
    let folder = workspace.root().parent().unwrap().join("npm");
    fs::create_dir(&folder).unwrap();
    tell(&format!("installing {}", PACKAGES.join(" and ")));
    let install =
        Command::new("npm").args(["install", "--silent", "--no-save", "--prefix"]).arg(&folder).args(PACKAGES).output();
    let output = install.unwrap_or_else(|error| panic!("this test needs npm: {error}"));
    assert!(output.status.success(), "npm install: {}", String::from_utf8_lossy(&output.stderr));
    folder.join("node_modules/.bin")
}

#[test]
#[ignore = "installs gitlab-ci-local and its Node through npm, needs rsync, and makes two clusters"]
fn from_a_merge_to_production_and_back() {
    let pipelines = Pipelines::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Pipelines)| stages.stage(name, || stage(&pipelines));
    stage("each pipeline has its jobs", Pipelines::the_jobs_are_those_of_their_pipelines);
    stage("a merge is built and deployed to staging", Pipelines::a_merge_is_built_and_deployed_to_staging);
    stage("a promotion deploys it to production", Pipelines::a_promotion_deploys_to_production);
    stage("a rollback restores the previous record and sets a hold", Pipelines::a_rollback_sets_a_hold);
    stage(
        "a merge request has a review environment with its own build",
        Pipelines::a_merge_request_has_a_review_of_its_own_build,
    );
    stages.finish();
}
