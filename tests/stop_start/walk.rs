//! The workspace of the stages, and functions that observe its data.

use serde_json::Value;

use super::{
    PROJECTS,
    common::{Output, TestWorkspace, projects::POSTGRES, until},
};

/// The workspace of all stages.
pub(crate) struct Walk {
    pub workspace: TestWorkspace,
}

impl Walk {
    pub(crate) fn new(name: &str) -> Self {
        Self { workspace: TestWorkspace::new(name, &[PROJECTS, POSTGRES].concat()) }
    }

    /// The name of the node's container.
    pub(crate) fn node(&self) -> String {
        format!("{}-control-plane", self.workspace.name)
    }

    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.workspace.tool("docker", args)
    }

    /// A property of the node's container, as a Docker template.
    #[track_caller]
    pub(crate) fn of_node(&self, format: &str) -> String {
        self.docker(&["inspect", "--format", format, &self.node()])
    }

    pub(crate) fn sql(&self, command: &str) -> String {
        self.workspace.kubectl(&["exec", "postgres-0", "--", "psql", "-U", "postgres", "-Atc", command])
    }

    pub(crate) fn redis(&self, words: &[&str]) -> String {
        self.workspace.kubectl(&[&["exec", "redis-0", "--", "redis-cli"], words].concat())
    }

    /// Stores a row in PostgreSQL and a key in Redis.
    pub(crate) fn store(&self, text: &str) {
        self.sql("create table if not exists notes (text text)");
        self.sql(&format!("insert into notes values ('{text}')"));
        assert_eq!(self.redis(&["set", "note", text]), "OK");
    }

    /// Checks that all rows and the last key are stored.
    #[track_caller]
    pub(crate) fn expect_stored(&self, texts: &[&str]) {
        assert_eq!(self.sql("select text from notes").lines().collect::<Vec<&str>>(), texts);
        assert_eq!(self.redis(&["get", "note"]), *texts.last().unwrap());
    }

    /// Runs `start`, which must check the network and the URL.
    #[track_caller]
    pub(crate) fn start(&self) -> Output {
        let start = self.workspace.run(&["start"]).expect(0);
        assert_eq!(start.stdout.lines().count(), 1, "{}", start.said());
        for proof in ["names  check", "addresses  check", "site  check: 200"] {
            assert!(start.stderr.contains(proof), "'{proof}' is not in\n{}", start.said());
        }
        assert_eq!(self.workspace.ask("site", "/readyz").unwrap().status, 200);
        start
    }

    /// Every container of the workspace was started after the node's last start, and is ready.
    #[track_caller]
    pub(crate) fn expect_fresh(&self) {
        let started = self.of_node("{{.State.StartedAt}}");
        let pods = self.workspace.objects(&["get", "pods"]);
        let pods = pods["items"].as_array().unwrap();
        assert_eq!(pods.len(), 4);
        for status in pods.iter().flat_map(|pod| pod["status"]["containerStatuses"].as_array().unwrap()) {
            let start = status["state"]["running"]["startedAt"].as_str().unwrap_or_default();
            // Both are in UTC, and sort as text up to the second.
            assert!(start >= &started[..19] && status["ready"] == true, "node started at {started}: {status}");
        }
    }

    /// Helm's releases with their revisions.
    pub(crate) fn releases(&self) -> Vec<(String, String)> {
        let list: Value = serde_json::from_str(&self.workspace.helm(&["ls", "-A", "-o", "json"])).unwrap();
        let text = |release: &Value, key: &str| release[key].as_str().unwrap_or_default().to_owned();
        list.as_array().unwrap().iter().map(|it| (text(it, "name"), text(it, "revision"))).collect()
    }

    /// The address that Traefik's service has from MetalLB.
    pub(crate) fn balancer_address(&self) -> String {
        let address = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        self.workspace.kubectl(&["get", "service", "traefik", "--namespace", "traefik", "-o", address])
    }

    /// Waits until the plan is empty: a probe may fail while the cluster starts.
    pub(crate) fn expect_settled(&self) {
        until("nothing to be left to do", || (self.workspace.run(&["plan", "--exit-code"]).code == 0).then_some(()));
    }
}
