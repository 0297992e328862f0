//! The keys of templates for `cmdr new`: where they are, and the manifest of one.

use crate::config::{
    fields::{Shape, Table, optional, required, table},
    format::Format,
};

const TEXT: Shape = Shape::Text(Format::Any);

/// A template of the workspace.
pub(super) static TEMPLATE: Table = Table {
    page: "develop.md",
    alternatives: &[&["path"], &["git", "ref"], &["git", "ref", "folder"]],
    ..table(
        "template",
        "a template",
        "The source of a template: `path`, or `git` and `ref`.",
        &[
            optional("path", Shape::Text(Format::FilePath), "The folder of the template, relative to this file"),
            optional("git", Shape::Text(Format::GitUrl), "The URL of a Git repository"),
            optional("ref", Shape::Text(Format::GitReference), "The tag or the full commit hash; it is fetched once"),
            optional(
                "folder",
                Shape::Text(Format::Pattern),
                "The folder of the template in the repository; default: the repository itself",
            ),
        ],
    )
};

/// `template.yaml` in the folder of a template.
pub(in crate::config) static MANIFEST: Table = table(
    "template-manifest",
    "the manifest of a template",
    "The file `template.yaml` in the folder of a template.",
    &[
        required("description", TEXT, "What the template creates, in one line"),
        optional(
            "languages",
            Shape::List(&Shape::Text(Format::Name)),
            "The languages that `--lang` accepts; each has a folder with its files",
        ),
        optional(
            "include",
            Shape::List(&Shape::Text(Format::Name)),
            "Folders of `shared`, beside the folder of the template, whose files are added first",
        ),
        optional(
            "questions",
            Shape::Named(Format::Variable, &Shape::Table(&QUESTION), &[]),
            "What `cmdr new` asks, by the variable that gets the answer",
        ),
        optional("variables", Shape::Named(Format::Variable, &TEXT, &[]), "Further variables with their texts"),
    ],
);

static QUESTION: Table = table(
    "question",
    "a question",
    "A question of a template.",
    &[
        required("ask", TEXT, "The question"),
        optional("default", TEXT, "The answer if there is none; without it, an answer is required"),
        optional("choices", Shape::List(&TEXT), "The valid answers; default: any text"),
    ],
);
