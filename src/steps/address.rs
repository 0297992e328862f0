//! Waits until a load balancer assigns an address to a Service.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{LOOK, Runner};
use crate::{
    adapters::{
        cluster::{Balancer, Object},
        wait::{Wait, WaitError, every},
    },
    domain::{
        Problem,
        causes::{
            self, CauseSource,
            metallb::METALLB_NO_ADDRESS,
            network::{ADDRESS_NOT_ASSIGNED, LOAD_BALANCER_MISSING},
        },
        wait_reason::WaitReason,
    },
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
        reporter.waits_for(WaitReason::Address { service: service.name.clone() });
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
    let values = [("name", service.name.as_str()), ("namespace", service.namespace.as_str())];
    let in_events = warnings.iter().find_map(|warning| causes::find(CauseSource::Service, warning));
    let problem = match balancer {
        Balancer::MetalLb => in_events.unwrap_or(&METALLB_NO_ADDRESS).problem(&values),
        Balancer::Other => ADDRESS_NOT_ASSIGNED.problem(&values),
        Balancer::Missing if service.name == INGRESS => LOAD_BALANCER_MISSING.problem(&values).help(
            "choose one: 'platform: external' for an environment with an ingress controller of its own; node ports \
             (platform.traefik.values: {service: {spec: {type: NodePort}}}); or install a load balancer, such as MetalLB \
             or cloud-provider-kind for a kind cluster (docs/troubleshooting.md)",
        ),
        Balancer::Missing => LOAD_BALANCER_MISSING.problem(&values),
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
        let codes = [Balancer::MetalLb, Balancer::Missing, Balancer::Other].map(|balancer| of(balancer).code.unwrap());
        assert_eq!(codes, ["C233", "C138", "C139"]);
        let other = of(Balancer::Other);
        assert!(!format!("{other:?}").contains("MetalLB"));
        let missing = of(Balancer::Missing).help.unwrap();
        for choice in ["platform: external", "NodePort", "MetalLB"] {
            assert!(missing.contains(choice), "{missing}");
        }
    }
}
