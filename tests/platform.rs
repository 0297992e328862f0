//! `cmdr up` and the verbs around it on a real cluster: one small workspace, walked through in stages, from nothing to
//! nothing. What fails on purpose is in `tests/failures.rs`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use common::{Output, Stages, TestWorkspace, request, rig, tell, until};
use serde_json::{Value, json};

/// The most memory that cmdr may take, in kB.
const MEMORY: u64 = 80 * 1024;
/// Has bash, and every machine that ran `make test` once has it.
const SHELL_IMAGE: &str = "rig/base:bookworm";

const PROJECTS: &str = r#"
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
  postgres:
    image: docker.io/library/postgres:15
    values:
      kind: StatefulSet
      ports: {postgres: 5432}
      secrets: {db: {generate: password}}
      env: {POSTGRES_PASSWORD: {secret: db, key: password}, PGDATA: /var/lib/postgresql/data/pgdata}
      volumes:
        data: {path: /var/lib/postgresql/data, size: 1Gi}
        run: {path: /var/run/postgresql, temporary: true}
      security: {runAsUser: 999}
  migrate:
    image: docker.io/library/postgres:15
    needs: [postgres]
    values:
      kind: Job
      command: [psql, -h, postgres, -U, postgres, -c, "create table if not exists orders (id serial primary key)"]
      env: {PGPASSWORD: {secret: postgres-db, key: password}}
  report:
    image: docker.io/library/redis:7.0
    values: {kind: CronJob, schedule: "0 0 1 1 *", command: [date]}
  worker:
    image: docker.io/library/redis:7.0
    values:
      command: [sh, -c, "while sleep 1; do cat /etc/worker/greeting; echo; done"]
      files: {/etc/worker/greeting: first}
      grace: 1
  cache:
    image: docker.io/library/redis:7.0
    values: {kind: StatefulSet, ports: {redis: 6379}, volumes: {data: {path: /data, size: 1Gi}}}
  catalog:
    image: PRIVATE_IMAGE
    host: catalog
    values: {ports: {http: 9898}}
  front:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {web: {host: front, path: /}}
    check: {path: /readyz}
    needs: [catalog]
    values:
      ports: {http: 9898}
      env: {PODINFO_BACKEND_URL: "http://catalog/echo,http://search-podinfo:9898/echo", PODINFO_UI_MESSAGE: first}
  site:
    image: docker.io/library/nginx:1.22
    host: site
    values:
      replicas: 2
      grace: 8
      ports: {http: 8080}
      volumes: {pages: {path: /pages, temporary: true}}
      sidecars:
        writer:
          image: docker.io/library/redis:7.0
          command: [sh, -c, "while date > /out/time; do sleep 1; done"]
          mounts: {pages: /out}
      files:
        /etc/nginx/nginx.conf: |
          pid /tmp/nginx.pid;
          events {}
          http {
            client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
            uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
            server { listen 8080; location / { return 200 "first\n"; } location /time { root /pages; } }
          }
  search:
    chart: {oci: ghcr.io/stefanprodan/charts/podinfo, version: 6.9.2}
    values: {ui: {message: found}}
"#;

/// Added later, and removed from the file again.
const GUEST: &str = "
  guest:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}}
";

/// A second workspace beside the first.
const NEIGHBOUR: &str = "
environments:
  local: {}
projects:
  shop:
    image: PRIVATE_IMAGE
    host: shop
    values: {ports: {http: 9898}}
";

#[test]
fn from_nothing_to_nothing() {
    let walk = Walk::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("plan and --dry-run touch nothing", Walk::nothing_is_touched);
    stage("up of one project brings it and what it needs", Walk::one_project_from_nothing);
    stage("up --without leaves one out, up brings the rest", Walk::all_projects);
    stage("every printed URL answers", Walk::every_url_answers);
    stage("pods see the address of who asks", Walk::the_clients_address_arrives);
    stage("a request crosses its backends", Walk::a_request_crosses_backends);
    stage("a project starts after what it needs", Walk::needs_come_first);
    stage("status and render tell what is there", Walk::status_and_render);
    stage("a second up changes nothing", Walk::nothing_to_do);
    stage("a commit alone changes nothing", Walk::a_commit_changes_nothing);
    stage("one changed line touches one project", Walk::one_change_touches_one_project);
    stage("a changed configuration restarts its own pods", Walk::configuration_restarts_its_pods);
    stage("what was deleted by hand comes back", Walk::deleted_objects_come_back);
    stage("releases and workloads tell where they come from", Walk::everything_is_labelled);
    stage("restart gives new pods of the same revision", Walk::restart_gives_new_pods);
    stage("a rolling update loses no request", Walk::a_rolling_update_loses_no_request);
    stage("what others manage is refused, and adopted", Walk::foreign_releases_are_refused);
    stage("an orphan is named and removed, its volume stays", Walk::orphans_are_pruned);
    stage("generated secrets stay, and stay secret", Walk::secrets_stay_secret);
    stage("a second cluster lives beside the first", Walk::two_clusters);
    stage("stop and start keep what is stored", Walk::sleep_and_wake);
    stage("down leaves nothing", Walk::down_leaves_nothing);
    stage("cmdr stays small", Walk::memory_stays_small);
    stages.finish();
}

/// The workspace with what its stages hand on.
struct Walk {
    workspace: TestWorkspace,
}

/// A pod's identity: another one after a restart.
type Pods = BTreeMap<String, (String, u64)>;

impl Walk {
    fn new() -> Self {
        let private = rig("RIG_PRIVATE_IMAGE");
        let workspace = TestWorkspace::new("platform", &PROJECTS.replace("PRIVATE_IMAGE", &private));
        let login = BASE64.encode(format!("{}:{}", rig("RIG_PRIVATE_USER"), rig("RIG_PRIVATE_PASSWORD")));
        let config = json!({"auths": {(rig("RIG_PRIVATE_REGISTRY")): {"auth": login}}});
        fs::write(workspace.docker_config().join("config.json"), config.to_string()).unwrap();
        workspace.tool("git", &["init", "--quiet"]);
        let walk = Self { workspace };
        walk.commit("first");
        walk
    }

    fn commit(&self, message: &str) -> String {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        self.workspace.tool("git", &["add", "--all"]);
        self.workspace.tool("git", &[&identity[..], &["commit", "--quiet", "--allow-empty", "-m", message]].concat());
        self.workspace.tool("git", &["rev-parse", "HEAD"])
    }

    fn up(&self) -> Output {
        self.workspace.run(&["up"]).expect(0)
    }

    /// The revision of each release, by namespace and name.
    fn revisions(&self) -> BTreeMap<String, String> {
        let list: Value = serde_json::from_str(&self.workspace.helm(&["ls", "-A", "-o", "json"])).unwrap();
        let text = |release: &Value, key: &str| release[key].as_str().unwrap_or_default().to_owned();
        let releases = list.as_array().unwrap().iter();
        releases.map(|it| (format!("{}/{}", text(it, "namespace"), text(it, "name")), text(it, "revision"))).collect()
    }

    /// Every pod of the cluster with its uid and restarts, except those of one project.
    fn pods_except(&self, project: &str) -> Pods {
        let pods = self.workspace.objects(&["get", "pods", "--all-namespaces"]);
        let pods = pods["items"].as_array().unwrap().iter();
        let others = pods.filter(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] != project);
        others.map(identity).collect()
    }

    fn pods_of(&self, project: &str) -> Pods {
        let selector = format!("app.kubernetes.io/name={project}");
        let pods = self.workspace.objects(&["get", "pods", "--selector", &selector]);
        pods["items"].as_array().unwrap().iter().map(identity).collect()
    }

    /// Does something that may touch one project alone, whose pods must be other ones then.
    #[track_caller]
    fn touches_only(&self, project: &str, act: impl FnOnce()) {
        let (revisions, others, own) = (self.revisions(), self.pods_except(project), self.pods_of(project));
        act();
        let now = self.revisions();
        let key = format!("{}/{project}", self.workspace.name);
        let changed: Vec<&String> =
            now.iter().filter(|(name, now)| revisions.get(*name) != Some(now)).map(|(name, _)| name).collect();
        assert_eq!(changed, [&key], "only {project} gets a new revision");
        assert_eq!(self.pods_except(project), others, "no other pod is touched");
        until("its old pods to go", || self.pods_of(project).keys().all(|pod| !own.contains_key(pod)).then_some(()));
    }

    /// Does something that may touch nothing.
    #[track_caller]
    fn touches_nothing(&self, act: impl FnOnce()) {
        let before = (self.revisions(), self.pods_except(""));
        act();
        assert_eq!((self.revisions(), self.pods_except("")), before);
    }

    fn password(&self) -> String {
        let stored = self.workspace.kubectl(&["get", "secret", "postgres-db", "-o", "jsonpath={.data.password}"]);
        let password = String::from_utf8(BASE64.decode(stored).unwrap()).unwrap();
        assert!(password.len() >= 16, "a password of {} characters", password.len());
        password
    }

    fn sql(&self, command: &str) -> String {
        self.workspace.kubectl(&["exec", "postgres-0", "--", "psql", "-U", "postgres", "-Atc", command])
    }

    fn nothing_is_touched(&self) {
        self.workspace
            .run(&["plan", "--exit-code"])
            .expect(3)
            .expect_said("create cluster")
            .expect_said("install front");
        self.workspace.run(&["up", "--dry-run"]).expect(0).expect_said("create cluster");
        self.workspace.run(&["status"]).expect(0).expect_said("cmdr up makes it");
        self.workspace.run(&["down", "--dry-run"]).expect(0);
        let name = format!("name={}", self.workspace.name);
        assert_eq!(self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &name]), "");
    }

    fn one_project_from_nothing(&self) {
        let wrong = self.workspace.run(&["up", "frnt"]).expect(2);
        assert!(wrong.stderr.contains("did you mean 'front'?"), "{}", wrong.stderr);
        let up = self.workspace.run(&["up", "front", "--set", "env.PODINFO_UI_MESSAGE=by-hand"]).expect(0);
        assert_eq!(up.stdout.lines().count(), 2, "the URLs of front and catalog: {}", up.stdout);
        let names: Vec<String> = self.revisions().into_keys().collect();
        let own = |project: &str| format!("{}/{project}", self.workspace.name);
        let mut expected =
            vec![own("catalog"), own("front"), "metallb-system/metallb".to_owned(), "traefik/traefik".to_owned()];
        expected.sort();
        assert_eq!(names, expected);
        let page = self.workspace.ask("front", "/api/info").unwrap().json();
        assert_eq!(page["message"], "by-hand");
    }

    fn all_projects(&self) {
        self.workspace.run(&["up", "--without", "search"]).expect(0);
        assert!(!self.revisions().contains_key(&format!("{}/search", self.workspace.name)));
        let page = self.workspace.ask("front", "/api/info").unwrap().json();
        assert_eq!(page["message"], "first", "what --set said was for that run");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(changes(&up), ["install search"]);
    }

    fn every_url_answers(&self) {
        let up = self.up();
        assert_eq!(up.stdout.lines().count(), 3, "{}", up.stdout);
        for url in up.stdout.lines() {
            assert_eq!(answer(url), 200, "{url}");
        }
        let time = self.workspace.ask("site", "/time").unwrap();
        assert_eq!(time.status, 200, "the sidecar wrote the page: {}", time.body);
    }

    fn the_clients_address_arrives(&self) {
        let network = self.workspace.tool("docker", &["network", "inspect", "kind"]);
        let network: Value = serde_json::from_str(&network).unwrap();
        let addresses = network[0]["IPAM"]["Config"].as_array().unwrap();
        let gateways: Vec<&str> = addresses.iter().filter_map(|address| address["Gateway"].as_str()).collect();
        let seen = self.workspace.ask("front", "/headers").unwrap().json();
        let seen = seen["X-Forwarded-For"][0].as_str().unwrap_or_default().to_owned();
        assert!(gateways.contains(&seen.as_str()), "'{seen}' is none of {gateways:?}");

        let service = self.workspace.objects(&["get", "service", "traefik", "--namespace", "traefik"]);
        let balancer = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap().to_owned();
        let ask = r#"hostname -i; exec 3<>"/dev/tcp/$0/80"
            printf 'GET /headers HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&3; cat <&3"#;
        let host = format!("front.{}.localhost", self.workspace.name);
        let run = ["run", "--rm", "--network", "kind", SHELL_IMAGE, "bash", "-c", ask, &balancer, &host];
        let said = self.workspace.tool("docker", &run);
        let own = said.split_whitespace().next().unwrap_or_default();
        assert!(own.parse::<Ipv4Addr>().is_ok(), "the container's address: {said}");
        assert!(said.contains(&format!("\"{own}\"")), "X-Forwarded-For is {own}: {said}");
    }

    fn a_request_crosses_backends(&self) {
        let answer = self.workspace.request("POST", "front", "/echo", "tunes").unwrap();
        let answers = answer.json();
        assert_eq!(answers.as_array().map(Vec::len), Some(2), "one answer of each backend: {answers}");
        assert!(answers.as_array().unwrap().iter().all(|it| it.to_string().contains("tunes")), "{answers}");
    }

    fn needs_come_first(&self) {
        for (project, need) in [("migrate", "postgres"), ("front", "catalog")] {
            let pod = |project: &str| {
                let selector = format!("app.kubernetes.io/name={project}");
                self.workspace.objects(&["get", "pods", "--selector", &selector])["items"][0].clone()
            };
            let (first, second) = (pod(need), pod(project));
            let ready = first["status"]["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready");
            let ready = ready.unwrap()["lastTransitionTime"].as_str().unwrap().to_owned();
            let created = second["metadata"]["creationTimestamp"].as_str().unwrap();
            assert!(created >= ready.as_str(), "{project} at {created}, {need} ready at {ready}");
        }
        assert_eq!(self.sql("select count(*) from orders"), "0", "the migration ran");
    }

    fn status_and_render(&self) {
        let table = self.workspace.run(&["status"]).expect(0).stdout;
        let status = self.workspace.run(&["status", "--output", "json", "--exit-code"]).expect(0).json();
        let releases = status["releases"].as_array().unwrap();
        assert_eq!(releases.len(), 11, "{table}");
        for release in releases {
            let name = release["name"].as_str().unwrap();
            assert_eq!(release["state"], "healthy", "{name}");
            assert!(table.lines().any(|line| line.starts_with(name) && line.contains("healthy")), "{name}\n{table}");
        }
        tell(&format!("\n{table}"));
        assert_eq!(status["orphans"], json!([]));
        let manifests = self.workspace.run(&["render", "front"]).expect(0).stdout;
        for kind in ["Deployment", "Service", "Ingress"] {
            assert!(manifests.contains(&format!("kind: {kind}\n")), "{kind}: {manifests}");
        }
        self.workspace.run(&["render", "fron"]).expect(2).expect_said("did you mean 'front'?");
    }

    fn nothing_to_do(&self) {
        self.touches_nothing(|| {
            self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
            self.workspace.run(&["status", "--exit-code"]).expect(0);
            let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
            assert_eq!(changes(&up), [""; 0]);
            assert_eq!(up.events()[0]["unchanged"].as_array().map(Vec::len), Some(9));
        });
    }

    fn a_commit_changes_nothing(&self) {
        self.commit("empty");
        self.touches_nothing(|| {
            self.workspace.run(&["plan", "--exit-code"]).expect(0);
            self.up();
        });
    }

    fn one_change_touches_one_project(&self) {
        self.workspace.replace("PODINFO_UI_MESSAGE: first", "PODINFO_UI_MESSAGE: second");
        self.touches_nothing(|| {
            let plan = self.workspace.run(&["plan", "--exit-code"]).expect(3);
            plan.expect_said("upgrade front").expect_said("env.PODINFO_UI_MESSAGE");
            self.workspace.run(&["up", "--dry-run"]).expect(0).expect_said("upgrade front");
            self.workspace.run(&["status", "--exit-code"]).expect(3);
        });
        self.touches_only("front", || drop(self.up()));
        assert_eq!(self.workspace.ask("front", "/api/info").unwrap().json()["message"], "second");
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    fn configuration_restarts_its_pods(&self) {
        self.workspace.replace("greeting: first", "greeting: second");
        self.touches_only("worker", || drop(self.up()));
        until("the worker's new greeting", || {
            self.workspace.kubectl(&["logs", "deployment/worker", "--tail=1"]).contains("second").then_some(())
        });
    }

    fn deleted_objects_come_back(&self) {
        self.workspace.kubectl(&["delete", "deployment", "front", "--wait"]);
        until("its pods to go", || self.pods_of("front").is_empty().then_some(()));
        self.workspace.run(&["plan"]).expect(0).expect_said("Deployment/front");
        self.touches_only("front", || drop(self.up()));
        // A Service is restored beside pods that stay.
        self.workspace.kubectl(&["delete", "service", "catalog"]);
        self.workspace.run(&["plan"]).expect(0).expect_said("Service/catalog");
        let pods = self.pods_except("");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(changes(&up), ["upgrade catalog"]);
        assert_eq!(self.pods_except(""), pods);
        assert_eq!(self.workspace.ask("catalog", "/").map(|it| it.status), Ok(200));
    }

    fn everything_is_labelled(&self) {
        self.workspace.replace("PODINFO_UI_MESSAGE: second", "PODINFO_UI_MESSAGE: third");
        let commit = self.commit("third");
        self.up();
        let status = self.workspace.run(&["status", "--output", "json"]).expect(0).json();
        let row = status["releases"].as_array().unwrap().iter().find(|row| row["name"] == "front").unwrap().clone();
        let secrets =
            self.workspace.objects(&["get", "secrets", "--selector", "owner=helm,name=front,status=deployed"]);
        let release = secrets["items"][0]["metadata"]["labels"].clone();
        let workload = self.workspace.objects(&["get", "deployment", "front"]);
        let annotations = &workload["metadata"]["annotations"];
        for (key, value) in [
            ("project", "front"),
            ("workspace", self.workspace.name.as_str()),
            ("environment", "local"),
            ("version", "6.9.2"),
            ("record", row["record"].as_str().unwrap()),
            ("commit", &commit[..12]),
        ] {
            let key = format!("cmdr.dev/{key}");
            assert_eq!(release[&key], value, "{key} of the release");
            assert_eq!(annotations[&key], value, "{key} of the workload");
        }
        assert!(release["cmdr.dev/chart"].as_str().is_some_and(|chart| chart.starts_with("service-")), "{release}");
        assert_eq!(annotations["cmdr.dev/chart"], release["cmdr.dev/chart"]);
        let pods = workload["spec"]["template"].to_string();
        for changing in [&commit[..12], "cmdr.dev/commit", "cmdr.dev/record"] {
            assert!(!pods.contains(changing), "{changing} in {pods}");
        }
    }

    fn restart_gives_new_pods(&self) {
        self.touches_nothing(|| {
            self.workspace.run(&["restart", "worker", "--dry-run"]).expect(0).expect_said("restart worker");
        });
        let (revisions, own, others) = (self.revisions(), self.pods_of("worker"), self.pods_except("worker"));
        self.workspace.run(&["restart", "worker"]).expect(0);
        assert_eq!(self.revisions(), revisions);
        assert_eq!(self.pods_except("worker"), others);
        until("the old pod to go", || self.pods_of("worker").keys().all(|pod| !own.contains_key(pod)).then_some(()));
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
        self.workspace.run(&["restart", "wrker"]).expect(2).expect_said("did you mean 'worker'?");
    }

    fn a_rolling_update_loses_no_request(&self) {
        let load = Load::start(self.workspace.http_port(), &format!("site.{}.localhost", self.workspace.name));
        until("the first answers", || (load.answered() > 20).then_some(()));
        self.workspace.replace("return 200 \"first", "return 200 \"second");
        let up = self.workspace.run(&["up"]).expect(0);
        // The old pods go on for a while after the new ones are ready.
        until("the old pods to go", || (self.pods_of("site").len() == 2).then_some(()));
        let (answered, failed) = load.end();
        tell(&format!("{answered} requests answered, {} failed, in an update of {:.1} s", failed.len(), up.seconds));
        assert!(answered > 100, "{answered} requests");
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(self.workspace.ask("site", "/").map(|answer| answer.body), Ok("second\n".to_owned()));
    }

    fn foreign_releases_are_refused(&self) {
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
        refused("somebody who applied it by hand");
        workspace.kubectl(&[
            "annotate",
            "deployment",
            "guest",
            "argocd.argoproj.io/tracking-id=guest:apps/Deployment:guest",
        ]);
        refused("Argo CD");
        adopted();
        // And a release that somebody made with helm.
        workspace.kubectl(&["annotate", "deployment", "guest", "argocd.argoproj.io/tracking-id-"]);
        workspace.helm(&["uninstall", "guest", "--namespace", &workspace.name, "--wait"]);
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/service");
        let image = "image=ghcr.io/stefanprodan/podinfo:6.9.2";
        let install =
            ["install", "guest", chart, "--namespace", &workspace.name, "--set", image, "--set", "ports.http=9898"];
        workspace.helm(&install);
        refused("somebody who ran helm by hand");
        adopted();
        workspace.run(&["plan", "--exit-code"]).expect(0);
        drop(restore);
        let status = workspace.run(&["status", "--prune"]).expect(0);
        assert!(status.stderr.contains("guest"), "{}", status.stderr);
    }

    fn orphans_are_pruned(&self) {
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

    fn secrets_stay_secret(&self) {
        let password = self.password();
        let watch = Watch::start(&password);
        self.workspace.replace("greeting: second", "greeting: third");
        self.up();
        let (seen, leaks) = watch.end();
        assert!(seen > 0, "no helm process was seen");
        assert!(leaks.is_empty(), "in the arguments of {leaks:?}");
        assert_eq!(self.password(), password, "it is made once");
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

    fn two_clusters(&self) {
        let mut neighbour =
            TestWorkspace::new("neighbour", &NEIGHBOUR.replace("PRIVATE_IMAGE", &rig("RIG_PRIVATE_IMAGE")));
        let asked = credential_helper(&mut neighbour);
        let up = neighbour.run(&["up"]).expect(0);
        assert!(asked.exists(), "the credential helper was asked");
        let (port, own) = (neighbour.http_port(), self.workspace.http_port());
        assert_ne!(port, own);
        let note = format!("this cluster answers on port {port} (HTTP)");
        assert!(port == 80 || up.stderr.contains(&note), "{}", up.stderr);
        for url in up.stdout.lines().map(str::to_owned).chain(self.up().stdout.lines().map(str::to_owned)) {
            assert_eq!(answer(&url), 200, "{url}");
        }
        let (one, other) = (pool(&self.workspace), pool(&neighbour));
        assert!(one.1 < other.0 || other.1 < one.0, "{one:?} and {other:?}");

        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        neighbour.replace("local: {}", &format!("local: {{ports: {{http: {free}}}}}"));
        let stays = neighbour.run(&["up"]).expect(0);
        assert!(stays.stderr.contains("only cmdr up --recreate changes that"), "{}", stays.stderr);
        assert_eq!(neighbour.http_port(), port);
        let again = neighbour.run(&["up", "--recreate"]).expect(0);
        assert_eq!(neighbour.http_port(), free);
        assert_eq!(answer(again.stdout.trim()), 200);

        neighbour.run(&["down", "--yes"]).expect(0);
        assert_eq!(self.workspace.ask("front", "/readyz").map(|answer| answer.status), Ok(200));
    }

    fn sleep_and_wake(&self) {
        self.sql("insert into orders default values");
        self.workspace.run(&["stop", "--dry-run"]).expect(0).expect_said("would put the cluster");
        assert_eq!(self.workspace.ask("front", "/readyz").map(|answer| answer.status), Ok(200));
        for (stop, state) in [(&["stop"][..], "exited"), (&["stop", "--warm"][..], "paused")] {
            self.workspace.run(stop).expect(0);
            let node = format!("{}-control-plane", self.workspace.name);
            assert_eq!(self.workspace.tool("docker", &["inspect", "--format", "{{.State.Status}}", &node]), state);
            self.workspace.run(&["status", "--exit-code"]).expect(3).expect_said("cmdr start wakes it");
            self.workspace.run(&["plan", "--exit-code"]).expect(3).expect_said("start cluster");
            let start = self.workspace.run(&["start"]).expect(0);
            assert_eq!(start.stdout.lines().count(), 3, "{}", start.stdout);
            for url in start.stdout.lines() {
                assert_eq!(answer(url), 200, "{url}");
            }
            assert_eq!(self.sql("select count(*) from orders"), "1", "after {stop:?}");
        }
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    fn down_leaves_nothing(&self) {
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
        self.workspace.run(&["down"]).expect(0).expect_said("there is no cluster");
        self.workspace.run(&["stop"]).expect(1).expect_said("cmdr up makes it");
        self.workspace.run(&["start"]).expect(1).expect_said("cmdr up makes it");
    }

    fn memory_stays_small(&self) {
        let peak = self.workspace.peak_kb();
        tell(&format!("at most {} MB", peak / 1024));
        assert!(peak > 0 || !cfg!(target_os = "linux"), "no run was measured");
        assert!(peak < MEMORY, "cmdr took {} MB", peak / 1024);
    }
}

fn identity(pod: &Value) -> (String, (String, u64)) {
    let containers = ["containerStatuses", "initContainerStatuses"];
    let statuses = containers.iter().filter_map(|key| pod["status"][key].as_array()).flatten();
    let restarts = statuses.filter_map(|status| status["restartCount"].as_u64()).sum();
    let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
    (format!("{}/{}", text("namespace"), text("name")), (text("uid"), restarts))
}

/// What a run with `--output json` changed: `upgrade front`.
fn changes(up: &Output) -> Vec<String> {
    let events = up.events();
    let started = events.iter().filter(|event| event["event"] == "step-started");
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let all = started.map(|event| (text(event, "action"), text(event, "subject")));
    let changing = all.filter(|(action, _)| action != "check" && action != "connect");
    changing
        .filter(|(_, subject)| !subject.starts_with("namespace "))
        .map(|(action, subject)| format!("{action} {subject}"))
        .collect()
}

/// Puts projects.yaml back as it was, however a stage ends.
struct Restore(std::path::PathBuf, String);

impl Restore {
    fn of(workspace: &TestWorkspace) -> Self {
        let file = workspace.root().join("projects.yaml");
        let text = fs::read_to_string(&file).unwrap();
        Self(file, text)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, &self.1);
    }
}

/// The status of the answer to a URL as cmdr prints it.
#[track_caller]
fn answer(url: &str) -> u16 {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not a URL: '{url}'"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host.split_once(':').map_or((host, 80), |(host, port)| (host, port.parse().unwrap()));
    request(port, "GET", host, &format!("/{path}"), "").unwrap().status
}

/// Helm's payload of a release as JSON: base64 of Kubernetes, base64 of Helm, gzip.
fn payload(data: &str) -> String {
    let packed = BASE64.decode(BASE64.decode(data).unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// The first and the last address of a cluster's pool.
fn pool(workspace: &TestWorkspace) -> (Ipv4Addr, Ipv4Addr) {
    let pools = workspace.objects(&["get", "ipaddresspools", "--namespace", "metallb-system"]);
    let range = pools["items"][0]["spec"]["addresses"][0].as_str().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// Gives the private registry's password by a program, as Docker Desktop does. The file appears when it was asked.
fn credential_helper(workspace: &mut TestWorkspace) -> std::path::PathBuf {
    let folder = workspace.docker_config();
    let asked = folder.join("asked");
    let answer = json!({"Username": rig("RIG_PRIVATE_USER"), "Secret": rig("RIG_PRIVATE_PASSWORD")});
    let script = format!("#!/bin/sh\ncat >'{}'\necho '{answer}'\n", asked.display());
    let helper = folder.join("docker-credential-walk");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = json!({"credHelpers": {(rig("RIG_PRIVATE_REGISTRY")): "walk"}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let path = format!("{}:{}", folder.display(), workspace.variable("PATH"));
    workspace.set_variable("PATH", &path);
    asked
}

/// Requests without a pause, from two sides, until it is ended.
struct Load {
    end: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(port: u16, host: &str) -> Self {
        let (end, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let side = |_| {
            let (end, answered, host) = (Arc::clone(&end), Arc::clone(&answered), host.to_owned());
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    match request(port, "GET", &host, "/", "") {
                        Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => failed.push(format!("{}: {}", answer.status, answer.body)),
                        Err(error) => failed.push(error),
                    }
                    // Leaves the two processors of a small machine to the cluster.
                    thread::sleep(std::time::Duration::from_millis(10));
                }
                failed
            })
        };
        let threads = (0..2).map(side).collect();
        Self { end, answered, threads }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    fn end(self) -> (usize, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (self.answered.load(Ordering::Relaxed), failed)
    }
}

/// Looks at the arguments of every process for a text that must not be there.
struct Watch {
    end: Arc<AtomicBool>,
    thread: thread::JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    fn start(secret: &str) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (ended, secret) = (Arc::clone(&end), secret.to_owned());
        let thread = thread::spawn(move || {
            let (mut helms, mut leaks) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                for arguments in arguments_of_all() {
                    helms += usize::from(arguments.split('\0').next().is_some_and(|program| program.ends_with("helm")));
                    if arguments.contains(&secret) {
                        leaks.push(arguments.replace('\0', " "));
                    }
                }
                thread::sleep(std::time::Duration::from_millis(20));
            }
            (helms, leaks)
        });
        Self { end, thread }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The arguments of every process that can be seen, divided by NUL.
fn arguments_of_all() -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}
