//! Waits until a load balancer assigns an address to a Service.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{LOOK, Runner};
use crate::{
    adapters::{
        cluster::{Balancer, Object},
        wait::{Wait, WaitError, every},
    },
    domain::Problem,
    engine::{Reporter, StepFailure},
    plan::up::INGRESS,
};

/// If no controller has noticed a Service after this time, there is none: they react within a second.
const NOTICED: Duration = Duration::from_secs(20);

impl Runner {
    /// # Errors
    /// If there is no load balancer, or it assigns no address in time.
    pub(super) async fn await_address(
        &self,
        service: &Object,
        timeout_seconds: u64,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let cluster = &self.connected()?.cluster;
        let (mut wait, start) = (Wait::new(every(LOOK), Duration::from_secs(timeout_seconds)), Instant::now());
        // In a local cluster, MetalLB may still be starting.
        let mut is_noticed = self.local.is_some();
        reporter.progress("waiting for an address");
        while cluster.service_address(&service.namespace, &service.name).await?.is_none() {
            let is_over = match wait.pause_or((), cancel).await {
                Err(WaitError::Interrupted) => return Err(StepFailure::Interrupted),
                Err(WaitError::Limit(())) => true,
                Ok(()) => false,
            };
            if is_over || !is_noticed && start.elapsed() >= NOTICED {
                let (balancer, warnings) = cluster.balancer(service).await?;
                is_noticed = balancer != Balancer::Missing;
                if is_over || !is_noticed {
                    return Err(no_address(service, balancer, warnings).into());
                }
            }
        }
        Ok(())
    }
}

fn no_address(service: &Object, balancer: Balancer, warnings: Vec<String>) -> Problem {
    let name = &service.name;
    let problem = match balancer {
        Balancer::MetalLb => Problem::new(format!("MetalLB assigned no address to service {name}"))
            .help("check MetalLB's pods and its address pools: kubectl get pods,ipaddresspools -A"),
        Balancer::Other => Problem::new(format!("the load balancer assigned no address to service {name}"))
            .help(format!("check its events: kubectl -n {} describe service {name}", service.namespace)),
        Balancer::Missing if name == INGRESS => {
            Problem::new(format!("the cluster has no load balancer that assigns an address to service {name}")).help(
                "choose one: 'platform: external' for an environment with an ingress controller of its own; node \
                 ports (platform.traefik.values: {service: {spec: {type: NodePort}}}); or install a load balancer, \
                 such as MetalLB or cloud-provider-kind for a kind cluster (docs/troubleshooting.md)",
            )
        }
        Balancer::Missing => {
            Problem::new(format!("the cluster has no load balancer that assigns an address to service {name}"))
                .help("use another type of Service, or install a load balancer of the Service's class")
        }
    };
    Problem { details: warnings, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metallb_is_named_only_where_it_is() {
        let service = Object { name: "traefik".to_owned(), namespace: "traefik".to_owned(), ..Object::default() };
        let of = |balancer| no_address(&service, balancer, Vec::new());
        assert!(of(Balancer::MetalLb).message.contains("MetalLB"));
        let other = of(Balancer::Other);
        assert!(!format!("{other:?}").contains("MetalLB"));
        let missing = of(Balancer::Missing).help.unwrap();
        for choice in ["platform: external", "NodePort", "MetalLB"] {
            assert!(missing.contains(choice), "{missing}");
        }
    }
}
