//! The plan of `maintenance on` and `maintenance off`: the objects that close the routes of projects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{OperateStep, Plan, Step, StepId};
use crate::domain::{
    ReleaseKey,
    digest::sha256,
    gateway_routes::{FoundRoutes, GatewayRoute},
    labels,
    maintenance::{CHECK, HEADER, MaintenanceMark},
    objects::TRAEFIK,
};

/// The name of the objects with the page, and the start of all other names.
pub const NAME: &str = "cmdr-maintenance";
/// The purpose of all objects.
pub const PURPOSE: &str = "maintenance";
/// Higher than the priorities that Traefik computes. Those of the routes are added, so that their order stays.
const PRIORITY: i64 = 1_000_000_000;
/// An address that no client has (RFC 919).
const NO_CLIENT: &str = "255.255.255.255/32";
const PORT: u16 = 8080;

/// What is done to close or open a project.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceStep {
    pub project: ReleaseKey,
    pub action: MaintenanceAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MaintenanceAction {
    /// Provides the pages of all closed projects.
    Page(Vec<Value>),
    /// Applies the objects, then requests the URLs until they are closed.
    Close { objects: Vec<Value>, urls: Vec<String> },
    /// Deletes the objects, then requests the URLs until they are open.
    Open { urls: Vec<String> },
    /// Removes the pages.
    RemovePage,
}

impl MaintenanceStep {
    pub(super) fn action(&self) -> &'static str {
        match self.action {
            MaintenanceAction::Page(_) => "prepare",
            MaintenanceAction::Close { .. } => "close",
            MaintenanceAction::Open { .. } => "open",
            MaintenanceAction::RemovePage => "remove",
        }
    }

    pub(super) fn subject(&self) -> String {
        match self.action {
            MaintenanceAction::Page(_) | MaintenanceAction::RemovePage => "maintenance page".to_owned(),
            _ => self.project.name.clone(),
        }
    }

    /// The release whose routes change.
    pub fn release(&self) -> Option<&ReleaseKey> {
        let changes = matches!(self.action, MaintenanceAction::Close { .. } | MaintenanceAction::Open { .. });
        changes.then_some(&self.project)
    }
}

/// The texts that the clients of a closed project get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceTexts {
    pub html: String,
    pub json: String,
}

/// The page of all closed projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancePage {
    pub namespace: String,
    pub image: String,
    /// By project.
    pub texts: BTreeMap<String, MaintenanceTexts>,
}

/// A project to close.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectClosing {
    pub project: ReleaseKey,
    pub mark: MaintenanceMark,
    pub routes: Vec<ClosedRoute>,
    /// To request.
    pub urls: Vec<String>,
}

/// A route, and which requests pass it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedRoute {
    rule: String,
    priority: i64,
    entry_points: Vec<String>,
    tls_options: Option<Value>,
}

impl ClosedRoute {
    /// Closes a route, but for clients in the networks `allow` and for requests of the paths `health`.
    pub fn new(found: &FoundRoutes, route: &GatewayRoute, allow: &BTreeSet<String>, health: &BTreeSet<String>) -> Self {
        let others: BTreeSet<String> = found.inside(route).map(|other| format!(" && !({})", other.rule)).collect();
        let open: Vec<String> = allow
            .iter()
            .map(|network| format!("ClientIP(`{network}`)"))
            .chain(health.iter().map(|path| format!("Path(`{path}`)")))
            .collect();
        let open = match open.as_slice() {
            [] => String::new(),
            open => format!(" && (Header(`{HEADER}`, `{CHECK}`) || !({}))", open.join(" || ")),
        };
        Self {
            rule: format!("({}){}{open}", route.rule, others.into_iter().collect::<String>()),
            // A priority that people set can be as high as they like.
            priority: PRIORITY.saturating_add(route.priority.saturating_mul(2)),
            entry_points: route.entry_points.clone(),
            tls_options: route.tls_options.clone(),
        }
    }
}

/// Closes projects, after the page is ready.
pub fn close(closings: Vec<ProjectClosing>, page: &MaintenancePage) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    add_close(&mut plan, closings, page, connected);
    plan
}

/// Adds the steps that close projects; returns the one of each project.
pub(super) fn add_close(
    plan: &mut Plan,
    closings: Vec<ProjectClosing>,
    page: &MaintenancePage,
    connected: StepId,
) -> BTreeMap<String, StepId> {
    if closings.is_empty() {
        return BTreeMap::new();
    }
    let project = ReleaseKey::new(&page.namespace, NAME);
    let step = MaintenanceStep { project, action: MaintenanceAction::Page(page.objects()) };
    let ready = plan.add(Step::Operate(OperateStep::Maintenance(step)), "its clients get a page", [connected]);
    let add = |closing: ProjectClosing| {
        let objects = objects(&closing);
        let reason = format!("{} routes answer 503", closing.routes.len());
        let action = MaintenanceAction::Close { objects, urls: closing.urls };
        let name = closing.project.name.clone();
        (
            name,
            plan.add(
                Step::Operate(OperateStep::Maintenance(MaintenanceStep { project: closing.project, action })),
                reason,
                [ready],
            ),
        )
    };
    closings.into_iter().map(add).collect()
}

/// A project to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectOpening {
    pub project: ReleaseKey,
    /// To request.
    pub urls: Vec<String>,
}

/// Opens projects. `is_last`: no project remains closed.
pub fn open(namespace: &str, openings: Vec<ProjectOpening>, is_last: bool) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    let opened: Vec<StepId> = openings.into_iter().map(|one| add_open(&mut plan, one, [connected])).collect();
    if is_last {
        add_remove_page(&mut plan, namespace, opened.into_iter().chain([connected]).collect());
    }
    plan
}

pub(super) fn add_open(plan: &mut Plan, opening: ProjectOpening, needs: impl IntoIterator<Item = StepId>) -> StepId {
    let action = MaintenanceAction::Open { urls: opening.urls };
    plan.add(
        Step::Operate(OperateStep::Maintenance(MaintenanceStep { project: opening.project, action })),
        "its routes are closed",
        needs,
    )
}

pub(super) fn add_remove_page(plan: &mut Plan, namespace: &str, needs: Vec<StepId>) {
    let step = MaintenanceStep { project: ReleaseKey::new(namespace, NAME), action: MaintenanceAction::RemovePage };
    plan.add(Step::Operate(OperateStep::Maintenance(step)), "no project is closed", needs);
}

impl MaintenancePage {
    /// A file server with a page and a JSON text for each project, and its content in a `ConfigMap`.
    fn objects(&self) -> Vec<Value> {
        let texts = self.texts.iter().flat_map(|(project, texts)| {
            [(format!("{project}.html"), &texts.html), (format!("{project}.json"), &texts.json)]
        });
        let mut data: BTreeMap<String, &str> = texts.map(|(name, text)| (name, text.as_str())).collect();
        let types = ".html:text/html; charset=utf-8\n.json:application/json\n";
        data.insert("httpd.conf".to_owned(), types);
        let checksum = sha256(json!(data).to_string().as_bytes());
        let selector = json!({"app.kubernetes.io/name": NAME});
        let map = self.object("v1", "ConfigMap", json!({"data": data}));
        let pod = json!({
            "metadata": {"labels": selector, "annotations": {(labels::CHECKSUM): checksum}},
            "spec": self.pod(),
        });
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
        let spec = json!({"replicas": 1, "strategy": strategy, "selector": {"matchLabels": selector}, "template": pod});
        let service = json!({"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]});
        vec![
            map,
            self.object("apps/v1", "Deployment", json!({"spec": spec})),
            self.object("v1", "Service", json!({"spec": service})),
        ]
    }

    fn pod(&self) -> Value {
        let command = ["busybox", "httpd", "-f", "-p", "8080", "-h", "/www", "-c", "/www/httpd.conf"];
        json!({
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "page", "image": self.image, "command": command,
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "www", "mountPath": "/www", "readOnly": true}],
            }],
            "volumes": [{"name": "www", "configMap": {"name": NAME}}],
        })
    }

    fn object(&self, api: &str, kind: &str, content: Value) -> Value {
        let mut object = content;
        object["apiVersion"] = json!(api);
        object["kind"] = json!(kind);
        object["metadata"] = metadata(&ReleaseKey::new(&self.namespace, NAME), NAME);
        object
    }
}

fn metadata(project: &ReleaseKey, name: &str) -> Value {
    let own = json!({
        (labels::PURPOSE): PURPOSE, (labels::PROJECT): project.name, "app.kubernetes.io/managed-by": "cmdr",
    });
    json!({"name": name, "namespace": project.namespace, "labels": own})
}

/// The objects that close a project: middlewares first, because Traefik drops a route without its middlewares.
fn objects(closing: &ProjectClosing) -> Vec<Value> {
    let ProjectClosing { project, mark, routes, .. } = closing;
    let name = |part: &str| format!("{NAME}-{}-{part}", project.name);
    let middleware = |part: &str, spec: Value| json!({"apiVersion": TRAEFIK, "kind": "Middleware", "metadata": metadata(project, &name(part)), "spec": spec});
    let page = |kind: &str| {
        let query = format!("/{}.{kind}", project.name);
        json!({"errors": {"status": ["503"], "query": query, "service": {"name": NAME, "port": "http"}}})
    };
    let headers = json!({"Retry-After": mark.retry_after(), "Cache-Control": "no-store", (HEADER): "on"});
    let mut objects = vec![
        middleware("headers", json!({"headers": {"customResponseHeaders": headers}})),
        middleware("html", page("html")),
        middleware("json", page("json")),
        middleware("closed", json!({"ipAllowList": {"sourceRange": [NO_CLIENT], "rejectStatusCode": 503}})),
    ];
    for (number, (entry_points, group)) in grouped(routes).into_iter().enumerate() {
        let rules: Vec<Value> = group.iter().flat_map(|route| rules(route, name)).collect();
        let options = group.iter().find_map(|route| route.tls_options.clone());
        // An entry point whose TLS is not its own setting has other routes for it.
        for (part, tls) in
            [("", None), ("-tls", Some(options.map_or(json!({}), |options| json!({"options": options}))))]
        {
            let mut spec = json!({"routes": rules});
            if !entry_points.is_empty() {
                spec["entryPoints"] = json!(entry_points);
            }
            if let Some(tls) = tls {
                spec["tls"] = tls;
            }
            let mut metadata = metadata(project, &name(&format!("{number}{part}")));
            metadata["annotations"] = json!({(labels::MAINTENANCE): json!(mark).to_string()});
            objects.push(json!({"apiVersion": TRAEFIK, "kind": "IngressRoute", "metadata": metadata, "spec": spec}));
        }
    }
    objects
}

fn grouped(routes: &[ClosedRoute]) -> BTreeMap<&[String], Vec<&ClosedRoute>> {
    let mut groups: BTreeMap<&[String], Vec<&ClosedRoute>> = BTreeMap::new();
    for route in routes {
        groups.entry(&route.entry_points).or_default().push(route);
    }
    groups
}

/// A rule for browsers, and one with a higher priority for clients that accept JSON.
fn rules(route: &ClosedRoute, name: impl Fn(&str) -> String) -> [Value; 2] {
    let rule = |matched: String, priority: i64, page: &str| {
        let middlewares = ["headers", page, "closed"].map(|part| json!({"name": name(part)}));
        // Nothing gets as far as the service.
        let services = json!([{"name": "noop@internal", "kind": "TraefikService"}]);
        json!({"kind": "Rule", "match": matched, "priority": priority, "middlewares": middlewares, "services": services})
    };
    let for_json = format!("{} && HeaderRegexp(`Accept`, `application/json`)", route.rule);
    [rule(route.rule.clone(), route.priority, "html"), rule(for_json, route.priority.saturating_add(1), "json")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::tests::lines;

    fn route() -> (FoundRoutes, GatewayRoute) {
        let ingress = |project: &str, path: &str| {
            json!({"kind": "Ingress", "metadata": {"name": project, "annotations": {"meta.helm.sh/release-name": project}},
                "spec": {"rules": [{"host": "a.test", "http": {"paths": [{"path": path}]}}]}})
        };
        let found = FoundRoutes::read(&[ingress("shop", "/"), ingress("api", "/api")]);
        let route = found.routes[0].clone();
        (found, route)
    }

    fn closing() -> ProjectClosing {
        let (found, route) = route();
        let set = |text: &str| BTreeSet::from([text.to_owned()]);
        ProjectClosing {
            project: ReleaseKey::new("tunes", "shop"),
            mark: serde_json::from_value(json!({"since": "2026-11-27T03:00:00Z", "by": "ann"})).unwrap(),
            routes: vec![ClosedRoute::new(&found, &route, &set("10.0.0.0/8"), &set("/healthz"))],
            urls: Vec::new(),
        }
    }

    fn page() -> MaintenancePage {
        let texts = MaintenanceTexts { html: "<p>".to_owned(), json: "{}".to_owned() };
        MaintenancePage {
            namespace: "tunes".to_owned(),
            image: "busybox".to_owned(),
            texts: BTreeMap::from([("shop".to_owned(), texts)]),
        }
    }

    #[test]
    fn what_passes_takes_the_projects_own_route() {
        assert_eq!(
            closing().routes[0].rule,
            "(Host(`a.test`) && PathPrefix(`/`)) && !(Host(`a.test`) && PathPrefix(`/api`)) && \
             (Header(`cmdr-maintenance`, `check`) || !(ClientIP(`10.0.0.0/8`) || Path(`/healthz`)))"
        );
        let (found, route) = route();
        let closed = ClosedRoute::new(&found, &route, &BTreeSet::new(), &BTreeSet::new());
        assert!(!closed.rule.contains("Header"), "nothing passes: {}", closed.rule);
    }

    #[test]
    fn middlewares_come_before_the_routes_that_use_them() {
        let objects = objects(&closing());
        let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Middleware", "Middleware", "Middleware", "Middleware", "IngressRoute", "IngressRoute"]);
        assert_eq!(objects[5]["spec"]["tls"], json!({}));
        assert!(objects[4]["metadata"]["annotations"][labels::MAINTENANCE].as_str().unwrap().contains("ann"));
        let rules = objects[4]["spec"]["routes"].as_array().unwrap();
        assert!(rules[1]["priority"].as_i64() > rules[0]["priority"].as_i64());
    }

    #[test]
    fn the_page_is_ready_before_a_route_is_closed_and_goes_after_the_last() {
        assert_eq!(
            lines(&close(vec![closing()], &page())),
            ["connect cluster <- ", "prepare maintenance page <- cluster", "close shop <- maintenance page"]
        );
        let opening = ProjectOpening { project: ReleaseKey::new("tunes", "shop"), urls: Vec::new() };
        assert_eq!(
            lines(&open("tunes", vec![opening], true)),
            ["connect cluster <- ", "open shop <- cluster", "remove maintenance page <- cluster, shop"]
        );
    }
}
