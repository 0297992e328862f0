//! Stages up to a rolling update: what `up` creates, and what it leaves unchanged.

use std::{fs, net::Ipv4Addr};

use serde_json::{Value, json};

use super::{
    SHELL_IMAGE,
    common::{tell, until},
    walk::{Walk, answer, changes},
    watchers::Load,
};

impl Walk {
    pub(crate) fn nothing_is_touched(&self) {
        self.workspace
            .run(&["plan", "--exit-code"])
            .expect(3)
            .expect_said("create cluster")
            .expect_said("install front");
        self.workspace.run(&["up", "--dry-run"]).expect(0).expect_said("create cluster");
        self.workspace.run(&["status"]).expect(0).expect_said("create it with cmdr up");
        self.workspace.run(&["down", "--dry-run"]).expect(0);
        let name = format!("name={}", self.workspace.name);
        assert_eq!(self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &name]), "");
    }

    pub(crate) fn one_project_from_nothing(&self) {
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

    pub(crate) fn all_projects(&self) {
        self.workspace.run(&["up", "--without", "search"]).expect(0);
        assert!(!self.revisions().contains_key(&format!("{}/search", self.workspace.name)));
        let page = self.workspace.ask("front", "/api/info").unwrap().json();
        assert_eq!(page["message"], "first", "--set applies to one run");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(changes(&up), ["install search"]);
    }

    pub(crate) fn every_url_answers(&self) {
        let up = self.up();
        assert_eq!(up.stdout.lines().count(), 3, "{}", up.stdout);
        for url in up.stdout.lines() {
            assert_eq!(answer(url), 200, "{url}");
        }
        let time = self.workspace.ask("site", "/time").unwrap();
        assert_eq!(time.status, 200, "the sidecar wrote the page: {}", time.body);
    }

    pub(crate) fn the_clients_address_arrives(&self) {
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
        // MetalLB's speaker announces the address shortly after the Service has got it.
        let said = until("a response at the load balancer's address", || self.workspace.try_tool("docker", &run));
        // A network with IPv6 gives the container two addresses.
        let own = said.lines().next().unwrap_or_default().split_whitespace().find(|it| it.parse::<Ipv4Addr>().is_ok());
        let own = own.unwrap_or_else(|| panic!("the container's address: {said}"));
        assert!(said.contains(&format!("\"{own}\"")), "X-Forwarded-For is {own}: {said}");
    }

    pub(crate) fn a_request_crosses_backends(&self) {
        // kube-proxy routes to a pod up to a second after the pod is ready.
        until("a response of both backends", || {
            let answer = self.workspace.request("POST", "front", "/echo", "tunes").ok()?;
            let answers: Vec<Value> = serde_json::from_str(&answer.body).ok()?;
            (answers.len() == 2 && answers.iter().all(|it| it.to_string().contains("tunes"))).then_some(())
        });
    }

    pub(crate) fn needs_come_first(&self) {
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

    pub(crate) fn status_and_render(&self) {
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

    pub(crate) fn nothing_to_do(&self) {
        self.touches_nothing(|| {
            self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
            self.workspace.run(&["status", "--exit-code"]).expect(0);
            let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
            assert_eq!(changes(&up), [""; 0]);
            assert_eq!(up.events()[0]["unchanged"].as_array().map(Vec::len), Some(9));
        });
    }

    pub(crate) fn a_commit_changes_nothing(&self) {
        self.commit("empty");
        self.touches_nothing(|| {
            self.workspace.run(&["plan", "--exit-code"]).expect(0);
            self.up();
        });
    }

    pub(crate) fn one_change_touches_one_project(&self) {
        self.workspace.replace("PODINFO_UI_MESSAGE: first", "PODINFO_UI_MESSAGE: second");
        self.touches_nothing(|| {
            let plan = self.workspace.run(&["plan", "--exit-code"]).expect(3);
            plan.expect_said("upgrade front").expect_said("env.PODINFO_UI_MESSAGE");
            self.workspace.run(&["up", "--dry-run"]).expect(0).expect_said("upgrade front");
            self.workspace.run(&["status", "--exit-code"]).expect(3);
        });
        self.touches_only("front", || drop(self.up()));
        until("the old pod to have drained", || {
            (self.workspace.ask("front", "/api/info").unwrap().json()["message"] == "second").then_some(())
        });
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    pub(crate) fn configuration_restarts_its_pods(&self) {
        self.workspace.replace("greeting: first", "greeting: second");
        fs::write(self.workspace.root().join("conf/worker/text"), " from disk").unwrap();
        let reason = "files differ: /etc/worker/disk/text; values differ: files./etc/worker/greeting";
        self.workspace.run(&["plan"]).expect(0).expect_said(reason);
        self.touches_only("worker", || drop(self.up()));
        until("the worker's new greeting", || {
            self.workspace
                .kubectl(&["logs", "deployment/worker", "--tail=1"])
                .contains("second from disk")
                .then_some(())
        });
    }

    pub(crate) fn deleted_objects_come_back(&self) {
        self.workspace.kubectl(&["delete", "deployment", "front", "--wait"]);
        until("its pods to go", || self.pods_of("front").is_empty().then_some(()));
        self.workspace.run(&["plan"]).expect(0).expect_said("Deployment/front");
        self.touches_only("front", || drop(self.up()));
        // A Service is restored; the pods are not replaced.
        self.workspace.kubectl(&["delete", "service", "catalog"]);
        self.workspace.run(&["plan"]).expect(0).expect_said("Service/catalog");
        let pods = self.pods_except("");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        assert_eq!(changes(&up), ["upgrade catalog"]);
        assert_eq!(self.pods_except(""), pods);
        assert_eq!(self.workspace.ask("catalog", "/").map(|it| it.status), Ok(200));
    }

    pub(crate) fn everything_is_labelled(&self) {
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

    pub(crate) fn restart_gives_new_pods(&self) {
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

    pub(crate) fn a_rolling_update_loses_no_request(&self) {
        let load = Load::start(self.workspace.http_port(), &format!("site.{}.localhost", self.workspace.name));
        until("the first responses", || (load.answered() > 20).then_some(()));
        self.workspace.replace("return 200 \"first", "return 200 \"second");
        let up = self.workspace.run(&["up"]).expect(0);
        // The old pods still drain after the new ones are ready.
        until("the old pods to go", || (self.count_pods("site") == 2).then_some(()));
        let (answered, failed) = load.end();
        tell(&format!("{answered} requests answered, {} failed, in an update of {:.1} s", failed.len(), up.seconds));
        assert!(answered > 100, "{answered} requests");
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(self.workspace.ask("site", "/").map(|answer| answer.body), Ok("second\n".to_owned()));
    }
}
