//! Reads procedures.

use std::collections::BTreeMap;

use super::{checks::checks, duration_at, name_of, names_at, text_at};
use crate::{
    config::tree::Cursor,
    domain::{
        Name,
        procedure::{Procedure, ProcedureAction, ProcedureStep, StepAct},
    },
};

pub(super) fn procedure(value: Cursor<'_>) -> Procedure {
    let steps = value.get("steps").into_iter().flat_map(|steps| steps.items());
    Procedure {
        description: text_at(value, "description"),
        is_reversible: is_reversible(value),
        steps: steps.filter_map(step).collect(),
    }
}

/// Whether every step that changes something must have a way back.
pub(in crate::config) fn is_reversible(procedure: Cursor<'_>) -> bool {
    procedure.get("reversible").and_then(|reversible| reversible.boolean()).unwrap_or_default()
}

fn step(value: Cursor<'_>) -> Option<ProcedureStep> {
    let undo = value.get("undo").into_iter().flat_map(|undo| undo.items());
    let name = value.get("name").and_then(name_of)?;
    Some(ProcedureStep { name, act: act(value)?, undo: undo.filter_map(act).collect() })
}

fn act(value: Cursor<'_>) -> Option<StepAct> {
    Some(StepAct {
        action: action(value)?,
        environment: value.get("env").and_then(name_of),
        timeout: duration_at(value, "timeout"),
    })
}

fn action(value: Cursor<'_>) -> Option<ProcedureAction> {
    let name = |key: &str| value.get(key).and_then(name_of);
    if let Some(maintenance) = value.get("maintenance") {
        return Some(ProcedureAction::Maintenance {
            is_on: text_at(maintenance, "state")? == "on",
            projects: names_at(maintenance, "projects"),
            message: text_at(maintenance, "message"),
        });
    }
    if let Some(scale) = value.get("scale") {
        return Some(ProcedureAction::Scale(replicas(scale)));
    }
    if let Some(deploy) = value.get("deploy") {
        let projects = names_at(deploy, "projects");
        return Some(ProcedureAction::Deploy { projects, tag: text_at(deploy, "tag") });
    }
    if value.get("check").is_some() {
        return Some(ProcedureAction::Check(checks(value, "check")));
    }
    let drain = name("drain").map(ProcedureAction::Drain).or_else(|| name("fill").map(ProcedureAction::Fill));
    let run = || name("run").map(ProcedureAction::Run);
    let named = drain.or_else(run).or_else(|| name("procedure").map(ProcedureAction::Procedure));
    let approve = || text_at(value, "approve").map(ProcedureAction::Approve);
    named.or_else(approve).or_else(|| duration_at(value, "wait").map(ProcedureAction::Wait))
}

fn replicas(scale: Cursor<'_>) -> BTreeMap<Name, u32> {
    let count = |entry: Cursor<'_>| {
        Some((Name::new(entry.key()).ok()?, entry.integer().and_then(|count| u32::try_from(count).ok())?))
    };
    scale.entries().filter_map(count).collect()
}
