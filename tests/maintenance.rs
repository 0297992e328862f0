//! Maintenance and draining on a real cluster: one workspace in stages. The short form runs with `make test`; other queues
//! and load figures are in `make test-full`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "maintenance/drain.rs"]
mod drain;
#[path = "maintenance/pages.rs"]
mod pages;
#[path = "maintenance/queues.rs"]
mod queues;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use common::{Stages, TestWorkspace};

/// A STOMP client: `produce` sends messages, `consume` acknowledges them. RabbitMQ's plugin speaks it.
const STOMP: &str = r#"
  use IO::Socket::INET; $SIG{TERM} = sub { exit 0 }; my ($mode, $rate) = @ARGV; my $s;
  until ($s = IO::Socket::INET->new("rabbitmq:61613")) { sleep 1 } $s->autoflush(1);
  sub frame { local $/ = "\0"; my $f = <$s>; exit 1 unless defined $f; $f =~ s/^\n+//; $f }
  print $s "CONNECT\naccept-version:1.2\nhost:/\nlogin:tunes\npasscode:$ENV{PASSWORD}\n\n\0";
  frame() =~ /^CONNECTED/ or die "not connected";
  if ($mode eq "produce") { for (my $n = 0; ; $n++) {
    print $s "SEND\ndestination:/queue/orders\npersistent:true\nreceipt:$n\n\nm$n\0"; frame();
    select undef, undef, undef, 1 / $rate } }
  sleep 1 while $rate == 0;
  print $s "SUBSCRIBE\nid:0\ndestination:/queue/orders\nack:client-individual\nprefetch-count:100\n\n\0";
  while (1) { my $f = frame(); print $s "ACK\nid:$1\n\n\0" if $f =~ /^ack:(.*)$/m }
"#;

/// `staging` is a second namespace of the same cluster, which has a ledger. `importer` sends messages, and `worker`
/// acknowledges them, unless its variable `RATE` is 0.
const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, domain: staging.localhost, platform: external}
maintenance:
  health: {uptime: /readyz}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: docker.io/library/nginx:1.22
    host: shop
    check: {path: /healthz}
    values: &web
      ports: {http: 8080}
      files:
        /etc/nginx/nginx.conf: |
          pid /tmp/nginx.pid;
          events {}
          http {
            client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
            uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; access_log off;
            server { listen 8080; location / { return 200 "own $request_uri\n"; } }
          }
  api:
    image: docker.io/library/nginx:1.22
    routes: {web: {host: shop, path: /api}}
    values: *web
  rabbitmq:
    image: docker.io/library/rabbitmq:3.10
    values:
      kind: StatefulSet
      ports: {amqp: 5672, stomp: 61613, management: 15672}
      secrets: {user: {generate: password}}
      env: {RABBITMQ_DEFAULT_USER: tunes, RABBITMQ_DEFAULT_PASS: {secret: user, key: password}}
      files: {/etc/rabbitmq/enabled_plugins: "[rabbitmq_management,rabbitmq_stomp]."}
      volumes:
        data: {path: /var/lib/rabbitmq, size: 1Gi}
        log: {path: /var/log/rabbitmq, temporary: true}
      security: {runAsUser: 999}
  importer:
    image: docker.io/library/redis:7.0
    needs: [rabbitmq]
    values:
      command: [perl, -e, 'STOMP', produce, $(RATE)]
      env: {PASSWORD: {secret: rabbitmq-user, key: password}, RATE: "18"}
  worker:
    image: docker.io/library/redis:7.0
    needs: [rabbitmq]
    queues:
      orders: {kind: rabbitmq, at: rabbitmq, producers: {shop: maintenance, importer: stop}}
      statistics:
        kind: rabbitmq
        at: rabbitmq
        queue: orders
        login: {user: tunes, secret: rabbitmq-user, key: password}
    values:
      replicas: 2
      command: [perl, -e, 'STOMP', consume, $(RATE)]
      env: {PASSWORD: {secret: rabbitmq-user, key: password}, RATE: "1"}
bundles:
  flow: {projects: [worker, shop]}
"#;

#[test]
fn maintenance_and_draining() {
    let (workspace, stages) = (workspace("closed", PROJECTS), Stages::default());
    stages.stage("the workspace starts", || {
        workspace.run(&["up"]).expect(0);
    });
    pages::stages(&workspace, &stages);
    drain::stages(&workspace, &stages);
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn other_queues_and_a_ledger() {
    let (workspace, stages) = (workspace("queues", queues::PROJECTS), Stages::default());
    stages.stage("the workspace starts", || {
        workspace.run(&["up"]).expect(0);
    });
    queues::stages(&workspace, &stages);
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn a_load_of_messages() {
    let (workspace, stages) = (workspace("load", PROJECTS), Stages::default());
    stages.stage("the workspace starts", || {
        workspace.run(&["up"]).expect(0);
    });
    drain::further_stages(&workspace, &stages);
    stages.stage("500 messages a second are drained", || queues::a_load_is_drained(&workspace));
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}

fn workspace(name: &str, projects: &str) -> TestWorkspace {
    let script = STOMP.split_whitespace().collect::<Vec<_>>().join(" ").replace('\'', "''");
    let workspace = TestWorkspace::new(name, &projects.replace("STOMP", &script));
    if projects.contains("kind-NAME") {
        workspace.replace("NAME", &workspace.name);
    }
    workspace
}

/// Requests a path with further headers. Returns the lines of the head, in lower case, and the body.
fn fetch(workspace: &TestWorkspace, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, workspace.http_port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let host = format!("shop.{}.localhost", workspace.name);
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}
