//! `cmdr deploy`, `promote`, `rollback` and what belongs to them, on two real clusters that cmdr does not own: one
//! workspace, walked through in stages. Images are built and pushed here.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "delivery/stages.rs"]
mod stages;
#[path = "delivery/stages_of_externals.rs"]
mod stages_of_externals;
#[path = "delivery/stages_of_images.rs"]
mod stages_of_images;
#[path = "delivery/stages_of_operations.rs"]
mod stages_of_operations;
#[path = "delivery/stages_of_reviews.rs"]
mod stages_of_reviews;
#[path = "delivery/stages_of_rights.rs"]
mod stages_of_rights;
#[path = "delivery/stages_of_sets.rs"]
mod stages_of_sets;
#[path = "delivery/stages_of_targets.rs"]
mod stages_of_targets;
#[path = "delivery/stages_of_trouble.rs"]
mod stages_of_trouble;
#[path = "delivery/walk.rs"]
mod walk;

use common::Stages;
use walk::Walk;

const PROJECTS: &str = r"
environments:
  local: {namespace: tunes}
  # proven here first
  staging:
    context: kind-STAGING   # as kind names it
    namespace: tunes
    domain: staging.example
  production:
    context: kind-PRODUCTION
    namespace: tunes
    platform: external
    promote: {from: staging, soak: 4s}
  review:
    review: {from: staging, namespace: 'review-{slug}'}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  postgres:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
  catalog:
    image: REPOSITORY/catalog
    needs: [postgres]
    values: {ports: {http: 9898}}
    environments:
      production: {values: {replicas: 2}}
  cart:
    image: REPOSITORY/catalog:1.0.0
    values: {ports: {http: 9898}}
  site:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: site
    check: {path: /readyz}
    values: {ports: {http: 9898}}
    environments:
      production: {external: {host: site.example.com, port: 80}}
  search:
    chart: {oci: ghcr.io/stefanprodan/charts/podinfo, version: 6.9.2}
    values: {ui: {message: hello}}
bundles:
  shop: {projects: [cart, catalog, search], on-failure: rollback}
";

#[test]
fn from_a_build_to_production_and_back() {
    let walk = Walk::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || walk.with_file_kept(|| stage(&walk)));
    stage("local and staging render the same, but for the environment", Walk::environments_differ_in_values_alone);
    stage("up brings an empty cluster to the whole platform", Walk::an_empty_cluster_comes_up);
    stage("deploy pins a digest, and a tag that is not there touches nothing", Walk::deploy_pins_a_digest);
    stage("a tag that moved waits for --refresh", Walk::a_tag_that_moved_waits_for_refresh);
    stage("drift stays until it is repaired", Walk::drift_stays_until_it_is_repaired);
    stage("what fails returns to the record before", Walk::what_fails_returns);
    stage("promote brings what soaked, once", Walk::promote_brings_what_soaked);
    stage("a busy staging still promotes its soaked record", Walk::a_busy_staging_promotes);
    stage("rollback restores and holds until unhold", Walk::rollback_holds);
    stage("a change of values alone is rolled back", Walk::values_are_rolled_back);
    stage("only promoted images run in production", Walk::only_promoted_images_run);
    stage("only what ran together is promoted together", Walk::only_what_ran_together_is_promoted);
    stage("all gates are told at once, and overrides are recorded", Walk::gates_are_told_at_once);
    stage("a bundle has versions to go back to", Walk::a_bundle_has_versions);
    stage("targets of one source go side by side", Walk::targets_go_side_by_side);
    stage("gates say no by name, and an override is recorded", Walk::gates_refuse);
    stage("a proof that fails refuses before, and returns after", Walk::proofs_decide);
    stage("a plan runs as it was reviewed, or not at all", Walk::plans_are_exact);
    stage("one of two promotes wins", Walk::one_of_two_wins);
    stage("a killed promote is healed by the next", Walk::a_killed_run_is_healed);
    stage("a cluster that goes away for a while is waited for", Walk::a_cluster_goes_away);
    stage("a bundle goes back as one", Walk::a_bundle_goes_back_as_one);
    stage("a restart passes the gates, and stands in the history", Walk::restarts_pass_the_gates);
    stage("orphans are removed as they were shown, or not at all", Walk::orphans_pass_the_gates);
    stage("another cluster is refused", Walk::another_cluster_is_refused);
    stage("what an account may not do is said", Walk::missing_rights_are_named);
    stage("the deployer's role deploys and changes no namespace", Walk::a_deployer_deploys_and_changes_no_namespace);
    stage("the viewer's role only looks", Walk::a_viewer_only_looks);
    stage("a review lives beside its source, and goes", Walk::reviews_come_and_go);
    stage("the end of a review passes the gates", Walk::reviews_pass_the_gates);
    stage("the reviewer's role changes reviews alone", Walk::a_reviewer_changes_reviews_alone);
    stage("a project that somebody else runs keeps its name", Walk::externals_keep_their_names);
    stage("a lost cluster is rebuilt from its file", Walk::a_lost_cluster_is_rebuilt);
    stages.finish();
}
