//! The keys of procedures.

use super::checks::CHECKS;
use crate::config::{
    fields::{Field, Shape, Table, optional, required, table},
    format::Format,
};

/// The page of the documentation with these keys.
const PAGE: &str = "procedures.md";

const TEXT: Shape = Shape::Text(Format::Any);
const PROJECT: Shape = Shape::Text(Format::Release);

pub(super) static PROCEDURE: Table = Table {
    page: PAGE,
    ..table(
        "procedure",
        "a procedure",
        "Named steps of maintenance, in their order, that `cmdr procedure start` runs.",
        &[
            optional("description", TEXT, "What the procedure is for, in one line"),
            optional(
                "reversible",
                Shape::Boolean,
                "`true`: every step that changes something must have `undo`; default: `false`",
            ),
            required("steps", Shape::List(&Shape::Table(&STEP)), "The steps, in their order"),
        ],
    )
};

/// The keys that say what a step does.
const ACTIONS: [Field; 10] = [
    optional("maintenance", Shape::Table(&MAINTENANCE_STEP), "Answers requests with 503, or no longer"),
    optional("drain", PROJECT, "A project or bundle: closes its producers and waits until its queues are empty"),
    optional("fill", PROJECT, "A project or bundle: starts what `drain` stopped"),
    optional(
        "scale",
        Shape::Named(Format::Release, &Shape::Integer(0, 10_000), &[]),
        "Numbers of pods: project -> number",
    ),
    optional("run", PROJECT, "A project with `kind: Job` or `CronJob`, whose run must succeed"),
    optional("deploy", Shape::Table(&DEPLOY), "Deploys, as `cmdr deploy` does"),
    optional("check", CHECKS, "Waits until these checks pass"),
    optional("approve", TEXT, "Stops until a person runs `cmdr procedure continue`; the question to them"),
    optional("wait", Shape::Text(Format::Duration), "Waits this long"),
    optional("env", Shape::Text(Format::Name), "The environment; default: that of `--env`"),
];

const KINDS: &[&[&str]] = &[
    &["maintenance"],
    &["drain"],
    &["fill"],
    &["scale"],
    &["run"],
    &["deploy"],
    &["check"],
    &["approve"],
    &["wait"],
    &["procedure"],
];

const TIMEOUT: Field = optional(
    "timeout",
    Shape::Text(Format::Duration),
    "The longest time; then the procedure stops at this step; default: 30m",
);

pub(super) static STEP: Table = Table {
    page: PAGE,
    alternatives: KINDS,
    exclusive: &[
        ("approve", "timeout"),
        ("wait", "timeout"),
        ("procedure", "timeout"),
        ("check", "undo"),
        ("approve", "undo"),
        ("wait", "undo"),
        ("procedure", "undo"),
    ],
    ..table(
        "procedure-step",
        "a step",
        "A step of a procedure: its name, and exactly one of the keys that say what it does.",
        &[
            required("name", Shape::Text(Format::Name), "The name of the step, once in its procedure"),
            ACTIONS[0],
            ACTIONS[1],
            ACTIONS[2],
            ACTIONS[3],
            ACTIONS[4],
            ACTIONS[5],
            ACTIONS[6],
            ACTIONS[7],
            ACTIONS[8],
            optional("procedure", Shape::Text(Format::Name), "Another procedure, whose steps are done here"),
            ACTIONS[9],
            TIMEOUT,
            optional(
                "undo",
                Shape::ListOrEmpty(&Shape::Table(&UNDO)),
                "The way back: what `cmdr procedure abort` does, in this order; `[]`: nothing is needed",
            ),
        ],
    )
};

pub(super) static UNDO: Table = Table {
    page: PAGE,
    alternatives: &[&["maintenance"], &["drain"], &["fill"], &["scale"], &["run"], &["deploy"], &["wait"]],
    exclusive: &[("wait", "timeout")],
    ..table(
        "procedure-undo",
        "a way back",
        "An action that undoes a step, as in a step.",
        &[ACTIONS[0], ACTIONS[1], ACTIONS[2], ACTIONS[3], ACTIONS[4], ACTIONS[5], ACTIONS[8], ACTIONS[9], TIMEOUT],
    )
};

pub(super) static MAINTENANCE_STEP: Table = Table {
    page: PAGE,
    ..table(
        "procedure-maintenance",
        "the key `maintenance`",
        "Maintenance, as `cmdr maintenance` sets it.",
        &[
            required("state", Shape::Choice(&["on", "off"]), "Whether it starts or ends"),
            optional("projects", Shape::List(&PROJECT), "The projects; default: all"),
            optional("message", TEXT, "The text on the page, for `state: on`"),
        ],
    )
};

pub(super) static DEPLOY: Table = Table {
    page: PAGE,
    ..table(
        "procedure-deploy",
        "the key `deploy`",
        "A deployment of projects.",
        &[
            required("projects", Shape::List(&PROJECT), "Projects and bundles"),
            optional("tag", Shape::Text(Format::Any), "The tag of their images; default: as projects.yaml says"),
        ],
    )
};
