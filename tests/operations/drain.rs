//! Stages of `cmdr drain` and `cmdr fill` with RabbitMQ.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::common::{PATIENCE, Stages, TestWorkspace, tell, until};

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("what cannot be drained is refused before anything changes", what_cannot_be_drained);
    stage("a killed drain is completed, and every message accounted for", a_killed_drain_is_completed);
    stage("a run leaves a drained project without pods", a_run_leaves_it_drained);
    stage("it is filled in order", it_is_filled);
    stage("at the deadline it reports what remains and resumes", a_deadline_resumes);
}

/// Those that `make test` has no time for.
pub(crate) fn further_stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("an interrupted drain says how to go on, and can stop the consumers", an_interrupted_drain);
    stage("a second drain finds the same", a_second_drain);
}

fn replicas(workspace: &TestWorkspace) -> [i64; 2] {
    ["importer", "worker"]
        .map(|name| workspace.objects(&["get", "deployment", name])["spec"]["replicas"].as_i64().unwrap())
}

fn shop(workspace: &TestWorkspace) -> u16 {
    workspace.ask("shop", "/").unwrap().status
}

/// The queue, as the broker itself counts it.
fn queue(workspace: &TestWorkspace) -> Value {
    let columns = "name messages_ready messages_unacknowledged consumers".split(' ');
    let command = ["exec", "rabbitmq-0", "--", "rabbitmqctl", "-q", "list_queues", "--formatter", "json"];
    let text = workspace.kubectl(&command.into_iter().chain(columns).collect::<Vec<_>>());
    let list: Value = serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap();
    list.as_array().unwrap().iter().find(|queue| queue["name"] == "orders").unwrap().clone()
}

/// How many messages the broker has received and seen acknowledged.
fn statistics(workspace: &TestWorkspace) -> (u64, u64) {
    let password = workspace.kubectl(&["get", "secret", "rabbitmq-user", "-o", "jsonpath={.data.password}"]);
    let script =
        format!("curl -s -u tunes:$(echo {password} | base64 -d) http://localhost:15672/api/queues/%2F/orders");
    let found: Value =
        serde_json::from_str(&workspace.kubectl(&["exec", "rabbitmq-0", "--", "sh", "-c", &script])).unwrap();
    let count = |key: &str| found["message_stats"][key].as_u64().unwrap_or_default();
    (count("publish"), count("ack"))
}

fn what_cannot_be_drained(workspace: &TestWorkspace) {
    let drain = |rest: &[&str]| workspace.run(&[&["drain"], rest].concat());
    drain(&["wrker"]).expect(2).expect_said("did you mean 'worker'?");
    drain(&["orders"]).expect(2).expect_said("'orders' is a queue of 'worker': name the project");
    drain(&["shop"]).expect(2).expect_said("'shop' has no queues that can be drained");
    drain(&["worker", "--timeout", "soon"]).expect(2).expect_said("--timeout: 'soon' is not a valid value");
    workspace.replace("queue: orders", "queue: order");
    drain(&["worker"]).expect(1).expect_said("cannot look into the queue 'statistics'").expect_said("not found");
    workspace.replace("queue: order\n", "queue: orders\n");
    workspace.replace("at: rabbitmq, producers", "at: rabbitmq, queue: ordrs, producers");
    drain(&["flow"]).expect(1).expect_said("the broker has no queue 'ordrs': did you mean 'orders'?");
    workspace.replace("queue: ordrs, ", "");
    drain(&["worker", "--dry-run"]).expect(0).expect_said("stop importer").expect_said("drain worker");
    assert_eq!((replicas(workspace), shop(workspace)), ([1, 2], 200));
}

fn a_killed_drain_is_completed(workspace: &TestWorkspace) {
    let mut run = workspace.start(&["drain", "worker"]);
    until("the producer to be stopped", || (!run.is_running() || replicas(workspace)[0] == 0).then_some(()));
    run.signal("KILL");
    run.wait(PATIENCE);
    workspace.run(&["status"]).expect(0).expect_said("stopped for the drain of worker since ");
    let start = Instant::now();
    workspace.run(&["drain", "worker", "--timeout", "1m"]).expect(0).expect_said("empty: orders, statistics");
    tell(&format!("drained in {:.1} s", start.elapsed().as_secs_f64()));
    assert_eq!((replicas(workspace), shop(workspace)), ([0, 0], 503));
    let empty = queue(workspace);
    assert_eq!(
        (&empty["messages_ready"], &empty["messages_unacknowledged"], &empty["consumers"]),
        (&0.into(), &0.into(), &0.into())
    );
    until("the statistics of the broker", || {
        let (sent, acknowledged) = statistics(workspace);
        (sent > 0 && sent == acknowledged).then_some(())
    });
}

fn a_second_drain(workspace: &TestWorkspace) {
    workspace.run(&["up", "worker"]).expect(0);
    workspace.run(&["drain", "worker"]).expect(0);
    workspace.run(&["drain", "worker"]).expect(0);
    assert_eq!(replicas(workspace), [0, 0]);
    workspace.run(&["fill", "worker"]).expect(0);
    assert_eq!(replicas(workspace), [1, 2], "the second run has kept the replicas of the first");
}

fn a_run_leaves_it_drained(workspace: &TestWorkspace) {
    let status = workspace.run(&["status"]).expect(0).expect_said("drained since ");
    status.expect_said("in maintenance since ");
    workspace.run(&["up"]).expect(0).expect_said("'worker' stays drained since ").expect_said("cmdr fill worker");
    workspace.run(&["up", "worker", "--set", "env.EXTRA=1"]).expect(0);
    assert_eq!((replicas(workspace), shop(workspace)), ([0, 0], 503), "a changed project is deployed without pods");
    workspace.run(&["maintenance", "off", "shop"]).expect(10).expect_said("cmdr fill worker");
}

fn it_is_filled(workspace: &TestWorkspace) {
    workspace.run(&["fill", "worker"]).expect(0).expect_said("200 from");
    assert_eq!((replicas(workspace), shop(workspace)), ([1, 2], 200));
    let worker = workspace.objects(&["get", "deployment", "worker"]);
    assert!(worker["metadata"]["annotations"].get("cmdr.dev/drain").is_none(), "{worker}");
    until("new messages", || queue(workspace)["consumers"].as_u64().filter(|consumers| *consumers == 2));
    workspace.run(&["fill", "worker"]).expect(0);
    workspace.run(&["up"]).expect(0);
    assert_eq!(replicas(workspace), [1, 2]);
}

fn a_deadline_resumes(workspace: &TestWorkspace) {
    workspace.run(&["up", "worker", "--set", "env.RATE=0"]).expect(0);
    until("messages that nobody takes", || queue(workspace)["messages_ready"].as_u64().filter(|ready| *ready > 5));
    let late = workspace.run(&["drain", "worker", "--timeout", "4s", "--then", "resume"]).expect(1);
    let late =
        late.expect_said("the queues of 'worker' are not empty after 4 s").expect_said(" ready, 0 unacknowledged");
    late.expect_said("opening again");
    assert_eq!((replicas(workspace), shop(workspace)), ([1, 2], 200));
}

fn an_interrupted_drain(workspace: &TestWorkspace) {
    workspace.run(&["up", "worker", "--set", "env.RATE=0"]).expect(0);
    until("messages that nobody takes", || queue(workspace)["messages_ready"].as_u64().filter(|ready| *ready > 5));
    let run = workspace.start(&["drain", "worker"]);
    until("the producer to be stopped", || (replicas(workspace)[0] == 0).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    run.signal("INT");
    let said = run.wait(PATIENCE).expect(130).expect_said("not drained: worker");
    said.expect_said("go on with cmdr drain worker, or go back with cmdr fill worker");
    let stopped = workspace.run(&["drain", "worker", "--timeout", "2s", "--then", "stop"]).expect(0);
    stopped.expect_said("are not empty after 2 s").expect_said(" ready, 0 unacknowledged");
    assert_eq!(replicas(workspace), [0, 0]);
    assert!(queue(workspace)["messages_ready"].as_u64().unwrap() > 0, "messages that remain are not lost");
    workspace.run(&["fill", "worker"]).expect(0);
    assert_eq!((replicas(workspace), shop(workspace)), ([1, 2], 200));
}
