//! Stages of other queues than RabbitMQ, of an environment with a ledger, and of a load.

use std::{fs, time::Instant};

use super::common::{Stages, TestWorkspace, tell, until};

/// `jobs` has a queue of each kind. Its messages are written and removed by the stages.
pub(crate) const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, domain: staging.localhost, platform: external}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  redis: {image: docker.io/library/redis:7.0, values: {kind: StatefulSet, ports: {redis: 6379}}}
  nats:
    image: docker.io/library/nats:2.12.2
    values: {kind: StatefulSet, args: [-js, -m, "8222"], ports: {nats: 4222, monitor: 8222}, volumes: {data: {path: /tmp, temporary: true}}}
  postgres:
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
  shop: {image: ghcr.io/stefanprodan/podinfo:6.9.2, host: shop, values: {ports: {http: 9898}}}
  tick:
    image: docker.io/library/redis:7.0
    values: {kind: CronJob, schedule: "0 0 1 1 *", command: ["true"]}
  solo:
    image: docker.io/library/redis:7.0
    queues: {file: {kind: command, command: [cat, messages]}}
    values: {replicas: 1, command: [sleep, infinity]}
  jobs:
    image: docker.io/library/redis:7.0
    queues:
      list: {kind: redis, at: redis, producers: {shop: maintenance, tick: stop}}
      stream: {kind: redis, at: redis, group: work}
      subject: {kind: nats, at: nats, queue: ORDERS, group: work}
      table: {kind: sql, at: postgres, query: "select count(*) from jobs"}
      document: {kind: http, at: shop, path: /api/info, value: "size(body.hostname) * 0"}
      file: {kind: command, command: [cat, messages]}
    values: {command: [sleep, infinity]}
"#;

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("each kind of queue is asked", each_kind_is_asked);
    stage("a ledger records maintenance and drains", a_ledger_records_them);
}

fn each_kind_is_asked(workspace: &TestWorkspace) {
    let redis = |words: &[&str]| workspace.kubectl(&[&["exec", "redis-0", "--", "redis-cli"], words].concat());
    let sql = |text: &str| workspace.kubectl(&["exec", "postgres-0", "--", "psql", "-U", "postgres", "-c", text]);
    fs::write(workspace.root().join("messages"), "2\n").unwrap();
    workspace.run(&["drain", "jobs"]).expect(1).expect_said("relation \"jobs\" does not exist");
    redis(&["RPUSH", "list", "a", "b"]);
    redis(&["XGROUP", "CREATE", "stream", "work", "0", "MKSTREAM"]);
    redis(&["XADD", "stream", "*", "k", "v"]);
    sql("create table jobs as select 1 as id");
    let nats = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new("nats:4222"); $s->autoflush(1);
        sub pub { my ($t, $m) = @_; print $s "PUB $t " . length($m) . "\r\n$m\r\n"; sleep 1 }
        print $s "CONNECT {}\r\n"; pub("\$JS.API.STREAM.CREATE.ORDERS", '{"name":"ORDERS","subjects":["orders"]}');
        pub("\$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.work", '{"stream_name":"ORDERS","config":{"durable_name":"work","ack_policy":"explicit"}}');
        pub("orders", "x")"#;
    workspace.kubectl(&["exec", "redis-0", "--", "perl", "-e", nats]);
    let late = workspace.run(&["drain", "jobs", "--timeout", "3s", "--then", "resume"]).expect(1);
    for found in
        ["list: 2 ready", "stream: 1 ready", "subject: 1 ready", "table: 1 ready", "document: 0 ready", "file: 2 ready"]
    {
        assert!(late.said().contains(found), "{found}\n{}", late.said());
    }
    redis(&["DEL", "list"]);
    redis(&["XREADGROUP", "GROUP", "work", "me", "STREAMS", "stream", ">"]);
    sql("delete from jobs");
    fs::write(workspace.root().join("messages"), "0\n").unwrap();
    let late =
        workspace.run(&["drain", "jobs", "--timeout", "3s"]).expect(1).expect_said("stream: 0 ready, 1 unacknowledged");
    late.expect_said("subject: 1 ready");
    let id = redis(&["--raw", "XRANGE", "stream", "-", "+"]).lines().next().unwrap().to_owned();
    redis(&["XACK", "stream", "work", &id]);
    let purge = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new("nats:4222"); $s->autoflush(1);
        print $s "CONNECT {}\r\nPUB \$JS.API.STREAM.PURGE.ORDERS 0\r\n\r\n"; sleep 1"#;
    workspace.kubectl(&["exec", "redis-0", "--", "perl", "-e", purge]);
    workspace.run(&["drain", "jobs"]).expect(0);
    assert_eq!(workspace.objects(&["get", "cronjob", "tick"])["spec"]["suspend"], true);
    workspace.run(&["fill", "jobs"]).expect(0);
    assert_eq!(workspace.objects(&["get", "cronjob", "tick"])["spec"]["suspend"], false);
}

fn a_ledger_records_them(workspace: &TestWorkspace) {
    let file = workspace.user_kubeconfig();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(workspace.kubeconfig(), file).unwrap();
    workspace.run(&["up", "shop", "solo", "--env", "staging"]).expect(0);
    workspace.run(&["hold", "shop", "--env", "staging", "--because", "moving"]).expect(0);
    let on = ["maintenance", "on", "shop", "--env", "staging"];
    workspace.run(&on).expect(10).expect_said("gate 'hold'");
    workspace
        .run(&[&on[..], &["--override", "hold", "--because", "moving"]].concat())
        .expect(0)
        .expect_said("503 from");
    workspace.run(&["maintenance", "off", "--env", "staging"]).expect(0).expect_said("200 from");
    let history = workspace.run(&["history", "shop", "--env", "staging", "--output", "json"]).expect(0).json();
    let verbs: Vec<&str> =
        history["shop"]["operations"].as_array().unwrap().iter().filter_map(|it| it["verb"].as_str()).collect();
    assert_eq!(verbs, ["maintenance on", "maintenance off"]);
    for verb in ["drain", "fill"] {
        workspace.run(&[verb, "solo", "--env", "staging"]).expect(0);
    }
    // Helm owns the replicas again, and is not refused.
    workspace.run(&["up", "solo", "--env", "staging", "--set", "replicas=2"]).expect(0);
    let solo = workspace.objects(&["get", "deployment", "solo", "--namespace", "staging"]);
    assert_eq!(solo["spec"]["replicas"], 2, "{solo}");
}

/// 500 messages a second, which are drained while they arrive.
pub(crate) fn a_load_is_drained(workspace: &TestWorkspace) {
    workspace.run(&["up", "importer", "--set", "env.RATE=500"]).expect(0);
    until("the load", || (workspace.kubectl(&["get", "pods"]).contains("importer")).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(20));
    let start = Instant::now();
    workspace.run(&["drain", "worker"]).expect(0);
    tell(&format!("a load of 500 messages a second was drained in {:.1} s", start.elapsed().as_secs_f64()));
    workspace.run(&["fill", "worker"]).expect(0);
}
