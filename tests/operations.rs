//! Operations of traffic on real clusters: rollouts, maintenance, draining and procedures.
//!
//! The short forms share one cluster, on which each has a workspace of its own. The long forms are in `make test-full`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "operations/checks.rs"]
mod checks;
#[path = "operations/drain.rs"]
mod drain;
#[path = "operations/interruptions.rs"]
mod interruptions;
#[path = "operations/load.rs"]
mod load;
#[path = "operations/maintenance.rs"]
mod maintenance;
#[path = "operations/moves.rs"]
mod moves;
#[path = "operations/pages.rs"]
mod pages;
#[path = "operations/procedures.rs"]
mod procedures;
#[path = "operations/protocols.rs"]
mod protocols;
#[path = "operations/queues.rs"]
mod queues;
#[path = "common/server.rs"]
mod server;
#[path = "operations/shared.rs"]
mod shared;
#[path = "operations/traffic.rs"]
mod traffic;

use std::{sync::Mutex, thread};

use common::{Stages, TestWorkspace};
use shared::SharedCluster;

/// One test at a time has a cluster.
static TURN: Mutex<()> = Mutex::new(());

fn in_turn(test: impl FnOnce(&Stages)) {
    // A test that has failed does not stop the others.
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stages = Stages::default();
    test(&stages);
    stages.finish();
}

/// Starts the cluster of a workspace.
fn start(workspace: &TestWorkspace, stages: &Stages) {
    stages.stage("the workspace starts", || {
        workspace.run(&["up"]).expect(0);
    });
}

#[test]
fn rollouts_maintenance_and_procedures() {
    in_turn(|stages| {
        let closed = maintenance::workspace("operations", maintenance::PROJECTS);
        start(&closed, stages);
        let cluster = SharedCluster::of(&closed);
        // They mostly wait, each in namespaces of its own.
        thread::scope(|scope| {
            let others =
                [scope.spawn(|| traffic::short_form(&cluster)), scope.spawn(|| procedures::short_form(&cluster))];
            pages::stages(&closed, stages);
            drain::stages(&closed, stages);
            for other in others {
                stages.stage("the stages beside", || other.join().unwrap());
            }
        });
        closed.run(&["down", "--yes"]).expect(0);
    });
}

#[test]
#[ignore = "sends 500 requests a second for minutes; make test-full runs it"]
fn no_request_is_lost_under_load() {
    in_turn(traffic::long_form);
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn checks_decide_about_rollouts() {
    in_turn(checks::stages);
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn every_protocol_is_split() {
    in_turn(protocols::stages);
}

#[test]
#[ignore = "starts two clusters and sends 500 messages a second; make test-full runs it"]
fn a_move_to_a_second_cluster() {
    in_turn(moves::stages);
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn other_queues_and_a_ledger() {
    in_turn(|stages| {
        let workspace = maintenance::workspace("queues", queues::PROJECTS);
        start(&workspace, stages);
        queues::stages(&workspace, stages);
    });
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn a_load_of_messages() {
    in_turn(|stages| {
        let workspace = maintenance::workspace("load", maintenance::PROJECTS);
        start(&workspace, stages);
        drain::further_stages(&workspace, stages);
        stages.stage("500 messages a second are drained", || queues::a_load_is_drained(&workspace));
    });
}
