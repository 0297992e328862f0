//! `cmdr deploy`, `promote`, `rollback` and related commands, in stages on two real clusters that cmdr does not own. The
//! test builds and pushes its images.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "delivery/stages.rs"]
mod stages;
#[path = "delivery/stages_of_charts.rs"]
mod stages_of_charts;
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
#[expect(clippy::too_many_lines, reason = "a list of stages")]
fn from_a_build_to_production_and_back() {
    let walk = Walk::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || walk.with_file_kept(|| stage(&walk)));
    stage("local and staging render the same except for the environment", Walk::environments_differ_only_in_values);
    stage("up deploys everything to an empty cluster", Walk::an_empty_cluster_comes_up);
    stage("deploy pins a digest, and a missing tag changes nothing", Walk::deploy_pins_a_digest);
    stage("a moved tag is deployed only with --refresh", Walk::a_tag_that_moved_waits_for_refresh);
    stage("drift is kept until --repair", Walk::drift_stays_until_it_is_repaired);
    stage("a failed deployment is rolled back to the previous record", Walk::what_fails_returns);
    stage("promote deploys a soaked record, once", Walk::promote_deploys_what_soaked);
    stage("a soaked record is promoted although staging has a newer one", Walk::a_busy_staging_promotes);
    stage("rollback restores a record and sets a hold until unhold", Walk::rollback_holds);
    stage("a change of only values is rolled back", Walk::values_are_rolled_back);
    stage("only promoted images run in production", Walk::only_promoted_images_run);
    stage("only records that ran together are promoted together", Walk::only_what_ran_together_is_promoted);
    stage("all gates are reported at once, and overrides are recorded", Walk::gates_are_reported_at_once);
    stage("a bundle is rolled back to its previous version", Walk::a_bundle_has_versions);
    stage("targets with the same source are deployed in parallel", Walk::targets_go_side_by_side);
    stage("each gate blocks by name, and an override is recorded", Walk::gates_refuse);
    stage("a failed verify Job blocks before a deployment, and rolls back after it", Walk::verify_jobs_decide);
    stage("a plan file is executed only if the plan is unchanged", Walk::plans_are_exact);
    stage("one of two concurrent promotions proceeds", Walk::one_of_two_wins);
    stage("the next promotion repairs a killed one", Walk::a_killed_run_is_repaired);
    stage(
        "a run waits for an API server that is temporarily unreachable",
        Walk::a_run_waits_for_an_unreachable_cluster,
    );
    stage("a failed bundle is rolled back as a whole", Walk::a_bundle_is_rolled_back_as_a_whole);
    stage("a restart passes the gates and is recorded in the history", Walk::restarts_pass_the_gates);
    stage("orphans are removed only if they are the ones that were shown", Walk::orphans_pass_the_gates);
    stage("a chart asks the cluster of its environment", Walk::charts_ask_the_cluster);
    stage("a context that points to another cluster is refused", Walk::another_cluster_is_refused);
    stage("missing permissions are reported", Walk::missing_rights_are_named);
    stage("the deployer's role deploys and changes no namespace", Walk::a_deployer_deploys_and_changes_no_namespace);
    stage("the viewer's role only reads", Walk::a_viewer_only_looks);
    stage("a review environment is created beside its source and removed", Walk::reviews_come_and_go);
    stage("the removal of a review environment passes the gates", Walk::reviews_pass_the_gates);
    stage("the reviewer's role changes only review environments", Walk::a_reviewer_changes_only_reviews);
    stage("an external project keeps its Service name", Walk::externals_keep_their_names);
    stage("a lost cluster is rebuilt from an exported ledger", Walk::a_lost_cluster_is_rebuilt);
    stages.finish();
}
