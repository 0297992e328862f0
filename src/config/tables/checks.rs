//! The keys of checks, which rollouts and procedures have.

use crate::config::{
    fields::{Shape, Table, optional, required, table},
    format::Format,
};

/// The page of the documentation with these keys.
const PAGE: &str = "procedures.md";

/// A map from names to checks.
pub(in crate::config) const CHECKS: Shape = Shape::Named(Format::Name, &Shape::Table(&HEALTH_CHECK), &[]);

const LIMIT: Shape = Shape::Number(-1e15, 1e15);
const LEAST_REQUESTS: &str = "The fewest requests that count; with fewer, the check is unknown; default: 1";

pub(super) static HEALTH_CHECK: Table = Table {
    page: PAGE,
    alternatives: &[&["http"], &["errors"], &["latency"], &["prometheus"], &["run"], &["expr", "object"]],
    ..table(
        "health-check",
        "a check of a rollout or procedure",
        "A condition: exactly one of `http`, `errors`, `latency`, `prometheus`, `run`, and `expr` with `object`.",
        &[
            optional("http", Shape::Table(&HTTP_CHECK), "A request from the machine that runs cmdr"),
            optional("errors", Shape::Table(&ERRORS_CHECK), "The share of requests with HTTP 5xx or a gRPC error"),
            optional("latency", Shape::Table(&LATENCY_CHECK), "How long requests take"),
            optional("prometheus", Shape::Table(&PROMETHEUS_CHECK), "The result of a query"),
            optional(
                "run",
                Shape::Text(Format::Release),
                "A project with `kind: Job` or `CronJob`, whose run must succeed",
            ),
            optional("expr", Shape::Text(Format::Any), "An expression in CEL that must be true, as for `cmdr query`"),
            optional("object", Shape::Text(Format::ObjectName), "The object of `expr`: `deployment/shop`"),
            optional(
                "project",
                Shape::Text(Format::Release),
                "The project of `path`, `errors` and `latency`; default: the one that is rolled out",
            ),
            optional(
                "failures",
                Shape::Integer(1, 100),
                "How often in a row the test must fail; default: 1, and in a procedure, except for `run`, until the timeout of the step",
            ),
            optional("window", Shape::Text(Format::Duration), "How long requests are counted; default: 30s"),
        ],
    )
};

pub(super) static HTTP_CHECK: Table = Table {
    page: PAGE,
    alternatives: &[&["url"], &["path"]],
    ..table(
        "http-check",
        "the key `http`",
        "A request: `url`, or `path` of the project's URL.",
        &[
            optional("url", Shape::Text(Format::WebUrl), "The URL to request"),
            optional("path", Shape::Text(Format::UrlPath), "The path below the URL of the project"),
            optional("status", Shape::Integer(100, 599), "The expected status; default: 200 to 399"),
        ],
    )
};

pub(super) static ERRORS_CHECK: Table = Table {
    page: PAGE,
    ..table(
        "errors-check",
        "the key `errors`",
        "The share of requests that end with an error of the server, as Traefik counts them.",
        &[
            required("below", Shape::Text(Format::Percent), "The limit, such as `1%`"),
            optional("requests", Shape::Integer(1, 1_000_000), LEAST_REQUESTS),
        ],
    )
};

pub(super) static LATENCY_CHECK: Table = Table {
    page: PAGE,
    ..table(
        "latency-check",
        "the key `latency`",
        "How long a share of the requests takes at most, as Traefik measures it.",
        &[
            required("below", Shape::Text(Format::Latency), "The limit, such as `500ms`"),
            optional("quantile", Shape::Number(0.01, 0.9999), "The share of the requests; default: 0.99"),
            optional("requests", Shape::Integer(1, 1_000_000), LEAST_REQUESTS),
        ],
    )
};

pub(super) static PROMETHEUS_CHECK: Table = Table {
    page: PAGE,
    alternatives: &[&["below"], &["above"]],
    ..table(
        "prometheus-check",
        "the key `prometheus`",
        "A query of Prometheus. Each series of the result must be within the limit.",
        &[
            required(
                "at",
                Shape::Text(Format::PrometheusAddress),
                "A URL, or a project with perhaps a port: `prometheus:9090`. `http://NAME.NAMESPACE.svc` is reached through the API server",
            ),
            required("query", Shape::Text(Format::Any), "The query in PromQL"),
            optional("below", LIMIT, "The limit that the result must be below"),
            optional("above", LIMIT, "The limit that the result must be above"),
        ],
    )
};
