//! The stages about HTTPS with the certificate authority of this machine.

use std::fs;

use super::{
    common::{Output, until},
    desk::Desk,
};

impl Desk {
    /// Requests a path of a host over HTTPS with curl. Returns its exit code, and the status of the response.
    fn curl(&self, host: &str, authority: Option<&str>) -> (i32, String) {
        let node = format!("{}-control-plane", self.workspace.name);
        let published = self.workspace.tool("docker", &["port", &node, "30059/tcp"]);
        let port = published.lines().next().and_then(|line| line.rsplit(':').next()).unwrap();
        let address = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}/readyz");
        let mut command = self.workspace.command("curl");
        command.args(["--silent", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        command.args(["--resolve", &address, &url]).args(authority.iter().flat_map(|file| ["--cacert", file]));
        let ended = command.output().unwrap();
        (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    fn authority(&self) -> String {
        self.workspace.run(&["trust", "--print"]).expect(0).stdout.trim_end().to_owned()
    }

    fn shop(&self) -> String {
        format!("shop.{}.localhost", self.workspace.name)
    }

    pub(crate) fn hosts_answer_over_https(&self) {
        let (authority, shop) = (self.authority(), self.shop());
        until("HTTPS", || (self.curl(&shop, Some(&authority)) == (0, "200".to_owned())).then_some(()));
        assert_eq!(self.curl(&shop, None).0, 60, "other clients do not trust it");
        assert_eq!(self.workspace.ask("shop", "/readyz").unwrap().status, 200, "HTTP stays");
    }

    pub(crate) fn urls_are_https(&self) {
        self.workspace.replace("  local:\n", "  local:\n    tls: true\n");
        let up = self.workspace.run(&["up"]).expect(0);
        let url = format!("https://{}", self.shop());
        assert!(up.stdout.starts_with(&url), "{}", up.said());
        assert!(up.stderr.contains(&format!("200 from {url}")), "{}", up.said());
        let has_step = |up: &Output| up.events().iter().any(|event| event["subject"] == "certificate");
        assert!(!has_step(&self.workspace.run(&["up", "--output", "json"]).expect(0)), "it is written once");
    }

    pub(crate) fn other_hosts_get_a_certificate(&self) {
        self.workspace.replace("host: shop", "routes: {web: {host: shop}, www: {host: shop.example.test}}");
        self.workspace.run(&["up"]).expect(0).expect_said("https://shop.example.test");
        let authority = self.authority();
        assert_eq!(self.curl("shop.example.test", Some(&authority)), (0, "200".to_owned()));
        assert_eq!(self.curl(&self.shop(), Some(&authority)), (0, "200".to_owned()));
    }

    pub(crate) fn keys_are_nowhere(&self) {
        let is_key = |text: &str| text.contains("PRIVATE KEY");
        assert!(!self.workspace.transcript().iter().any(|said| is_key(said)));
        self.workspace.run(&["plan", "--output", "json"]).expect(0);
        let logs = format!("{}/logs", self.workspace.variable("CMDR_STATE"));
        let logs: Vec<_> = fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!logs.is_empty() && !logs.iter().any(|log| fs::read_to_string(log).is_ok_and(|text| is_key(&text))));
    }
}
