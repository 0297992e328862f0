//! Every key of `projects.yaml`, as data.

mod environments;

use super::{
    fields::{Shape, Table, optional, required, table},
    format::Format,
};
use environments::{ENVIRONMENT, ENVIRONMENTS, FREEZE, LOCAL_ENVIRONMENT, PORTS, PROMOTION, REVIEW};

const PORT: Shape = Shape::Integer(1, 65_535);
const VALUES: &str = "Helm values, merged over those before; `null` takes a key away";

/// `projects.yaml` at the workspace's root.
pub static WORKSPACE: Table = Table {
    elsewhere: &[
        (&["services", "apps"], "projects stand under `projects`"),
        (&["values"], "write `defaults: {values: ...}`"),
    ],
    ..table(
        "workspace",
        "a workspace",
        "The file `projects.yaml` in the workspace's folder.",
        &[
            required("version", Shape::Integer(1, 1), "The version of this format"),
            required(
                "name",
                Shape::Text(Format::Name),
                "The workspace's name: part of its local cluster's name and domain",
            ),
            optional(
                "include",
                Shape::List(&Shape::Text(Format::Pattern)),
                "Patterns of further files with `projects` and `bundles`; `*` and `?` match within a folder's name, `**` any folders",
            ),
            optional("environments", ENVIRONMENTS, "Where projects run; `local` may be left out"),
            optional(
                "platform",
                PLATFORM,
                "What a cluster needs before projects: `metallb` and `traefik` change cmdr's own, other names add releases",
            ),
            optional("defaults", Shape::Table(&DEFAULTS), "What holds for every project"),
            optional("projects", PROJECTS, "The deployable services"),
            optional("bundles", BUNDLES, "Projects that are deployed, promoted and rolled back as one"),
        ],
    )
};

/// A file that `include` names.
pub static INCLUDED: Table = Table {
    elsewhere: &[(
        &["version", "name", "include", "environments", "platform", "defaults"],
        "this stands in the workspace's own projects.yaml; an included file holds `projects` and `bundles`",
    )],
    ..table(
        "included",
        "an included file",
        "A file that `include` names. Its relative paths start at its own folder.",
        &[
            optional("projects", PROJECTS, "The deployable services"),
            optional("bundles", BUNDLES, "Projects that are deployed as one"),
        ],
    )
};

/// `projects.local.yaml`.
pub static LOCAL_FILE: Table = table(
    "local-file",
    "projects.local.yaml",
    "The file `projects.local.yaml` beside `projects.yaml`: not committed, for the local environment only.",
    &[optional(
        "projects",
        Shape::Named(Format::Name, &Shape::Table(&LOCAL_PROJECT), &[]),
        "What differs on this machine, by project",
    )],
);

static LOCAL_PROJECT: Table = table(
    "local-project",
    "a project of projects.local.yaml",
    "What differs on this machine.",
    &[
        optional("image", Shape::Text(Format::Image), "The image to run here"),
        optional("values", Shape::Values, VALUES),
    ],
);

const PLATFORM: Shape = Shape::Named(Format::Name, &Shape::Table(&PLATFORM_RELEASE), &[]);

static PLATFORM_RELEASE: Table = table(
    "platform",
    "a platform release",
    "A Helm release that a cluster needs before projects.",
    &[
        optional("chart", Shape::Table(&CHART), "The chart; `metallb` and `traefik` have one of cmdr's own"),
        optional("namespace", Shape::Text(Format::Label), "The release's namespace; its name unless written"),
        optional("values", Shape::Values, VALUES),
    ],
);

static DEFAULTS: Table = table(
    "defaults",
    "`defaults`",
    "What holds for every project.",
    &[optional(
        "values",
        Shape::Values,
        "Helm values under every project on the universal chart; charts of a project's own do not see them",
    )],
);

const PROJECTS: Shape = Shape::Named(Format::Name, &Shape::Table(&PROJECT), &[]);

/// Keys of the universal chart that people look for in the project itself.
const CHART_KEYS: &[&str] = &[
    "annotations",
    "args",
    "autoscaling",
    "backoffLimit",
    "command",
    "concurrency",
    "config",
    "deadline",
    "env",
    "files",
    "initContainers",
    "kind",
    "labels",
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
    "tolerations",
    "volumes",
];

static PROJECT: Table = Table {
    any_of: &["image", "build", "chart"],
    exclusive: &[("host", "routes")],
    elsewhere: &[
        (CHART_KEYS, "this is a value of the chart: write it under `values`"),
        (&["depends_on", "depends-on", "dependsOn", "dependencies"], "write `needs: [...]`"),
    ],
    ..table(
        "project",
        "a project",
        "One deployable service: one Helm release in each environment.",
        &[
            optional("image", Shape::Text(Format::Image), "The image to run"),
            optional("build", Shape::Table(&BUILD), "How the image is built"),
            optional("chart", Shape::Table(&CHART), "A chart of the project's own, in place of the universal chart"),
            optional(
                "host",
                Shape::Text(Format::Host),
                "The host to answer on: short for `routes: {web: {host: HOST}}`",
            ),
            optional("routes", ROUTES, "Several hosts or paths, by name; not together with `host`"),
            optional("check", Shape::Table(&CHECK), "What `up` asks at the end of each route"),
            optional(
                "needs",
                Shape::List(&Shape::Text(Format::Name)),
                "Projects that are ready before this one starts",
            ),
            optional("timeout", Shape::Text(Format::Duration), "How long a rollout may go without progress"),
            optional(
                "verify",
                Shape::Named(Format::Name, &Shape::Table(&VERIFY), &[]),
                "Jobs that prove a deployment, by name; outside `local`",
            ),
            optional(
                "irreversible",
                Shape::Boolean,
                "What a new image does here cannot be undone (a migration): no automatic return to the record before",
            ),
            optional("values", Shape::Values, VALUES),
            optional(
                "environments",
                Shape::Named(Format::Name, &Shape::Table(&OVERRIDE), &[]),
                "What is different in an environment",
            ),
        ],
    )
};

static BUILD: Table = table(
    "build",
    "a build",
    "How an image is built.",
    &[
        required("context", Shape::Text(Format::FilePath), "The folder that is built, relative to this file"),
        optional(
            "dockerfile",
            Shape::Text(Format::FilePath),
            "The Dockerfile, relative to the context; `Dockerfile` unless written",
        ),
    ],
);

static CHART: Table = Table {
    alternatives: &[&["oci", "version"], &["repository", "name", "version"], &["path"]],
    ..table(
        "chart",
        "a chart",
        "Where a chart comes from: `oci` and `version`, or `repository`, `name` and `version`, or `path`.",
        &[
            optional("oci", Shape::Text(Format::OciReference), "A chart in an OCI registry, without `oci://`"),
            optional("repository", Shape::Text(Format::RepositoryUrl), "The URL of a chart repository"),
            optional("name", Shape::Text(Format::Any), "The chart's name in the repository"),
            optional("version", Shape::Text(Format::Any), "The chart's version, exactly"),
            optional("path", Shape::Text(Format::FilePath), "A folder with a `Chart.yaml`, relative to this file"),
        ],
    )
};

const ROUTES: Shape = Shape::Named(Format::Name, &Shape::Table(&ROUTE), &[]);

static ROUTE: Table = table(
    "route",
    "a route",
    "A host and a path that lead to the project.",
    &[
        required(
            "host",
            Shape::Text(Format::Host),
            "One label, which the environment's domain completes, or a whole domain",
        ),
        optional("path", Shape::Text(Format::UrlPath), "The start of the paths that lead here; `/` unless written"),
        optional(
            "port",
            Shape::Text(Format::PortName),
            "The name of one of the project's ports; the chart's choice unless written",
        ),
    ],
);

static CHECK: Table = table(
    "check",
    "a check",
    "What `up` asks at the end. A project without a check is asked for the path of each route and answers 200.",
    &[
        optional(
            "path",
            Shape::Text(Format::UrlPath),
            "The path to ask for, below each route's own path; `/` unless written",
        ),
        optional("status", Shape::Integer(100, 599), "The status that is right; 200 unless written"),
    ],
);

static VERIFY: Table = table(
    "verify",
    "a verification",
    "A Job that proves a deployment, in the project's namespace.",
    &[
        required("command", Shape::List(&Shape::Text(Format::Any)), "What is run; it succeeds by ending with 0"),
        optional("image", Shape::Text(Format::Image), "The image to run; the project's own unless written"),
        optional(
            "when",
            Shape::Choice(&["before", "after"]),
            "`before` the release changes, as a gate, or `after`, with return on failure; `after` unless written",
        ),
        optional("timeout", Shape::Text(Format::Duration), "How long it may take; 5m unless written"),
    ],
);

static OVERRIDE: Table = Table {
    elsewhere: &[(CHART_KEYS, "this is a value of the chart: write it under `values`")],
    ..table(
        "override",
        "a project's environment",
        "What is different of a project in one environment.",
        &[
            optional("image", Shape::Text(Format::Image), "The image to run there"),
            optional("values", Shape::Values, VALUES),
            optional(
                "external",
                Shape::Table(&EXTERNAL),
                "Somebody else runs it there: no release, the same Service name",
            ),
        ],
    )
};

static EXTERNAL: Table = table(
    "external",
    "an external service",
    "A service that somebody else runs, reached under the project's name.",
    &[
        required("host", Shape::Text(Format::Domain), "Its IP address, or its name in DNS"),
        required("port", PORT, "Its port; with a name in DNS, the one that the project's own Service has"),
    ],
);

const BUNDLES: Shape = Shape::Named(Format::Name, &Shape::Table(&BUNDLE), &[]);

static BUNDLE: Table = table(
    "bundle",
    "a bundle",
    "Projects that are deployed, promoted and rolled back as one.",
    &[
        required("projects", Shape::List(&Shape::Text(Format::Name)), "Its projects"),
        optional(
            "on-failure",
            Shape::Choice(&["rollback", "stop"]),
            "What happens to the others when one fails; `stop` unless written",
        ),
    ],
);

/// Every table, in the order of the documentation.
pub static ALL: [&Table; 21] = [
    &WORKSPACE,
    &LOCAL_ENVIRONMENT,
    &PORTS,
    &ENVIRONMENT,
    &PROMOTION,
    &FREEZE,
    &REVIEW,
    &PLATFORM_RELEASE,
    &DEFAULTS,
    &PROJECT,
    &BUILD,
    &CHART,
    &ROUTE,
    &CHECK,
    &VERIFY,
    &OVERRIDE,
    &EXTERNAL,
    &BUNDLE,
    &INCLUDED,
    &LOCAL_FILE,
    &LOCAL_PROJECT,
];
