//! The stages about ports that are published on this machine.

use std::net::{Ipv4Addr, TcpListener};

use super::{
    common::until,
    desk::{Desk, free_port, is_open},
};

impl Desk {
    pub(crate) fn a_taken_port_is_refused(&self) {
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.postgres)).unwrap();
        let refused = self.workspace.run(&["up"]).expect(1);
        let what = format!("port {} on 127.0.0.1, which `expose` forwards to 'postgres', is in use by", self.postgres);
        assert!(refused.stderr.contains(&what), "{}", refused.said());
        let name = format!("name={}", self.workspace.name);
        assert_eq!(self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &name]), "");
    }

    pub(crate) fn ports_lead_to_projects(&self) {
        let up = self.workspace.run(&["up"]).expect(0);
        let shown: Vec<&str> = up.stdout.lines().skip(1).collect();
        let ports = [format!("127.0.0.1:{} postgres", self.postgres), format!("127.0.0.1:{}/udp echo", self.echo)];
        let mut ports = ports.to_vec();
        ports.sort();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ports, "{}", up.said());
        until("PostgreSQL to be reached", || (self.sql(self.postgres, "select 6 * 7")? == "42").then_some(()));
        until("the echo", || (self.echo("hello")? == "echo hello").then_some(()));
    }

    pub(crate) fn a_password_is_shown(&self) {
        let stored = self.workspace.kubectl(&[
            "get",
            "secret",
            "postgres-db",
            "-o",
            "go-template={{.data.password | base64decode}}",
        ]);
        assert_eq!(self.password(), stored);
        self.workspace.run(&["secret", "show", "postgres/dbb"]).expect(2).expect_said("did you mean 'db'?");
        self.workspace.run(&["secret", "show", "postgers/db"]).expect(2).expect_said("did you mean 'postgres'?");
        self.workspace
            .run(&["secret", "show", "postgres/db", "user"])
            .expect(1)
            .expect_said("add one of its keys: password");
    }

    pub(crate) fn ports_are_listed(&self) {
        let before = self.forwarder();
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.forwarder(), before);
        let status = self.workspace.run(&["status", "--output", "json"]).expect(0).json();
        let ports = status["ports"].as_array().unwrap();
        assert!(ports.len() == 2 && ports.iter().all(|port| port["published"] == true), "{status}");
        let line = format!("127.0.0.1:{}/udp", self.echo);
        self.workspace.run(&["status", "--exit-code"]).expect(0).expect_said(&line);
    }

    pub(crate) fn another_address_is_followed(&self) {
        let address = || self.workspace.kubectl(&["get", "service", "postgres", "-o", "jsonpath={.spec.clusterIP}"]);
        let (before, forwarder) = (address(), self.forwarder());
        self.workspace.kubectl(&["delete", "service", "postgres"]);
        self.workspace.run(&["up"]).expect(0);
        assert_ne!(address(), before);
        until("the new address to be used", || self.sql(self.postgres, "select 1"));
        assert_eq!(self.forwarder(), forwarder);
    }

    pub(crate) fn ports_stop_and_start(&self) {
        self.workspace.run(&["stop"]).expect(0);
        assert!(!is_open(self.postgres), "the port is free");
        self.workspace.run(&["start"]).expect(0);
        until("PostgreSQL to be reached", || self.sql(self.postgres, "select 1"));
        until("the echo", || self.echo("again"));
        // The node has another address: docker gives it to the next container that is started.
        let node = format!("{}-control-plane", self.workspace.name);
        let address = "{{(index .NetworkSettings.Networks \"kind\").IPAddress}}";
        let of_node = || self.workspace.tool("docker", &["inspect", "--format", address, &node]);
        let before = of_node();
        self.workspace.tool("docker", &["stop", "--time", "1", &node]);
        let image = self.workspace.tool("docker", &["inspect", "--format", "{{.Config.Image}}", &node]);
        let squatter = format!("{}-squatter", self.workspace.name);
        let sleep =
            ["run", "--detach", "--name", &squatter, "--network", "kind", "--entrypoint", "sleep", &image, "600"];
        self.workspace.tool("docker", &sleep);
        let start = self.workspace.run(&["start"]);
        let after = of_node();
        self.workspace.tool("docker", &["rm", "--force", &squatter]);
        start.expect(0);
        assert_ne!(after, before);
        until("PostgreSQL to be reached", || self.sql(self.postgres, "select 1"));
    }

    pub(crate) fn another_port_is_published(&self) {
        let other = free_port();
        self.expose(&format!("{{{other}: postgres:postgres}}"));
        self.workspace.run(&["plan"]).expect(0).expect_said("publish ports").expect_said("other ports are published");
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.sql(other, "select 1").as_deref(), Some("1"), "as soon as up has ended");
        assert!(!is_open(self.postgres));
    }

    pub(crate) fn nothing_is_published(&self) {
        self.expose("{}");
        self.workspace.run(&["up"]).expect(0).expect_said("ports");
        assert_eq!(self.forwarder(), "");
    }

    pub(crate) fn down_removes_all(&self) {
        self.expose(&format!("{{{}: shop}}", self.postgres));
        self.workspace.run(&["up"]).expect(0);
        assert!(!self.forwarder().is_empty() && is_open(self.postgres));
        self.workspace.run(&["down", "--yes"]).expect(0);
        assert_eq!(self.forwarder(), "");
        assert!(!is_open(self.postgres));
    }
}
