//! Addresses of LoadBalancer Services in a local cluster.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &METALLB_EXHAUSTED,
    &KnownCause {
        code: "C231",
        name: "metallb-no-pool",
        sources: &[CauseSource::Service],
        parts: &["no IPAddressPool", "unknown pool"],
        message: "MetalLB has no address pool for service {name}",
        remedy: "run cmdr up to create the pool again, or check the selectors of the pools: kubectl get \
            ipaddresspools -A -o yaml",
        explanation: "No pool exists, or no pool's selectors match the Service and its namespace.",
        example: "Failed to allocate IP for \"shop/shop\": no IPAddressPool matches",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C232",
        name: "metallb-address-refused",
        sources: &[CauseSource::Service],
        parts: &["can't change sharing key", "is not allowed in config", "not in pool"],
        message: "MetalLB cannot assign the requested address of service {name}",
        remedy: "choose a free address of a pool, or leave out loadBalancerIP; to share one, set \
            metallb.io/allow-shared-ip on both Services",
        explanation: "The Service requests a certain address that is in use or in no pool.",
        example: "Failed to allocate IP for \"shop/shop\": can't change sharing key for \"shop/shop\", address also in \
            use by traefik/traefik",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &METALLB_NO_ADDRESS,
    &KnownCause {
        code: "C234",
        name: "metallb-webhook-unready",
        sources: &[CauseSource::Refusal],
        parts: &["ipaddresspoolvalidationwebhook", "l2advertisementvalidationwebhook"],
        message: "MetalLB's webhook does not respond yet",
        remedy: "wait a moment and run cmdr up again; if it lasts, see the log of MetalLB's controller",
        explanation: "MetalLB reports ready before its webhook has a certificate. cmdr repeats the request.",
        example: "failed calling webhook \"ipaddresspoolvalidationwebhook.metallb.io\": x509: certificate signed by \
            unknown authority",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C235",
        name: "metallb-node-excluded",
        sources: &[CauseSource::Service],
        parts: &["exclude-from-external-load-balancers"],
        message: "the nodes are excluded from load balancers",
        remedy: "remove the label: kubectl label nodes --all node.kubernetes.io/exclude-from-external-load-balancers-",
        explanation: "MetalLB announces no address from nodes with this label, which kubeadm sets on control planes.",
        example: "node has label node.kubernetes.io/exclude-from-external-load-balancers",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
];

/// MetalLB's pools have no free address.
pub static METALLB_EXHAUSTED: KnownCause = KnownCause {
    code: "C230",
    name: "metallb-pool-exhausted",
    sources: &[CauseSource::Service],
    parts: &["no available IPs"],
    message: "MetalLB has no free address for service {name}",
    remedy: "give fewer Services the type LoadBalancer, or add a larger IPAddressPool: kubectl get ipaddresspools -A",
    explanation: "Each Service of type LoadBalancer takes one address of a pool.",
    example: "Failed to allocate IP for \"shop/shop\": no available IPs",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// MetalLB assigns no address.
pub static METALLB_NO_ADDRESS: KnownCause = KnownCause {
    code: "C233",
    name: "metallb-no-address",
    sources: &[CauseSource::Run],
    message: "MetalLB assigned no address to service {name}",
    remedy: "check MetalLB's pods and its address pools: kubectl get pods,ipaddresspools -A",
    explanation: "The controller of MetalLB assigns addresses. It does not run, or its configuration is not valid.",
    example: "EXTERNAL-IP: <pending>",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};
