//! Procedures: named, ordered steps of maintenance, as projects.yaml describes them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Name, check::HealthCheck, digest::sha256};

/// How long a step may take, unless projects.yaml sets it.
const STEP_TIMEOUT: Duration = Duration::from_mins(30);
/// The number of hexadecimal digits that identify a definition.
const LENGTH: usize = 20;

/// An entry of `procedures`.
#[derive(Debug, Clone, PartialEq)]
pub struct Procedure {
    pub description: Option<String>,
    /// Whether every step that changes something must have a way back.
    pub is_reversible: bool,
    pub steps: Vec<ProcedureStep>,
}

/// A step of a procedure.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcedureStep {
    pub name: Name,
    pub act: StepAct,
    /// How `abort` undoes the step, in this order.
    pub undo: Vec<StepAct>,
}

/// Something to do, where, and for how long at most.
#[derive(Debug, Clone, PartialEq)]
pub struct StepAct {
    pub action: ProcedureAction,
    /// `None`: the environment that the procedure was started for.
    pub environment: Option<Name>,
    pub timeout: Option<Duration>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcedureAction {
    Maintenance {
        is_on: bool,
        /// All if empty.
        projects: Vec<Name>,
        message: Option<String>,
    },
    /// A project or a bundle.
    Drain(Name),
    Fill(Name),
    /// Projects with their numbers of pods.
    Scale(BTreeMap<Name, u32>),
    Run(Name),
    Deploy {
        /// Projects and bundles.
        projects: Vec<Name>,
        tag: Option<String>,
    },
    Check(BTreeMap<Name, HealthCheck>),
    /// A question to a person.
    Approve(String),
    Wait(Duration),
    /// The steps of another procedure.
    Procedure(Name),
}

/// A step with everything that decides what it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlatStep {
    /// Of a step of another procedure: `STEP/NAME`.
    pub name: String,
    #[serde(flatten)]
    pub act: FlatAct,
    pub undo: Vec<FlatAct>,
}

/// An action in its environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlatAct {
    pub environment: Name,
    pub action: ProcedureAction,
    /// Seconds; `None` for what only a person or the clock ends.
    pub timeout_seconds: Option<u64>,
}

impl ProcedureAction {
    /// The key of the step in projects.yaml.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Maintenance { .. } => "maintenance",
            Self::Drain(_) => "drain",
            Self::Fill(_) => "fill",
            Self::Scale(_) => "scale",
            Self::Run(_) => "run",
            Self::Deploy { .. } => "deploy",
            Self::Check(_) => "check",
            Self::Approve(_) => "approve",
            Self::Wait(_) => "wait",
            Self::Procedure(_) => "procedure",
        }
    }

    /// What the step does it to, in a few words.
    pub fn subject(&self) -> String {
        match self {
            Self::Maintenance { is_on, projects, .. } => {
                let state = if *is_on { "on" } else { "off" };
                if projects.is_empty() { state.to_owned() } else { format!("{state} {}", list(projects.iter())) }
            }
            Self::Drain(name) | Self::Fill(name) | Self::Run(name) | Self::Procedure(name) => name.to_string(),
            Self::Scale(projects) => list(projects.iter().map(|(name, replicas)| format!("{name} to {replicas}"))),
            Self::Deploy { projects, tag } => {
                let tag = tag.as_ref().map(|tag| format!("={tag}")).unwrap_or_default();
                list(projects.iter().map(|project| format!("{project}{tag}")))
            }
            Self::Check(checks) => list(checks.keys()),
            Self::Approve(question) => question.clone(),
            Self::Wait(duration) => format!("{} s", duration.as_secs()),
        }
    }

    /// The projects and bundles that it changes; empty if it changes none, or all.
    pub fn changed(&self) -> Vec<&str> {
        match self {
            Self::Maintenance { projects, .. } | Self::Deploy { projects, .. } => {
                projects.iter().map(Name::as_str).collect()
            }
            Self::Drain(name) | Self::Fill(name) | Self::Run(name) => vec![name.as_str()],
            Self::Scale(projects) => projects.keys().map(Name::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether only a person or the clock ends the step.
    fn has_no_timeout(&self) -> bool {
        matches!(self, Self::Approve(_) | Self::Wait(_))
    }
}

fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Returns the steps of a procedure, with those of the procedures that it runs in their place. Names that do not exist
/// and circles, which validation reports, end the walk.
pub fn flatten(procedures: &BTreeMap<Name, Procedure>, name: &Name, environment: &Name) -> Vec<FlatStep> {
    let mut steps = Vec::new();
    add_steps(procedures, (name, environment), "", &mut steps);
    steps
}

fn add_steps(
    procedures: &BTreeMap<Name, Procedure>,
    (name, environment): (&Name, &Name),
    prefix: &str,
    steps: &mut Vec<FlatStep>,
) {
    let depth = prefix.matches('/').count();
    for step in procedures.get(name).filter(|_| depth <= procedures.len()).into_iter().flat_map(|it| &it.steps) {
        let full = format!("{prefix}{}", step.name);
        if let ProcedureAction::Procedure(other) = &step.act.action {
            let inner = step.act.environment.as_ref().unwrap_or(environment);
            add_steps(procedures, (other, inner), &format!("{full}/"), steps);
            continue;
        }
        let act = flat(&step.act, environment);
        let undo = step.undo.iter().map(|undo| flat(undo, &act.environment)).collect();
        steps.push(FlatStep { name: full, act, undo });
    }
}

fn flat(act: &StepAct, environment: &Name) -> FlatAct {
    let timeout = act.timeout.unwrap_or(STEP_TIMEOUT);
    FlatAct {
        environment: act.environment.as_ref().unwrap_or(environment).clone(),
        action: act.action.clone(),
        timeout_seconds: (!act.action.has_no_timeout()).then_some(timeout.as_secs()),
    }
}

/// Identifies the definition of steps by their content.
pub fn definition_id(steps: &[FlatStep]) -> String {
    let mut id = sha256(serde_json::to_string(steps).unwrap_or_default().as_bytes());
    id.truncate(LENGTH);
    id
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    pub(crate) fn step(step_name: &str, action: ProcedureAction, undo: &[ProcedureAction]) -> ProcedureStep {
        let act = |action| StepAct { action, environment: None, timeout: None };
        ProcedureStep { name: name(step_name), act: act(action), undo: undo.iter().cloned().map(act).collect() }
    }

    fn procedure(steps: Vec<ProcedureStep>) -> Procedure {
        Procedure { description: None, is_reversible: false, steps }
    }

    #[test]
    fn steps_of_other_procedures_are_in_their_place() {
        let scale = |count| ProcedureAction::Scale(BTreeMap::from([(name("worker"), count)]));
        let mut move_it = step("move", ProcedureAction::Procedure(name("move")), &[]);
        move_it.act.environment = Some(name("second"));
        let wait = step("pause", ProcedureAction::Wait(Duration::from_mins(1)), &[]);
        let procedures = BTreeMap::from([
            (name("outer"), procedure(vec![step("down", scale(0), &[scale(2)]), move_it, wait])),
            (name("move"), procedure(vec![step("up", scale(2), &[scale(0)])])),
        ]);
        let steps = flatten(&procedures, &name("outer"), &name("first"));
        let shown: Vec<String> =
            steps.iter().map(|it| format!("{} {} {:?}", it.name, it.act.environment, it.act.timeout_seconds)).collect();
        assert_eq!(shown, ["down first Some(1800)", "move/up second Some(1800)", "pause first None"]);
        assert_eq!(steps[1].undo[0].environment, name("second"));
        assert_eq!(steps[0].act.action.subject(), "worker to 0");
        let id = definition_id(&steps);
        assert_eq!((id.len(), &id), (20, &definition_id(&steps.clone())));
        assert_ne!(id, definition_id(&steps[1..]));
    }

    #[test]
    fn a_circle_ends() {
        let own = step("again", ProcedureAction::Procedure(name("outer")), &[]);
        let procedures = BTreeMap::from([(name("outer"), procedure(vec![own]))]);
        assert_eq!(flatten(&procedures, &name("outer"), &name("first")), Vec::new());
    }
}
