//! The keys of routes.

use crate::config::{
    fields::{Shape, Table, optional, table},
    format::Format,
};

pub(super) const ROUTES: Shape = Shape::Named(Format::Name, &Shape::Table(&ROUTE), &[]);

/// The kinds of routes.
pub(in crate::config) const ROUTE_KINDS: Shape =
    Shape::Choice(&["Ingress", "IngressRoute", "HTTPRoute", "GRPCRoute", "TCPRoute"]);

pub(super) static ROUTE: Table = Table {
    any_of: &["host", "listener"],
    exclusive: &[("host", "listener")],
    ..table(
        "route",
        "a route",
        "Hosts and a path that are routed to the project.",
        &[
            optional(
                "host",
                Shape::Text(Format::Host),
                "A single label, completed with the domain of the environment; or a full domain; or \"@\" for the domain of the environment itself",
            ),
            optional("hosts", Shape::List(&Shape::Text(Format::Host)), "Further hosts, as `host`"),
            optional("path", Shape::Text(Format::UrlPath), "The path to route to the project; default: `/`"),
            optional(
                "match",
                Shape::Choice(&["prefix", "exact", "regex"]),
                "How `path` is compared; default: `prefix`. `regex` is not for an Ingress",
            ),
            optional(
                "port",
                Shape::Text(Format::PortName),
                "The name of one of the project's ports; default: selected by the chart",
            ),
            optional(
                "kind",
                ROUTE_KINDS,
                "The object that routes: Traefik's own `IngressRoute`, or one of the Gateway API; default: `routes` of the environment",
            ),
            optional("middlewares", Shape::Values, "Traefik's middlewares; not for an Ingress"),
            optional(
                "sticky",
                Shape::Boolean,
                "Send a client always to the same pod, with a cookie; only for an IngressRoute",
            ),
            optional(
                "weights",
                Shape::Named(Format::Release, &Shape::Integer(0, 1_000_000), &[]),
                "Projects that share the requests, with their weights; not for an Ingress",
            ),
            optional("gateway", Shape::Text(Format::Any), "The Gateway, as `NAMESPACE/NAME`; default: that of Traefik"),
            optional("listener", Shape::Text(Format::Any), "The Gateway's listener of a TCPRoute, in place of a host"),
            optional("check", Shape::Boolean, "`false`: `up` requests no URL of this route; default: `true`"),
        ],
    )
};
