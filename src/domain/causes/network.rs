//! Pod networks, DNS, routes, URLs and certificates.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C130",
        name: "pod-addresses-exhausted",
        sources: &[CauseSource::State],
        reasons: &["FailedCreatePodSandBox"],
        parts: &["no IP addresses available"],
        message: "the node has no free address for the pod: {message}",
        remedy: "end pods, or create the cluster with a larger network: environments.local.pods",
        explanation: "Each node has a range of pod addresses. Pods that ended without cleanup can also hold addresses \
            until the node restarts.",
        example: "plugin type=\"host-local\" failed (add): failed to allocate for range 0: no IP addresses available \
            in range set: 10.244.0.1-10.244.0.254",
        budget: GiveUpAfter::Timeout,
    },
    &KnownCause {
        code: "C131",
        name: "network-plugin-missing",
        sources: &[CauseSource::State],
        reasons: &["FailedCreatePodSandBox"],
        parts: &[
            "cni plugin not initialized",
            "cni config uninitialized",
            "failed to find plugin",
            "/var/lib/calico/nodename",
        ],
        message: "the network plugin of the node is not ready: {message}",
        remedy: "wait while the node starts; if it lasts, check the network plugin: kubectl -n kube-system get pods",
        explanation: "The container runtime finds no network configuration, because the pods of the network plugin do not \
            run yet.",
        example: "failed to setup network for sandbox: plugin type=\"calico\" failed (add): stat \
            /var/lib/calico/nodename: no such file or directory",
        budget: GiveUpAfter::Timeout,
    },
    &KnownCause {
        code: "C132",
        name: "sandbox-open-files",
        sources: &[CauseSource::State],
        reasons: &["FailedCreatePodSandBox"],
        parts: &["too many open files"],
        message: "the node has too many open files: {message}",
        remedy: "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512 on this machine; \
            cmdr doctor checks both",
        explanation: "Each container needs inotify instances, and all containers of this machine share their limit.",
        example: "failed to create containerd task: failed to create shim task: too many open files",
        budget: GiveUpAfter::Timeout,
    },
    &KnownCause {
        code: "C133",
        name: "sandbox-failed",
        sources: &[CauseSource::State],
        reasons: &["FailedCreatePodSandBox"],
        message: "the network of the pod cannot be created: {message}",
        remedy: "check the network plugin of the cluster: kubectl -n kube-system get pods",
        explanation: "The container runtime cannot create the pod's network.",
        example: "failed to reserve sandbox name",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &URL_NO_ROUTE,
    &URL_NO_PODS,
    &URL_NO_RESPONSE,
    &URL_UNEXPECTED_STATUS,
    &LOAD_BALANCER_MISSING,
    &ADDRESS_NOT_ASSIGNED,
    &HOST_MISSPELLED,
    &DNS_UNREADY,
    &DNS_LOOKUP_FAILS,
    &CERTIFICATE_EXPIRED,
    &CLUSTER_CERTIFICATE_EXPIRED,
    &WEBHOOK_WITHOUT_ENDPOINTS,
    &URL_NOT_FOUND,
];

/// The ingress controller has no route for a URL.
pub static URL_NO_ROUTE: KnownCause = KnownCause {
    code: "C134",
    name: "url-no-route",
    sources: &[CauseSource::Run],
    message: "the check of {name} failed: no route",
    remedy: "correct 'host' or 'routes' of the project, and the ingress class of a chart of your own",
    explanation: "The ingress controller responds itself with 404: it has no route for this host and path.",
    example: "HTTP 404 from the ingress controller: it has no route for this host and path",
    budget: GiveUpAfter::Seconds(60),
    ..FATAL
};

/// 502, 503 or 504 of an ingress controller.
pub static URL_NO_PODS: KnownCause = KnownCause {
    code: "C135",
    name: "url-no-pods",
    sources: &[CauseSource::Run],
    message: "the check of {name} failed: no pod behind the route",
    remedy: "check that the pods are ready and that the port of the route is the one of the program: cmdr status",
    explanation: "The ingress controller knows the route, but the Service behind it has no ready pod or refuses the \
        connection.",
    example: "HTTP 502, expected a response of the project",
    budget: GiveUpAfter::Seconds(60),
    ..FATAL
};

/// No response from a URL.
pub static URL_NO_RESPONSE: KnownCause = KnownCause {
    code: "C136",
    name: "url-no-response",
    sources: &[CauseSource::Run],
    message: "the check of {name} failed: no response",
    remedy: "check that this machine reaches the load balancer: DNS, VPN, firewall, published ports; cmdr doctor \
        checks this machine",
    explanation: "Nothing accepts the connection, or the name of the host does not resolve.",
    example: "no response: connection refused",
    budget: GiveUpAfter::Seconds(90),
    ..FATAL
};

/// A project responds with another status.
pub static URL_UNEXPECTED_STATUS: KnownCause = KnownCause {
    code: "C137",
    name: "url-unexpected-status",
    sources: &[CauseSource::Run],
    message: "the check of {name} failed: unexpected status",
    remedy: "check that the project serves this path, or set another one with 'check' in projects.yaml; see cmdr \
        status",
    explanation: "The project itself responds, with another status than the one in 'check'.",
    example: "HTTP 404, expected 200",
    budget: GiveUpAfter::Seconds(10),
    ..FATAL
};

/// No controller for Services of type LoadBalancer.
pub static LOAD_BALANCER_MISSING: KnownCause = KnownCause {
    code: "C138",
    name: "load-balancer-missing",
    sources: &[CauseSource::Run],
    message: "the cluster has no load balancer that assigns an address to service {name}",
    remedy: "use another type of Service, or install a load balancer of the Service's class",
    explanation: "Nothing in the cluster reacts to Services of type LoadBalancer.",
    example: "EXTERNAL-IP: <pending>",
    budget: GiveUpAfter::Seconds(20),
    ..FATAL
};

/// A load balancer assigns no address.
pub static ADDRESS_NOT_ASSIGNED: KnownCause = KnownCause {
    code: "C139",
    name: "address-not-assigned",
    sources: &[CauseSource::Run],
    message: "the load balancer assigned no address to service {name}",
    remedy: "check its events: kubectl -n {namespace} describe service {name}",
    explanation: "The load balancer of the cluster knows the Service and has not assigned an address, often because of a \
        quota.",
    example: "EXTERNAL-IP: <pending>",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A host in a variable that almost is a project.
pub static HOST_MISSPELLED: KnownCause = KnownCause {
    code: "C140",
    name: "host-misspelled",
    sources: &[CauseSource::Run],
    message: "'{name}' in {variable} is not a project, host or Service of this workspace",
    remedy: "did you mean `{nearest}`?",
    explanation: "A value of 'env' contains a host that is almost the name of a project, and no Service has it.",
    example: "DATABASE_URL: postgres://postgers:5432/shop",
    ..FATAL
};

/// CoreDNS is not ready.
pub static DNS_UNREADY: KnownCause = KnownCause {
    code: "C141",
    name: "dns-pods-unready",
    sources: &[CauseSource::Environment],
    message: "the DNS of the cluster is not ready: {name}",
    remedy: "restart its pods: cmdr doctor --fix; if they fail again, read their log: kubectl -n kube-system logs -l \
        k8s-app=kube-dns",
    explanation: "CoreDNS resolves all names in the cluster. Without it, projects cannot reach each other.",
    example: "CrashLoopBackOff",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A lookup inside the cluster failed.
pub static DNS_LOOKUP_FAILS: KnownCause = KnownCause {
    code: "C142",
    name: "dns-lookup-fails",
    sources: &[CauseSource::Environment],
    message: "the cluster cannot resolve {name}",
    remedy: "check CoreDNS and its forwarders: kubectl -n kube-system logs -l k8s-app=kube-dns",
    explanation: "CoreDNS runs, but does not resolve a name that always exists.",
    example: "server misbehaving",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A TLS Secret whose certificate has expired or soon will.
pub static CERTIFICATE_EXPIRED: KnownCause = KnownCause {
    code: "C143",
    name: "certificate-expired",
    sources: &[CauseSource::Environment],
    message: "the certificate {name} {expiry}",
    remedy: "cmdr up renews the local certificate; for others, check cert-manager or the team that issued it",
    explanation: "Clients refuse an expired certificate. cmdr warns two weeks before.",
    example: "notAfter: 2026-01-01",
    ..FATAL
};

/// The certificate of the API server has expired or soon will.
pub static CLUSTER_CERTIFICATE_EXPIRED: KnownCause = KnownCause {
    code: "C144",
    name: "cluster-certificate-expired",
    sources: &[CauseSource::Environment],
    message: "the certificate of the cluster's API {expiry}",
    remedy: "local: cmdr up --recreate; elsewhere: kubeadm certs renew all, or ask the owner of the cluster",
    explanation: "kubeadm issues certificates for one year. kubectl and cmdr cannot connect after that.",
    example: "notAfter: 2026-01-01",
    ..FATAL
};

/// A webhook whose Service has no endpoints.
pub static WEBHOOK_WITHOUT_ENDPOINTS: KnownCause = KnownCause {
    code: "C145",
    name: "webhook-without-endpoints",
    sources: &[CauseSource::Environment],
    message: "the webhook {name} has no ready pod behind service {object}",
    remedy: "start the operator that it belongs to; if it was removed, delete the configuration: kubectl delete \
        {kind} {configuration}",
    explanation: "The API server calls the webhook for each change. With the policy Fail it refuses changes while no pod \
        responds.",
    example: "no endpoints available for service \"w\"",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A project responds itself with 404.
pub static URL_NOT_FOUND: KnownCause = KnownCause {
    code: "C146",
    name: "url-not-found",
    sources: &[CauseSource::Run],
    message: "the check of {name} failed: not found",
    remedy: "check that the project serves this path, or set another one with 'check' in projects.yaml; see cmdr status",
    explanation: "The project itself responds with 404. Some programs add their paths a moment after they start.",
    example: "HTTP 404, expected 200",
    budget: GiveUpAfter::Seconds(60),
    ..FATAL
};
