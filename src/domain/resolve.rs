//! Resolves a workspace for one environment: merges the layers of values and completes host names.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Build, Chart, ChartSource, Check, Dev, Environment, External, ImageKey, ImageReference, ImagesIn, Name, Presence,
    Project, Route, Tls, Values, Verify, Workspace,
    images_in::Container,
    local_copy::{leave_ports_of_node, rename_hosts},
    monitoring, network_policy, objects,
    ports::{Pair, STANDARD},
    rollout::Rollout,
    shared_service, values,
    waits::resolve_waits,
};

/// The desired state of a project in one environment.
#[derive(Debug, Clone)]
pub struct ResolvedProject {
    pub name: Name,
    /// `None` if no image is set: it is built, or defined by the chart.
    pub image: Option<ImageReference>,
    pub build: Option<Build>,
    pub dev: Option<Dev>,
    pub chart: Chart,
    /// The values of a chart of its own that take the image.
    pub image_key: Option<ImageKey>,
    /// All layers merged. For the universal chart, cmdr adds `image`, `version`, `workspace` and `routes`.
    pub values: Values,
    /// Empty if the project is external.
    pub routes: Vec<ResolvedRoute>,
    pub needs: Vec<Name>,
    /// The project is managed by another tool here: no release, but a Service with its name that points there.
    pub external: Option<External>,
    pub timeout: Option<Duration>,
    pub verify: BTreeMap<Name, Verify>,
    pub rollout: Option<Rollout>,
    /// Only deployed if a command names it or one of its profiles.
    pub is_optional: bool,
    pub profiles: Vec<Name>,
    /// Whether the user's values set the version.
    version_is_written: bool,
}

/// A route with its full host and its URL check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRoute {
    pub name: Name,
    /// Empty for TCP.
    pub hosts: Vec<String>,
    /// The path that is routed to the project; how it is compared, the settings say.
    pub path: String,
    pub port: Option<String>,
    /// The path that users can request; `None` if the route is a regular expression.
    shown_path: Option<String>,
    /// The path that `up` requests: the path of the check appended to the path of the route. `None`: it requests none.
    check_path: Option<String>,
    /// The expected HTTP status; `None`: any response of the project.
    pub check_status: Option<u16>,
    /// Whether its URLs are HTTPS.
    pub is_tls: bool,
    /// Further values of the universal chart.
    settings: Values,
}

/// A URL of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteUrl {
    /// For users.
    pub shown: String,
    /// What `up` requests; `None`: nothing.
    pub checked: Option<String>,
}

impl ResolvedRoute {
    /// Returns a URL for each host. `ports` are those of the environment.
    pub fn urls(&self, ports: Pair) -> impl Iterator<Item = RouteUrl> {
        self.hosts.iter().map(move |host| RouteUrl {
            shown: url(host, (self.is_tls, ports), self.shown_path.as_deref().unwrap_or("/")),
            checked: self.check_path.as_ref().map(|path| url(host, (self.is_tls, ports), path)),
        })
    }
}

impl ResolvedProject {
    pub fn is_on_universal_chart(&self) -> bool {
        self.chart.source == ChartSource::Universal
    }

    /// Sets the version to show, independent of the image tag.
    pub fn write_version(&mut self, version: &str) {
        self.values.insert("version".to_owned(), json!(version));
        self.version_is_written = true;
    }

    /// Whether the chart runs the project's image: the universal chart, or one of its own with `chart.image`.
    pub fn takes_image(&self) -> bool {
        self.is_on_universal_chart() || self.image_key.is_some()
    }

    /// Returns the project's own image in values for its chart.
    pub fn image_in(&self, values: &Values) -> Option<ImageReference> {
        match &self.image_key {
            Some(key) => key.read(values),
            None if self.is_on_universal_chart() => ImagesIn(values).main(),
            None => None,
        }
    }

    /// Sets the image to run: after it is built, or if a deployment sets a tag.
    pub fn use_image(&mut self, image: ImageReference) {
        if let Some(key) = &self.image_key {
            key.write(&mut self.values, &image);
        } else if self.is_on_universal_chart() {
            if !self.version_is_written {
                self.values.insert("version".to_owned(), json!(image.version()));
            }
            ImagesIn(&mut self.values).set_main(&image);
        }
        self.image = Some(image);
    }

    /// Leaves the image to the default of a chart of its own.
    pub fn use_default_image(&mut self) {
        if let (Some(key), Some(_)) = (&self.image_key, self.image.take()) {
            key.clear(&mut self.values);
        }
    }

    /// Sets the image of each container for which `choose` returns one, as [`ImagesIn::replace`]. A chart of its own has
    /// no known container but the main one.
    pub fn use_images(&mut self, choose: impl Fn(Container<'_>, Option<&ImageReference>) -> Option<ImageReference>) {
        if self.is_on_universal_chart() {
            ImagesIn(&mut self.values).replace(choose);
            if let Some(image) = ImagesIn(&self.values).main() {
                self.use_image(image);
            }
        } else if let Some(image) = choose(Container::Main, self.image.as_ref()).filter(|_| self.takes_image()) {
            self.use_image(image);
        }
    }

    /// Returns all images that the project names and its chart runs: its own, and those of sidecars and init
    /// containers.
    pub fn images(&self) -> Vec<ImageReference> {
        let own = self.image.clone().filter(|_| self.takes_image());
        let beside = if self.is_on_universal_chart() { ImagesIn(&self.values).beside() } else { Vec::new() };
        own.into_iter().chain(beside).collect()
    }
}

/// The URL of a host and a path; the standard port is left out.
pub(crate) fn url(host: &str, (is_tls, ports): (bool, Pair), path: &str) -> String {
    let (scheme, port, standard) =
        if is_tls { ("https", ports.https, STANDARD.https) } else { ("http", ports.http, STANDARD.http) };
    if port == standard { format!("{scheme}://{host}{path}") } else { format!("{scheme}://{host}:{port}{path}") }
}

/// The annotations from which cert-manager creates the certificate of an Ingress.
const CLUSTER_ISSUER: &str = "cert-manager.io/cluster-issuer";
const ISSUER: &str = "cert-manager.io/issuer";

/// The host that is the domain of the environment itself.
pub const OWN_DOMAIN: &str = "@";

/// Returns the host of a route in an environment: a single label is completed with the domain, a full domain is kept,
/// and [`OWN_DOMAIN`] is the domain. `None` if there is no domain to complete it.
pub fn full_host(host: &str, domain: Option<&str>) -> Option<String> {
    match host {
        OWN_DOMAIN => domain.map(str::to_owned),
        _ if host.contains('.') => Some(host.to_owned()),
        _ => domain.map(|domain| format!("{host}.{domain}")),
    }
}

/// The host of a route in an environment. A review environment has its own, derived from that of its source:
/// `shop-fix-42.staging.example.com`, and `fix-42.staging.example.com` for [`OWN_DOMAIN`]. So has a local copy:
/// `shop.fix-42.tunes.localhost`.
fn own_host(written: &str, environment: &Environment) -> Option<String> {
    if let Some(copy) = &environment.local_copy {
        return full_host(written, copy.domain.as_deref()).map(|host| copy.host(&host));
    }
    let host = full_host(written, environment.domain.as_deref())?;
    Some(match (&environment.copy, host.split_once('.')) {
        (Some(copy), _) if written == OWN_DOMAIN => format!("{}.{host}", copy.slug),
        (Some(copy), Some((first, rest))) => format!("{first}-{}.{rest}", copy.slug),
        _ => host,
    })
}

/// Resolves the projects of the workspace that are not disabled in `environment`, by name.
pub fn resolve(workspace: &Workspace, environment: &Environment) -> Vec<ResolvedProject> {
    complete(workspace, written(workspace, environment))
}

/// The same, with values that the command line sets: `set` changes those of each project before cmdr completes them, so
/// that a key acts as in `projects.yaml`.
///
/// # Errors
/// When `set` fails.
pub fn resolve_with<E>(
    workspace: &Workspace,
    environment: &Environment,
    set: impl FnMut(&mut ResolvedProject) -> Result<(), E>,
) -> Result<Vec<ResolvedProject>, E> {
    let mut projects = written(workspace, environment);
    projects.iter_mut().try_for_each(set)?;
    Ok(complete(workspace, projects))
}

/// The projects with all layers of `projects.yaml` merged.
fn written(workspace: &Workspace, environment: &Environment) -> Vec<ResolvedProject> {
    let here = workspace.projects.values().map(|project| project.overridden(environment));
    let here = here.filter(|project| project.presence != Presence::Disabled);
    here.map(|project| resolve_project(workspace, environment, project)).collect()
}

/// Completes values that follow from other projects and from short keys.
fn complete(workspace: &Workspace, mut resolved: Vec<ResolvedProject>) -> Vec<ResolvedProject> {
    monitoring::choose_kinds(workspace, &mut resolved);
    shared_service::mark_owners(&mut resolved);
    network_policy::add_peers(workspace, &mut resolved);
    resolve_waits(&mut resolved);
    objects::complete_all(&mut resolved);
    resolved
}

/// Resolves a project as the environment describes it.
fn resolve_project(workspace: &Workspace, environment: &Environment, project: Project) -> ResolvedProject {
    let values = merged_values(workspace, environment, &project);
    let local_image = project.local_image.filter(|_| environment.is_local());
    let image = local_image.or(project.image);
    let check = project.check.unwrap_or(Check { path: "/".to_owned(), status: None });
    let own_routes = project.routes.iter().filter(|_| project.external.is_none());
    let routes = own_routes.filter_map(|(name, route)| resolve_route(environment, name, route, &check)).collect();
    let mut resolved = ResolvedProject {
        name: project.name,
        image: None,
        build: project.build,
        dev: project.dev,
        chart: project.chart,
        image_key: project.image_key,
        version_is_written: values.contains_key("version"),
        values,
        routes,
        needs: project.needs,
        external: project.external,
        timeout: project.timeout,
        verify: project.verify,
        rollout: project.rollout,
        is_optional: project.presence == Presence::Optional,
        profiles: project.profiles,
    };
    if resolved.is_on_universal_chart() {
        if let Some(copy) = &environment.local_copy {
            leave_ports_of_node(&mut resolved.values);
            rename_hosts(&mut resolved.values, copy);
        }
        add_own_values(&mut resolved, workspace, environment.tls.as_ref());
    }
    if let Some(image) = image {
        resolved.use_image(image);
    }
    resolved
}

/// Merges all layers of values except the chart's defaults and `--set`.
fn merged_values(workspace: &Workspace, environment: &Environment, project: &Project) -> Values {
    let universal = project.chart.source == ChartSource::Universal;
    let shared = [Some(&workspace.defaults).filter(|_| universal), Some(&project.values)];
    let overrides = environment.overrides().filter_map(|name| project.environments.get(name)).map(|over| &over.values);
    let local = Some(&project.local_values).filter(|_| environment.is_local());
    values::merged(shared.into_iter().flatten().chain(overrides).chain(local))
}

fn resolve_route(environment: &Environment, name: &Name, route: &Route, check: &Check) -> Option<ResolvedRoute> {
    let below = if check.path == "/" { "" } else { check.path.as_str() };
    // A regular expression is no path that can be requested: then the check has the whole path, if it has one.
    let is_regex = route.settings.get("match").is_some_and(|compared| compared == "regex");
    let shown_path = Some(route.path.clone()).filter(|_| !is_regex);
    let check_path = match &shown_path {
        None => Some(below.to_owned()).filter(|path| !path.is_empty()),
        Some(path) if below.is_empty() => Some(path.clone()),
        Some(path) => Some(format!("{}{below}", path.trim_end_matches('/'))),
    };
    let hosts = route.hosts.iter().map(|host| own_host(host, environment)).collect::<Option<Vec<_>>>()?;
    let mut settings = route.settings.clone();
    if let Some(kind) = &environment.route_kind {
        settings.entry("kind").or_insert_with(|| json!(kind));
    }
    if let Some(port) = environment.https_port.filter(|port| *port != STANDARD.https) {
        redirect_to(&mut settings, port);
    }
    Some(ResolvedRoute {
        name: name.clone(),
        hosts,
        path: route.path.clone(),
        port: route.port.clone(),
        shown_path,
        check_path: check_path.filter(|_| route.is_checked),
        check_status: check.status,
        is_tls: environment.tls.is_some(),
        settings,
    })
}

/// Traefik redirects to the standard port unless the middleware names another one.
fn redirect_to(settings: &mut Values, port: u16) {
    let Some(Value::Object(middlewares)) = settings.get_mut("middlewares") else { return };
    if middlewares.get("redirect").is_some_and(|scheme| scheme == "https") {
        middlewares.remove("redirect");
        let redirection = json!({"scheme": "https", "permanent": true, "port": port.to_string()});
        middlewares.entry("redirectScheme").or_insert(redirection);
    }
}

/// Adds the values that cmdr sets for the universal chart; user values take precedence.
fn add_own_values(project: &mut ResolvedProject, workspace: &Workspace, tls: Option<&Tls>) {
    let mut own = Values::new();
    own.insert("workspace".to_owned(), json!(workspace.name));
    if let Some(timeout) = project.timeout {
        own.insert("progressDeadline".to_owned(), json!(timeout.as_secs().max(1)));
    }
    let value = |route: &ResolvedRoute| (route.name.to_string(), route_value(&project.name, route, tls));
    let routes: Values = project.routes.iter().map(value).collect();
    if !routes.is_empty() {
        own.insert("routes".to_owned(), Value::Object(routes));
    }
    values::merge(&mut own, &project.values);
    project.values = own;
    let written = project.values.get("routes").cloned().unwrap_or_default();
    for route in &mut project.routes {
        route.is_tls |= matches!(&written[route.name.as_str()]["tls"], Value::Bool(true) | Value::String(_));
    }
}

/// The chart's value of a route. The certificate of a local cluster is the default of its ingress controller.
fn route_value(project: &Name, route: &ResolvedRoute, tls: Option<&Tls>) -> Value {
    let mut value = Values::new();
    let kind = route.settings.get("kind").and_then(Value::as_str).unwrap_or("Ingress");
    // A Gateway that cmdr does not create has the certificates of its hosts.
    let has_other_gateway = kind == "TCPRoute" || route.settings.contains_key("gateway");
    match tls.filter(|_| !has_other_gateway) {
        None | Some(Tls::Local) => (),
        Some(Tls::Secret(name)) => _ = value.insert("tls".to_owned(), json!(name)),
        Some(Tls::Issuer { name, is_namespaced }) => {
            let (annotation, of_issuer) =
                if *is_namespaced { (ISSUER, "Issuer") } else { (CLUSTER_ISSUER, "ClusterIssuer") };
            value.insert("tls".to_owned(), json!(format!("{project}-{}-tls", route.name)));
            match kind {
                "Ingress" => value.insert("annotations".to_owned(), json!({(annotation): name})),
                _ => value.insert("issuer".to_owned(), json!({"name": name, "kind": of_issuer})),
            };
        }
    }
    values::merge(&mut value, &route.settings);
    value.insert("path".to_owned(), json!(route.path));
    if let Some((first, further)) = route.hosts.split_first() {
        value.insert("host".to_owned(), json!(first));
        if !further.is_empty() {
            let further: Values = further.iter().map(|host| (host.clone(), json!(true))).collect();
            value.insert("hosts".to_owned(), Value::Object(further));
        }
    }
    if let Some(port) = &route.port {
        value.insert("port".to_owned(), json!(port));
    }
    Value::Object(value)
}

#[cfg(test)]
impl ResolvedRoute {
    /// A route of a host, as `host` of a project.
    pub fn of(host: &str) -> Self {
        Self {
            name: Name::new("web").expect("a name"),
            hosts: vec![host.to_owned()],
            path: "/".to_owned(),
            port: None,
            shown_path: Some("/".to_owned()),
            check_path: Some("/".to_owned()),
            check_status: None,
            is_tls: false,
            settings: Values::new(),
        }
    }
}

#[cfg(test)]
impl ResolvedProject {
    /// A project with only a chart and values.
    pub fn bare(name: Name, chart: Chart, values: Values) -> Self {
        Self {
            name,
            image: None,
            build: None,
            dev: None,
            chart,
            image_key: None,
            values,
            routes: Vec::new(),
            needs: Vec::new(),
            external: None,
            timeout: None,
            verify: BTreeMap::new(),
            rollout: None,
            is_optional: false,
            profiles: Vec::new(),
            version_is_written: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_label_is_completed_and_a_domain_stays() {
        assert_eq!(full_host("shop", Some("tunes.localhost")), Some("shop.tunes.localhost".to_owned()));
        assert_eq!(full_host("shop.example.com", None), Some("shop.example.com".to_owned()));
        assert_eq!(full_host("shop", None), None);
        assert_eq!(full_host("@", Some("tunes.localhost")), Some("tunes.localhost".to_owned()));
        assert_eq!(full_host("@", None), None);
    }

    #[test]
    fn the_deadline_of_a_deployment_is_the_timeout_unless_it_is_written() {
        let deadline = |values: Values| {
            let chart = Chart { source: ChartSource::Universal, version: None };
            let mut project = ResolvedProject::bare(Name::new("shop").unwrap(), chart, values);
            project.timeout = Some(Duration::from_mins(5));
            let workspace = Workspace {
                maintenance: crate::domain::maintenance::MaintenanceSettings::default(),
                name: Name::new("tunes").unwrap(),
                root: std::path::PathBuf::new(),
                environments: BTreeMap::new(),
                defaults: Values::new(),
                platform: BTreeMap::new(),
                projects: BTreeMap::new(),
                bundles: BTreeMap::new(),
                procedures: BTreeMap::new(),
                templates: BTreeMap::new(),
            };
            add_own_values(&mut project, &workspace, None);
            project.values["progressDeadline"].clone()
        };
        assert_eq!(deadline(Values::new()), 300);
        assert_eq!(deadline(Values::from_iter([("progressDeadline".to_owned(), json!(60))])), 60);
    }

    #[test]
    fn a_redirection_names_a_port_that_is_not_the_standard_one() {
        let mut settings =
            Values::from_iter([("middlewares".to_owned(), json!({"redirect": "https", "compress": true}))]);
        redirect_to(&mut settings, 8443);
        let redirection = json!({"scheme": "https", "permanent": true, "port": "8443"});
        assert_eq!(settings["middlewares"], json!({"redirectScheme": redirection, "compress": true}));
    }

    #[test]
    fn the_port_is_written_when_it_is_not_80() {
        let other = Pair { http: 8080, https: 8443 };
        assert_eq!(url("a.localhost", (false, STANDARD), "/"), "http://a.localhost/");
        assert_eq!(url("a.localhost", (false, other), "/x"), "http://a.localhost:8080/x");
        assert_eq!(url("a.localhost", (true, STANDARD), "/"), "https://a.localhost/");
        assert_eq!(url("a.localhost", (true, other), "/x"), "https://a.localhost:8443/x");
    }
}
