//! cmdr: a whole platform on a laptop, and the same manifests in staging and production.
//!
//! Every verb takes one way: `cli -> settings -> config -> observe -> plan -> confirm -> engine -> events -> ui ->
//! exit code`. The verbs differ in plan, not in execution. `tests/architecture.rs` guards the edges below.
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`domain`] | names, images, workspaces, labels, address pools; no IO | - |
//! | [`config`] | `projects.yaml` text -> [`domain::Workspace`] or diagnostics; JSON Schema | `domain` |
//! | [`adapters`] | docker, kind, helm, the Kubernetes API, git, HTTP; own errors, no printing | `domain` |
//! | [`plan`] | pure: what is described and what is observed -> a graph of steps | `domain` |
//! | [`event`] | the only words that engine and ui share | `domain`, `plan` |
//! | [`engine`] | runs a plan: order, limits, cancellation | `plan`, `event` |
//! | [`steps`] | what each step does: step -> adapter calls | `domain`, `plan`, `engine`, `event`, `adapters` |
//! | [`ui`] | live, plain and JSON renderers of events; diagnostics | `event`, `plan`, `config`, `error`, `domain` |
//! | [`settings`] | flags, variables and the user's file -> settings; sole reader of the environment | `cli`, `domain`, `config` |
//! | [`cli`] | what can be written on the command line | - |
//! | [`error`] | one error at the edge: kind, cause, hints, exit code | - |
//! | [`commands`] | one file a verb | all |

pub mod adapters;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
pub mod event;
pub mod plan;
pub mod settings;
pub mod steps;
pub mod ui;
