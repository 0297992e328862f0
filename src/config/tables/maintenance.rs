//! The keys of maintenance and of queues that can be drained.

use super::{
    super::{
        fields::{Shape, Table, optional, required, table},
        format::Format,
    },
    PORT,
};

/// The page of the documentation with these keys.
const PAGE: &str = "maintenance.md";

pub(super) static MAINTENANCE: Table = Table {
    page: PAGE,
    ..table(
        "maintenance",
        "`maintenance`",
        "What the clients of a closed project get, and who passes.",
        &[
            optional("page", Shape::Text(Format::FilePath), "A template of the page; default: cmdr's own page"),
            optional(
                "image",
                Shape::Text(Format::Image),
                "The image that serves the page, with busybox; default: `docker.io/library/busybox:1.36`",
            ),
            optional(
                "allow",
                Shape::Named(Format::Name, &Shape::Text(Format::AnyNetwork), &[]),
                "Networks whose clients pass, by name",
            ),
            optional(
                "health",
                Shape::Named(Format::Name, &Shape::Text(Format::UrlPath), &[]),
                "Paths that pass, by name, besides the path of each project's `check`",
            ),
        ],
    )
};

/// The kinds of queues.
const KINDS: &[&str] = &["rabbitmq", "kafka", "redis", "nats", "sql", "http", "command"];

pub(super) const QUEUES: Shape = Shape::Named(Format::Name, &Shape::Table(&QUEUE), &[]);

pub(super) static QUEUE: Table = Table {
    page: PAGE,
    ..table(
        "queue",
        "a queue",
        "A queue that a project consumes, for `cmdr drain`. The kind decides which keys it has.",
        &[
            required("kind", Shape::Choice(KINDS), "How the queue is asked"),
            optional("at", Shape::Text(Format::Release), "The project of the broker or database; not for `command`"),
            optional(
                "queue",
                Shape::Text(Format::Any),
                "The name of the queue, topic, list or stream; default: the name of the entry",
            ),
            optional("vhost", Shape::Text(Format::Any), "The virtual host of RabbitMQ; default: `/`"),
            optional("group", Shape::Text(Format::Any), "The consumer group, or the consumer of NATS"),
            optional("port", PORT, "The port of the broker in its pod; default: that of its kind"),
            optional("query", Shape::Text(Format::Any), "The SQL query that returns a number"),
            optional("path", Shape::Text(Format::UrlPath), "The path of a JSON document with the number"),
            optional(
                "value",
                Shape::Text(Format::Any),
                "Where the number is: a JSON pointer such as `/pending`, or an expression in CEL over `body`",
            ),
            optional(
                "command",
                Shape::List(&Shape::Text(Format::Any)),
                "The command on this machine that prints the number",
            ),
            optional("login", Shape::Table(&LOGIN), "Ask the management API of RabbitMQ as this user"),
            optional(
                "producers",
                Shape::Named(Format::Release, &Shape::Choice(&["maintenance", "stop"]), &[]),
                "The projects that fill the queue, and how each is closed",
            ),
        ],
    )
};

pub(super) static LOGIN: Table = Table {
    page: PAGE,
    ..table(
        "login",
        "a login",
        "A user of the management API, with a password from a Secret.",
        &[
            required("user", Shape::Text(Format::Any), "The name of the user"),
            required("secret", Shape::Text(Format::Label), "The name of the Secret in the cluster"),
            required("key", Shape::Text(Format::Any), "The key of the password in the Secret"),
        ],
    )
};
