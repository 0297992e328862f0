//! The keys of a build.

use crate::config::{
    fields::{Shape, Table, optional, table},
    format::Format,
};

const TEXT: Shape = Shape::Text(Format::Any);
const TEXTS: Shape = Shape::List(&TEXT);

pub(super) static BUILD: Table = Table {
    any_of: &["context", "command"],
    exclusive: &[
        ("command", "dockerfile"),
        ("command", "target"),
        ("command", "args"),
        ("command", "secrets"),
        ("command", "ssh"),
        ("command", "platforms"),
        ("command", "cache-from"),
        ("command", "cache-to"),
    ],
    ..table(
        "build",
        "a build",
        "How to build an image: with Docker, or with a command of your own.",
        &[
            optional(
                "context",
                Shape::Text(Format::FilePath),
                "The build context folder, relative to this file; for a command the folder in which it runs, by default \
                 the folder of this file",
            ),
            optional(
                "dockerfile",
                Shape::Text(Format::FilePath),
                "The Dockerfile, relative to the context; default: `Dockerfile`",
            ),
            optional("target", TEXT, "The stage of the Dockerfile to build; default: the last one"),
            optional("args", Shape::Named(Format::Any, &TEXT, &[]), "Build arguments: name -> text"),
            optional(
                "secrets",
                Shape::Named(Format::Any, &Shape::Text(Format::FilePath), &[]),
                "Secrets for `RUN --mount=type=secret`: ID -> a file, relative to this file, or `$NAME` for an \
                 environment variable; needs BuildKit",
            ),
            optional("ssh", Shape::Boolean, "Let `RUN --mount=type=ssh` use the SSH agent; needs BuildKit"),
            optional(
                "platforms",
                TEXTS,
                "Platforms such as `linux/amd64`; default: that of the engine. More than one need BuildKit and an \
                 engine with the containerd image store",
            ),
            optional("cache-from", TEXTS, "Where BuildKit reads its cache: `type=registry,ref=HOST/REPOSITORY`"),
            optional("cache-to", TEXTS, "Where BuildKit writes its cache"),
            optional(
                "command",
                TEXT,
                "A shell command that builds the image and pushes it to, or loads it into Docker as, `$CMDR_IMAGE`",
            ),
        ],
    )
};
