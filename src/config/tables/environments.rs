//! The keys of environments.

use super::{
    super::{
        fields::{Shape, Table, optional, required, table},
        format::Format,
    },
    PORT,
};
use crate::domain::workspace::LOCAL;

pub(super) const ENVIRONMENTS: Shape =
    Shape::Named(Format::Name, &Shape::Table(&ENVIRONMENT), &[(LOCAL, Shape::Table(&LOCAL_ENVIRONMENT))]);

pub(super) static ENVIRONMENT: Table = Table {
    elsewhere: &[(&["kubernetes", "ports"], "only `local` has this: cmdr makes no other cluster")],
    any_of: &["context", "review"],
    exclusive: &[("context", "review"), ("promote", "review")],
    ..table(
        "environment",
        "an environment",
        "A Kubernetes cluster, named by its context.",
        &[
            optional("context", Shape::Text(Format::Any), "The context of the kubeconfig"),
            optional(
                "cluster-id",
                Shape::Text(Format::Any),
                "UID of the namespace `kube-system`; any other cluster is refused",
            ),
            optional(
                "namespace",
                Shape::Text(Format::Label),
                "The namespace of the projects; the workspace's name unless written",
            ),
            optional(
                "domain",
                Shape::Text(Format::Domain),
                "Projects answer on `<host>.<domain>`; needed once a project has a host without a domain of its own",
            ),
            optional("only", Shape::Choice(&["ci"]), "Who may write here: `ci` refuses laptops with a hint"),
            optional("promote", Shape::Table(&PROMOTION), "Images come here by promotion or rollback alone"),
            optional(
                "freeze",
                Shape::Named(Format::Name, &Shape::Table(&FREEZE), &[]),
                "When nothing is deployed here, by name",
            ),
            optional("review", Shape::Table(&REVIEW), "One namespace and host per merge request, on another's cluster"),
            optional(
                "platform",
                Shape::Choice(&["external"]),
                "`external`: somebody else provides the ingress controller",
            ),
        ],
    )
};

pub(super) static LOCAL_ENVIRONMENT: Table = Table {
    elsewhere: &[(
        &["context", "cluster-id", "only", "promote", "platform", "freeze", "review"],
        "`local` is the kind cluster that cmdr makes itself; this belongs to other environments",
    )],
    ..table(
        "local-environment",
        "the environment `local`",
        "The kind cluster that cmdr owns.",
        &[
            optional("kubernetes", Shape::Text(Format::KubernetesVersion), "The version of the node, in quotes"),
            optional("ports", Shape::Table(&PORTS), "The ports on 127.0.0.1"),
            optional(
                "domain",
                Shape::Text(Format::Domain),
                "Projects answer on `<host>.<domain>`; `<workspace>.localhost` unless written",
            ),
            optional(
                "namespace",
                Shape::Text(Format::Label),
                "The namespace of the projects; the workspace's name unless written",
            ),
        ],
    )
};

pub(super) static PORTS: Table = table(
    "ports",
    "`ports` of `local`",
    "Where the local cluster answers on 127.0.0.1.",
    &[
        optional("http", PORT, "The port for HTTP; 80 unless it is taken"),
        optional("https", PORT, "The port for HTTPS; 443 unless it is taken"),
    ],
);

pub(super) static PROMOTION: Table = table(
    "promote",
    "a promotion",
    "Where an environment's images come from.",
    &[
        required("from", Shape::Text(Format::Name), "The environment they were proven in"),
        optional(
            "soak",
            Shape::Text(Format::Duration),
            "How long they must have been healthy there; nothing unless written",
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
    "a freeze",
    "A window in which nothing is deployed: on some days, at some hours, or from one date until another.",
    &[
        optional(
            "days",
            Shape::List(&Shape::Choice(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"])),
            "The days on which it begins; every day unless written",
        ),
        optional(
            "from",
            Shape::Text(Format::Moment),
            "The time of the day, or the date, at which it begins; the day's start unless written",
        ),
        optional(
            "until",
            Shape::Text(Format::Moment),
            "The time, or the date, at whose start it has ended; before `from`: that of the next day",
        ),
        optional("zone", Shape::Text(Format::TimeZone), "The time zone, such as `Europe/Berlin`; UTC unless written"),
    ],
);

pub(super) static REVIEW: Table = table(
    "review",
    "a review environment",
    "Short-lived copies of an environment, one for each merge request.",
    &[
        required(
            "from",
            Shape::Text(Format::Name),
            "The environment on whose cluster they run, and whose values they take",
        ),
        optional("namespace", Shape::Text(Format::Slug), "Their namespaces; `<workspace>-{slug}` unless written"),
        optional("expires", Shape::Text(Format::Duration), "How long one lives without a new `up`; 3d unless written"),
    ],
);
