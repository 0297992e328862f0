//! Validates the networks of the local cluster.

use crate::config::{error::ConfigError, read::networks, sources::Sources};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for (_, entry) in sources.entries("environments") {
        let networks = networks(entry);
        let Some(written) = entry.get("pods").or_else(|| entry.get("services")) else { continue };
        if networks.pods.overlaps(&networks.services) {
            let message =
                format!("the networks of Pods ({}) and Services ({}) overlap", networks.pods, networks.services);
            let expected = "expected two networks without common addresses";
            found.push(ConfigError::error(written.location(), message, expected));
        }
    }
}
