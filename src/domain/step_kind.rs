//! What a step of a plan is for.

use schemars::JsonSchema;
use serde::Serialize;

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "kind")]
pub enum StepKind {
    /// It changes the environment.
    Change,
    /// It only checks something.
    Check,
    /// It prepares other steps, and is not needed without them.
    Prepare,
}
