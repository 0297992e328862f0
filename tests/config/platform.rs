//! The platform of each environment.

use std::fs;

use cmdr::{config, domain};
use serde_json::json;

/// The releases of an environment, each with its values and the version of its chart.
fn installed(environment: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let text = "version: 1\nname: tunes\nenvironments:\n  staging: {context: s}\n  production: {context: p, platform: \
                external}\n  review: {review: {from: staging}}\nplatform:\n  traefik: {values: {a: 1}, environments: {staging: \
                {enabled: false}}}\n  operator:\n    chart: {oci: example.com/operator, version: 1.0.0}\n    values: {a: \
                1}\n    environments:\n      staging: {chart: {oci: example.com/operator, version: 2.0.0}, values: {b: 2}}\n      \
                production: {enabled: true}\n  other: {chart: {oci: example.com/other, version: 1.0.0}}\n  rare: {chart: {oci: \
                example.com/rare, version: 1.0.0}, enabled: false, environments: {staging: {enabled: true}}}\n";
    fs::write(folder.path().join("projects.yaml"), text).unwrap();
    let workspace = config::load(folder.path()).unwrap().workspace;
    let environment = &workspace.environments[environment];
    let environment = match &environment.review {
        Some(review) => environment.copied(
            review,
            &workspace.environments[&review.from],
            domain::slug::Slug::of_branch("x").unwrap(),
        ),
        None => environment.clone(),
    };
    let shown = domain::platform::resolve_platform(&workspace, &environment, None).into_iter().map(|release| {
        let values = if release.is_added { json!(release.values).to_string() } else { String::new() };
        format!("{} {} {values}", release.name, release.chart.version.unwrap_or_default()).trim_end().to_owned()
    });
    shown.collect()
}

#[test]
fn each_environment_has_its_own_platform() {
    assert_eq!(installed("local"), ["metallb 0.15.2", "traefik 41.3.0", "operator 1.0.0 {\"a\":1}", "other 1.0.0 {}"]);
    assert_eq!(installed("staging"), ["operator 2.0.0 {\"a\":1,\"b\":2}", "other 1.0.0 {}", "rare 1.0.0 {}"]);
    assert_eq!(installed("production"), ["operator 1.0.0 {\"a\":1}"]);
    assert_eq!(installed("review"), [""; 0]);
}
