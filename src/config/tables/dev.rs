//! The keys of `cmdr dev`.

use crate::config::{
    fields::{Shape, Table, optional, table},
    format::Format,
};

const TEXT: Shape = Shape::Text(Format::Any);

pub(super) static DEV: Table = Table {
    page: "develop.md",
    any_of: &["sync", "test"],
    ..table(
        "dev",
        "the key `dev`",
        "What `cmdr dev` does when a source of the project changes; used only in `local`.",
        &[
            optional(
                "sync",
                Shape::Named(Format::FilePath, &TEXT, &[]),
                "Folders and files that are copied into the running containers: path -> absolute path in the \
                 container. Paths are relative to the build context, or to this file without one",
            ),
            optional(
                "compile",
                TEXT,
                "A shell command that runs on this machine before files are copied, in the folder of the build context. \
                 It writes what `sync` copies; only a change of the Dockerfile builds the image then. Where its program \
                 is not installed, the image is built as without `compile` and `sync`",
            ),
            optional(
                "restart",
                Shape::BooleanOr(Format::Any),
                "After files were copied: `false` (default) leaves the program running, `true` replaces the pods, and a \
                 command runs in the containers with `sh -c`",
            ),
            optional(
                "test",
                TEXT,
                "A shell command that runs on this machine after each update, in the folder of the build context; its \
                 failure is shown and prevents nothing",
            ),
        ],
    )
};
