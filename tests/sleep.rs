//! Sleep, wake and snapshots on a real cluster: a small workspace with two databases, stopped, woken, broken and brought
//! back, with what is stored proven each time.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "sleep/nap.rs"]
mod nap;
#[path = "sleep/stages.rs"]
mod stages;
#[path = "sleep/stages_of_snapshots.rs"]
mod stages_of_snapshots;

use common::Stages;
use nap::Nap;

const PROJECTS: &str = "
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}

projects:
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
fn sleep_wake_and_return() {
    let nap = Nap::new("nap");
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Nap)| stages.stage(name, || stage(&nap));
    stage("it comes up, and something is stored", Nap::comes_up);
    stage("stop lets databases end, start proves everything", Nap::stops_and_starts);
    stage("an interrupted start is not believed", Nap::an_interrupted_start_is_not_believed);
    stage("stop --pause resumes from memory", Nap::naps_warm);
    stage("an interrupted stop lets the cluster go on", Nap::an_interrupted_stop_goes_on);
    stage("a killed stop is healed by the next start", Nap::a_killed_stop_heals);
    stage("another address and a lost kubeconfig are mended", Nap::another_address_is_mended);
    stage("addresses outside of the network are mended", Nap::foreign_addresses_are_mended);
    stage("a killed save loses nothing", Nap::a_killed_save_loses_nothing);
    stage("a snapshot brings everything back", Nap::a_snapshot_brings_everything_back);
    stage("mistakes about snapshots are answered", Nap::mistakes_are_answered);
    stage("a killed restore is run again, also after down", Nap::a_killed_restore_is_run_again);
    stage("snapshots go without a trace", Nap::snapshots_go);
    stage("down leaves nothing", Nap::down_leaves_nothing);
    stages.finish();
}
