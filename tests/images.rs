//! The local registry, its caches, and built images: two small services on a real cluster, which is re-created once. Pushed
//! and pulled blobs are counted.
//!
//! Registry and caches serve the whole machine: this test removes them at its end.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "images/others.rs"]
mod others;
#[path = "images/upstream.rs"]
mod upstream;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{Output, Running, Stages, TestWorkspace, rig, tell, until};
use upstream::Upstream;

const PROJECTS: &str = "
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
  front:
    build: {context: front}
    host: front
    check: {path: /readyz}
    needs: [back]
    values: {ports: {http: 9898}}
  worker:
    build: {context: front}
    chart: {path: charts/worker, image: {reference: app.image}}
  back:
    image: registry.example.com/img/back
    build: {context: back, dockerfile: other/Dockerfile}
    values:
      ports: {http: 9898}
      sidecars: {beside: {image: docker.io/library/redis:7.0, command: [sleep, infinity]}}
      grace: 1
  cache:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
";

/// A chart of the user's own that gets the built image through `chart.image`.
const WORKER_CHART: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: worker}}
  template:
    metadata: {labels: {app.kubernetes.io/name: worker}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: worker, image: '{{ .Values.app.image }}', resources: {requests: {cpu: 10m, memory: 16Mi}}}]
";

/// Lists the objects with cmdr's label.
const OWN: [&str; 2] = ["--filter", "label=cmdr/registry"];

#[test]
fn images_outlive_clusters() {
    let walk = Walk::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("all errors are reported at once", Walk::mistakes);
    stage("a plan builds nothing and lists the builds", Walk::nothing_is_touched);
    stage("up builds missing images and runs them", Walk::up_builds);
    stage("a second up builds and changes nothing", Walk::nothing_to_do);
    stage("only a changed layer is pushed and pulled", Walk::one_layer);
    stage("a failed build is reported with its last lines", Walk::a_failed_build);
    stage("images of the user's own builder are available to Docker", Walk::another_builder);
    stage("pull secrets reach every service account", Walk::pull_secrets);
    stage("an index and its manifest are one image", Walk::one_image_of_two_digests);
    stage("an image that only the local Docker engine has is reported", Walk::an_image_of_docker);
    stage("an image that is pushed late is pulled immediately", Walk::a_late_image);
    stage("a re-created cluster pulls nothing from the internet and builds nothing", Walk::a_second_cluster);
    stage("pulls work while a cache is down", Walk::a_dead_cache);
    stage("images that the registry lost are built again", Walk::a_lost_registry);
    stage("registry and caches are kept while another cluster uses them", Walk::refused_while_used);
    stage("down --registry leaves nothing", Walk::nothing_is_left);
    stage("two concurrent runs create one registry", Walk::two_at_once);
    drop(walk);
    stages.finish();
}

struct Walk {
    workspace: TestWorkspace,
    upstream: Upstream,
}

impl Walk {
    fn new() -> Self {
        let registry = rig("RIG_REGISTRY");
        let upstream = Upstream::before(&registry);
        let mut workspace = TestWorkspace::new("img", PROJECTS);
        let private = rig("RIG_PRIVATE_REGISTRY");
        let mirrors = format!("{private}=http://{},*={}", private.replace("127.0.0.1", "localhost"), upstream.url());
        workspace.set_variable("CMDR_IMAGE_MIRRORS", &mirrors);
        let walk = Self { workspace, upstream };
        walk.workspace.tool("docker", &["pull", "--quiet", &base()]);
        write_services(&walk.workspace.root(), "first");
        walk
    }

    fn folder(&self, project: &str) -> PathBuf {
        self.workspace.root().join(project)
    }

    fn node(&self) -> String {
        format!("{}-control-plane", self.workspace.name)
    }

    /// The number of blobs of a project's image that the registry has served.
    fn given(&self, project: &str) -> usize {
        let log = self.workspace.command("docker").args(["logs", "cmdr-registry"]).output().unwrap();
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        let path = format!("\"GET /v2/{}/{project}/blobs/", self.workspace.name);
        log.lines().filter(|line| line.contains(&path)).count()
    }

    /// The image in the status of a project's container.
    fn running_image(&self, project: &str) -> String {
        let label = format!("app.kubernetes.io/name={project}");
        let pods = self.workspace.objects(&["get", "pods", "--selector", &label]);
        let pods = pods["items"].as_array().unwrap().clone();
        let live = pods.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null()).unwrap();
        live["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    }

    fn services(&self) -> Vec<String> {
        let list = [&["ps", "--all", "--format", "{{.Names}}"], &OWN[..]].concat();
        let mut names: Vec<String> = self.workspace.tool("docker", &list).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn volumes(&self) -> String {
        self.workspace.tool("docker", &[&["volume", "ls", "--quiet"], &OWN[..]].concat())
    }

    fn mistakes(&self) {
        let both = self.workspace.run(&["build", "frnt", "cache"]).expect(2);
        let both = both.expect_said("has no project 'frnt'").expect_said("did you mean 'front'?");
        both.expect_said("'cache' has no build");
        let file = self.folder("back").join("other/Dockerfile");
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::rename(self.folder("front"), self.folder("gone")).unwrap();
        for verb in ["build", "up"] {
            let both = self.workspace.run(&[verb]).expect(2);
            let both = both.expect_said("'front' cannot be built: folder not found");
            both.expect_said("'back' cannot be built: file not found");
        }
        fs::rename(self.folder("gone"), self.folder("front")).unwrap();
        fs::write(&file, kept).unwrap();
    }

    fn nothing_is_touched(&self) {
        let plan = self.workspace.run(&["plan", "--exit-code"]).expect(3);
        let plan = plan.expect_said("build front").expect_said("it was never built");
        let plan = plan.expect_said("it was never built, also for worker").expect_said("install front");
        let plan = plan.expect_said("install worker").expect_said("install cache");
        assert!(!plan.stdout.contains("build worker"), "{}", plan.stdout);
        self.workspace.run(&["build", "--dry-run"]).expect(0).expect_said("would build back, front, worker");
        let name = format!("name={}", self.workspace.name);
        assert_eq!(self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &name]), "");
    }

    fn up_builds(&self) {
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(builds(&up).len(), 2, "{}", up.stdout);
        for project in ["front", "back"] {
            let image = self.running_image(project);
            let start = format!("localhost:{}/{}/{project}:", self.port(), self.workspace.name);
            assert!(image.starts_with(&start) && image.contains("@sha256:"), "{image}");
        }
        assert_eq!(
            self.running_image("worker"),
            self.running_image("front"),
            "one build for both, also in a chart of its own"
        );
        assert_eq!(self.workspace.ask("front", "/readyz").unwrap().status, 200);
        let map = ["get", "configmap", "local-registry-hosting", "--namespace", "kube-public"];
        let map = self.workspace.objects(&map);
        let shown = map["data"]["localRegistryHosting.v1"].as_str().unwrap().to_owned();
        for key in ["host", "hostFromContainerRuntime"] {
            assert!(shown.contains(&format!("{key}: \"localhost:{}\"", self.port())), "{shown}");
        }
        let services = self.services();
        assert!(services.contains(&"cmdr-registry".to_owned()), "{services:?}");
        assert!(services.contains(&"cmdr-cache-docker-io".to_owned()), "{services:?}");
    }

    /// The published address of the registry.
    fn port(&self) -> u16 {
        let published = self.workspace.tool("docker", &["port", "cmdr-registry", "5000/tcp"]);
        let port = published.lines().next().and_then(|line| line.strip_prefix("127.0.0.1:"));
        port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("not on 127.0.0.1: {published}"))
    }

    fn nothing_to_do(&self) {
        let before = self.ids();
        self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
        self.workspace.run(&["status", "--exit-code"]).expect(0).expect_said("images: registry localhost:");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        let actions = started(&up);
        assert!(actions.iter().all(|(action, _)| ["connect", "check"].contains(&action.as_str())), "{actions:?}");
        assert_eq!(self.ids(), before);
    }

    fn ids(&self) -> String {
        self.workspace.tool("docker", &[&["ps", "--no-trunc", "--quiet"], &OWN[..]].concat())
    }

    fn one_layer(&self) {
        write_service(&self.folder("front"), "Dockerfile", "second");
        let changed = "front: its folder has changed since the last build; cmdr up --build front deploys it";
        let up = self.workspace.run(&["up"]).expect(0).expect_said(changed);
        assert!(!up.said().contains("back: its folder"), "{}", up.said());
        let (old, before) = (self.running_image("front"), self.given("front"));
        let build = self.workspace.run(&["build", "front"]).expect(0);
        assert!(build.stderr.contains("1 of 4 layers sent"), "{}", build.stderr);
        let references: Vec<&str> = build.stdout.lines().collect();
        let [reference, of_worker] = references[..] else { panic!("{references:?}") };
        assert_eq!(of_worker, reference);
        assert!(reference.contains("/front:") && reference.contains("@sha256:"), "{reference}");
        let status = self.workspace.run(&["status", "--exit-code"]).expect(3);
        let (tagged, _) = reference.split_once('@').unwrap();
        status.expect_said(&format!("-> {}", tagged.rsplit_once(':').unwrap().1));
        let up = self
            .workspace
            .run(&["up", "--build", "front", "--output", "json"])
            .expect(0)
            .expect_said("0 of 4 layers sent");
        let events = up.events();
        let requests = &events.last().unwrap()["api_requests"]["list secrets"];
        assert!(requests.as_u64().is_some_and(|count| count <= 5), "observed once: {events:?}");
        let is_network = |event: &serde_json::Value| event["action"] == "check" && event["subject"] == "addresses";
        assert!(!events.iter().any(is_network), "no cluster was started: {events:?}");
        assert_eq!(self.running_image("front"), reference);
        assert_eq!(self.running_image("worker"), reference, "what shares the build is deployed with it");
        assert_ne!(reference, old);
        assert_eq!(self.given("front") - before, 2, "the configuration and one layer");
    }

    fn a_failed_build(&self) {
        let kept = fs::read(self.folder("front").join("Dockerfile")).unwrap();
        fs::write(self.folder("front").join("Dockerfile"), format!("FROM {}\nCOPY no-such-file /\n", base())).unwrap();
        let failed = self.workspace.run(&["build"]).expect(1);
        assert!(failed.stderr.contains("front cannot be built: docker build failed"), "{}", failed.stderr);
        assert!(failed.stderr.contains("no-such-file"), "{}", failed.stderr);
        let left = || {
            let image = format!("ancestor={}/library/redis:7.0", rig("RIG_REGISTRY"));
            self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", "status=exited", "--filter", &image])
        };
        let before = left();
        let broken = "RUN echo Get:1 the index; echo no such dependency >&2; exit 3";
        let broken = format!("FROM {}/library/redis:7.0\n{broken}\n", rig("RIG_REGISTRY"));
        fs::write(self.folder("front").join("Dockerfile"), broken).unwrap();
        let failed = self.workspace.run(&["build", "front"]).expect(1);
        let said = failed.stderr.clone();
        assert!(said.contains("RUN echo") && said.contains("no such dependency"), "{said}");
        assert!(!said.contains("DEPRECATED") && !said.contains("\n  Get:1") && !said.contains("FROM "), "{said}");
        assert_eq!(left(), before, "no container is left");
        fs::write(self.folder("front").join("Dockerfile"), kept).unwrap();
        self.workspace.run(&["up"]).expect(0);
    }

    /// Also waits for the image of the next stage: kubelet tries both several times.
    fn an_image_of_docker(&self) {
        let image = format!("{}-only-here:dev", self.workspace.name);
        let described = format!("  here:\n    image: {image}\n    values: {{ports: {{http: 9898}}, grace: 1}}\n");
        self.workspace.replace("projects:\n", &format!("projects:\n{described}{}", self.late_project(1)));
        self.workspace.tool("docker", &["tag", &base(), &image]);
        let up = self.workspace.run(&["up", "here", "late-1"]).expect(1);
        self.workspace.tool("docker", &["image", "rm", &image]);
        let up = up.expect_said(&format!("image not found in any registry, only in Docker on this machine: {image}"));
        let up = up.expect_said("build: {context: FOLDER}");
        let up = up.expect_said(&format!("docker push localhost:{}/{image}", self.port()));
        up.expect_said(&format!("✗ late-1  image not found: {}", self.late_image(1)));
        self.workspace.replace(&described, "");
        self.workspace.run(&["status", "--prune"]).expect(0).expect_said("here");
    }

    fn a_late_image(&self) {
        // kubelet may retry between the push and `up`.
        let again = |number: u8| {
            self.workspace.replace("projects:\n", &format!("projects:\n{}", self.late_project(number)));
            self.workspace.run(&["up", &format!("late-{number}")]).expect(1).expect_said("image not found");
            self.replaces_what_waits(number)
        };
        assert!(self.replaces_what_waits(1) || (2..=3).any(again), "kubelet's try was waited for");
    }

    fn late_image(&self, number: u8) -> String {
        format!("localhost:{}/{}/late-{number}:1", self.port(), self.workspace.name)
    }

    fn late_project(&self, number: u8) -> String {
        let image = self.late_image(number);
        format!("  late-{number}:\n    image: {image}\n    values: {{ports: {{http: 9898}}, grace: 1}}\n")
    }

    /// Whether `up` re-created the pod of an image that was pushed late; the pod becomes ready in any case.
    fn replaces_what_waits(&self, number: u8) -> bool {
        let (project, image) = (format!("late-{number}"), self.late_image(number));
        let selector = format!("app.kubernetes.io/name={project}");
        let pods = || self.workspace.kubectl(&["get", "pods", "--selector", &selector, "--output=name"]);
        let before = pods();
        self.workspace.tool("docker", &["tag", &base(), &image]);
        self.workspace.tool("docker", &["push", "--quiet", &image]);
        self.workspace.tool("docker", &["image", "rm", &image]);
        self.workspace.run(&["up", &project]).expect(0);
        let after = until("one pod to be left", || Some(pods()).filter(|pods| pods.lines().count() == 1));
        self.workspace.replace(&self.late_project(number), "");
        self.workspace.run(&["status", "--prune"]).expect(0).expect_said(&project);
        after != before
    }

    fn a_second_cluster(&self) {
        let images = [self.running_image("front"), self.running_image("back")];
        let down = self.workspace.run(&["down", "--yes"]).expect(0);
        down.expect_said("cmdr down --registry removes them");
        // The image store of this workspace's nodes is not tested here: a cluster of another workspace has none.
        let store = format!("label=cmdr/image-store={}", self.workspace.name);
        let stores = self.workspace.tool("docker", &["volume", "ls", "--quiet", "--filter", &store]);
        for volume in stores.lines() {
            self.workspace.tool("docker", &["volume", "rm", volume]);
        }
        self.upstream.blobs();
        let up = self.up_behind_a_dead_proxy();
        assert_eq!(builds(&up), [""; 0], "nothing is built again");
        assert_eq!([self.running_image("front"), self.running_image("back")], images);
        assert_eq!(self.upstream.blobs(), 0, "blobs were pulled from outside");
    }

    /// Creates the cluster with an unreachable proxy: services on this machine are reached without it.
    fn up_behind_a_dead_proxy(&self) -> Output {
        let proxy = "http://10.255.255.1:3128";
        let variables = [("HTTP_PROXY", proxy), ("https_proxy", proxy), ("NO_PROXY", "example.com")];
        let mut command = self.workspace.cmdr(&["up", "--output", "json"]);
        let up = Running::start(command.envs(variables)).wait(Duration::from_mins(5)).expect(0);
        Running::start(self.workspace.cmdr(&["status"]).envs(variables)).wait(Duration::from_mins(1)).expect(0);
        let variables = |container: &str| {
            self.workspace
                .tool("docker", &["inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", container])
        };
        let node = variables(&self.node());
        let direct = node.lines().find(|line| line.starts_with("NO_PROXY=")).unwrap_or_default();
        assert!(direct.contains("cmdr-registry") && direct.contains("cmdr-cache-docker-io"), "{node}");
        let cache = variables("cmdr-cache-docker-io");
        assert!(cache.contains(&format!("HTTPS_PROXY={proxy}")), "{cache}");
        up
    }

    fn a_dead_cache(&self) {
        self.workspace.tool("docker", &["stop", "cmdr-cache-docker-io"]);
        let image = "docker.io/library/nats:2.12.2";
        let pull = ["nice", "ctr", "--namespace", "k8s.io", "images", "pull", "--hosts-dir"];
        let node = self.node();
        let pull = [&["exec", &node], &pull[..], &["/etc/containerd/certs.d", image]].concat();
        self.workspace.tool("docker", &pull);
        assert!(self.upstream.blobs() > 0, "it came by way of the mirror");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert!(started(&up).contains(&("prepare".to_owned(), "registry".to_owned())), "it is started again");
        let running = self.workspace.tool("docker", &[&["ps", "--format", "{{.Names}}"], &OWN[..]].concat());
        assert!(running.contains("cmdr-cache-docker-io"), "{running}");
    }

    fn a_lost_registry(&self) {
        self.workspace.tool("docker", &["stop", "cmdr-registry"]);
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(builds(&up), [""; 0], "one that is merely stopped has lost nothing");
        let image = self.running_image("front");
        self.workspace.tool("docker", &["rm", "--force", "cmdr-registry"]);
        self.workspace.tool("docker", &["volume", "rm", "cmdr-registry"]);
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(builds(&up), ["back", "front"]);
        assert_eq!(self.running_image("front"), image, "the same content is the same build");
    }

    /// Another cluster of cmdr: a container as kind creates it, connected to the registry, which never ran.
    fn refused_while_used(&self) {
        let (name, hosts) = (format!("{}-other", self.workspace.name), format!("localhost:{}", self.port()));
        let node = format!("{name}-{}", std::process::id());
        let cluster = format!("io.x-k8s.kind.cluster={name}");
        let mark = format!("{}:/etc/cmdr/pool-10.9.8.0-10.9.8.31", self.workspace.root().display());
        let labels = ["--label", &cluster, "--label", "io.x-k8s.kind.role=control-plane"];
        self.workspace
            .tool("docker", &[&["create", "--name", &node], &labels[..], &["--volume", &mark, &base()]].concat());
        let folder = self.workspace.root().join("certs.d").join(hosts);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("hosts.toml"), "").unwrap();
        let certs = format!("{}/certs.d", self.workspace.root().display());
        let containerd = self.workspace.root().join("containerd");
        fs::create_dir_all(&containerd).unwrap();
        fs::rename(certs, containerd.join("certs.d")).unwrap();
        let target = format!("{node}:/etc/");
        self.workspace.tool("docker", &["cp", &containerd.display().to_string(), &target]);
        let refused = self.workspace.run(&["down", "--registry", "--yes"]);
        self.workspace.tool("docker", &["rm", "--force", "--volumes", &node]);
        refused.expect(10).expect_said(&format!("the registry serves other clusters: {name}"));
        assert_eq!(self.workspace.ask("front", "/readyz").unwrap().status, 200, "nothing was deleted");
    }

    fn nothing_is_left(&self) {
        let label = format!("label=cmdr/workspace={}", self.workspace.name);
        let kept = ["volume", "ls", "--quiet", "--filter", "label=cmdr/kept-node", "--filter", &label];
        assert_ne!(self.workspace.tool("docker", &kept), "", "the node is kept for the next cluster");
        self.workspace.run(&["down", "--registry", "--yes"]).expect(0);
        assert_eq!(self.workspace.tool("docker", &kept), "");
        assert_eq!(self.services(), [""; 0]);
        assert_eq!(self.volumes(), "");
        let state = Path::new(self.workspace.variable("CMDR_STATE")).join("clusters");
        let left: Vec<_> = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
    }

    fn two_at_once(&self) {
        let other = TestWorkspace::new("img-two", PROJECTS);
        write_services(&other.root(), "other");
        let runs = [self.workspace.start(&["build"]), other.start(&["build"])];
        for run in runs {
            let output = run.wait(std::time::Duration::from_mins(2)).expect(0);
            assert_eq!(output.stdout.lines().count(), 3, "{}", output.said());
        }
        assert_eq!(self.services(), ["cmdr-registry"]);
        other.run(&["down", "--registry"]).expect(0);
        assert_eq!(self.services(), [""; 0]);
    }
}

/// The base image of the services, from the engine or the rig's registry.
fn base() -> String {
    format!("{}/stefanprodan/podinfo:6.9.2", rig("RIG_REGISTRY"))
}

/// The services and the chart of a workspace.
fn write_services(root: &Path, greeting: &str) {
    for (project, file) in [("front", "Dockerfile"), ("back", "other/Dockerfile")] {
        let folder = root.join(project);
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        write_service(&folder, file, greeting);
    }
    let templates = root.join("charts/worker/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("all.yaml"), WORKER_CHART).unwrap();
    fs::write(root.join("charts/worker/Chart.yaml"), "apiVersion: v2\nname: worker\nversion: 0.1.0\n").unwrap();
}

/// A service whose last layer contains a greeting.
fn write_service(folder: &Path, dockerfile: &str, greeting: &str) {
    let text = format!("FROM {}\nCOPY constant /constant\nCOPY greeting /greeting\n", base());
    fs::write(folder.join(dockerfile), text).unwrap();
    fs::write(folder.join("constant"), "the same in each build\n").unwrap();
    // A registry from an earlier run must not contain this layer.
    fs::write(folder.join("greeting"), format!("{greeting} of {}\n", std::process::id())).unwrap();
}

/// The actions and subjects of the steps that a run started.
fn started(output: &Output) -> Vec<(String, String)> {
    let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let events = output.events();
    let started = events.iter().filter(|event| event["event"] == "step-started");
    started.map(|event| (text(event, "action"), text(event, "subject"))).collect()
}

/// The projects that a run built.
fn builds(output: &Output) -> Vec<String> {
    let mut built: Vec<String> =
        started(output).into_iter().filter(|(action, _)| action == "build").map(|(_, subject)| subject).collect();
    built.sort();
    tell(&format!("built: {built:?}"));
    built
}
