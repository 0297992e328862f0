//! The platform that cmdr brings along: which charts, at which versions, with which values.

use serde_json::json;

use super::{Chart, ChartSource, Values, values};

/// One release of the platform.
#[derive(Debug, Clone)]
pub struct PlatformDefault {
    /// The release's name, and its key under `platform` in projects.yaml.
    pub name: &'static str,
    pub namespace: &'static str,
    repository: &'static str,
    version: &'static str,
    values: &'static str,
    /// Only where no cloud gives LoadBalancer services their addresses.
    pub is_local_only: bool,
    /// Its pods need the host's network, which Pod Security must allow.
    pub is_privileged: bool,
}

/// In the order in which they are told.
pub const PLATFORM: &[PlatformDefault] = &[
    PlatformDefault {
        name: "metallb",
        namespace: "metallb-system",
        repository: "https://metallb.github.io/metallb",
        version: "0.15.2",
        values: include_str!("../../platform/metallb.yaml"),
        is_local_only: true,
        is_privileged: true,
    },
    PlatformDefault {
        name: "traefik",
        namespace: "traefik",
        repository: "https://traefik.github.io/charts",
        version: "41.3.0",
        values: include_str!("../../platform/traefik.yaml"),
        is_local_only: false,
        is_privileged: false,
    },
];

impl PlatformDefault {
    pub fn chart(&self) -> Chart {
        let source = ChartSource::Repository { url: self.repository.to_owned(), name: self.name.to_owned() };
        Chart { source, version: Some(self.version.to_owned()) }
    }

    /// The values of cmdr's own; locally Traefik also takes the node ports that the cluster publishes.
    ///
    /// # Panics
    /// When the file that cmdr was built with is no map of YAML, which a test rules out.
    pub fn values(&self, node_ports: Option<(u16, u16)>) -> Values {
        let mut values: Values = serde_yaml::from_str(self.values).expect("the platform's values are a map");
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
        let traefik = PLATFORM[1].values(Some((30080, 30443)));
        assert_eq!(traefik["ports"]["web"]["nodePort"], 30080);
    }
}
