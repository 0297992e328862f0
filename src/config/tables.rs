//! All keys of `projects.yaml`, as data.

mod builds;
mod charts;
mod checks;
mod dev;
mod environments;
pub(super) mod kubernetes;
mod maintenance;
mod procedures;
mod rollouts;
mod routes;
pub(super) mod templates;
pub(super) mod value_formats;

use super::{
    fields::{Shape, Table, optional, required, table},
    format::Format,
};
use builds::BUILD;
use charts::{CHART, CHART_IMAGE};
use dev::DEV;
use environments::{ENVIRONMENT, ENVIRONMENTS, FREEZE, LOCAL_ENVIRONMENT, PORTS, PROMOTION, REVIEW, TLS};
use maintenance::{LOGIN, MAINTENANCE, QUEUE, QUEUES};
use rollouts::{PREVIEW, ROLLOUT, ROLLOUT_STEP, TRAFFIC};
use routes::{ROUTE, ROUTES};

const PORT: Shape = Shape::Integer(1, 65_535);
const VALUES: &str = "Helm values, merged over the values of lower layers; `null` removes a key";

/// `projects.yaml` in the root of the workspace.
pub static WORKSPACE: Table = Table {
    elsewhere: &[
        (&["services", "apps"], "define projects under `projects`"),
        (&["values"], "use `defaults: {values: ...}`"),
    ],
    ..table(
        "workspace",
        "a workspace",
        "The file `projects.yaml` in the workspace folder.",
        &[
            required("version", Shape::Integer(1, 1), "The version of the file format"),
            required(
                "name",
                Shape::Text(Format::Name),
                "The workspace name; part of the name and domain of the local cluster",
            ),
            optional(
                "include",
                Shape::List(&Shape::Text(Format::Pattern)),
                "Path patterns of files with more `projects` and `bundles`; `*` and `?` do not match `/`, `**` does",
            ),
            optional("environments", ENVIRONMENTS, "The environments that projects run in; `local` is optional"),
            optional(
                "platform",
                PLATFORM,
                "Helm releases to install before projects; `metallb` and `traefik` are built in, others are added",
            ),
            optional("defaults", Shape::Table(&DEFAULTS), "Defaults for all projects"),
            optional("projects", PROJECTS, "The deployable services"),
            optional("bundles", BUNDLES, "Groups of projects that are deployed, promoted and rolled back together"),
            optional("procedures", PROCEDURES, "Named steps of maintenance, which `cmdr procedure` runs"),
            optional("maintenance", Shape::Table(&MAINTENANCE), "What the clients of closed projects get"),
            optional("templates", TEMPLATES, "Further templates for `cmdr new`, by name"),
        ],
    )
};

const PROCEDURES: Shape = Shape::Named(Format::Name, &Shape::Table(&procedures::PROCEDURE), &[]);

const TEMPLATES: Shape = Shape::Named(Format::Name, &Shape::Table(&templates::TEMPLATE), &[]);

/// A file that `include` matches.
pub static INCLUDED: Table = Table {
    elsewhere: &[(
        &["version", "name", "include", "environments", "platform", "defaults", "maintenance", "templates"],
        "move it to the projects.yaml of the workspace; an included file can only contain `projects` and `bundles`",
    )],
    ..table(
        "included",
        "an included file",
        "A file that `include` matches. Relative paths in it are relative to its own folder.",
        &[
            optional("projects", PROJECTS, "The deployable services"),
            optional("bundles", BUNDLES, "Groups of projects that are deployed together"),
        ],
    )
};

/// `projects.local.yaml`.
pub static LOCAL_FILE: Table = table(
    "local-file",
    "projects.local.yaml",
    "The file `projects.local.yaml` next to `projects.yaml`: not committed, for the local environment only.",
    &[optional(
        "projects",
        Shape::Named(Format::Release, &Shape::Table(&LOCAL_PROJECT), &[]),
        "Overrides for this machine, by project name",
    )],
);

static LOCAL_PROJECT: Table = table(
    "local-project",
    "a project of projects.local.yaml",
    "Overrides for this machine.",
    &[
        optional("image", Shape::Text(Format::Image), "The image to run on this machine"),
        optional("values", Shape::Values, VALUES),
    ],
);

const PLATFORM: Shape = Shape::Named(Format::Release, &Shape::Table(&PLATFORM_RELEASE), &[]);

static PLATFORM_RELEASE: Table = table(
    "platform",
    "a platform release",
    "A Helm release that a cluster needs before projects.",
    &[
        optional("chart", Shape::Table(&CHART), "The chart; `metallb` and `traefik` have a built-in one"),
        optional(
            "namespace",
            Shape::Text(Format::Label),
            "The namespace of the release; default: the name of the release",
        ),
        optional(
            "needs",
            Shape::List(&Shape::Text(Format::Name)),
            "Platform releases that must be ready before this one is installed",
        ),
        optional(
            "enabled",
            Shape::Boolean,
            "`false`: not installed, unless an environment enables it; default: `true`",
        ),
        optional("values", Shape::Values, VALUES),
        optional(
            "environments",
            Shape::Named(Format::Name, &Shape::Table(&PLATFORM_OVERRIDE), &[]),
            "Overrides per environment",
        ),
    ],
);

static PLATFORM_OVERRIDE: Table = table(
    "platform-override",
    "an environment override of a platform release",
    "Overrides of a platform release in one environment.",
    &[
        optional(
            "enabled",
            Shape::Boolean,
            "Whether cmdr installs the release in this environment, also with `platform: external`",
        ),
        optional("chart", Shape::Table(&CHART), "The chart in this environment"),
        optional("values", Shape::Values, VALUES),
    ],
);

pub(super) static DEFAULTS: Table = table(
    "defaults",
    "`defaults`",
    "Defaults for all projects.",
    &[optional(
        "values",
        Shape::Values,
        "Base Helm values of every project that uses the universal chart; custom charts do not receive them",
    )],
);

const PROJECTS: Shape = Shape::Named(Format::Release, &Shape::Table(&PROJECT), &[]);

/// Values of the universal chart that users often write directly in the project.
const CHART_KEYS: &[&str] = &[
    "alerts",
    "annotations",
    "args",
    "autoscaling",
    "aws",
    "azure",
    "backoffLimit",
    "command",
    "concurrency",
    "config",
    "deadline",
    "env",
    "files",
    "gcp",
    "initContainers",
    "kind",
    "labels",
    "monitor",
    "networkPolicy",
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "port",
    "ports",
    "probes",
    "pullPolicy",
    "replicas",
    "resources",
    "schedule",
    "secretFiles",
    "secrets",
    "security",
    "service",
    "serviceAccount",
    "sidecars",
    "telemetry",
    "tokens",
    "tolerations",
    "volumes",
];

pub(super) static PROJECT: Table = Table {
    any_of: &["image", "build", "chart"],
    exclusive: &[("host", "routes"), ("enabled", "profiles")],
    elsewhere: &[
        (CHART_KEYS, "this is a chart value: move it under `values`"),
        (&["depends_on", "depends-on", "dependsOn", "dependencies"], "use `needs: [...]`"),
    ],
    ..table(
        "project",
        "a project",
        "One deployable service: one Helm release per environment.",
        &[
            optional("image", Shape::Text(Format::Image), "The image to run"),
            optional("build", Shape::Table(&BUILD), "How to build the image"),
            optional("dev", Shape::Table(&DEV), "What `cmdr dev` does when a source changes"),
            optional("chart", Shape::Table(&CHART), "A custom chart instead of the universal chart"),
            optional(
                "host",
                Shape::Text(Format::Host),
                "The host of the project's URL, or \"@\" for the domain of the environment itself; short for `routes: {web: {host: HOST}}`",
            ),
            optional("routes", ROUTES, "Hosts and paths, by name; cannot be combined with `host`"),
            optional("check", Shape::Table(&CHECK), "The URL check that `up` runs on each route"),
            optional("rollout", Shape::Table(&ROLLOUT), "How a new version gets its traffic; not in `local`"),
            optional(
                "needs",
                Shape::List(&Shape::Text(Format::Release)),
                "Projects and platform releases that must be ready before this one starts",
            ),
            optional(
                "timeout",
                Shape::Text(Format::Duration),
                "How long a rollout may make no progress before it fails",
            ),
            optional(
                "verify",
                Shape::Named(Format::Name, &Shape::Table(&VERIFY), &[]),
                "Jobs that verify a deployment, by name; not run in `local`",
            ),
            optional("queues", QUEUES, "The queues that the project consumes, by name, for `cmdr drain`"),
            optional(
                "irreversible",
                Shape::Boolean,
                "A new image makes changes that cannot be undone (a migration): disables automatic rollback",
            ),
            optional(
                "enabled",
                Shape::Boolean,
                "`false`: optional, deployed only if a command names it or an environment enables it; default: `true`",
            ),
            optional(
                "profiles",
                Shape::List(&Shape::Text(Format::Name)),
                "Optional, as with `enabled: false`, and deployed with `--profile` and one of these names",
            ),
            optional("values", Shape::Values, VALUES),
            optional(
                "environments",
                Shape::Named(Format::Name, &Shape::Table(&OVERRIDE), &[]),
                "Overrides per environment",
            ),
        ],
    )
};

static CHECK: Table = table(
    "check",
    "a check",
    "The URL check that `up` runs at the end, of the path of each route.",
    &[
        optional(
            "path",
            Shape::Text(Format::UrlPath),
            "The path to request, appended to the path of each route; default: `/`",
        ),
        optional("status", Shape::Integer(100, 599), "The expected HTTP status; default: any response of the project"),
    ],
);

static VERIFY: Table = table(
    "verify",
    "a verification",
    "A Job that verifies a deployment, in the project's namespace.",
    &[
        required("command", Shape::List(&Shape::Text(Format::Any)), "The command to run; exit code 0 means success"),
        optional("image", Shape::Text(Format::Image), "The image to run; default: the image of the project"),
        optional(
            "when",
            Shape::Choice(&["before", "after"]),
            "`before` the release changes, as a gate, or `after`, with automatic rollback; default: `after`",
        ),
        optional("timeout", Shape::Text(Format::Duration), "The maximum duration; default: 5m"),
    ],
);

static OVERRIDE: Table = Table {
    exclusive: &[("host", "routes")],
    elsewhere: &[(CHART_KEYS, "this is a chart value: move it under `values`")],
    ..table(
        "override",
        "an environment override",
        "Overrides of a project in one environment. `values` are merged; other keys replace those of the project.",
        &[
            optional(
                "enabled",
                Shape::Boolean,
                "`false`: the project does not exist in this environment; `true`: it does, even if it is optional",
            ),
            optional("image", Shape::Text(Format::Image), "The image to run in this environment"),
            optional("chart", Shape::Table(&CHART), "The chart in this environment"),
            optional("host", Shape::Text(Format::Host), "The host in this environment, instead of all routes"),
            optional("routes", ROUTES, "The routes in this environment; `{}`: none"),
            optional("check", Shape::Table(&CHECK), "The URL check in this environment"),
            optional("rollout", Shape::Table(&ROLLOUT), "How a new version gets its traffic in this environment"),
            optional(
                "needs",
                Shape::ListOrEmpty(&Shape::Text(Format::Name)),
                "What must be ready before the project starts in this environment; `[]`: nothing",
            ),
            optional("timeout", Shape::Text(Format::Duration), "The timeout in this environment"),
            optional(
                "verify",
                Shape::Named(Format::Name, &Shape::Table(&VERIFY), &[]),
                "The verify Jobs in this environment; `{}`: none",
            ),
            optional("values", Shape::Values, VALUES),
            optional(
                "external",
                Shape::Table(&EXTERNAL),
                "Managed by another tool in this environment: no release, the same Service name",
            ),
        ],
    )
};

static EXTERNAL: Table = table(
    "external",
    "an external service",
    "A service that another tool manages, reachable under the project's name.",
    &[
        required("host", Shape::Text(Format::Domain), "The IP address or DNS name"),
        required("port", PORT, "The port; with a DNS name, it must be the port of the project's own Service"),
    ],
);

const BUNDLES: Shape = Shape::Named(Format::Name, &Shape::Table(&BUNDLE), &[]);

static BUNDLE: Table = table(
    "bundle",
    "a bundle",
    "A group of projects that are deployed, promoted and rolled back together.",
    &[
        required("projects", Shape::List(&Shape::Text(Format::Release)), "The projects in the bundle"),
        optional(
            "on-failure",
            Shape::Choice(&["rollback", "stop"]),
            "What happens to the other projects when one fails; default: `stop`",
        ),
    ],
);

/// All tables, in the order of the documentation.
pub static ALL: [&Table; 43] = [
    &WORKSPACE,
    &LOCAL_ENVIRONMENT,
    &PORTS,
    &ENVIRONMENT,
    &TLS,
    &PROMOTION,
    &FREEZE,
    &REVIEW,
    &PLATFORM_RELEASE,
    &PLATFORM_OVERRIDE,
    &DEFAULTS,
    &PROJECT,
    &BUILD,
    &DEV,
    &CHART,
    &CHART_IMAGE,
    &ROUTE,
    &CHECK,
    &ROLLOUT,
    &TRAFFIC,
    &ROLLOUT_STEP,
    &PREVIEW,
    &VERIFY,
    &OVERRIDE,
    &EXTERNAL,
    &BUNDLE,
    &MAINTENANCE,
    &QUEUE,
    &LOGIN,
    &checks::HEALTH_CHECK,
    &checks::HTTP_CHECK,
    &checks::ERRORS_CHECK,
    &checks::LATENCY_CHECK,
    &checks::PROMETHEUS_CHECK,
    &procedures::PROCEDURE,
    &procedures::STEP,
    &procedures::UNDO,
    &procedures::MAINTENANCE_STEP,
    &procedures::DEPLOY,
    &templates::TEMPLATE,
    &INCLUDED,
    &LOCAL_FILE,
    &LOCAL_PROJECT,
];
