//! Stop, start and snapshots on a real cluster: a small workspace with two databases. Each stage checks the stored data.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "stop_start/stages.rs"]
mod stages;
#[path = "stop_start/stages_of_snapshots.rs"]
mod stages_of_snapshots;
#[path = "stop_start/walk.rs"]
mod walk;

use common::Stages;
use walk::Walk;

const PROJECTS: &str = "
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
  redis:
    image: docker.io/library/redis:7.0
    values: {kind: StatefulSet, ports: {redis: 6379}, volumes: {data: {path: /data, size: 1Gi}}}
  quiet:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}}
  site:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: site
    check: {path: /readyz}
    values: {ports: {http: 9898}}
";

#[test]
fn stop_start_and_snapshots() {
    let walk = Walk::new("stop");
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("up creates the cluster, and data is stored", Walk::comes_up);
    stage("stop shuts databases down cleanly, start checks everything", Walk::stops_and_starts);
    stage("stop --pause resumes from memory", Walk::pauses_and_resumes);
    stage("the status after an interrupted start is not trusted", Walk::an_interrupted_start_is_not_trusted);
    stage("the cluster keeps running after an interrupted stop", Walk::the_cluster_runs_after_an_interrupted_stop);
    stage("the next start repairs a killed stop", Walk::a_killed_stop_is_repaired);
    stage("a changed address and a lost kubeconfig are repaired", Walk::a_changed_address_is_repaired);
    stage("addresses outside of the network are replaced", Walk::foreign_addresses_are_replaced);
    stage("a killed save loses nothing", Walk::a_killed_save_loses_nothing);
    stage("a snapshot restores everything", Walk::a_snapshot_restores_everything);
    stage("errors in snapshot commands are reported", Walk::errors_are_reported);
    stage("a killed restore can be repeated, also after down", Walk::a_killed_restore_is_run_again);
    stage("deleted snapshots leave nothing", Walk::deleted_snapshots_leave_nothing);
    stage("down leaves nothing", Walk::down_leaves_nothing);
    stages.finish();
}
