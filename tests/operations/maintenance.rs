//! The workspace of maintenance and draining.

use super::{common::TestWorkspace, shared::exchange};

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
pub(crate) const PROJECTS: &str = r#"
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

/// A script as the content of a quoted text of YAML.
pub(crate) fn one_line(script: &str) -> String {
    script.split_whitespace().collect::<Vec<_>>().join(" ").replace('\'', "''")
}

pub(crate) fn workspace(name: &str, projects: &str) -> TestWorkspace {
    let workspace = TestWorkspace::new(name, &projects.replace("STOMP", &one_line(STOMP)));
    if projects.contains("kind-NAME") {
        workspace.replace("NAME", &workspace.name);
    }
    workspace
}

/// Requests a path of the shop with further headers. Returns the head, in lower case, and the body.
pub(crate) fn fetch(workspace: &TestWorkspace, path: &str, headers: &str) -> (String, String) {
    exchange(workspace.http_port(), &format!("shop.{}.localhost", workspace.name), path, headers)
}
