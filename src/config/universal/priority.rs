//! Priority classes of Kubernetes itself.

use serde_json::Value;

use super::Mistake;
use crate::{config::error::quoted, domain::ResolvedProject};

/// The classes that every cluster has begin so; they are far above the default.
const SYSTEM: &str = "system-";

/// Returns a warning for a priority above the default, which lets the scheduler end pods of other projects.
pub(super) fn above_default(project: &ResolvedProject) -> Option<Mistake> {
    let class = project.values.get("priorityClass").and_then(Value::as_str)?;
    let message = format!("{} is meant for components of the cluster", quoted(class));
    let expected = "where a node is full, its pods end those of all other projects".to_owned();
    let mistake = Mistake::new(vec!["priorityClass".to_owned()], message, expected);
    let help = "leave it out, and give less important projects a class with a negative value".to_owned();
    class.starts_with(SYSTEM).then(|| mistake.with_help(Some(help)))
}
