//! `cmdr up` and related commands on a real cluster: one small workspace, in stages, from creation to deletion. Failures on
//! purpose are in `tests/failures.rs`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "platform/stages.rs"]
mod stages;
#[path = "platform/stages_of_charts.rs"]
mod stages_of_charts;
#[path = "platform/stages_of_others.rs"]
mod stages_of_others;
#[path = "platform/stages_of_secrets.rs"]
mod stages_of_secrets;
#[path = "platform/stages_of_speed.rs"]
mod stages_of_speed;
#[path = "platform/walk.rs"]
mod walk;
#[path = "platform/watchers.rs"]
mod watchers;

use std::sync::{Mutex, PoisonError};

use common::Stages;
use walk::Walk;

/// The tests run one after the other: each cluster publishes the usual ports of this machine.
static TURN: Mutex<()> = Mutex::new(());

/// The limit of cmdr's heap and stacks, in kB. The code of a release adds 20 MB at most. 25 MB were measured.
const MEMORY: u64 = 40 * 1024;
/// An image with bash that the rig builds.
const SHELL_IMAGE: &str = "rig/base:bookworm";

const PROJECTS: &str = r#"
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
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
      command: [sh, -c, "while sleep 1; do cat /etc/worker/greeting /etc/worker/disk/text; echo; done"]
      files: {/etc/worker/greeting: first, /etc/worker/disk: {from: conf/worker}}
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

/// A project that a stage adds and removes again.
const GUEST: &str = "
  guest:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}, grace: 1, drain: 0}
";

/// A second workspace. The name of its project has the maximum length of a Helm release's name.
const NEIGHBOUR: &str = "
environments:
  local: {}
projects:
  a-name-of-fifty-three-characters-which-is-helms-limit:
    image: PRIVATE_IMAGE
    host: shop
    values: {ports: {http: 9898}}
  keys:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values:
      ports: {http: 9898, grpc: {port: 9999, appProtocol: kubernetes.io/h2c}}
      probes: {readiness: {grpc: grpc}, liveness: {path: /healthz, port: http, headers: {X-Probe: liveness}}}
      aliases: {products: true}
      strategy: {surge: 1, unavailable: 0}
      minReady: 1
      security: {profile: image}
      config: {PODINFO_GRPC_PORT: 9999, GREETING: hello}
      envFrom: {own: {config: keys, prefix: COPY_}, absent: {secret: absent, optional: true}}
      volumes: {host: {path: /host, readOnly: true, source: {hostPath: {path: /etc}}}}
      pod: {hostAliases: [{ip: 10.9.8.7, hostnames: [legacy.example]}]}
      patches: {Service/keys: {spec: {publishNotReadyAddresses: true}}}
      container: {env: [{name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}]}
";

/// An operator, and a release and a project with custom resources of this operator.
const OPERATOR: &str = "
platform:
  operator: {chart: {path: charts/operator}}
  early: {chart: {path: charts/thing}}
projects:
  thing: {chart: {path: charts/thing}}
";

/// Its CustomResourceDefinition is created after some seconds.
const OPERATOR_CHART: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: slow, annotations: {helm.sh/hook: pre-install}}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: slow, image: docker.io/library/redis:7.0, command: [sleep, "6"]}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

#[test]
fn from_nothing_to_nothing() {
    let (walk, stages) = (Walk::new(), Stages::default());
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("plan and --dry-run change nothing", Walk::nothing_is_touched);
    stage("up of one project deploys it and the projects that it needs", Walk::one_project_from_nothing);
    stage("up --without skips one project, up deploys the others", Walk::all_projects);
    stage("every printed URL responds", Walk::every_url_answers);
    stage("pods see the address of the client", Walk::the_clients_address_arrives);
    stage("a request reaches all backends", Walk::a_request_crosses_backends);
    stage("a project starts after the projects that it needs", Walk::needs_come_first);
    stage("status and render show the deployed state", Walk::status_and_render);
    stage("each chart is fetched once", Walk::charts_are_fetched_once);
    stage("volumes are created before their pods", Walk::volumes_are_there_before_their_pods);
    stage("a second up changes nothing", Walk::nothing_to_do);
    stage("a second up calls no helm, and sends few requests", Walk::a_second_up_is_cheap);
    stage("a new commit without other changes changes nothing", Walk::a_commit_changes_nothing);
    stage("one changed line changes one project", Walk::one_change_touches_one_project);
    stage("a changed configuration restarts only the pods that use it", Walk::configuration_restarts_its_pods);
    stage("deleted objects are restored", Walk::deleted_objects_come_back);
    stage("manual changes are reported and reverted", Walk::manual_changes_are_reverted);
    stage("releases and workloads have cmdr's labels and annotations", Walk::everything_is_labelled);
    stage("restart replaces pods without a new revision", Walk::restart_gives_new_pods);
    stage("a rolling update loses no request", Walk::a_rolling_update_loses_no_request);
    stage("releases of other tools are refused, and adopted on request", Walk::foreign_releases_are_refused);
    stage("an orphan is reported and removed, its volume is kept", Walk::orphans_are_pruned);
    stage("lists, claims and irregular plurals of a chart are read", Walk::every_shape_is_read);
    stage("CRDs of a newer subchart are applied first", Walk::definitions_are_upgraded);
    stage("an unreadable release does not affect others", Walk::an_unreadable_release_hides_nothing);
    stage("claims of a chart are kept when their release is removed", Walk::claims_survive_their_release);
    stage("an optional project runs when it is requested", Walk::optional_projects);
    stage("secrets from SOPS reach pods", Walk::secrets_from_sops_reach_pods);
    stage("generated secrets do not appear in arguments or output", Walk::secrets_stay_secret);
    stage("a changed secret from SOPS restarts its pods", Walk::changed_secrets_restart_their_pods);
    stage("errors of sops are reported before anything changes", Walk::what_sops_refuses_is_reported);
    stage("cmdr waits for secrets of External Secrets", Walk::external_secrets_are_awaited);
    stage("secret values appear only in their Secret", Walk::canaries_are_nowhere);
    stage("a second cluster runs at the same time as the first", Walk::two_clusters);
    stage("down leaves nothing", Walk::down_leaves_nothing);
    stage("cmdr's memory stays below its limit", Walk::memory_stays_small);
    stages.finish();
}

/// The stages of tests/stop_start.rs with all kinds of projects: three URLs, a chart of others, few requests.
#[test]
#[ignore = "creates a cluster; make test-full runs it"]
fn a_whole_platform_is_stopped_and_started() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (walk, stages) = (Walk::new(), Stages::default());
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("every URL responds", Walk::every_url_answers);
    stage("stop and start keep stored data", Walk::stop_and_start);
    stage("down leaves nothing", Walk::down_leaves_nothing);
    stages.finish();
}

#[test]
#[ignore = "creates a cluster twice; make test-full runs it"]
fn a_cluster_is_recreated_with_other_ports_and_networks() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    stages_of_others::is_recreated();
}
