//! Stages about releases of other tools, secrets, a second cluster, and the end.

use std::{collections::BTreeSet, fs, net::Ipv4Addr};

use super::{
    GUEST, MEMORY, NEIGHBOUR, OPERATOR, OPERATOR_CHART,
    common::{TestWorkspace, rig, tell, until},
    stages_of_speed::requests_are_few,
    walk::{Walk, answer, finished},
    watchers::{Restore, credential_helper, payload, pool},
};

/// Adds an operator, and releases with its custom resources.
fn add_operator(workspace: &TestWorkspace) {
    let thing = "{apiVersion: example.test/v1, kind: Thing, metadata: {name: one}}";
    for (name, template) in [("operator", OPERATOR_CHART), ("thing", thing)] {
        let chart = workspace.root().join("charts").join(name);
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n")).unwrap();
        fs::write(chart.join("templates/all.yaml"), template).unwrap();
    }
    workspace.replace("\nprojects:\n", OPERATOR);
}

/// The pod of the project `keys` has the fields that its values set: short keys of the chart, and Kubernetes fields.
fn keys_arrive(workspace: &TestWorkspace) {
    let namespace = &workspace.name;
    let by_alias = format!("/api/v1/namespaces/{namespace}/services/products:http/proxy/env");
    let variables = workspace.kubectl(&["get", "--raw", &by_alias]);
    assert!(variables.contains("COPY_GREETING=hello"), "{variables}");
    assert!(variables.contains("MEMORY="), "{variables}");
    let pods =
        workspace.objects(&["get", "pods", "--namespace", namespace, "--selector", "app.kubernetes.io/name=keys"]);
    let pod = &pods["items"][0]["spec"];
    assert_eq!(pod["hostAliases"][0]["hostnames"][0], "legacy.example");
    assert_eq!(pod["containers"][0]["readinessProbe"]["grpc"]["port"], 9999);
    assert!(pod["securityContext"]["runAsUser"].is_null(), "the user of the image");
    let service = workspace.objects(&["get", "service", "keys", "--namespace", namespace]);
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
}

/// The custom resources of both releases exist.
fn things_arrive(workspace: &TestWorkspace) {
    for namespace in ["early", &workspace.name] {
        workspace.kubectl(&["get", "things.example.test", "one", "--namespace", namespace]);
    }
}

fn neighbour(name: &str) -> TestWorkspace {
    TestWorkspace::new(name, &NEIGHBOUR.replace("PRIVATE_IMAGE", &rig("RIG_PRIVATE_IMAGE")))
}

/// Configures other ports and networks for a cluster that exists: it keeps its own. Returns the configured port.
fn ports_stay(workspace: &TestWorkspace) -> u16 {
    let port = workspace.http_port();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    workspace.replace("local: {}", &format!("local: {{ports: {{http: {free}}}, pods: 10.200.0.0/16}}"));
    let stays = workspace.run(&["up"]).expect(0);
    for difference in ["its ports are", "its networks of Pods and Services are 10.244.0.0/16 and 10.96.0.0/16"] {
        let note = stays.stderr.lines().find(|line| line.contains(difference));
        assert!(note.is_some_and(|it| it.ends_with("only cmdr up --recreate changes that")), "{}", stays.stderr);
    }
    assert_eq!(workspace.http_port(), port);
    workspace.run(&["up", "--recreate"]).expect(1).expect_said("confirm with --yes");
    assert_eq!(workspace.http_port(), port);
    free
}

/// A cluster is re-created with other ports and networks, and with an operator.
pub(crate) fn is_recreated() {
    let mut workspace = neighbour("recreated");
    credential_helper(&mut workspace);
    workspace.run(&["up"]).expect(0);
    let port = ports_stay(&workspace);
    add_operator(&workspace);
    let again = workspace.run(&["up", "--recreate", "--yes"]).expect(0);
    things_arrive(&workspace);
    assert_eq!(workspace.http_port(), port);
    let pods = workspace.kubectl(&["get", "nodes", "--output", "jsonpath={.items[0].spec.podCIDR}"]);
    assert_eq!(pods, "10.200.0.0/24");
    assert_eq!(answer(again.stdout.trim()), 200);
}

impl Walk {
    #[expect(clippy::too_many_lines, reason = "each state of the release needs the state before it")]
    pub(crate) fn foreign_releases_are_refused(&self) {
        let workspace = &self.workspace;
        let restore = Restore::of(workspace);
        let file = fs::read_to_string(workspace.root().join("projects.yaml")).unwrap();
        fs::write(workspace.root().join("projects.yaml"), format!("{file}{GUEST}")).unwrap();
        let refused = |holder: &str| {
            self.touches_nothing(|| {
                let up = workspace.run(&["up"]).expect(1);
                assert!(up.stderr.contains(&format!("is managed by {holder}")), "{}", up.stderr);
                assert!(up.stderr.contains("'guest'") && up.stderr.contains("--adopt"), "{}", up.stderr);
                workspace.run(&["status"]).expect(0).expect_said(&format!("managed by {holder}"));
            });
        };
        let adopted = || {
            workspace.run(&["up", "guest", "--adopt"]).expect(0);
            let secrets = workspace.objects(&["get", "secrets", "--selector", "owner=helm,name=guest,status=deployed"]);
            assert_eq!(secrets["items"][0]["metadata"]["labels"]["cmdr.dev/workspace"], workspace.name);
        };
        let manifests = workspace.root().join("guest.yaml");
        fs::write(&manifests, workspace.run(&["render", "guest"]).expect(0).stdout).unwrap();
        workspace.kubectl(&["apply", "--filename", &manifests.to_string_lossy()]);
        fs::remove_file(manifests).unwrap();
        until("the guest's pod", || (!self.pods_of("guest").is_empty()).then_some(()));
        refused("another tool, without Helm");
        workspace.kubectl(&[
            "annotate",
            "deployment",
            "guest",
            "argocd.argoproj.io/tracking-id=guest:apps/Deployment:guest",
        ]);
        refused("Argo CD");
        adopted();
        // A release that was installed with helm.
        workspace.kubectl(&["annotate", "deployment", "guest", "argocd.argoproj.io/tracking-id-"]);
        workspace.helm(&["uninstall", "guest", "--namespace", &workspace.name, "--wait"]);
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/service");
        let image = "image=ghcr.io/stefanprodan/podinfo:6.9.2";
        let install =
            ["install", "guest", chart, "--namespace", &workspace.name, "--set", image, "--set", "ports.http=9898"];
        workspace.helm(&install);
        until("the guest's pod", || (!self.pods_of("guest").is_empty()).then_some(()));
        refused("Helm outside of cmdr");
        adopted();
        workspace.run(&["plan", "--exit-code"]).expect(0);
        drop(restore);
        let status = workspace.run(&["status", "--prune"]).expect(0);
        assert!(status.stderr.contains("guest"), "{}", status.stderr);
    }

    pub(crate) fn orphans_are_pruned(&self) {
        let workspace = &self.workspace;
        let file = fs::read_to_string(workspace.root().join("projects.yaml")).unwrap();
        let (before, rest) = file.split_once("  cache:\n").unwrap();
        let (_, after) = rest.split_once("  catalog:\n").unwrap();
        fs::write(workspace.root().join("projects.yaml"), format!("{before}  catalog:\n{after}")).unwrap();
        let status = workspace.run(&["status", "--exit-code"]).expect(3).said();
        assert!(status.contains("cache") && status.contains("--prune"), "{status}");
        self.touches_nothing(|| {
            workspace.run(&["status", "--prune", "--dry-run"]).expect(0).expect_said("would remove: cache");
        });
        workspace.run(&["status", "--prune", "--yes"]).expect(0);
        let names: BTreeSet<String> = self.revisions().into_keys().collect();
        assert!(!names.contains(&format!("{}/cache", workspace.name)), "{names:?}");
        workspace.kubectl(&["get", "persistentvolumeclaim", "data-cache-0"]);
        workspace.run(&["status", "--exit-code"]).expect(0);
    }

    pub(crate) fn optional_projects(&self) {
        let workspace = &self.workspace;
        let file = fs::read_to_string(workspace.root().join("projects.yaml")).unwrap();
        let guest = GUEST.replace("values:", "profiles: [debug]\n    values:");
        fs::write(workspace.root().join("projects.yaml"), format!("{file}{guest}")).unwrap();
        self.touches_nothing(|| drop(self.up()));
        workspace.run(&["up", "--profile", "debug"]).expect(0);
        assert_eq!(self.count_pods("guest"), 1);
        workspace.run(&["status", "--profile", "debug", "--exit-code"]).expect(0).expect_said("guest");
        self.touches_nothing(|| drop(self.up()));
        let status = workspace.run(&["status", "--exit-code"]).expect(3);
        status.expect_said("deployed, but not enabled here: guest; cmdr status --prune removes them");
        workspace.run(&["status", "--prune", "--yes"]).expect(0);
        workspace.run(&["up", "guest"]).expect(0);
        workspace.run(&["plan", "guest", "--exit-code"]).expect(0);
        let optional = "profiles: [debug]\n    environments: {local: {enabled: false}}";
        workspace.replace("profiles: [debug]", optional);
        workspace.run(&["up", "guest"]).expect(2).expect_said("'guest' is disabled in the environment 'local'");
        workspace.run(&["status", "--prune", "--yes"]).expect(0);
        until("the guest to go", || (self.count_pods("guest") == 0).then_some(()));
        fs::write(workspace.root().join("projects.yaml"), file).unwrap();
        workspace.run(&["status", "--exit-code"]).expect(0);
    }

    pub(crate) fn secrets_stay_secret(&self) {
        let password = self.password();
        self.workspace.run(&["render", "postgres"]).expect(0);
        self.workspace.run(&["plan", "--output", "json"]).expect(0);
        self.workspace.run(&["up", "--output", "json", "--verbose"]).expect(0);
        for said in self.workspace.transcript() {
            assert!(!said.contains(&password), "cmdr said it: {said}");
        }
        let secrets = self.workspace.objects(&["get", "secrets", "--all-namespaces", "--selector", "owner=helm"]);
        let secrets = secrets["items"].as_array().unwrap();
        assert!(secrets.len() > 10);
        for secret in secrets {
            let payload = payload(secret["data"]["release"].as_str().unwrap());
            assert!(payload.contains("manifest"), "not a payload: {payload}");
            assert!(!payload.contains(&password), "{}", secret["metadata"]["name"]);
        }
    }

    pub(crate) fn two_clusters(&self) {
        let mut neighbour = neighbour("neighbour");
        add_operator(&neighbour);
        let asked = credential_helper(&mut neighbour);
        let up = neighbour.run(&["up"]).expect(0);
        assert!(asked.exists(), "the credential helper was asked");
        let (port, own) = (neighbour.http_port(), self.workspace.http_port());
        assert_ne!(port, own);
        let note = format!("this cluster uses ports {port} (HTTP)");
        assert!(port == 80 || up.stderr.contains(&note), "{}", up.stderr);
        for url in up.stdout.lines().map(str::to_owned).chain(self.up().stdout.lines().map(str::to_owned)) {
            assert_eq!(answer(&url), 200, "{url}");
        }
        keys_arrive(&neighbour);
        things_arrive(&neighbour);
        let (one, other) = (pool(&self.workspace), pool(&neighbour));
        assert!(one.1 < other.0 || other.1 < one.0, "{one:?} and {other:?}");
        ports_stay(&neighbour);
        neighbour.run(&["down", "--yes"]).expect(0);
        self.front_answers();
    }

    /// Waits, because a second cluster on this machine may delay a probe.
    fn front_answers(&self) {
        until("a response of front", || {
            self.workspace.ask("front", "/readyz").ok().filter(|answer| answer.status == 200)
        });
    }

    pub(crate) fn stop_and_start(&self) {
        self.sql("insert into orders default values");
        self.workspace.run(&["stop", "--dry-run"]).expect(0).expect_said("would stop the cluster");
        self.front_answers();
        for (stop, state) in [(&["stop"][..], "exited"), (&["stop", "--pause"][..], "paused")] {
            self.workspace.run(stop).expect(0);
            let node = format!("{}-control-plane", self.workspace.name);
            assert_eq!(self.workspace.tool("docker", &["inspect", "--format", "{{.State.Status}}", &node]), state);
            self.workspace.run(&["status", "--exit-code"]).expect(3).expect_said("start it with cmdr start");
            self.workspace.run(&["plan", "--exit-code"]).expect(3).expect_said("start cluster");
            let start = self.workspace.run(&["start", "--output", "json"]).expect(0);
            let urls: Vec<String> = serde_json::from_value(finished(&start)["urls"].clone()).unwrap();
            assert_eq!(urls.len(), 3, "{urls:?}");
            for url in urls {
                assert_eq!(answer(&url), 200, "{url}");
            }
            requests_are_few(&start);
            assert_eq!(self.sql("select count(*) from orders"), "1", "after {stop:?}");
        }
        // A probe may fail while the cluster starts; the pod is ready again soon.
        until("nothing to be left to do", || (self.workspace.run(&["plan", "--exit-code"]).code == 0).then_some(()));
    }

    pub(crate) fn down_leaves_nothing(&self) {
        let node = format!("{}-control-plane", self.workspace.name);
        let mounts = "{{range .Mounts}}{{if .Name}}{{.Name}} {{end}}{{end}}";
        let volumes = self.workspace.tool("docker", &["inspect", "--format", mounts, &node]);
        let volumes: Vec<&str> = volumes.split_whitespace().collect();
        assert!(!volumes.is_empty());
        self.workspace.run(&["down", "--yes"]).expect(0);
        let left = self.workspace.tool("docker", &["ps", "--all", "--format", "{{.Names}}"]);
        assert!(!left.contains(&self.workspace.name), "{left}");
        let left = self.workspace.tool("docker", &["volume", "ls", "--quiet"]);
        assert!(volumes.iter().all(|volume| !left.contains(volume)), "{volumes:?} in {left}");
        self.workspace.run(&["down"]).expect(0).expect_said("not found: nothing to delete");
        let junit = self.workspace.root().join("junit.xml");
        self.workspace.run(&["down", "--yes", "--junit", &junit.to_string_lossy()]).expect(0);
        assert!(fs::read_to_string(junit).unwrap().contains("<testsuites"), "nothing to delete is a result too");
        self.workspace.run(&["stop"]).expect(1).expect_said("create it with cmdr up");
        self.workspace.run(&["start"]).expect(1).expect_said("create it with cmdr up");
    }

    pub(crate) fn memory_stays_small(&self) {
        let peak = self.workspace.peak_kb();
        tell(&format!("at most {} MB", peak / 1024));
        assert!(peak > 0 || !cfg!(target_os = "linux"), "no run was measured");
        assert!(peak < MEMORY, "cmdr took {} MB", peak / 1024);
    }
}
