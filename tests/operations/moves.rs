//! A procedure that moves producers, consumers and their database to a second cluster, while messages arrive. Every
//! message that the broker has confirmed is in the ledger of the consumers at the end.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    common::{Output, Stages, TestWorkspace, tell, until},
    maintenance::one_line,
    shared::{SharedCluster, start_cluster},
};

/// `produce` sends up to `COUNT` messages, and writes each that the broker has confirmed into the set `published`.
/// `consume` writes each message into the set `consumed` before it acknowledges it.
const STOMP: &str = r#"
  use IO::Socket::INET;
  my ($mode, $rate, $count) = @ARGV; my $end = 0; $SIG{TERM} = sub { $end = 1 }; my ($s, $db);
  until ($s = IO::Socket::INET->new("rabbitmq:61613")) { exit 0 if $end; sleep 1 } $s->autoflush(1);
  until ($db = IO::Socket::INET->new("db:6379")) { exit 0 if $end; sleep 1 } $db->autoflush(1);
  sub frame { local $/ = "\0"; my $f = <$s>; exit 1 unless defined $f; $f =~ s/^\n+//; $f }
  sub note { my ($set, $id) = @_; print $db "SADD $set $id\r\n"; my $a = <$db>; exit 1 unless $a =~ /^:/ }
  print $s "CONNECT\naccept-version:1.2\nhost:/\nlogin:tunes\npasscode:$ENV{PASSWORD}\n\n\0";
  frame() =~ /^CONNECTED/ or die "not connected";
  if ($mode eq "produce") {
    my ($sent, $confirmed, $start) = (0, 0, time);
    sub receipts { my ($most) = @_; while ($confirmed < $sent and $sent - $confirmed > $most) {
      frame() =~ /receipt-id:(\S+)/ and note("published", $1) and $confirmed++ } }
    until ($end or $sent >= $count) {
      my $id = "$ENV{HOSTNAME}-$sent";
      print $s "SEND\ndestination:/queue/orders\npersistent:true\nreceipt:$id\n\n$id\0"; $sent++;
      receipts(200); select undef, undef, undef, 0.5 / $rate;
      select undef, undef, undef, 0.02 while $sent > $rate * (time - $start + 1) and not $end }
    receipts(0); sleep 1 until $end; exit 0 }
  print $s "SUBSCRIBE\nid:0\ndestination:/queue/orders\nack:client-individual\nprefetch-count:100\n\n\0";
  until ($end) { my $f = frame(); my ($ack) = $f =~ /^ack:(.*)$/m; my ($id) = $f =~ /\n\n(.*)\0/s;
    note("consumed", $id); print $s "ACK\nid:$ack\n\n\0" }
"#;

const PROJECTS: &str = r#"
environments:
  local: {}
  first: {context: kind-NAME, namespace: first, domain: first.localhost, platform: external}
  second: {context: kind-OTHER, namespace: second, domain: second.localhost, platform: external}
defaults:
  values: {grace: 10, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {web: {host: shop, check: false}}
    values: {ports: {http: 9898}}
  rabbitmq:
    image: docker.io/library/rabbitmq:3.10
    values:
      kind: StatefulSet
      ports: {amqp: 5672, stomp: 61613}
      secrets: {user: {generate: password}}
      env: {RABBITMQ_DEFAULT_USER: tunes, RABBITMQ_DEFAULT_PASS: {secret: user, key: password}}
      files: {/etc/rabbitmq/enabled_plugins: "[rabbitmq_stomp]."}
      volumes:
        data: {path: /var/lib/rabbitmq, size: 1Gi}
        log: {path: /var/log/rabbitmq, temporary: true}
      security: {runAsUser: 999}
  db:
    image: docker.io/library/redis:7.0
    values:
      ports: {redis: {port: 6379, nodePort: 30079}}
      service: {type: NodePort}
      command: [redis-server, --save, "", --protected-mode, "no", --dir, /data]
      volumes: {data: {path: /data, temporary: true}}   # for what it gets from the database that it replaces
  importer:
    image: docker.io/library/redis:7.0
    needs: [rabbitmq, db]
    values:
      command: [perl, -e, 'STOMP', produce, $(RATE), "60000"]
      env: {PASSWORD: {secret: rabbitmq-user, key: password}, RATE: "18"}
  worker:
    image: docker.io/library/redis:7.0
    needs: [rabbitmq, db]
    queues:
      orders: {kind: rabbitmq, at: rabbitmq, producers: {shop: maintenance, importer: stop}}
    values:
      replicas: 2
      command: [perl, -e, 'STOMP', consume]
      env: {PASSWORD: {secret: rabbitmq-user, key: password}}
  move-database:
    image: docker.io/library/redis:7.0
    needs: [db]
    values:
      kind: Job
      suspend: true
      command:
        - sh
        - -ec
        - |
          redis-cli -h db replicaof ADDRESS 30079
          until redis-cli -h db info replication | grep -q "master_link_status:up"; do sleep 1; done
          until [ "$(redis-cli -h db dbsize)" = "$(redis-cli -h ADDRESS -p 30079 dbsize)" ]; do sleep 1; done
          redis-cli -h db replicaof no one
procedures:
  cut-over:
    description: Move the shop, its workers and their database to the second cluster
    steps:
      - {name: close, maintenance: {state: "on", projects: [shop]}, undo: [{maintenance: {state: "off", projects: [shop]}}]}
      - {name: drain, drain: worker, timeout: 4m, undo: [{fill: worker}]}
      - {name: database, env: second, run: move-database, timeout: 2m}
      - {name: deploy, env: second, deploy: {projects: [shop, worker, importer]}}
      - name: ready
        env: second
        check:
          shop: {expr: status.readyReplicas == 1, object: deployment/shop}
          worker: {expr: status.readyReplicas == 2, object: deployment/worker}
      - {name: switch, approve: Does DNS lead to the second cluster?}
      - {name: rest, scale: {shop: 0}, undo: [{scale: {shop: 1}}]}
"#;

struct Walk {
    workspace: TestWorkspace,
}

pub(crate) fn stages(stages: &Stages) {
    let (first, second) = (start_cluster("move-from", stages), start_cluster("move-to", stages));
    let walk = Walk::start(&first, &second);
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("18 messages a second are drained, and all accounted for", Walk::slow_messages_are_drained);
    stage("500 messages a second and their database move to the second cluster", Walk::everything_moves);
}

impl Walk {
    fn start(first: &TestWorkspace, second: &TestWorkspace) -> Self {
        let address = "{{(index .NetworkSettings.Networks \"kind\").IPAddress}}";
        let node = format!("{}-control-plane", first.name);
        let address = first.tool("docker", &["inspect", "--format", address, &node]);
        let projects = PROJECTS.replace("STOMP", &one_line(STOMP)).replace("ADDRESS", &address);
        let projects = projects.replace("kind-OTHER", &format!("kind-{}", second.name));
        let workspace = SharedCluster::of(first).workspace("move", &projects);
        let files = [first.kubeconfig(), second.kubeconfig()].map(|file| file.to_string_lossy().into_owned());
        let merge = format!("KUBECONFIG={} kubectl config view --flatten", files.join(":"));
        std::fs::write(workspace.user_kubeconfig(), workspace.tool("sh", &["-c", &merge])).unwrap();
        workspace.run(&["up", "--env", "first"]).expect(0);
        workspace.run(&["up", "rabbitmq", "db", "move-database", "--env", "second"]).expect(0);
        Self { workspace }
    }

    fn on(&self, environment: &str, words: &[&str]) -> Output {
        self.workspace.run(&[words, &["--env", environment, "--yes"]].concat())
    }

    /// The answer of the database of an environment, one line for each value.
    fn database(&self, environment: &str, words: &[&str]) -> String {
        let file = self.workspace.user_kubeconfig().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut contexts = text.lines().filter_map(|line| line.trim().strip_prefix("name: kind-move-"));
        let side = if environment == "first" { "from" } else { "to" };
        let context = contexts.find(|name| name.starts_with(side)).unwrap();
        let target = ["--kubeconfig", &file, "--context", &format!("kind-move-{context}"), "--namespace", environment];
        let command = ["exec", "deployment/db", "--", "redis-cli"];
        self.workspace.tool("kubectl", &[&target[..], &command, words].concat())
    }

    fn count(&self, environment: &str, set: &str) -> u64 {
        self.database(environment, &["scard", set]).parse().unwrap()
    }

    /// Fails unless the broker confirms at least so many messages a second. A busy machine takes some time to count.
    fn expect_rate(&self, environment: &str, least: u64) {
        let (start, before) = (Instant::now(), self.count(environment, "published"));
        thread::sleep(Duration::from_secs(10));
        let confirmed = self.count(environment, "published") - before;
        let rate = u128::from(confirmed) * 1000 / start.elapsed().as_millis();
        tell(&format!("  {rate} messages a second"));
        assert!(rate >= u128::from(least), "{rate} messages a second");
    }

    /// Fails unless every confirmed message is in the ledger, and nothing else.
    fn expect_all_accounted(&self, environment: &str) -> u64 {
        let [published, consumed] = ["published", "consumed"].map(|set| self.count(environment, set));
        tell(&format!("  {published} messages were published, {consumed} are in the ledger"));
        assert_eq!(self.database(environment, &["sdiff", "published", "consumed"]), "", "lost messages");
        assert_eq!(published, consumed);
        published
    }

    fn slow_messages_are_drained(&self) {
        until("messages", || (self.count("first", "consumed") > 50).then_some(()));
        self.expect_rate("first", 10);
        self.on("first", &["drain", "worker"]).expect(0);
        let drained = self.expect_all_accounted("first");
        self.on("first", &["fill", "worker"]).expect(0);
        until("further messages", || (self.count("first", "consumed") > drained).then_some(()));
    }

    fn everything_moves(&self) {
        self.on("first", &["deploy", "importer", "--set", "env.RATE=500"]).expect(0);
        self.workspace.replace(r#"RATE: "18""#, r#"RATE: "500""#);
        let before = self.count("first", "published");
        until("the load", || (self.count("first", "published") > before + 1000).then_some(()));
        self.expect_rate("first", 450);
        self.on("first", &["procedure", "start", "cut-over"]).expect(0).expect_said("Does DNS lead");
        let moved = self.expect_all_accounted("first");
        until("messages in the second cluster", || (self.count("second", "consumed") > moved + 1000).then_some(()));
        self.expect_rate("second", 450);
        self.on("first", &["procedure", "continue", "cut-over"]).expect(0);
        let shown = self.on("first", &["procedure", "show", "cut-over", "--output", "json"]).expect(0).json();
        assert_eq!(shown["state"]["phase"], Value::from("done"), "{shown}");
        self.on("second", &["drain", "worker"]).expect(0);
        let all = self.expect_all_accounted("second");
        assert!(all > moved + 1000, "{all} messages, {moved} of which have moved");
        assert_eq!(self.expect_all_accounted("first"), moved, "nothing arrives in the first cluster after the move");
    }
}
