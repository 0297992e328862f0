//! The platform: the built-in charts, versions and values, and the releases of an environment.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Chart, ChartSource, Environment, Name, Platform, PlatformRelease, Presence, Values, Workspace, local_certificate,
    values, yaml,
};

/// One built-in release of the platform.
#[derive(Debug, Clone)]
pub struct PlatformDefault {
    /// The release's name, and its key under `platform` in projects.yaml.
    pub name: &'static str,
    pub namespace: &'static str,
    repository: &'static str,
    version: &'static str,
    values: &'static str,
    /// Merged over `values` if a cloud provides the load balancer.
    cloud_values: &'static str,
    /// Only installed if no cloud assigns addresses to LoadBalancer services.
    pub is_local_only: bool,
    /// Its pods need the host network, which Pod Security must allow.
    pub is_privileged: bool,
}

/// The name of the release that routes requests.
pub const INGRESS: &str = "traefik";
/// The port of its entry point for HTTPS in its pods, from the values of its chart.
pub const HTTPS_PORT: u16 = 8443;

/// In the order in which they are shown.
pub const PLATFORM: &[PlatformDefault] = &[
    PlatformDefault {
        name: "metallb",
        namespace: "metallb-system",
        repository: "https://metallb.github.io/metallb",
        version: "0.15.2",
        values: include_str!("../../platform/metallb.yaml"),
        cloud_values: "{}",
        is_local_only: true,
        is_privileged: true,
    },
    PlatformDefault {
        name: "traefik",
        namespace: "traefik",
        repository: "https://traefik.github.io/charts",
        version: "41.3.0",
        values: include_str!("../../platform/traefik.yaml"),
        cloud_values: include_str!("../../platform/traefik-cloud.yaml"),
        is_local_only: false,
        is_privileged: false,
    },
];

impl PlatformDefault {
    pub fn chart(&self) -> Chart {
        let source = ChartSource::Repository { url: self.repository.to_owned(), name: self.name.to_owned() };
        Chart { source, version: Some(self.version.to_owned()) }
    }

    fn unwritten(&self, node_ports: Option<(u16, u16)>) -> ResolvedPlatform {
        ResolvedPlatform {
            name: self.name.to_owned(),
            namespace: self.namespace.to_owned(),
            chart: self.chart(),
            values: self.values(node_ports),
            needs: Vec::new(),
            is_added: false,
            is_privileged: self.is_privileged,
        }
    }

    /// Returns the built-in values. With node ports, which a local cluster publishes, they are set for Traefik. Without
    /// node ports, the values for the cloud's load balancer are added.
    ///
    /// # Panics
    /// If the embedded file is not a YAML map, which a test rules out.
    pub fn values(&self, node_ports: Option<(u16, u16)>) -> Values {
        let read = |text| yaml::read::<Values>(text).expect("the platform's values are a map");
        let mut values = read(self.values);
        if node_ports.is_none() {
            values::merge(&mut values, &read(self.cloud_values));
        }
        if let Some((http, https)) = node_ports.filter(|_| self.name == "traefik") {
            let ports = json!({"ports": {"web": {"nodePort": http}, "websecure": {"nodePort": https}}});
            values::merge(&mut values, ports.as_object().unwrap_or(&Values::new()));
        }
        values
    }
}

/// A release of the platform in one environment.
#[derive(Debug, Clone)]
pub struct ResolvedPlatform {
    pub name: String,
    pub namespace: String,
    pub chart: Chart,
    /// All layers merged, except the chart's defaults.
    pub values: Values,
    /// The platform releases that must be ready before this one is installed.
    pub needs: Vec<Name>,
    /// Added by the workspace: projects wait for it.
    pub is_added: bool,
    /// Its pods need the host network.
    pub is_privileged: bool,
}

impl ResolvedPlatform {
    /// Its name in the ledger.
    pub fn key(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// Adds what the workspace writes about a release, for this environment. `None` if it is not installed there.
    fn with(mut self, written: &PlatformRelease, environment: &Environment, is_default: bool) -> Option<Self> {
        let overrides = || environment.overrides().filter_map(|name| written.environments.get(name));
        let decided = overrides().filter_map(|over| over.enabled).next_back();
        if !decided.unwrap_or(is_default && !written.is_disabled) {
            return None;
        }
        let chart = overrides().filter_map(|over| over.chart.as_ref()).next_back().or(written.chart.as_ref());
        self.chart = chart.cloned().unwrap_or(self.chart);
        self.namespace = written.namespace.clone().unwrap_or(self.namespace);
        self.needs.clone_from(&written.needs);
        values::merge(&mut self.values, &written.values);
        overrides().for_each(|over| values::merge(&mut self.values, &over.values));
        Some(self)
    }
}

/// Returns the releases that cmdr installs in an environment: its own with the workspace's changes, then those that the
/// workspace adds. `node_ports` as in [`PlatformDefault::values`].
pub fn resolve_platform(
    workspace: &Workspace,
    environment: &Environment,
    node_ports: Option<(u16, u16)>,
) -> Vec<ResolvedPlatform> {
    // A review environment uses the platform of the environment that it copies.
    if environment.copy.is_some() {
        return Vec::new();
    }
    let is_managed = environment.platform == Platform::Cmdr;
    let unwritten = PlatformRelease::default();
    let gateway = gateway_values(workspace, environment);
    let own = PLATFORM.iter().filter_map(|release| {
        let written = workspace.platform.get(release.name).unwrap_or(&unwritten);
        let is_default = is_managed && (environment.is_local() || !release.is_local_only);
        let mut own = release.unwritten(node_ports);
        if release.name == INGRESS {
            values::merge(&mut own.values, &gateway);
        }
        own.with(written, environment, is_default)
    });
    let is_added = |(name, _): &(&Name, &PlatformRelease)| !PLATFORM.iter().any(|own| own.name == name.as_str());
    let added = workspace.platform.iter().filter(is_added).filter_map(|(name, written)| {
        let unwritten = ResolvedPlatform {
            name: name.to_string(),
            namespace: name.to_string(),
            chart: written.chart.clone()?,
            values: Values::new(),
            needs: Vec::new(),
            is_added: true,
            is_privileged: false,
        };
        unwritten.with(written, environment, is_managed)
    });
    own.chain(added).collect()
}

/// What Traefik needs for routes of the Gateway API; empty if no project has one, because it would watch kinds that the
/// cluster may not have.
fn gateway_values(workspace: &Workspace, environment: &Environment) -> Values {
    let projects = workspace.projects.values().map(|project| project.overridden(environment));
    let own: BTreeSet<String> = projects
        .filter(|project| project.presence != Presence::Disabled)
        .flat_map(|project| project.routes.into_values())
        .filter_map(|route| Some(route.settings.get("kind")?.as_str()?.to_owned()).or(environment.route_kind.clone()))
        .collect();
    if !["HTTPRoute", "GRPCRoute", "TCPRoute"].iter().any(|kind| own.contains(*kind)) {
        return Values::new();
    }
    let provider = json!({"enabled": true, "experimentalChannel": own.contains("TCPRoute")});
    let mut listeners = json!({"web": {"namespacePolicy": {"from": "All"}}});
    if environment.is_local() {
        listeners["websecure"] = json!({
            "port": HTTPS_PORT,
            "protocol": "HTTPS",
            "mode": "Terminate",
            "certificateRefs": [{"name": local_certificate::SECRET}],
            "namespacePolicy": {"from": "All"},
        });
    }
    let values = json!({"providers": {"kubernetesGateway": provider}, "gateway": {"listeners": listeners}});
    values.as_object().cloned().unwrap_or_default()
}

/// The namespace of a release of the platform, whether or not cmdr installs it.
pub fn namespace_of(workspace: &Workspace, release: &str) -> String {
    let written = workspace.platform.get(release).and_then(|release| release.namespace.clone());
    let own = PLATFORM.iter().find(|own| own.name == release).map(|own| own.namespace.to_owned());
    written.or(own).unwrap_or_else(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_whole() {
        for release in PLATFORM {
            assert!(!release.values(None).is_empty(), "{}", release.name);
        }
        let traefik = PLATFORM[1].values(Some((30001, 30002)));
        assert_eq!(traefik["ports"]["web"]["nodePort"], 30001);
        assert!(traefik["service"].get("annotations").is_none());
        let traefik = PLATFORM[1].values(None);
        assert_eq!(traefik["service"]["spec"]["externalTrafficPolicy"], "Local");
        assert!(traefik["service"]["annotations"].as_object().is_some_and(|annotations| annotations.len() > 3));
    }
}
