//! The keys of charts.

use crate::config::{
    fields::{Shape, Table, optional, table},
    format::Format,
};

pub(super) static CHART: Table = Table {
    alternatives: &[&["oci", "version"], &["repository", "name", "version"], &["path"]],
    ..table(
        "chart",
        "a chart",
        "The source of a chart: `oci` and `version`, or `repository`, `name` and `version`, or `path`.",
        &[
            optional("oci", Shape::Text(Format::OciReference), "A chart in an OCI registry, without `oci://`"),
            optional("repository", Shape::Text(Format::RepositoryUrl), "The URL of a chart repository"),
            optional("name", Shape::Text(Format::Any), "The name of the chart in the repository"),
            optional("version", Shape::Text(Format::Any), "The exact version of the chart"),
            optional("path", Shape::Text(Format::FilePath), "A folder with a `Chart.yaml`, relative to this file"),
            optional(
                "image",
                Shape::Table(&CHART_IMAGE),
                "The values that take the project's image; not under `platform`",
            ),
        ],
    )
};

pub(super) static CHART_IMAGE: Table = Table {
    any_of: &["reference", "repository"],
    exclusive: &[("reference", "registry"), ("reference", "repository"), ("reference", "tag"), ("reference", "digest")],
    ..table(
        "chart-image",
        "the image of a chart",
        "Where a chart takes the project's image from: `reference`, or `repository` with `tag`, `digest` or both. \
         cmdr writes `image` or the build there.",
        &[
            optional("reference", Shape::Text(Format::ValuePath), "The value that takes the whole reference"),
            optional(
                "registry",
                Shape::Text(Format::ValuePath),
                "The value that takes the registry's host; default: it is part of the repository",
            ),
            optional("repository", Shape::Text(Format::ValuePath), "The value that takes the repository"),
            optional("tag", Shape::Text(Format::ValuePath), "The value that takes the tag"),
            optional(
                "digest",
                Shape::Text(Format::ValuePath),
                "The value that takes the digest; without it, cmdr compares the running pods with the digest",
            ),
        ],
    )
};
