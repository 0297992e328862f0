//! The stages of the test, and its workspace.

use std::{collections::BTreeSet, fs};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    POLICIES, PROJECTS,
    common::{TestWorkspace, until},
};

/// More requests than chance needs to reach each of three pods.
const REQUESTS: usize = 60;

pub(crate) struct Walk {
    pub(crate) workspace: TestWorkspace,
}

impl Walk {
    pub(crate) fn new() -> Self {
        let workspace = TestWorkspace::new("network", PROJECTS);
        let chart = workspace.root().join("charts/policies");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: policies\nversion: 0.1.0\n").unwrap();
        fs::write(chart.join("templates/all.yaml"), POLICIES).unwrap();
        Self { workspace }
    }

    /// The status of the answer of a host of the workspace, and the answer with its headers.
    fn ask_with(&self, host: &str, path: &str, cookie: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.workspace.http_port());
        let host = format!("Host: {host}.{}.localhost", self.workspace.name);
        let answer = self.workspace.tool("curl", &["-sSi", "--header", &host, "--cookie", cookie, &url]);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {answer}")), answer)
    }

    fn ask(&self, host: &str, path: &str) -> (u16, String) {
        self.ask_with(host, path, "")
    }

    /// Whether a pod of a project reaches another one.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let words =
            ["exec", &format!("deployment/{from}"), "--", "podcli", "check", "http", &format!("http://{to}/healthz")];
        self.workspace.try_kubectl(&[&words[..], &["--retry", "1", "--timeout", "2s"]].concat()).is_some()
    }

    pub(crate) fn up_of_everything(&self) {
        let up = self.workspace.run(&["up"]).expect(0);
        for host in ["front", "www", "exact", "reviews", "own"] {
            assert!(up.said().contains(&format!("http://{host}.{}", self.workspace.name)), "{host}: {}", up.said());
        }
        let status = self.workspace.run(&["status"]).expect(0).said();
        assert!(status.contains(&format!("http://unchecked.{}", self.workspace.name)), "{status}");
    }

    pub(crate) fn forbidden_connections_fail(&self) {
        assert!(self.reaches("front", "catalog"), "front needs catalog");
        until("the policy to be enforced", || (!self.reaches("stranger", "catalog")).then_some(()));
        assert!(!self.reaches("front", "stranger"), "front needs no stranger");
        assert!(self.reaches("stranger", "reviews"), "reviews has no policy");
        self.workspace.replace(
            "    values: {ports: {http: 9898}}\n  operator:",
            "    needs: [catalog]\n    values: {ports: {http: 9898}}\n  operator:",
        );
        self.workspace.run(&["up"]).expect(0);
        until("the new policy to be enforced", || self.reaches("stranger", "catalog").then_some(()));
    }

    pub(crate) fn roles_allow_what_they_say(&self) {
        let account = format!("--as=system:serviceaccount:{}:operator", self.workspace.name);
        let can = |words: &[&str]| {
            let output = self.workspace.try_kubectl(&[&["auth", "can-i", &account], words].concat());
            output.is_some_and(|output| output.trim() == "yes")
        };
        assert!(can(&["list", "pods"]) && can(&["get", "pods"]) && can(&["list", "nodes"]));
        assert!(!can(&["delete", "pods"]) && !can(&["list", "secrets"]) && !can(&["get", "nodes"]));
        assert!(!can(&["list", "pods", "--namespace", "kube-system"]));
    }

    /// The content of a token in the pod of the project `operator`.
    fn token(&self, path: &str) -> Value {
        let token = self.workspace.kubectl(&["exec", "deployment/operator", "--", "cat", path]);
        let content = token.split('.').nth(1).expect("a token has three parts").to_owned();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).unwrap()).unwrap()
    }

    pub(crate) fn tokens_have_their_audience(&self) {
        let aws = self.workspace.kubectl(&[
            "exec",
            "deployment/operator",
            "--",
            "sh",
            "-c",
            "echo $AWS_WEB_IDENTITY_TOKEN_FILE",
        ]);
        let token = self.token(aws.trim());
        assert_eq!(token["aud"], serde_json::json!(["sts.amazonaws.com"]));
        assert_eq!(token["sub"], format!("system:serviceaccount:{}:operator", self.workspace.name));
        assert_eq!(self.token("/run/vault/token")["aud"], serde_json::json!(["vault"]));
    }

    pub(crate) fn the_issuer_is_read(&self) {
        let issuer = self.token("/run/vault/token")["iss"].as_str().unwrap().replace("https://", "");
        let policy = self.workspace.run(&["identity", "operator"]).expect(0).json();
        let provider = policy["Statement"][0]["Principal"]["Federated"].as_str().unwrap();
        assert_eq!(provider, format!("arn:aws:iam::123456789012:oidc-provider/{issuer}"));
    }

    pub(crate) fn ingress_routes(&self) {
        let (status, text) = self.ask("www", "/api/version");
        assert!(status == 200 && text.contains("6.9.2"), "{status}: {text}");
        assert_eq!(self.ask("exact", "/version").0, 200);
        assert_eq!(self.ask("exact", "/version/more").0, 404);
        assert_eq!(self.ask("pattern", "/version").0, 200);
        assert_eq!(self.ask("pattern", "/healthz").0, 404);
        let (_, first) = self.ask("front", "/api/");
        let cookie = first.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")?.split(';').next());
        let cookie = cookie.unwrap_or_else(|| panic!("no cookie: {first}"));
        let ask = || field(&self.ask_with("front", "/api/", cookie).1, "hostname");
        let pods: BTreeSet<String> = (0..20).map(|_| ask()).collect();
        assert_eq!(pods.len(), 1, "{pods:?}");
    }

    fn messages(&self, host: &str) -> Vec<String> {
        (0..REQUESTS).map(|_| field(&self.ask(host, "/reviews/").1, "message")).collect()
    }

    pub(crate) fn weights(&self) {
        let messages = self.messages("reviews");
        let count = |message: &str| messages.iter().filter(|own| *own == message).count();
        assert_eq!(count("v2") + count("v3"), REQUESTS, "{messages:?}");
        assert!(count("v2") > 2 * count("v3") && count("v3") > 0, "v2: {}, v3: {}", count("v2"), count("v3"));
        assert_eq!(self.ask("own", "/version").0, 200);
    }

    /// podinfo's gRPC client, in a pod, asks the health service: the host of the route is the address of Traefik.
    pub(crate) fn grpc(&self) {
        for address in ["traefik.traefik.svc.cluster.local:80", "traefik.traefik:80"] {
            let check =
                ["exec", "deployment/stranger", "--", "podcli", "check", "grpc", address, "--service", "podinfo"];
            self.workspace.kubectl(&check);
        }
    }

    pub(crate) fn tcp(&self) {
        let client = ["exec", "deployment/operator", "--", "redis-cli", "-h", "traefik.traefik", "ping"];
        assert_eq!(self.workspace.kubectl(&client), "PONG");
    }

    /// The Gateway has the certificate of this machine's authority.
    pub(crate) fn https_of_a_gateway(&self) {
        let authority = self.workspace.run(&["trust", "--print"]).expect(0).stdout;
        let host = format!("own.{}.localhost", self.workspace.name);
        assert_eq!(self.curl_tls(&host, "/version", authority.trim_end()), "200");
    }

    /// The status of a path of a host over HTTPS, with a certificate that this authority has signed.
    pub(crate) fn curl_tls(&self, host: &str, path: &str, authority: &str) -> String {
        let node = format!("{}-control-plane", self.workspace.name);
        let published = self.workspace.tool("docker", &["port", &node, "30059/tcp"]);
        let port = published.lines().next().and_then(|line| line.rsplit(':').next()).unwrap();
        let (address, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}{path}"));
        let form = ["-sS", "--output", "/dev/null", "--write-out", "%{http_code}", "--resolve", &address];
        self.workspace.tool("curl", &[&form[..], &["--cacert", authority, &url]].concat())
    }

    pub(crate) fn one_service(&self) {
        let slices =
            self.workspace.objects(&["get", "endpointslices", "--selector", "kubernetes.io/service-name=reviews"]);
        assert_eq!(slices["items"][0]["endpoints"].as_array().map(Vec::len), Some(3));
        let own =
            self.workspace.objects(&["get", "endpointslices", "--selector", "kubernetes.io/service-name=reviews-v2"]);
        assert_eq!(own["items"][0]["endpoints"].as_array().map(Vec::len), Some(1));
        for project in ["reviews", "reviews-v2", "reviews-v3"] {
            let deployment = self.workspace.objects(&["get", "deployment", project]);
            assert_eq!(deployment["status"]["readyReplicas"], 1, "{project}");
        }
    }

    pub(crate) fn nothing_to_do(&self) {
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
        let route = ["annotate", "ingressroute", "front-web", "note=manual"];
        self.workspace.kubectl(&route);
        self.workspace.kubectl(&["delete", "middleware", "front-web-stripprefix"]);
        self.workspace.run(&["status", "--exit-code"]).expect(3).expect_said("front-web-stripprefix");
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.ask("www", "/api/version").0, 200);
    }

    pub(crate) fn a_lacking_kind_is_named(&self) {
        let monitor = "extraObjects: {monitor: {apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, spec: {}}}";
        self.workspace.replace("9898}}\n  operator:", &format!("9898}}, {monitor}}}\n  operator:"));
        let up = self.workspace.run(&["up", "stranger"]).expect(1);
        assert!(up.said().contains("ServiceMonitor") && up.said().contains("not installed"), "{}", up.said());
    }
}

/// A field of podinfo's answer.
fn field(text: &str, key: &str) -> String {
    let json = text.find('{').map_or("{}", |start| &text[start..]);
    let end = json.rfind('}').map_or(json.len(), |end| end + 1);
    let answer: Value = serde_json::from_str(&json[..end]).unwrap_or_default();
    answer[key].as_str().unwrap_or_default().to_owned()
}
