//! The built-in platform: charts, versions and values.

use serde_json::json;

use super::{Chart, ChartSource, Values, values, yaml};

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
