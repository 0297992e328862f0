//! A webhook of the platform that does not respond yet.

use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread::{JoinHandle, sleep, spawn},
    time::{Duration, Instant},
};

use super::{Server, certificates, common::TestWorkspace, gateway, waits::write_chart};

/// A release of the platform whose webhook decides about `ConfigMaps` with the label `guarded`. Its Service selects no
/// pods.
const GATE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: gate}
spec: {ports: [{port: 443, targetPort: {{ .Values.port }}}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: gate.example.test}
webhooks:
  - name: gate.example.test
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    timeoutSeconds: 5
    objectSelector: {matchLabels: {guarded: "yes"}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
    clientConfig:
      caBundle: {{ .Values.ca }}
      service: {name: gate, namespace: {{ .Release.Namespace }}}
"#;
const GUARDED: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: guarded, labels: {guarded: 'yes'}}}";
/// How long the webhook does not respond.
const REFUSED: Duration = Duration::from_secs(4);

/// A release waits until a webhook responds that another release of the run has installed.
pub(crate) fn late_webhook(workspace: &TestWorkspace) {
    let folder = workspace.root().join("webhook");
    let ca = certificates(workspace, &folder, "DNS:gate.gate.svc");
    let ca = workspace.tool("openssl", &["base64", "-A", "-in", &ca.to_string_lossy()]);
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    write_chart(workspace, "gate", GATE);
    write_chart(workspace, "guarded", GUARDED);
    let added = format!(
        "platform: {{gate: {{chart: {{path: charts/gate}}, values: {{port: {port}, ca: {ca}}}}}}}\n\
         projects:\n  guarded: {{chart: {{path: charts/guarded}}}}\n"
    );
    workspace.replace("projects:\n", &added);
    let up = workspace.start(&["up", "guarded", "-v"]);
    until_installed(workspace);
    sleep(REFUSED);
    let gateway = gateway(workspace);
    let (_server, answer) = webhook(&folder, &format!("{gateway}:{port}"));
    let endpoints = serde_json::json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "gate", "namespace": "gate", "labels": {"kubernetes.io/service-name": "gate"}},
        "ports": [{"name": "", "port": port}],
        "endpoints": [{"addresses": [gateway], "conditions": {"ready": true}}],
    });
    let file = folder.join("endpoints.json");
    fs::write(&file, endpoints.to_string()).unwrap();
    workspace.kubectl(&["create", "--namespace", "gate", "--filename", &file.to_string_lossy()]);
    let up = up.wait(Duration::from_mins(2)).expect(0);
    answer.join().unwrap();
    up.expect_said("helm: a webhook of the cluster does not respond; waiting for the platform");
    workspace.replace(&added, "projects:\n");
    workspace.run(&["status", "--prune", "--yes"]).expect(0);
}

/// Waits until Helm has installed the webhook.
fn until_installed(workspace: &TestWorkspace) {
    let webhook = ["get", "validatingwebhookconfiguration", "gate.example.test"];
    super::common::until("the webhook to be installed", || workspace.try_kubectl(&webhook).map(drop));
}

/// A server with TLS that allows the first request that it gets.
fn webhook(folder: &std::path::Path, address: &str) -> (Server, JoinHandle<()>) {
    let mut serve = Command::new("openssl");
    serve.args(["s_server", "-quiet", "-accept", address]).current_dir(folder);
    serve.args(["-cert", "server.crt", "-key", "server.key"]);
    let mut child: Child = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut requests, mut responses) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let answer = spawn(move || {
        let (mut text, mut chunk, start) = (String::new(), [0; 4096], Instant::now());
        let uid = loop {
            assert!(start.elapsed() < Duration::from_mins(2), "no request: {text}");
            let read = requests.read(&mut chunk).unwrap();
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
            // The request is complete when its last key is.
            let uid = text.split("\"uid\":\"").nth(1).and_then(|rest| rest.split('"').next());
            if let Some(uid) = uid.filter(|_| text.trim_end().ends_with('}')) {
                break uid.to_owned();
            }
        };
        let review = serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, "allowed": true},
        });
        let review = review.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", review.len());
        responses.write_all((head + &review).as_bytes()).unwrap();
        responses.flush().unwrap();
        // The connection ends with the server.
        std::mem::forget(responses);
    });
    (Server(child), answer)
}
