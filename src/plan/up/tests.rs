//! Tests of the planner, without a cluster.

use super::*;
use crate::domain::{
    Build, Chart, ChartSource, ImageReference,
    build::{BuildMethod, DockerBuild},
    platform::ResolvedPlatform,
};
use crate::plan::{
    Developed,
    change::tests::{LOCAL, found, spec},
    externals::{self, DescribedExternal},
    graph::tests::lines,
    secrets::tests::external_secret,
};

pub(super) fn project(name: &str, needs: &[&str]) -> DescribedProject {
    let url = format!("http://{name}.localhost/");
    let check = CheckSpec { project: Name::new(name).unwrap(), url: url.clone(), shown_url: url, status: None };
    DescribedProject {
        name: Name::new(name).unwrap(),
        needs: needs.iter().map(|need| Name::new(need).unwrap()).collect(),
        release: spec(name),
        external_secrets: Vec::new(),
        checks: vec![check],
        urls: Vec::new(),
        verifications: Vec::new(),
        rollout: None,
    }
}

pub(super) fn described(projects: Vec<DescribedProject>) -> Described {
    let namespace = NamespaceSpec {
        name: "tunes".to_owned(),
        registries: BTreeSet::new(),
        secrets: Vec::new(),
        privileged: false,
        copy: None,
        secrets_from: None,
    };
    Described {
        workspace: "tunes".to_owned(),
        policy: LOCAL,
        namespaces: vec![namespace],
        platform: vec![ReleaseSpec { namespace: INGRESS.to_owned(), ..spec(INGRESS) }],
        projects,
        externals: Vec::new(),
        address_pool: true,
        local_node: true,
        ..Described::default()
    }
}

pub(super) fn running(releases: &[&str]) -> Observed {
    let mut observed = Observed { cluster: ObservedCluster::Running, has_address_pool: true, ..Observed::default() };
    observed.namespaces.insert("tunes".to_owned(), OwnSecrets::new());
    observed.releases.insert(ReleaseKey::new(INGRESS, INGRESS), found());
    for name in releases {
        observed.releases.insert(ReleaseKey::new("tunes", *name), found());
    }
    observed
}

#[test]
fn pull_secrets_are_planned_for_registries_with_a_login_and_name_them() {
    let mut described = described(vec![project("shop", &[])]);
    let reason = |described: &Described| {
        let plan = up(described, &running(&[])).unwrap();
        let prepares = |planned: &&crate::plan::Planned| matches!(planned.step, Step::PrepareNamespace(_));
        plan.steps.iter().find(prepares).map(|planned| planned.reason.clone())
    };
    assert_eq!(reason(&described), None, "there is no login");
    described.namespaces[0].registries = ["quay.io", "ghcr.io"].map(str::to_owned).into();
    assert_eq!(reason(&described).as_deref(), Some("pull secrets for ghcr.io, quay.io"));
}

#[test]
fn from_nothing_everything_is_made_in_order() {
    let plan = up(&described(vec![project("shop", &["redis"]), project("redis", &[])]), &Observed::default()).unwrap();
    assert_eq!(
        lines(&plan),
        [
            "create cluster <- ",
            "connect cluster <- cluster",
            "prepare namespace tunes <- cluster",
            "install traefik <- cluster",
            "apply address pool <- cluster",
            "install redis <- namespace tunes",
            "check redis <- cluster, traefik, redis",
            "install shop <- namespace tunes, redis",
            "check shop <- cluster, traefik, shop",
        ]
    );
}

#[test]
fn an_external_secret_waits_for_the_platform_and_its_project_for_it() {
    let mut projects = vec![project("shop", &[]), project("redis", &[])];
    projects[0].external_secrets = vec![external_secret("shop-api")];
    for project in &mut projects {
        project.checks.clear();
    }
    let plan = up(&described(projects), &Observed::default()).unwrap();
    assert_eq!(
        lines(&plan)[5..],
        [
            "apply secret shop-api <- cluster, namespace tunes, traefik",
            "install shop <- namespace tunes, secret shop-api",
            "install redis <- namespace tunes",
        ]
    );
}

#[test]
fn nothing_changed_means_nothing_but_checks() {
    let plan = up(&described(vec![project("shop", &[])]), &running(&["shop"])).unwrap();
    assert_eq!(lines(&plan), ["connect cluster <- ", "check shop <- cluster"]);
    assert_eq!(plan.changes().count(), 0);
    assert_eq!(plan.unchanged, ["shop"]);
}

#[test]
fn what_an_interrupted_dev_has_changed_is_restored_before_anything_else() {
    let observe = |is_running: bool| {
        let mut observed = running(&["shop"]);
        let developed = Developed { holder: "process 7".to_owned(), workloads: Vec::new(), is_running };
        let release = ObservedRelease { developed: Some(developed), ..found() };
        observed.releases.insert(ReleaseKey::new("tunes", "shop"), release);
        observed
    };
    let plan = up(&described(vec![project("shop", &[])]), &observe(false)).unwrap();
    assert_eq!(lines(&plan)[1..], ["restore shop <- cluster", "check shop <- cluster, shop"]);
    assert_eq!(plan.steps[1].reason, "cmdr dev was interrupted (process 7)");
    let plan = up(&described(vec![project("shop", &[])]), &observe(true)).unwrap();
    assert_eq!(plan.unchanged, ["shop"], "one that still runs keeps its changes");
}

#[test]
fn one_change_touches_one_project() {
    let mut wanted = vec![project("shop", &["redis"]), project("redis", &[])];
    wanted[0].release.record = "r2".into();
    let plan = up(&described(wanted), &running(&["shop", "redis"])).unwrap();
    let changes: Vec<String> = plan.changes().map(|planned| planned.step.subject()).collect();
    assert_eq!(changes, ["shop"]);
}

#[test]
fn a_stopped_cluster_is_started_before_it_is_observed() {
    let observed = Observed { cluster: ObservedCluster::Stopped, ..Observed::default() };
    let plan = up(&described(vec![project("shop", &[])]), &observed).unwrap();
    assert!(plan.preliminary);
    assert_eq!(lines(&plan), ["start cluster <- "]);
}

#[test]
fn the_network_of_a_started_cluster_is_checked() {
    let observed = Observed { was_started: true, ..running(&["shop"]) };
    let plan = up(&described(vec![project("shop", &[])]), &observed).unwrap();
    let expected =
        ["connect cluster <- ", "check addresses <- cluster", "check names <- cluster", "check shop <- cluster"];
    assert_eq!(lines(&plan), expected);
    assert_eq!(plan.changes().count(), 0);
}

#[test]
fn without_a_load_balancer_no_addresses_are_checked() {
    let described = Described { address_pool: false, ..described(vec![project("shop", &[])]) };
    let observed = Observed { was_started: true, has_address_pool: false, ..running(&["shop"]) };
    let plans = [up(&described, &observed).unwrap(), super::super::check_all::check_all(&described, &observed)];
    let expected = ["connect cluster <- ", "check names <- cluster", "check shop <- cluster"];
    assert_eq!(plans.map(|plan| lines(&plan)), [expected, expected]);
}

#[test]
fn start_deploys_nothing_and_reports_what_up_would_change() {
    let mut projects = vec![project("shop", &["redis"]), project("cart", &["shop"]), project("redis", &[])];
    projects[0].release.record = "another".into();
    let mut observed = Observed { was_started: true, ..running(&["shop", "cart"]) };
    observed.releases.get_mut(&ReleaseKey::new("tunes", "cart")).unwrap().ready = false;
    let mut described = described(projects);
    let build = BuildSpec {
        project: Name::new("app").unwrap(),
        shared_by: Vec::new(),
        build: Build { context: "/src/app".into(), method: BuildMethod::Docker(DockerBuild::default()) },
        repository: "localhost:5001/tunes/app".to_owned(),
    };
    described.builds = vec![(build, "it has no image yet".to_owned())];
    let plan = super::super::start::start(&described, &observed).unwrap();
    let expected = [
        "connect cluster <- ",
        "check addresses <- cluster",
        "check names <- cluster",
        "wait cart <- cluster",
        "check cart <- cluster, cart",
    ];
    assert_eq!(lines(&plan), expected);
    assert!(!plan.preliminary && plan.changes().all(|it| matches!(it.step, Step::AwaitRollout(_))));
    let postponed: Vec<&str> = plan.postponed.iter().filter_map(|change| change.split(": ").next()).collect();
    assert_eq!(postponed, ["build app", "install redis", "upgrade shop"]);
}

#[test]
fn a_restored_snapshot_is_checked_and_not_changed() {
    let mut projects = vec![project("shop", &[]), project("cart", &[]), project("new", &[])];
    projects[0].release.record = "another".into();
    let mut observed = running(&["shop", "cart"]);
    observed.releases.get_mut(&ReleaseKey::new("tunes", "cart")).unwrap().ready = false;
    let plan = super::super::check_all::check_all(&described(projects), &observed);
    let expected = [
        "connect cluster <- ",
        "check addresses <- cluster",
        "check names <- cluster",
        "check shop <- cluster",
        "wait cart <- cluster",
        "check cart <- cluster, cart",
    ];
    assert_eq!(lines(&plan), expected);
}

#[test]
fn images_of_pods_that_come_later_are_pulled_ahead_once() {
    let mut projects = vec![project("shop", &["redis"]), project("cart", &["redis"]), project("redis", &[])];
    for project in &mut projects {
        project.release.image = ImageReference::parse(&format!("{}:1", project.needs.len())).ok();
    }
    let plan = up(&described(projects.clone()), &Observed::default()).unwrap();
    let pulled = |plan: &Plan| {
        plan.steps.iter().find_map(|planned| match &planned.step {
            Step::PullImages(images) => Some(images.iter().map(ToString::to_string).collect::<Vec<_>>()),
            _ => None,
        })
    };
    assert_eq!(pulled(&plan), Some(vec!["1:1".to_owned()]));
    assert_eq!(pulled(&up(&described(projects), &running(&["shop", "cart", "redis"])).unwrap()), None);
}

#[test]
fn verify_jobs_run_only_around_a_change() {
    let mut shop = project("shop", &[]);
    for (name, when) in [("early", VerifyWhen::Before), ("late", VerifyWhen::After)] {
        shop.verifications.push(VerifySpec {
            project: shop.name.clone(),
            name: Name::new(name).unwrap(),
            namespace: "tunes".to_owned(),
            image: "shop:1".to_owned(),
            command: Vec::new(),
            when,
            timeout_seconds: 60,
        });
    }
    let unchanged = up(&described(vec![shop.clone()]), &running(&["shop"])).unwrap();
    assert_eq!(lines(&unchanged), ["connect cluster <- ", "check shop <- cluster"]);
    shop.release.record = "r2".into();
    let plan = up(&described(vec![shop]), &running(&["shop"])).unwrap();
    let order: Vec<&str> = plan.steps.iter().map(|planned| planned.step.action()).collect();
    assert_eq!(order, ["connect", "verify", "upgrade", "verify", "check"]);
    assert!(plan.steps[2].needs.contains(&plan.steps[1].id) && plan.steps[3].needs.contains(&plan.steps[2].id));
}

#[test]
fn those_that_many_wait_for_come_first() {
    let projects =
        [project("a", &["z"]), project("b", &[]), project("z", &["y"]), project("y", &[]), project("c", &["y"])];
    let order: Vec<&str> = in_order_of_need(&projects).iter().map(|project| project.name.as_str()).collect();
    assert_eq!(order, ["y", "z", "a", "b", "c"]);
}

#[test]
fn everything_foreign_is_refused_at_once() {
    let mut observed = running(&[]);
    for name in ["shop", "redis"] {
        observed.holders.insert(ReleaseKey::new("tunes", name), "Flux".to_owned());
    }
    let refused = up(&described(vec![project("shop", &[]), project("redis", &[])]), &observed).unwrap_err();
    assert_eq!(refused.len(), 2);
}

/// An environment in which `database` is external, and `shop` needs it.
fn with_external() -> Described {
    let mut shop = project("shop", &["database"]);
    shop.checks.clear();
    let database = DescribedExternal {
        name: Name::new("database").unwrap(),
        spec: externals::tests::spec("database"),
        external_secrets: vec![external_secret("database-auth")],
    };
    Described { externals: vec![database], platform: Vec::new(), address_pool: false, ..described(vec![shop]) }
}

fn observed_with(checksum: &str) -> Observed {
    let mut observed = running(&["shop"]);
    observed.externals.insert(ReleaseKey::new("tunes", "database"), externals::tests::found(checksum));
    let ready = ObservedExternalSecret { checksum: Some("new".to_owned()), is_ready: true };
    observed.external_secrets.insert(("tunes".to_owned(), "database-auth".to_owned()), ready);
    observed
}

#[test]
fn projects_wait_until_the_external_projects_that_they_need_respond() {
    let plan = up(&with_external(), &Observed { cluster: ObservedCluster::Running, ..Observed::default() }).unwrap();
    assert_eq!(
        lines(&plan)[1..],
        [
            "prepare namespace tunes <- cluster",
            "apply secret database-auth <- cluster, namespace tunes",
            "probe database <- namespace tunes",
            "redirect database <- namespace tunes, database",
            "install shop <- namespace tunes, secret database-auth, database, database",
        ]
    );
}

#[test]
fn an_unchanged_external_project_is_only_checked() {
    let plan = up(&with_external(), &observed_with("new")).unwrap();
    assert_eq!(lines(&plan), ["connect cluster <- ", "probe database <- cluster"]);
    assert_eq!(
        (plan.changes().count(), plan.unchanged.as_slice()),
        (0, ["database", "shop"].map(str::to_owned).as_slice())
    );
    let moved = up(&with_external(), &observed_with("old")).unwrap();
    assert_eq!(lines(&moved)[2..], ["redirect database <- cluster, database"]);
    let unneeded = Described { projects: Vec::new(), ..with_external() };
    assert_eq!(lines(&up(&unneeded, &observed_with("new")).unwrap()), ["connect cluster <- "]);
}

#[test]
fn a_release_and_an_external_service_replace_each_other() {
    let mut observed = observed_with("new");
    observed.externals.clear();
    observed.releases.insert(ReleaseKey::new("tunes", "database"), found());
    let outwards = up(&with_external(), &observed).unwrap();
    assert_eq!(
        lines(&outwards)[1..],
        [
            "probe database <- cluster",
            "uninstall database <- cluster, database",
            "redirect database <- cluster, database, database",
        ]
    );
    let mut database = project("database", &[]);
    database.checks.clear();
    let inwards = up(&described(vec![database]), &observed_with("new")).unwrap();
    assert_eq!(lines(&inwards)[1..], ["remove redirect database <- cluster", "install database <- cluster, database"]);
}

#[test]
fn volumes_come_before_the_pods_that_claim_them() {
    let mut redis = project("redis", &[]);
    redis.checks.clear();
    redis.release.image = ImageReference::parse("redis:7.0").ok();
    let values = serde_json::json!({"kind": "StatefulSet", "volumes": {"data": {"size": "1Gi"}}});
    redis.release.content.values = values.as_object().cloned().unwrap();
    let plan = up(&described(vec![redis.clone()]), &running(&[])).unwrap();
    assert_eq!(
        lines(&plan),
        ["connect cluster <- ", "prepare volumes <- cluster", "install redis <- cluster, volumes"]
    );
    let elsewhere = Described { local_node: false, ..described(vec![redis.clone()]) };
    assert!(!lines(&up(&elsewhere, &running(&[])).unwrap()).iter().any(|line| line.contains("volumes")));
    assert!(up(&described(vec![redis]), &running(&["redis"])).unwrap().changes().next().is_none());
}

/// A workspace that adds an operator and what needs it, with a project that names the ingress.
fn with_operator() -> Described {
    let release = |name: &str, needs: &[&str]| ResolvedPlatform {
        name: name.to_owned(),
        namespace: "tunes".to_owned(),
        chart: Chart { source: ChartSource::Universal, version: None },
        values: crate::domain::Values::new(),
        needs: needs.iter().map(|need| Name::new(need).unwrap()).collect(),
        is_added: name != INGRESS,
        is_privileged: false,
    };
    let mut described = described(vec![project("shop", &[]), project("page", &[INGRESS])]);
    let platform = [release("issuers", &["operator"]), release("operator", &[]), release(INGRESS, &[])];
    described.order = PlatformOrder::new(&platform);
    described.platform = platform.iter().map(|release| spec(&release.name)).collect();
    described.address_pool = false;
    described
}

#[test]
fn projects_start_after_the_releases_that_the_workspace_adds() {
    let observed = Observed { releases: BTreeMap::new(), ..running(&[]) };
    let plan = up(&with_operator(), &observed).unwrap();
    let installs: Vec<String> = lines(&plan).into_iter().filter(|line| line.starts_with("install ")).collect();
    assert_eq!(
        installs,
        [
            "install operator <- cluster",
            "install traefik <- cluster",
            "install issuers <- cluster, operator",
            "install shop <- cluster, operator, issuers",
            "install page <- cluster, operator, traefik, issuers",
        ]
    );
    let installed = running(&["operator", "issuers", INGRESS]);
    let plan = up(&with_operator(), &installed).unwrap();
    assert!(lines(&plan).contains(&"install shop <- cluster".to_owned()), "what is ready is not waited for");
}
