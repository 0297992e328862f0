//! The keys of environments.

use super::{
    super::{
        fields::{Shape, Table, optional, required, table},
        format::Format,
    },
    MAINTENANCE, PORT, TRAFFIC,
    routes::ROUTE_KINDS,
};
use crate::domain::workspace::LOCAL;

pub(super) const ENVIRONMENTS: Shape =
    Shape::Named(Format::Name, &Shape::Table(&ENVIRONMENT), &[(LOCAL, Shape::Table(&LOCAL_ENVIRONMENT))]);

pub(super) static ENVIRONMENT: Table = Table {
    elsewhere: &[(
        &["kubernetes", "ports", "expose", "pods", "services"],
        "only `local` supports this key: cmdr does not create other clusters",
    )],
    any_of: &["context", "review"],
    exclusive: &[("context", "review"), ("promote", "review"), ("tls", "review")],
    ..table(
        "environment",
        "an environment",
        "A namespace of a Kubernetes cluster, selected by its context.",
        &[
            optional("context", Shape::Text(Format::Any), "The kubeconfig context"),
            optional(
                "cluster-id",
                Shape::Text(Format::Any),
                "The UID of the namespace `kube-system`; cmdr refuses to change any other cluster",
            ),
            optional(
                "namespace",
                Shape::Text(Format::Label),
                "The namespace of the projects; default: the workspace name",
            ),
            optional(
                "domain",
                Shape::Text(Format::Domain),
                "Projects are reachable at `<host>.<domain>`; required if a project has a host without its own domain",
            ),
            optional("tls", Shape::Table(&TLS), "The certificates of its hosts: its URLs are HTTPS"),
            optional("only", Shape::Choice(&["ci"]), "Who may change this environment; `ci`: only CI pipelines"),
            optional(
                "promote",
                Shape::Table(&PROMOTION),
                "Images reach this environment only by promotion or rollback",
            ),
            optional(
                "freeze",
                Shape::Named(Format::Name, &Shape::Table(&FREEZE), &[]),
                "When the deployment window is closed, by name; nothing is deployed then",
            ),
            optional(
                "review",
                Shape::Table(&REVIEW),
                "One namespace and host per merge request, on the cluster of another environment",
            ),
            optional("routes", ROUTE_KINDS, "The kind of routes that name none; default: `Ingress`"),
            optional("maintenance", Shape::Table(&MAINTENANCE), "Overrides `maintenance` of the workspace"),
            optional(
                "traffic",
                Shape::Table(&TRAFFIC),
                "Who continues the rollouts of `deploy --detach` and `promote --detach`",
            ),
            optional(
                "platform",
                Shape::Choice(&["external"]),
                "`external`: the platform is managed by another tool; cmdr installs only releases that are enabled for this environment",
            ),
        ],
    )
};

pub(super) static LOCAL_ENVIRONMENT: Table = Table {
    elsewhere: &[(
        &["context", "cluster-id", "only", "promote", "platform", "freeze", "review", "traffic"],
        "`local` is the kind cluster that cmdr creates; this key is only valid in other environments",
    )],
    ..table(
        "local-environment",
        "the environment `local`",
        "The kind cluster that cmdr creates.",
        &[
            optional(
                "kubernetes",
                Shape::Text(Format::KubernetesVersion),
                "The Kubernetes version of the node, in quotes",
            ),
            optional("routes", ROUTE_KINDS, "The kind of routes that name none; default: `Ingress`"),
            optional("ports", Shape::Table(&PORTS), "The ports on 127.0.0.1 for HTTP and HTTPS"),
            optional(
                "tls",
                Shape::Boolean,
                "Show and check URLs by HTTPS, with the certificate that they have anyway; default: `false`",
            ),
            optional(
                "expose",
                Shape::Named(Format::PublishedPort, &Shape::Text(Format::ExposedTarget), &[]),
                "Ports of projects on 127.0.0.1: `5432: postgres`, `9187: postgres:metrics`, `5353/udp: dns`",
            ),
            optional(
                "pods",
                Shape::Text(Format::Network),
                "The network of Pods of a new cluster, from /12 to /24; default: `10.244.0.0/16`",
            ),
            optional(
                "services",
                Shape::Text(Format::Network),
                "The network of Services of a new cluster, from /12 to /24; default: `10.96.0.0/16`",
            ),
            optional(
                "domain",
                Shape::Text(Format::Domain),
                "Projects are reachable at `<host>.<domain>`; default: `<workspace>.localhost`",
            ),
            optional(
                "namespace",
                Shape::Text(Format::Label),
                "The namespace of the projects; default: the workspace name",
            ),
        ],
    )
};

pub(super) static PORTS: Table = table(
    "ports",
    "`ports` of `local`",
    "The ports of the local cluster on 127.0.0.1.",
    &[
        optional("http", PORT, "The HTTP port; default: 80, or another port if 80 is in use"),
        optional("https", PORT, "The HTTPS port; default: 443, or another port if 443 is in use"),
    ],
);

pub(super) static TLS: Table = Table {
    alternatives: &[&["issuer"], &["secret"]],
    exclusive: &[("secret", "kind")],
    ..table(
        "tls",
        "`tls` of an environment",
        "The certificates of the hosts of an environment.",
        &[
            optional("issuer", Shape::Text(Format::Any), "The issuer of cert-manager for a certificate of each route"),
            optional(
                "kind",
                Shape::Choice(&["ClusterIssuer", "Issuer"]),
                "The kind of the issuer; default: `ClusterIssuer`",
            ),
            optional("secret", Shape::Text(Format::Any), "A Secret with a certificate for all hosts"),
        ],
    )
};

pub(super) static PROMOTION: Table = table(
    "promote",
    "a promotion",
    "The source of an environment's images.",
    &[
        required("from", Shape::Text(Format::Name), "The environment that images are promoted from"),
        optional(
            "soak",
            Shape::Text(Format::Duration),
            "How long a record must have been healthy there; default: no minimum",
        ),
        optional(
            "scan",
            Shape::Text(Format::Any),
            "An artifact of this type, such as `application/sarif+json`, must be attached to the image at its registry",
        ),
    ],
);

pub(super) static FREEZE: Table = table(
    "freeze",
    "a `freeze` window",
    "A time when the deployment window is closed: on certain days, at certain hours, or between two dates.",
    &[
        optional(
            "days",
            Shape::List(&Shape::Choice(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"])),
            "The days on which it starts; default: every day",
        ),
        optional(
            "from",
            Shape::Text(Format::Moment),
            "The time of day, or the date, when it starts; default: the start of the day",
        ),
        optional(
            "until",
            Shape::Text(Format::Moment),
            "The time of day, or the date (exclusive), when it ends; a time before `from` means the next day",
        ),
        optional("zone", Shape::Text(Format::TimeZone), "The time zone, such as `Europe/Berlin`; default: UTC"),
    ],
);

pub(super) static REVIEW: Table = table(
    "review",
    "a review environment",
    "Short-lived copies of an environment, one per merge request.",
    &[
        required("from", Shape::Text(Format::Name), "The environment whose cluster and values they use"),
        optional("namespace", Shape::Text(Format::Slug), "The namespace of each; default: `<workspace>-{slug}`"),
        optional("expires", Shape::Text(Format::Duration), "How long one is kept after its last `up`; default: 3d"),
    ],
);
