//! What runs, and how to reach into it, on a real cluster: one workspace in stages. Each file of `tests/see` has the stages
//! of one area.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "see/logs.rs"]
mod logs;
#[path = "see/query.rs"]
mod query;
#[path = "see/reach.rs"]
mod reach;
#[path = "see/status.rs"]
mod status;

use common::{PATIENCE, Stages, TestWorkspace};

/// `staging` is a second namespace of the same cluster, which has a ledger. `flaky` fails while its variable `CRASH` is
/// `yes`, which a stage sets with `up flaky --set env.CRASH=yes`. The image of `api` has no shell.
const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, domain: staging.localhost, platform: external}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: docker.io/library/nginx:1.22
    host: shop
    values:
      ports: {http: 8080}
      command:
        - sh
        - -c
        - |
          number=0
          while sleep 1; do
            number=$((number + 1))
            echo "INFO request $number"
            echo "{\"level\":\"error\",\"msg\":\"payment $number failed\",\"order\":$number}"
          done &
          exec nginx -g "daemon off;"
      files:
        /etc/nginx/nginx.conf: |
          pid /tmp/nginx.pid;
          events {}
          http {
            client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
            uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; access_log off;
            server { listen 8080; location / { return 200 "shop\n"; } }
          }
  flaky:
    image: docker.io/library/redis:7.0
    values:
      command:
        - sh
        - -c
        - |
          echo "starting as $HOSTNAME"
          if [ "$CRASH" = yes ]; then sleep 2; echo "FATAL: cannot open the database"; exit 3; fi
          exec sleep infinity
      env: {CRASH: "no"}
  db:
    image: docker.io/library/postgres:15
    values:
      kind: StatefulSet
      ports: {postgres: 5432}
      secrets: {db: {generate: password}}
      env: {POSTGRES_PASSWORD: {secret: db, key: password}, PGDATA: /var/lib/postgresql/data/pgdata}
      volumes:
        data: {path: /var/lib/postgresql/data, size: 1Gi}
        run: {path: /var/run/postgresql, temporary: true}
      security: {runAsUser: 999}
  migrate:
    image: docker.io/library/redis:7.0
    needs: [db]
    values: {kind: Job, command: [sh, -c, 'echo "3 tables created"']}
  cache:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
  api:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: api
    needs: [cache]
    values: {ports: {http: 9898}}
"#;

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn a_running_platform_is_inspected() {
    let (workspace, stages) = (TestWorkspace::new("see", PROJECTS), Stages::default());
    workspace.replace("NAME", &workspace.name);
    stages.stage("the workspace and one project of staging start", || {
        let waiting = workspace.start(&["wait", "shop", "--for", "url"]);
        workspace.run(&["up"]).expect(0);
        waiting.wait(PATIENCE).expect(0).expect_said("not running: waiting for it").expect_said("200 from");
        copy_context(&workspace);
        workspace.run(&["up", "cache", "--env", "staging"]).expect(0);
    });
    logs::stages(&workspace, &stages);
    status::stages(&workspace, &stages);
    reach::stages(&workspace, &stages);
    query::stages(&workspace, &stages);
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}

/// Makes the cluster's context available as that of `staging`.
fn copy_context(workspace: &TestWorkspace) {
    let file = workspace.user_kubeconfig();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::copy(workspace.kubeconfig(), file).unwrap();
}

/// Sends what Ctrl-C sends.
fn interrupt(child: &std::process::Child) {
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}
