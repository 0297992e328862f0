//! Who reaches whom, on a real cluster: network policies, permissions, tokens, and every kind of route.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "network/stages.rs"]
mod stages;
#[path = "network/stages_of_issuers.rs"]
mod stages_of_issuers;

use common::Stages;
use stages::Walk;

const PROJECTS: &str = r#"
platform:
  gateway-api:
    chart: {oci: charts.example.com/gateway-api/charts/gateway-api, version: 1.4.0}
  policies:
    chart: {path: charts/policies}
    namespace: kube-system
  traefik:
    needs: [gateway-api]
    values:
      ports: {redis: {port: 6379, exposedPort: 6379, protocol: TCP, expose: {default: true}}}
      gateway: {listeners: {redis: {port: 6379, protocol: TCP, namespacePolicy: {from: All}}}}

defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
  catalog:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}, networkPolicy: true}
  front:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    needs: [catalog]
    routes:
      web: {host: front, hosts: [www], kind: IngressRoute, path: /api, sticky: true, middlewares: {strip: /api, compress: true}}
      exact: {host: exact, kind: IngressRoute, path: /version, match: exact}
      pattern: {host: pattern, kind: IngressRoute, path: "/v[a-z]+", match: regex}
      unchecked: {host: unchecked, check: false}
    values: {ports: {http: 9898}, networkPolicy: true, replicas: 2}
  stranger:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}}
  operator:
    image: docker.io/library/redis:7.0
    values:
      command: [sleep, infinity]
      serviceAccount:
        rules: [{resources: [pods], verbs: [get, list]}]
        clusterRules: [{resources: [nodes], verbs: [list]}]
      aws: {role: "arn:aws:iam::123456789012:role/operator"}
      tokens: {vault: {audience: vault, path: /run/vault, seconds: 600}}
  reviews:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes:
      web:
        host: reviews
        kind: HTTPRoute
        middlewares: {strip: /reviews}
        weights: {reviews-v2: 3, reviews-v3: 1}
      own: {host: own, kind: HTTPRoute, path: /version, match: exact}
      calls: {host: traefik.traefik.svc.cluster.local, kind: GRPCRoute, port: grpc, check: false}
      h2c: {host: traefik.traefik, kind: IngressRoute, port: grpc, check: false}
    values: {ports: {http: 9898, grpc: {port: 9999, appProtocol: kubernetes.io/h2c}}, env: {PODINFO_UI_MESSAGE: v1, PODINFO_GRPC_PORT: "9999"}}
  reviews-v2:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898, grpc: 9999}, service: {of: reviews}, env: {PODINFO_UI_MESSAGE: v2, PODINFO_GRPC_PORT: "9999"}}
  store:
    image: docker.io/library/redis:7.0
    routes: {tcp: {kind: TCPRoute, listener: redis}}
    values: {ports: {redis: 6379}}
  reviews-v3:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898, grpc: 9999}, service: {of: reviews}, env: {PODINFO_UI_MESSAGE: v3, PODINFO_GRPC_PORT: "9999"}}
"#;

/// kube-router without its routes and its proxy.
const POLICIES: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: policies}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: policies}
rules:
  - {apiGroups: [""], resources: [namespaces, pods, nodes], verbs: [get, list, watch]}
  - {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: policies}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: policies}
subjects: [{kind: ServiceAccount, name: policies, namespace: kube-system}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: policies}
spec:
  selector: {matchLabels: {app: policies}}
  template:
    metadata: {labels: {app: policies}}
    spec:
      serviceAccountName: policies
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers:
        - name: kube-router
          image: docker.io/cloudnativelabs/kube-router:v2.1.0
          args: [--run-router=false, --run-firewall=true, --run-service-proxy=false]
          env: [{name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
          securityContext: {privileged: true}
          volumeMounts: [{name: lock, mountPath: /run/xtables.lock}]
      volumes: [{name: lock, hostPath: {path: /run/xtables.lock, type: FileOrCreate}}]
"#;

#[test]
#[ignore = "takes a minute and a half: make test-full"]
fn who_reaches_whom() {
    let (walk, stages) = (Walk::new(), Stages::default());
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("up brings every kind of route, and each URL answers", Walk::up_of_everything);
    stage("a connection that the policy does not name fails", Walk::forbidden_connections_fail);
    stage("a Role allows what it says, and nothing else", Walk::roles_allow_what_they_say);
    stage("a token is mounted with its audience", Walk::tokens_have_their_audience);
    stage("the trust policy names the issuer of the cluster", Walk::the_issuer_is_read);
    stage("an IngressRoute strips the prefix and keeps a client at one pod", Walk::ingress_routes);
    stage("an HTTPRoute shares requests by weight", Walk::weights);
    stage("a gRPC client passes a GRPCRoute and an IngressRoute", Walk::grpc);
    stage("a client of Redis passes a TCPRoute", Walk::tcp);
    stage("an HTTPRoute answers by HTTPS", Walk::https_of_a_gateway);
    stage("three workloads answer behind one Service", Walk::one_service);
    stage("an issuer signs the certificate of each kind of route", Walk::issuers);
    stage("a second up changes nothing", Walk::nothing_to_do);
    stage("a kind that the cluster lacks is named", Walk::a_lacking_kind_is_named);
    stages.finish();
}
