//! The ports of projects that a local cluster publishes on this machine.

use super::{Plan, Step, StepId, up::ObservedCluster};
use crate::domain::exposed::{Forwarder, ObservedForwarder};

/// Adds the step that publishes the described ports, or removes what published others, if one is needed. It does not
/// wait for projects: a port refers to its Service as soon as there is one.
pub(super) fn add_ports(
    plan: &mut Plan,
    (wanted, found): (&Forwarder, Option<&ObservedForwarder>),
    observed: ObservedCluster,
    cluster: StepId,
) {
    if let Some(why) = difference(wanted, found, observed) {
        let step = Step::PublishPorts(wanted.clone());
        let list: Vec<String> = wanted.forwards.iter().map(ToString::to_string).collect();
        let reason = if list.is_empty() { why.to_owned() } else { format!("{}: {why}", list.join(", ")) };
        plan.add(step, reason, [cluster]);
    }
}

/// Returns how what publishes ports differs from what is described.
pub fn difference(
    wanted: &Forwarder,
    found: Option<&ObservedForwarder>,
    cluster: ObservedCluster,
) -> Option<&'static str> {
    match found {
        None if wanted.forwards.is_empty() => None,
        Some(_) if wanted.forwards.is_empty() => Some("no port is exposed any more"),
        // It is deleted with the cluster.
        _ if cluster != ObservedCluster::Running => Some("not published yet"),
        None => Some("not published yet"),
        Some(found) if found.checksum != wanted.checksum() => Some("other ports are published"),
        Some(found) if !found.is_running => Some("its container is not running"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Name,
        cluster_networks::ClusterNetworks,
        exposed::{Forward, Protocol, PublishedPort},
    };

    fn forwarder(numbers: &[u16]) -> Forwarder {
        let published = |number: &u16| PublishedPort { number: *number, protocol: Protocol::Tcp };
        let forward = |number: &u16| Forward {
            published: published(number),
            written: published(number),
            project: Name::new("postgres").unwrap(),
            host: "postgres.tunes.svc.cluster.local".to_owned(),
            port: 5432,
        };
        Forwarder { networks: ClusterNetworks::default(), forwards: numbers.iter().map(forward).collect() }
    }

    fn running(forwarder: &Forwarder) -> ObservedForwarder {
        ObservedForwarder {
            name: "tunes-ports".to_owned(),
            workspace: "tunes".to_owned(),
            copy: None,
            checksum: forwarder.checksum(),
            is_running: true,
            ports: Vec::new(),
            replaced: Vec::new(),
        }
    }

    #[test]
    fn only_a_difference_needs_a_step() {
        let (wanted, nothing) = (forwarder(&[5432]), forwarder(&[]));
        let found = running(&wanted);
        let difference = |wanted: &Forwarder, found: Option<&ObservedForwarder>| {
            super::difference(wanted, found, ObservedCluster::Running).is_some()
        };
        assert!(!difference(&wanted, Some(&found)) && !difference(&nothing, None));
        assert!(difference(&wanted, None) && difference(&nothing, Some(&found)));
        assert!(difference(&forwarder(&[5433]), Some(&found)));
        assert!(difference(&wanted, Some(&ObservedForwarder { is_running: false, ..found.clone() })));
        assert!(super::difference(&wanted, Some(&found), ObservedCluster::GivenUp).is_some());
    }
}
