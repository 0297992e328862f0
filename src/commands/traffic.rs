//! `cmdr traffic`: shows rollouts, continues them, and moves their traffic.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    cli::TrafficOptions,
    domain::{
        Name, Problem, ReleaseKey,
        maintenance::seconds,
        nearest::nearest,
        rollout::{RolloutPhase, RolloutState, RolloutVerdict, TrafficAction, TrafficRequest, parse_weight},
    },
    error::{CommandError, ErrorKind},
    ops::{
        options::ChangeRequest,
        prepared::show_urls,
        remote::{
            access::{RemoteAccess, may_write, refuse_local},
            apply::apply,
            deploy_request::{ChangeContext, expand},
            driver,
            operation::{OperationRequest, operate},
            rollouts::{continuation, driven, in_progress, is_taken, request},
        },
        session::Session,
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

/// What to do with rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Show,
    Continue,
    Promote,
    Abort,
    Weigh(u8),
}

const VERBS: [(&str, Verb); 3] = [("continue", Verb::Continue), ("promote", Verb::Promote), ("abort", Verb::Abort)];

/// One rollout, as `cmdr traffic` shows it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrafficRow {
    pub project: String,
    /// `starting`, `shifting`, `passed` or `returned`.
    pub phase: RolloutPhase,
    pub version: String,
    pub old_version: String,
    /// The record of the new version.
    pub record: String,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// Why it was not read back from Traefik that the new version has this share; absent if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<String>,
    /// The number of the current step, from 1.
    pub step: usize,
    /// The share of each step, in percent.
    pub steps: Vec<u8>,
    /// Since when the new version has its share.
    pub since: Timestamp,
    pub by: String,
    /// What the rollout waits for, or why it ended.
    pub waits_for: String,
    /// The last results of the checks.
    pub checks: Vec<String>,
}

/// # Errors
/// When a word is unknown, no rollout is in progress, a gate refuses, or a check fails.
pub(super) async fn traffic(session: &Session, options: &TrafficOptions) -> Result<(), CommandError> {
    refuse_local(session, "`cmdr up` replaces pods there at once")?;
    let (verb, words) = read(options)?;
    // Options are checked before the cluster is looked for.
    let change = ChangeRequest::from(&options.operation);
    ChangeContext::read(session, &change, None)?;
    refuse_unused(verb, &change)?;
    let names: Vec<Name> = expand(session, &words).map_err(|error| with_verbs(error, &words))?.0.into_iter().collect();
    let access = RemoteAccess::open(session).await?;
    if verb == Verb::Show {
        return show(session, &access, &names).await;
    }
    let states = in_progress(session, &access.cluster, &names).await?;
    if states.is_empty() {
        session.note(&format!("no rollout is in progress in '{}'", session.environment.name));
        return end_driver(session, &access).await;
    }
    if verb != Verb::Continue {
        write_request(session, &access, &requested(verb, options.step, session.settings.author()), &states).await?;
    }
    let is_detached = options.detach || options.step || matches!(verb, Verb::Weigh(_));
    let movement =
        Movement { session, access: &access, verb, is_named: !names.is_empty(), is_detached, change: &change };
    let done = movement.run(states).await;
    end_driver(session, &access).await?;
    done
}

/// Suspends the driver of the environment, if it has nothing to do.
async fn end_driver(session: &Session, access: &RemoteAccess) -> Result<(), CommandError> {
    if session.settings.dry_run { Ok(()) } else { driver::end(session, &access.cluster).await }
}

/// The verb among the words, first or last, and the names of projects.
fn read(options: &TrafficOptions) -> Result<(Verb, Vec<String>), CommandError> {
    let mut words = options.projects.clone();
    let verb_of = |word: Option<&String>| VERBS.iter().find(|(name, _)| word.is_some_and(|word| word == name));
    let verb = match (verb_of(words.first()), verb_of(words.last())) {
        (Some((_, verb)), _) => {
            words.remove(0);
            Some(*verb)
        }
        (None, Some((_, verb))) => {
            words.pop();
            Some(*verb)
        }
        (None, None) => None,
    };
    let usage = |cause: &str, help: &str| Err(CommandError::usage(Problem::new(cause).help(help)));
    let verb = match (&options.weight, verb) {
        (Some(_), Some(_)) => return usage("--weight moves the traffic by itself", "leave out the action"),
        (Some(text), None) => match parse_weight(text) {
            Some(weight) => Verb::Weigh(weight),
            None => return usage(&format!("--weight: '{text}' is not a share"), "write a share from 0% to 100%: 25%"),
        },
        (None, verb) => verb.unwrap_or(Verb::Show),
    };
    if options.step && verb != Verb::Promote {
        return usage("--step has no effect without `promote`", "run cmdr traffic promote PROJECT --step");
    }
    if options.detach && matches!(verb, Verb::Show | Verb::Abort | Verb::Weigh(_)) {
        return usage("--detach has no effect here", "use it with `continue` or `promote`");
    }
    if words.is_empty() && matches!(verb, Verb::Promote | Verb::Abort | Verb::Weigh(_)) {
        return usage("no project is named", "name the project: cmdr traffic shows all rollouts");
    }
    Ok((verb, words))
}

/// Refuses options of a change where nothing is changed.
fn refuse_unused(verb: Verb, change: &ChangeRequest) -> Result<(), CommandError> {
    let given = change.given();
    if verb != Verb::Show || given.is_empty() {
        return Ok(());
    }
    let cause = format!("only continue, promote, abort and --weight use these options: {}", given.join(", "));
    Err(CommandError::usage(Problem::new(cause).help("leave them out to show the rollouts")))
}

/// An unknown project may be a misspelled action.
fn with_verbs(mut error: CommandError, words: &[String]) -> CommandError {
    let meant = words.iter().find_map(|word| nearest(word, VERBS.iter().map(|(name, _)| *name)));
    if let (Some(meant), Some(problem)) = (meant, error.problems.first_mut()) {
        problem.help = Some(format!("did you mean `{meant}`?"));
    }
    error
}

fn requested(verb: Verb, is_step: bool, by: String) -> TrafficRequest {
    match verb {
        Verb::Weigh(weight) => TrafficRequest::Weight { weight, by },
        Verb::Abort => TrafficRequest::Abort { by },
        _ if is_step => TrafficRequest::PromoteStep { by },
        _ => TrafficRequest::Promote { by },
    }
}

/// Writes what a person requests into the state of each rollout, or prints what it would do.
async fn write_request(
    session: &Session,
    access: &RemoteAccess,
    wanted: &TrafficRequest,
    states: &BTreeMap<String, RolloutState>,
) -> Result<(), CommandError> {
    if session.settings.dry_run {
        for (project, state) in states {
            session.note(&effect(project, state, wanted));
        }
        return Ok(());
    }
    may_write(session)?;
    for project in states.keys() {
        request(&access.cluster, &ReleaseKey::new(&session.environment.namespace, project), wanted).await?;
    }
    Ok(())
}

/// What a request does first.
fn effect(project: &str, state: &RolloutState, wanted: &TrafficRequest) -> String {
    let state = RolloutState { request: Some(wanted.clone()), ..state.clone() };
    let RolloutState { version, old_version, weight: now, .. } = &state;
    match state.next_action(Timestamp::now(), &RolloutVerdict::Open) {
        TrafficAction::Shift { weight, is_held, .. } => {
            let until = if is_held { ", until it is promoted" } else { "" };
            format!("{project}: would give version {version} {weight}% of the requests (now {now}%){until}")
        }
        TrafficAction::Promote => format!("{project}: would pass the step with {now}% of the requests"),
        TrafficAction::Return(_) => {
            format!("{project}: would return all requests to version {old_version} (now {now}% have {version})")
        }
        _ => format!("{project}: would deploy version {version}, which has passed all steps"),
    }
}

/// What is done with rollouts, and how.
struct Movement<'a> {
    session: &'a Session,
    access: &'a RemoteAccess,
    verb: Verb,
    /// Whether projects are named: without names, all rollouts are meant.
    is_named: bool,
    /// Whether only what is due is done.
    is_detached: bool,
    change: &'a ChangeRequest,
}

impl Movement<'_> {
    /// Moves rollouts on, or returns their traffic. One that another run drives stops no other.
    async fn run(&self, mut states: BTreeMap<String, RolloutState>) -> Result<(), CommandError> {
        let mut requested: BTreeSet<String> = BTreeSet::new();
        let mut refusal = None;
        while !states.is_empty() {
            let locked = match self.attempt(&states).await {
                Err(error) if error.kind == ErrorKind::Locked && (self.is_request() || !self.is_named) => error,
                Err(error) if error.kind == ErrorKind::Refused && self.is_for_all() && states.len() > 1 => {
                    return self.one_by_one(states).await;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            };
            let mut driven = driven(self.session, &self.access.cluster, states.keys()).await?;
            if driven.is_empty() && self.is_for_all() {
                return Err(locked);
            }
            if driven.is_empty() {
                // The run that held the lock has ended in the meantime, and may have done what was requested.
                driven = states.keys().cloned().collect();
            }
            states.retain(|project, _| !driven.contains(project));
            if self.is_request() {
                requested.extend(driven);
                refusal = Some(locked);
            } else {
                for project in driven {
                    self.session.note(&format!("the rollout of '{project}' is left to the run that holds its lock"));
                }
            }
        }
        match refusal {
            Some(locked) => self.await_holders(&requested, locked).await,
            None => Ok(()),
        }
    }

    /// Continues rollouts one after the other: what refuses one of them, such as a hold, stops no other.
    async fn one_by_one(&self, states: BTreeMap<String, RolloutState>) -> Result<(), CommandError> {
        let mut refused: Option<CommandError> = None;
        for state in states {
            match Box::pin(self.run(BTreeMap::from([state]))).await {
                Err(error) if error.kind == ErrorKind::Refused => match &mut refused {
                    Some(before) => before.problems.extend(error.problems),
                    None => refused = Some(error),
                },
                done => done?,
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Whether all rollouts are continued, whatever their number is.
    fn is_for_all(&self) -> bool {
        !self.is_request() && !self.is_named
    }

    /// Whether the state says what was requested, so that the run that drives the rollout can do it.
    fn is_request(&self) -> bool {
        self.verb != Verb::Continue
    }

    async fn attempt(&self, states: &BTreeMap<String, RolloutState>) -> Result<(), CommandError> {
        if self.verb == Verb::Abort {
            return abort(self.session, self.change, states).await;
        }
        let request = continuation(self.session, states, self.is_detached).await?;
        let urls = apply(self.session, &request, self.change).await?;
        show_urls(self.session, &urls);
        Ok(())
    }

    /// Waits until the runs that drive rollouts have done what was requested of them.
    async fn await_holders(&self, projects: &BTreeSet<String>, locked: CommandError) -> Result<(), CommandError> {
        for project in projects {
            if !is_taken(self.session, &self.access.cluster, project).await? {
                return Err(locked);
            }
            self.session.note(&format!("the run that drives the rollout of '{project}' has done it"));
        }
        Ok(())
    }
}

async fn abort(
    session: &Session,
    change: &ChangeRequest,
    states: &BTreeMap<String, RolloutState>,
) -> Result<(), CommandError> {
    let namespace = &session.environment.namespace;
    let projects = states.keys().map(|project| ReleaseKey::new(namespace, project)).collect();
    let reason = format!("aborted by {}", session.settings.author());
    let request = OperationRequest::AbortRollouts(projects, reason);
    operate(session, &request, change).await
}

async fn show(session: &Session, access: &RemoteAccess, names: &[Name]) -> Result<(), CommandError> {
    let states = access.cluster.rollouts(&session.environment.namespace).await?;
    let is_meant = |name: &String| names.is_empty() || names.iter().any(|named| named.as_str() == name);
    // An account that may not read the locks sees the rollouts.
    let driven = driven(session, &access.cluster, states.keys()).await.unwrap_or_default();
    let meant = states.into_iter().filter(|(name, _)| is_meant(name));
    let rows: Vec<TrafficRow> = meant.map(|(name, state)| row(driven.contains(&name), name, state)).collect();
    if session.settings.output == OutputFormat::Json {
        ui::print(&format!("{}\n", json!(rows)));
        return Ok(());
    }
    if rows.is_empty() {
        session.note(&format!("no rollout in '{}'", session.environment.name));
        return Ok(());
    }
    ui::print(&render(&rows));
    Ok(())
}

fn row(is_driven: bool, project: String, state: RolloutState) -> TrafficRow {
    let waits_for = waits_for(&state, is_driven);
    TrafficRow {
        project,
        phase: state.phase,
        version: state.version,
        old_version: state.old_version,
        record: state.record.to_string(),
        weight: state.weight,
        unconfirmed: state.unconfirmed,
        step: state.step + 1,
        steps: state.steps.iter().map(|step| step.weight).collect(),
        since: state.since,
        by: state.by,
        waits_for,
        checks: state.seen,
    }
}

fn waits_for(state: &RolloutState, is_driven: bool) -> String {
    if let Some(reason) = &state.reason {
        return reason.clone();
    }
    match state.next_action(Timestamp::now(), &RolloutVerdict::Passed) {
        TrafficAction::Wait { until: Some(until), reason } => format!("{reason}, until {}", seconds(until)),
        TrafficAction::Wait { until: None, reason } => reason,
        _ if is_driven => "the run that holds the lock".to_owned(),
        _ => "cmdr traffic continue".to_owned(),
    }
}

fn render(rows: &[TrafficRow]) -> String {
    let header = ["PROJECT", "NEW", "OLD", "SHARE", "STEP", "SINCE", "WAITS FOR"].map(str::to_owned).to_vec();
    let line = |row: &TrafficRow| {
        let share =
            if row.phase == RolloutPhase::Returned { "returned".to_owned() } else { format!("{}%", row.weight) };
        let step = format!("{} of {}", row.step, row.steps.len());
        let names = [row.project.clone(), row.version.clone(), row.old_version.clone()];
        names.into_iter().chain([share, step, seconds(row.since), row.waits_for.clone()]).collect::<Vec<_>>()
    };
    let mut text = table(&std::iter::once(header).chain(rows.iter().map(line)).collect::<Vec<_>>());
    for row in rows {
        let why = row.unconfirmed.as_ref();
        text.extend(why.map(|why| format!("{}: Traefik has not confirmed the share: {why}\n", row.project)));
        text.extend(row.checks.iter().map(|check| format!("{}: {check}\n", row.project)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::OperationOptions,
        domain::rollout::{Rollout, RolloutKind},
    };

    fn options(words: &[&str], weight: Option<&str>, step: bool) -> TrafficOptions {
        let projects = words.iter().map(|word| (*word).to_owned()).collect();
        let (weight, operation) = (weight.map(str::to_owned), OperationOptions::default());
        TrafficOptions { projects, step, weight, detach: false, operation }
    }

    fn verb(words: &[&str], weight: Option<&str>) -> Verb {
        let (verb, names) = read(&options(words, weight, false)).unwrap();
        assert!(names.iter().all(|name| name == "shop"), "{names:?}");
        verb
    }

    #[test]
    fn the_action_is_the_first_or_the_last_word() {
        assert_eq!(verb(&[], None), Verb::Show);
        assert_eq!(verb(&["shop"], None), Verb::Show);
        assert_eq!(verb(&["continue"], None), Verb::Continue);
        assert_eq!(verb(&["promote", "shop"], None), Verb::Promote);
        assert_eq!(verb(&["shop", "abort"], None), Verb::Abort);
        assert_eq!(verb(&["shop"], Some("25%")), Verb::Weigh(25));
    }

    /// A rollout whose second step has no pause.
    fn state() -> RolloutState {
        let kind = RolloutKind::Canary;
        let steps = Rollout::default_steps(kind, std::time::Duration::ZERO);
        let (keep, checks) = (std::time::Duration::ZERO, BTreeMap::new());
        let rollout = Rollout { kind, steps, keep, checks, preview: None, is_sticky: false };
        let versions = ("2".to_owned(), "1".to_owned());
        let state = RolloutState::start(&rollout, "r2".into(), versions, "anna".to_owned());
        RolloutState { phase: RolloutPhase::Shifting, weight: 25, step: 1, ..state }
    }

    #[test]
    fn a_rollout_that_is_due_waits_for_the_run_that_drives_it() {
        assert_eq!(waits_for(&state(), true), "the run that holds the lock");
        assert_eq!(waits_for(&state(), false), "cmdr traffic continue");
    }

    #[test]
    fn a_preview_says_what_a_request_does() {
        let (state, by) = (state(), "anna".to_owned());
        let effect = |wanted: TrafficRequest| super::effect("shop", &state, &wanted);
        let held = effect(TrafficRequest::Weight { weight: 70, by: by.clone() });
        assert_eq!(held, "shop: would give version 2 70% of the requests (now 25%), until it is promoted");
        let all = effect(TrafficRequest::Promote { by: by.clone() });
        assert_eq!(all, "shop: would give version 2 100% of the requests (now 25%)");
        let step = effect(TrafficRequest::PromoteStep { by: by.clone() });
        assert_eq!(step, "shop: would pass the step with 25% of the requests");
        let aborted = effect(TrafficRequest::Abort { by });
        assert_eq!(aborted, "shop: would return all requests to version 1 (now 25% have 2)");
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        let why = |options: TrafficOptions| read(&options).unwrap_err().problems.remove(0).message;
        assert_eq!(why(options(&["shop"], Some("25"), false)), "--weight: '25' is not a share");
        assert_eq!(why(options(&["shop", "abort"], Some("25%"), false)), "--weight moves the traffic by itself");
        assert_eq!(why(options(&["shop"], None, true)), "--step has no effect without `promote`");
        assert_eq!(why(options(&["abort"], None, false)), "no project is named");
    }
}
