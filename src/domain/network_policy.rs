//! The peers of a project with `networkPolicy`: who may connect to its pods, and what they may connect to.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    External, Name, ResolvedProject, Values, Workspace, labels,
    platform::{INGRESS, namespace_of},
    rollout::next_name,
    shared_service::owner,
    values, waits,
};

/// The key of the values.
const KEY: &str = "networkPolicy";

/// Adds to each policy the peers that the workspace names: the projects that need this one, the ingress controller if
/// there are routes, verifications, and what the project itself needs. What the policy says takes precedence.
pub(super) fn add_peers(workspace: &Workspace, projects: &mut [ResolvedProject]) {
    let policies: Vec<Option<Values>> = projects.iter().map(|project| policy(workspace, project, projects)).collect();
    for (project, policy) in projects.iter_mut().zip(policies) {
        if let Some(policy) = policy {
            project.values.insert(KEY.to_owned(), Value::Object(policy));
        }
    }
}

/// The policy of a project with all peers; `None` if it has none.
fn policy(workspace: &Workspace, project: &ResolvedProject, all: &[ResolvedProject]) -> Option<Values> {
    if !project.is_on_universal_chart() || project.external.is_some() {
        return None;
    }
    let written = match project.values.get(KEY)? {
        Value::Bool(true) => Values::new(),
        Value::Object(written) => written.clone(),
        _ => return None,
    };
    let sides = [("from", clients(workspace, project, all)), ("to", servers(workspace, project, all))];
    let mut policy: Values = sides.into_iter().map(|(side, peers)| (side.to_owned(), Value::Object(peers))).collect();
    values::merge(&mut policy, &written);
    add_new_versions(&mut policy, all);
    Some(policy)
}

/// During a rollout, a client runs in a second version, whose pods have the name of its own release.
fn add_new_versions(policy: &mut Values, all: &[ResolvedProject]) {
    let has_rollout = |name: &str| {
        let client = all.iter().find(|client| client.name.as_str() == name);
        client.and_then(|client| client.rollout.as_ref()).is_some_and(|rollout| !rollout.is_none())
    };
    let Some(Value::Object(clients)) = policy.get_mut("from") else { return };
    let new = clients.iter().filter_map(|(key, peer)| {
        let next = next_name(peer["project"].as_str().filter(|name| has_rollout(name))?);
        let mut peer = peer.clone();
        peer["project"] = json!(next);
        Some((next_name(key), peer))
    });
    let new: Vec<(String, Value)> = new.collect();
    clients.extend(new);
}

fn clients(workspace: &Workspace, project: &ResolvedProject, all: &[ResolvedProject]) -> Values {
    let is_called = |need: &Name| *need == project.name || owner(project) == Some(need.as_str());
    let callers = all.iter().filter(|caller| reached(caller, all).iter().any(is_called));
    let mut peers: Values = callers.map(|caller| (caller.name.to_string(), pods_of(caller))).collect();
    if is_routed(project, all) {
        peers.insert("ingress-controller".to_owned(), json!({"namespace": namespace_of(workspace, INGRESS)}));
    }
    if all.iter().any(|project| !project.verify.is_empty()) {
        peers.insert("verification".to_owned(), json!({"labels": {labels::PURPOSE: "verification"}}));
    }
    peers
}

/// Whether the ingress controller sends requests to a project: through routes of its own, those of the project behind whose
/// Service it is, or those of a project that shares its requests by weights.
fn is_routed(project: &ResolvedProject, all: &[ResolvedProject]) -> bool {
    let has_routes = |one: &ResolvedProject| !one.routes.is_empty() || one.values.contains_key("routes");
    let shares = |other: &ResolvedProject| {
        let routes = other.values.get("routes").and_then(Value::as_object).into_iter().flatten();
        routes.into_iter().any(|(_, route)| route["weights"].get(project.name.as_str()).is_some())
    };
    let is_owner = |other: &ResolvedProject| owner(project) == Some(other.name.as_str());
    has_routes(project) || all.iter().any(|other| shares(other) || (is_owner(other) && has_routes(other)))
}

fn servers(workspace: &Workspace, project: &ResolvedProject, all: &[ResolvedProject]) -> Values {
    let peer = |need: &Name| match all.iter().find(|server| server.name == *need) {
        Some(ResolvedProject { external: Some(external), .. }) => outside(external),
        Some(server) => pods_of(server),
        None => json!({"namespace": namespace_of(workspace, need.as_str())}),
    };
    let behind = |need: &Name| {
        let members = all.iter().filter(|member| owner(member) == Some(need.as_str()));
        members.map(|member| (member.name.to_string(), pods_of(member))).collect::<Vec<_>>()
    };
    let reached = reached(project, all);
    reached.iter().flat_map(|need| [vec![(need.to_string(), peer(need))], behind(need)].concat()).collect()
}

/// What a project connects to: what it needs, and the projects that it waits for.
fn reached(project: &ResolvedProject, all: &[ResolvedProject]) -> Vec<Name> {
    let waits = project.values.get(waits::KEY).and_then(Value::as_object).into_iter().flatten();
    let waits = waits.filter(|(_, wait)| **wait != Value::Bool(false)).map(|(name, _)| name);
    let waited = waits.filter_map(|name| all.iter().find(|other| other.name.as_str() == name)).map(|other| &other.name);
    project.needs.iter().chain(waited).cloned().collect()
}

fn pods_of(project: &ResolvedProject) -> Value {
    json!({"project": project.name})
}

/// A policy cannot name a host: without an address, only the port is known.
fn outside(external: &External) -> Value {
    match external.host.parse::<IpAddr>() {
        Ok(address) => {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            json!({"network": format!("{address}/{bits}"), "port": external.port})
        }
        Err(_) => json!({"port": external.port}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{
        Chart, ChartSource,
        resolve::ResolvedRoute,
        rollout::{Rollout, RolloutKind},
    };

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn project(own: &str, needs: &[&str], values: &Value) -> ResolvedProject {
        let chart = Chart { source: ChartSource::Universal, version: None };
        let mut project = ResolvedProject::bare(name(own), chart, values.as_object().unwrap().clone());
        project.needs = needs.iter().copied().map(name).collect();
        project
    }

    fn workspace() -> Workspace {
        Workspace {
            maintenance: crate::domain::maintenance::MaintenanceSettings::default(),
            name: name("tunes"),
            root: std::path::PathBuf::new(),
            environments: BTreeMap::new(),
            defaults: Values::new(),
            platform: BTreeMap::new(),
            projects: BTreeMap::new(),
            bundles: BTreeMap::new(),
            procedures: BTreeMap::new(),
            templates: BTreeMap::new(),
        }
    }

    fn policies(mut projects: Vec<ResolvedProject>) -> Vec<Value> {
        add_peers(&workspace(), &mut projects);
        projects.into_iter().map(|project| project.values.get(KEY).cloned().unwrap_or_default()).collect()
    }

    #[test]
    fn a_policy_names_who_needs_the_project_and_what_it_needs() {
        let policy = &json!({"networkPolicy": true});
        let shop = project("shop", &["catalog", "kafka"], &json!({}));
        let mut redis = project("redis", &[], &json!({}));
        redis.external = Some(External { host: "192.0.2.7".to_owned(), port: 6379 });
        let mut mail = project("mail", &[], policy);
        mail.external = Some(External { host: "mail.example.com".to_owned(), port: 587 });
        let found = policies(vec![shop, project("catalog", &["redis", "mail", "kafka"], policy), redis, mail]);
        let catalog = json!({
            "from": {"shop": {"project": "shop"}},
            "to": {
                "redis": {"network": "192.0.2.7/32", "port": 6379},
                "mail": {"port": 587},
                "kafka": {"namespace": "kafka"},
            },
        });
        assert_eq!(found, [Value::Null, catalog, Value::Null, json!(true)]);
    }

    #[test]
    fn both_versions_of_a_client_in_a_rollout_may_connect() {
        let mut shop = project("shop", &["catalog"], &json!({}));
        let (steps, keep, checks) = (Vec::new(), std::time::Duration::ZERO, BTreeMap::new());
        let kind = RolloutKind::Canary;
        shop.rollout = Some(Rollout { kind, steps, keep, checks, preview: None, is_sticky: false });
        let written = json!({"networkPolicy": {"from": {"cache": {"project": "shop", "port": 6379}}}});
        let found = policies(vec![shop, project("catalog", &[], &written)]);
        let expected = json!({
            "shop": {"project": "shop"}, "shop-next": {"project": "shop-next"},
            "cache": {"project": "shop", "port": 6379}, "cache-next": {"project": "shop-next", "port": 6379},
        });
        assert_eq!(found[1]["from"], expected);
    }

    #[test]
    fn a_project_reaches_what_it_waits_for() {
        let waits = &json!({"networkPolicy": true, "waitFor": {"redis": true, "mail": {"tcp": "mail.example.com:25"}}});
        let found = policies(vec![project("shop", &[], waits), project("redis", &[], &json!({"networkPolicy": true}))]);
        assert_eq!(found[0]["to"], json!({"redis": {"project": "redis"}}));
        assert_eq!(found[1]["from"], json!({"shop": {"project": "shop"}}));
    }

    #[test]
    fn who_needs_a_shared_service_reaches_all_its_pods() {
        let policy = |service: Value| json!({"networkPolicy": true, "service": service});
        let found = policies(vec![
            project("page", &["reviews"], &policy(json!({}))),
            project("reviews", &[], &json!({})),
            project("reviews-v2", &[], &policy(json!({"of": "reviews"}))),
        ]);
        let both = json!({"reviews": {"project": "reviews"}, "reviews-v2": {"project": "reviews-v2"}});
        assert_eq!(found[0]["to"], both);
        assert_eq!(found[2]["from"], json!({"page": {"project": "page"}}));
    }

    #[test]
    fn routes_and_verifications_connect_and_the_policy_itself_takes_precedence() {
        let written = json!({"from": {"shop": null, "prometheus": {"namespace": "monitoring"}}});
        let mut web = project("web", &[], &json!({"networkPolicy": written}));
        web.routes.push(ResolvedRoute::of("web.example.com"));
        web.verify.insert(
            name("smoke"),
            crate::domain::Verify {
                image: None,
                command: Vec::new(),
                when: crate::domain::VerifyWhen::After,
                timeout: std::time::Duration::from_mins(1),
            },
        );
        let found = policies(vec![project("shop", &["web"], &json!({})), web]);
        assert_eq!(found[1]["from"]["ingress-controller"], json!({"namespace": "traefik"}));
        assert_eq!(found[1]["from"]["verification"], json!({"labels": {"cmdr.dev/purpose": "verification"}}));
        assert_eq!(found[1]["from"]["prometheus"], json!({"namespace": "monitoring"}));
        assert!(found[1]["from"].get("shop").is_none_or(Value::is_null));
    }

    #[test]
    fn the_ingress_controller_reaches_all_pods_that_share_requests() {
        let policy = json!({"networkPolicy": true});
        let routes = json!({"routes": {"web": {"weights": {"shop": 9, "shop-next": 1}}}});
        let mut member = policy.clone();
        member["service"] = json!({"of": "shop"});
        let found = policies(vec![
            project("shop", &[], &routes),
            project("shop-next", &[], &policy),
            project("shop-v2", &[], &member),
            project("other", &[], &policy),
        ]);
        let is_reached = |index: usize| found[index]["from"].get("ingress-controller").is_some();
        assert!(is_reached(1) && is_reached(2) && !is_reached(3));
    }
}
