//! Certificates that cert-manager issues, in a second environment of the same cluster.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{common::until, stages::Walk};

/// cert-manager without the Job that checks its own API, and an authority that it signs itself.
const PLATFORM: &str = "platform:
  cert-manager:
    chart: {oci: charts.example.com/jetstack/charts/cert-manager, version: v1.19.1}
    namespace: cert-manager
    values: {crds: {enabled: true}, startupapicheck: {enabled: false}}
  issuers:
    chart: {path: charts/issuers}
    namespace: cert-manager
    needs: [cert-manager]
";
const ISSUERS: &str = "
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: company}
spec:
  isCA: true
  commonName: company
  secretName: company
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: self-signed, kind: ClusterIssuer}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: company}
spec: {ca: {secretName: company}}
";
const ENVIRONMENTS: &str = "
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, platform: external, domain: staging.localhost, tls: {issuer: company}}
";
const PAY: &str = "projects:
  pay:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    enabled: false
    routes:
      web: {host: web, check: false}
      api: {host: api, kind: IngressRoute, check: false}
      public: {host: public, kind: HTTPRoute, check: false}
    values: {ports: {http: 9898}}
";

impl Walk {
    pub(crate) fn issuers(&self) {
        let workspace = &self.workspace;
        let chart = workspace.root().join("charts/issuers");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: issuers\nversion: 0.1.0\n").unwrap();
        fs::write(chart.join("templates/all.yaml"), ISSUERS).unwrap();
        workspace.replace("platform:\n", &format!("{}{PLATFORM}", ENVIRONMENTS.replace("NAME", &workspace.name)));
        workspace.replace("projects:\n", PAY);
        workspace.run(&["up"]).expect(0);
        let kubeconfig = workspace.user_kubeconfig();
        fs::create_dir_all(kubeconfig.parent().unwrap()).unwrap();
        fs::copy(workspace.kubeconfig(), kubeconfig).unwrap();
        workspace.run(&["up", "pay", "--env", "staging", "--yes"]).expect(0);
        for route in ["web", "api", "public"] {
            let authority = workspace.root().join(format!("{route}.crt"));
            fs::write(&authority, self.authority_of(route)).unwrap();
            let host = format!("{route}.staging.localhost");
            until(&host, || (self.curl_tls(&host, "/readyz", &authority.to_string_lossy()) == "200").then_some(()));
        }
        workspace.run(&["plan", "--env", "staging", "pay", "--exit-code"]).expect(0);
    }

    /// The certificate of the authority, from the Secret that cert-manager has created for a route.
    fn authority_of(&self, route: &str) -> Vec<u8> {
        let secret = format!("pay-{route}-tls");
        let read = ["--namespace", "staging", "get", "secret", &secret, "--output", "json"];
        let secret = until("the certificate", || self.workspace.try_kubectl(&read));
        let secret: Value = serde_json::from_str(&secret).unwrap();
        STANDARD.decode(secret["data"]["ca.crt"].as_str().unwrap()).unwrap()
    }
}
