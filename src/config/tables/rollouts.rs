//! The keys of `rollout`.

use super::checks::CHECKS;
use crate::config::{
    fields::{Shape, Table, optional, required, table},
    format::Format,
};

const PAGE: &str = "traffic.md";
const DURATION: Shape = Shape::Text(Format::Duration);

pub(super) static ROLLOUT: Table = Table {
    page: PAGE,
    ..table(
        "rollout",
        "a rollout",
        "How a new version of the project gets its traffic; not in `local`.",
        &[
            required(
                "kind",
                Shape::Choice(&["canary", "blue-green", "none"]),
                "`canary` in steps, `blue-green` at once with a way back, or `none`: the pods are replaced",
            ),
            optional(
                "steps",
                Shape::List(&Shape::TextOr(Format::Share, &ROLLOUT_STEP)),
                "The share of each step; default: `[5%, 25%, 50%, 100%]`, for `blue-green` `[100%]`",
            ),
            optional("pause", DURATION, "How long a step lasts at least; default: 1m"),
            optional(
                "keep",
                DURATION,
                "How long the old version keeps running after the last step; default: 0s, for `blue-green` 30m",
            ),
            optional(
                "checks",
                CHECKS,
                "What must hold during each step; if one fails, the old version gets all requests",
            ),
            optional("preview", Shape::Table(&PREVIEW), "The requests that get the new version in any case"),
            optional("sticky", Shape::Boolean, "Whether a client stays on its version, by a cookie; default: `false`"),
        ],
    )
};

pub(super) static TRAFFIC: Table = Table {
    page: PAGE,
    ..table(
        "traffic",
        "`traffic` of an environment",
        "Who continues rollouts that `--detach` of `cmdr deploy` or `cmdr promote` has started.",
        &[
            required(
                "driver",
                Shape::Choice(&["cronjob"]),
                "`cronjob`: a CronJob in the environment, which runs `cmdr traffic continue`",
            ),
            required("image", Shape::Text(Format::Image), "The image of its runs, which contains cmdr and Helm"),
            optional(
                "account",
                Shape::Text(Format::Label),
                "The ServiceAccount of its runs; default: `cmdr-deployer`, that of templates/rbac/deployer.yaml",
            ),
        ],
    )
};

pub(super) static ROLLOUT_STEP: Table = Table {
    page: PAGE,
    ..table(
        "rollout-step",
        "a step of a rollout",
        "A step of a rollout.",
        &[
            required("weight", Shape::Text(Format::Share), "The share of the new version"),
            optional("pause", DURATION, "How long this step lasts at least"),
            optional("until", Shape::Choice(&["promoted"]), "`promoted`: until `cmdr traffic promote`"),
        ],
    )
};

pub(super) static PREVIEW: Table = Table {
    page: PAGE,
    alternatives: &[&["header"], &["cookie"]],
    ..table(
        "preview",
        "a preview",
        "The requests that get the new version, whatever the weights are.",
        &[
            optional("header", Shape::Text(Format::HttpToken), "Requests with this header"),
            optional("cookie", Shape::Text(Format::HttpToken), "Requests with this cookie"),
        ],
    )
};
