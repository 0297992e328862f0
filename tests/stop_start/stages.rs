//! Stages of stop and start.

use std::{fs, time::Duration};

use super::{
    common::{Running, until},
    walk::Walk,
};

impl Walk {
    pub(crate) fn comes_up(&self) {
        self.workspace.run(&["start"]).expect(1).expect_said("create it with cmdr up");
        self.workspace.run(&["up"]).expect(0);
        self.store("first");
    }

    pub(crate) fn stops_and_starts(&self) {
        let before = (self.releases(), self.balancer_address());
        let stop = self.workspace.run(&["stop"]).expect(0);
        stop.expect_said("postgres-0").expect_said("redis-0");
        assert_eq!(self.of_node("{{.State.Status}}"), "exited");
        self.workspace.run(&["stop"]).expect(0);
        let start = self.start();
        assert!(start.stderr.contains("pods have reported their status"), "{}", start.said());
        self.expect_fresh();
        self.expect_stored(&["first"]);
        assert_eq!((self.releases(), self.balancer_address()), before);
        let log = self.workspace.kubectl(&["logs", "postgres-0"]);
        assert!(log.contains("database system was shut down at"), "{log}");
        assert!(!log.contains("was not properly shut down"), "{log}");
        self.expect_settled();
        let status = self.workspace.run(&["status"]).expect(0);
        assert!(!status.said().contains("restart"), "nothing has crashed: {}", status.said());
    }

    pub(crate) fn an_interrupted_start_is_not_trusted(&self) {
        // The stage before has stopped it already, unless it failed.
        self.workspace.run(&["stop"]).expect(0);
        let start = self.workspace.start(&["start"]);
        until("the API to respond", || self.workspace.try_kubectl(&["get", "--raw", "/readyz"]).map(drop));
        start.signal("INT");
        start.wait(Duration::from_mins(1)).expect(130);
        // The API still has the status from before the stop: everything runs and is ready.
        self.workspace.run(&["up"]).expect(0);
        self.expect_fresh();
        self.expect_stored(&["first"]);
    }

    pub(crate) fn pauses_and_resumes(&self) {
        let pods = || self.workspace.kubectl(&["get", "pods", "-o", "jsonpath={..containerID}"]);
        let before = pods();
        self.workspace.run(&["stop", "--pause"]).expect(0);
        assert_eq!(self.of_node("{{.State.Status}}"), "paused");
        let quiet = "values: {ports: {http: 9898}}\n  site:";
        let changed = "values: {replicas: 2, ports: {http: 9898}}\n  site:";
        self.workspace.replace(quiet, changed);
        self.start().expect_said("not deployed: upgrade quiet");
        assert_eq!(pods(), before, "the same containers continue");
        self.workspace.replace(changed, quiet);
        self.expect_stored(&["first"]);
        self.workspace.run(&["stop", "--pause"]).expect(0);
        self.workspace.run(&["stop"]).expect(0);
        assert_eq!(self.of_node("{{.State.Status}}"), "exited");
    }

    pub(crate) fn the_cluster_runs_after_an_interrupted_stop(&self) {
        let stop = self.slow_stop();
        self.await_stop("inactive");
        self.interrupt(stop);
        let stop = self.slow_stop();
        self.await_stop("inactive and signalled");
        self.interrupt(stop);
    }

    /// A stop that waits for a pod that has received its stop signal.
    fn slow_stop(&self) -> Running {
        let busy = "redis-cli eval 'local start = os.clock() while os.clock() < start + 5 do end' 0 >/dev/null 2>&1 &";
        self.workspace.kubectl(&["exec", "redis-0", "--", "sh", "-c", busy]);
        self.workspace.start(&["stop"])
    }

    fn interrupt(&self, stop: Running) {
        stop.signal("INT");
        let stop = stop.wait(Duration::from_mins(1));
        assert_eq!(stop.code, 130, "{}", stop.said());
        assert_eq!(self.of_node("{{.State.Status}}"), "running");
        self.start();
        until("kubelet to serve its pods again", || {
            self.workspace.try_kubectl(&["exec", "redis-0", "--", "true"]).map(drop)
        });
        self.expect_stored(&["first"]);
    }

    pub(crate) fn a_killed_stop_is_repaired(&self) {
        let stop = self.slow_stop();
        self.await_stop("inactive and signalled");
        stop.signal("KILL");
        assert_ne!(stop.wait(Duration::from_mins(1)).code, 0);
        until("the node's pods to have ended", || {
            // While the node is under load, an exec may fail.
            let ask = ["exec", &self.node(), "sh", "-c", "pgrep -f '^bash -c .* stop-pods 10' || true"];
            let running = self.workspace.try_tool("docker", &ask)?;
            running.is_empty().then_some(())
        });
        assert_eq!(self.of_node("{{.State.Status}}"), "running");
        self.start();
        self.expect_fresh_databases();
        self.expect_stored(&["first"]);
    }

    /// Waits until a stop has ended the node's kubelet and, for `inactive and signalled`, has sent stop signals to pods.
    fn await_stop(&self, wanted: &str) {
        let ask =
            "systemctl is-active kubelet; test -e /run/cmdr-stop-pods && echo and not signalled || echo and signalled";
        until(&format!("kubelet to be {wanted}"), || {
            let state = self.workspace.try_tool("docker", &["exec", &self.node(), "sh", "-c", ask])?;
            state.split_whitespace().collect::<Vec<&str>>().join(" ").starts_with(wanted).then_some(())
        });
    }

    pub(crate) fn a_changed_address_is_repaired(&self) {
        let address = "{{(index .NetworkSettings.Networks \"kind\").IPAddress}}";
        let before = self.of_node(address);
        self.workspace.run(&["stop"]).expect(0);
        fs::remove_file(self.workspace.kubeconfig()).unwrap();
        let image = self.of_node("{{.Config.Image}}");
        let squatters: Vec<String> =
            (0..20).map(|number| format!("{}-squatter-{number}", self.workspace.name)).collect();
        let mut taken = Vec::new();
        for name in &squatters {
            self.docker(&[
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                "kind",
                "--entrypoint",
                "sleep",
                &image,
                "600",
            ]);
            taken.push(name.as_str());
            let format = ["inspect", "--format", address, name];
            if self.docker(&format) == before {
                break;
            }
        }
        let start = self.workspace.run(&["start"]);
        let after = self.of_node(address);
        self.docker(&[&["rm", "--force"], taken.as_slice()].concat());
        let start = start.expect(0);
        assert_ne!(after, before);
        assert!(start.stderr.contains("kubeconfig") && start.stderr.contains("updating it"), "{}", start.said());
        let shown = self.workspace.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}"]);
        assert_eq!(shown, after);
        self.expect_stored(&["first"]);
        self.expect_settled();
    }

    pub(crate) fn foreign_addresses_are_replaced(&self) {
        let before = self.balancer_address();
        let pool = |range: &str| {
            let patch = format!(r#"{{"spec": {{"addresses": ["{range}"]}}}}"#);
            let words =
                ["patch", "ipaddresspool", "cmdr", "--namespace", "metallb-system", "--type", "merge", "--patch"];
            self.workspace.kubectl(&[&words[..], &[&patch]].concat());
        };
        pool("10.250.0.0-10.250.0.31");
        self.workspace.kubectl(&[
            "patch",
            "service",
            "traefik",
            "--namespace",
            "traefik",
            "--subresource",
            "status",
            "--type",
            "merge",
            "--patch",
            r#"{"status": {"loadBalancer": {"ingress": null}}}"#,
        ]);
        until("an address of another network", || self.balancer_address().starts_with("10.250.").then_some(()));
        let start = self.start();
        start.expect_said("Docker's network has changed");
        assert_eq!(self.balancer_address(), before);
    }

    /// Both databases were started after the last stop.
    fn expect_fresh_databases(&self) {
        for pod in ["postgres-0", "redis-0"] {
            let ready = self.workspace.kubectl(&["get", "pod", pod, "-o", "jsonpath={..containerStatuses[0].ready}"]);
            assert_eq!(ready, "true", "{pod}");
        }
    }

    pub(crate) fn down_leaves_nothing(&self) {
        self.workspace.run(&["down"]).expect(1).expect_said("confirm with --yes");
        self.workspace.run(&["down", "--yes"]).expect(0);
        for list in [&["ps", "--all", "--format", "{{.Names}}"][..], &["images"]] {
            let left = self.docker(list);
            let is_left = |line: &str| line.contains(&self.workspace.name) && !line.starts_with("cmdr-kept-node/");
            assert!(!left.lines().any(is_left), "{left}");
        }
        let volumes = self.docker(&["volume", "ls", "--quiet"]);
        let mut left = volumes.lines().filter(|volume| volume.contains(&self.workspace.name));
        let name = &self.workspace.name;
        assert_eq!(left.next(), Some(&*format!("cmdr-images.{name}")), "the images are kept for the next cluster");
        assert!(left.next().is_some_and(|volume| volume.starts_with(&format!("cmdr-kept-node.{name}."))), "{volumes}");
        assert_eq!(left.next(), None);
    }
}
