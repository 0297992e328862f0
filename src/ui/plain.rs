//! Events as lines, for a pipe, a log or a CI job.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{SignedDuration, Timestamp};

use super::{RenderStyle, Renderer, print_details, print_message, print_output, style::Style, style::duration};
use crate::{
    domain::{Problem, StepKind},
    event::{Event, Outcome, TimedEvent},
};

/// What a step waits for is printed after this time, and again after it if it has changed.
const SILENCE: SignedDuration = SignedDuration::from_secs(10);

pub(super) struct Plain {
    look: RenderStyle,
    lines: Lines,
    running: BTreeMap<usize, RunningStep>,
}

/// A running step and its latest message.
struct RunningStep {
    subject: String,
    message: String,
    /// The last message that was printed, and when; at first, when the step started.
    printed: (String, Timestamp),
}

impl Plain {
    pub(super) fn new(look: RenderStyle) -> Self {
        Self { look, lines: Lines::new(look), running: BTreeMap::new() }
    }

    fn note(&mut self, timed: &TimedEvent) {
        match &timed.event {
            Event::StepStarted { step, subject, .. } => {
                let printed = (String::new(), timed.timestamp);
                self.running.insert(*step, RunningStep { subject: subject.clone(), message: String::new(), printed });
            }
            Event::StepProgress { step, message, .. } => {
                if let Some(running) = self.running.get_mut(step) {
                    running.message.clone_from(message);
                }
            }
            Event::StepFinished { step, .. } => drop(self.running.remove(step)),
            Event::RunFinished { .. } => self.running.clear(),
            _ => (),
        }
    }

    /// The lines for steps that have been silent for a while.
    fn waits(&mut self, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        for RunningStep { subject, message, printed } in self.running.values_mut() {
            if *message != printed.0 && now.duration_since(printed.1) >= SILENCE {
                *printed = (message.clone(), now);
                lines.push(format!("  {subject}  {message}"));
            }
        }
        lines
    }
}

impl Renderer for Plain {
    fn event(&mut self, timed: &TimedEvent) {
        self.note(timed);
        let event = &timed.event;
        if let Event::StepProgress { subject, message, .. } = event
            && self.look.verbose
        {
            print_message(&format!("  {subject}: {message}"));
        }
        print_output(event);
        for line in self.lines.of(event) {
            print_message(&line);
        }
    }

    fn tick(&mut self, now: Timestamp) {
        // With --verbose, every message has been printed.
        if self.look.quiet || self.look.verbose {
            return;
        }
        for line in self.waits(now) {
            print_message(&self.lines.style.dim(line));
        }
    }
}

/// The lines of an event, on a terminal as in a pipe.
pub(super) struct Lines {
    look: RenderStyle,
    style: Style,
    /// The subjects of which a step was reported as not started: each has one such line.
    left_out: RefCell<BTreeSet<String>>,
}

impl Lines {
    pub(super) fn new(look: RenderStyle) -> Self {
        Self { look, style: Style::new(look.color), left_out: RefCell::default() }
    }

    pub(super) fn of(&self, event: &Event) -> Vec<String> {
        match event {
            Event::RunStarted { verb, workspace, environment, steps, unchanged, .. } if !self.look.quiet => {
                let same =
                    if unchanged.is_empty() { String::new() } else { format!(", {} unchanged", unchanged.len()) };
                let head = self.style.bold(format!("{verb} {workspace} in {environment}"));
                vec![format!("{head}: {}{same}", counted(*steps))]
            }
            Event::StepStarted { subject, action, .. } if self.look.verbose => {
                vec![self.style.dim(format!("  {subject}: {action}"))]
            }
            Event::StepWarning { subject, problem, .. } => self.diagnosed(&self.style.warning("!"), subject, problem),
            Event::StepFinished { .. } => self.finished(event),
            Event::RunFinished { is_superseded: true, .. } => {
                vec![self.style.dim("stopped: a source has changed")]
            }
            Event::RunFinished { seconds, done, failed, not_started, interrupted, .. } => {
                self.left_out.borrow_mut().clear();
                vec![self.summary(*seconds, *done, [*failed, *not_started, *interrupted])]
            }
            _ => Vec::new(),
        }
    }

    fn finished(&self, event: &Event) -> Vec<String> {
        let Event::StepFinished { subject, action, kind, outcome, seconds, message, problem, .. } = event else {
            return Vec::new();
        };
        let fallback = Problem::new(format!("could not {action}"));
        let problem = problem.as_ref().unwrap_or(&fallback);
        match outcome {
            Outcome::Done if self.look.quiet => Vec::new(),
            Outcome::Done => {
                let shown = message.as_ref().map_or_else(|| action.clone(), |message| format!("{action}: {message}"));
                vec![format!("{} {subject}  {shown}  {}", self.style.good("✓"), self.style.dim(duration(*seconds)))]
            }
            Outcome::Failed => self.diagnosed(&self.style.bad("✗"), subject, problem),
            // Only the changes that are missing now are useful to know.
            Outcome::NotStarted if *kind != StepKind::Change => Vec::new(),
            Outcome::NotStarted if !self.left_out.borrow_mut().insert(subject.clone()) => Vec::new(),
            Outcome::NotStarted => {
                vec![format!("{} {subject}  {}", self.style.warning("-"), problem.message)]
            }
            Outcome::Interrupted if self.look.verbose => {
                vec![format!("{} {subject}  {action}: interrupted", self.style.warning("-"))]
            }
            Outcome::Interrupted => Vec::new(),
        }
    }

    fn diagnosed(&self, mark: &str, subject: &str, problem: &Problem) -> Vec<String> {
        let mut lines = vec![format!("{mark} {}  {}", self.style.bold(subject), problem.headline())];
        print_details(problem, self.style, &mut |line| lines.push(line));
        lines
    }

    /// `others`: the numbers of steps that failed, were not started, and were interrupted.
    fn summary(&self, seconds: f64, done: usize, others: [usize; 3]) -> String {
        let time = duration(seconds);
        let [failed, not_started, interrupted] = others;
        match others {
            [0, 0, 0] => self.style.good(format!("done: {} in {time}", counted(done))),
            [0, 0, _] => {
                let of = counted(done + interrupted);
                self.style
                    .warning(format!("interrupted: {done} of {of} done in {time}; run the command again to continue"))
            }
            _ => {
                let rest: String = [(not_started, "not started"), (interrupted, "interrupted")]
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| format!(", {count} {what}"))
                    .collect();
                self.style.bad(format!("{failed} failed{rest}, {done} done in {time}"))
            }
        }
    }
}

fn counted(steps: usize) -> String {
    if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ui::Mode;

    fn lines(event: &Event) -> String {
        let look = RenderStyle { mode: Mode::Plain, color: false, quiet: false, verbose: false };
        Lines::new(look).of(event).join("\n")
    }

    fn finished(outcome: Outcome, problem: Option<Problem>) -> Event {
        Event::StepFinished {
            step: 0,
            subject: "shop".to_owned(),
            action: "install".to_owned(),
            kind: StepKind::Change,
            outcome,
            seconds: 2.04,
            message: Some("revision 1, 1/1 ready".to_owned()),
            problem,
        }
    }

    #[test]
    fn what_a_step_waits_for_is_printed_after_a_while_and_again_if_it_has_changed() {
        let look = RenderStyle { mode: Mode::Plain, color: false, quiet: false, verbose: false };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut plain = Plain::new(look);
        let (subject, action, needs) = ("shop".to_owned(), "check".to_owned(), std::collections::BTreeSet::new());
        let started = Event::StepStarted { step: 0, subject, action, kind: StepKind::Check, needs };
        plain.event(&TimedEvent { timestamp: at(0), event: started });
        let waits = |message| Event::progress(0, "shop", message);
        plain.event(&TimedEvent { timestamp: at(1), event: waits("waiting for http://shop: no response") });
        assert!(plain.waits(at(9)).is_empty());
        assert_eq!(plain.waits(at(10)), ["  shop  waiting for http://shop: no response"]);
        assert!(plain.waits(at(60)).is_empty(), "it has not changed");
        plain.event(&TimedEvent { timestamp: at(61), event: waits("waiting for http://shop: HTTP 503") });
        assert_eq!(plain.waits(at(62)), ["  shop  waiting for http://shop: HTTP 503"]);
        plain.event(&TimedEvent { timestamp: at(63), event: finished(Outcome::Done, None) });
        assert!(plain.waits(at(99)).is_empty());
    }

    #[test]
    fn each_outcome_reads_well() {
        assert_eq!(lines(&finished(Outcome::Done, None)), "✓ shop  install: revision 1, 1/1 ready  2.0s");
        let mut problem = Problem::new("image not found: shop:9").detail("manifest unknown").help("push it");
        problem.logs.push("bye".to_owned());
        let expected = "✗ shop  image not found: shop:9\n  caused by: manifest unknown\n  last log lines:\n  | bye\n  help: push it";
        assert_eq!(lines(&finished(Outcome::Failed, Some(problem))), expected);
        let waiting = Problem::new("not started: it needs redis");
        assert_eq!(lines(&finished(Outcome::NotStarted, Some(waiting))), "- shop  not started: it needs redis");
    }

    #[test]
    fn a_subject_is_reported_once_as_not_started() {
        let look = RenderStyle { mode: Mode::Plain, color: false, quiet: false, verbose: false };
        let lines = Lines::new(look);
        let waits = |need: &str| {
            let problem = Problem::new(format!("not started: it needs {need}"));
            lines.of(&finished(Outcome::NotStarted, Some(problem)))
        };
        assert_eq!(waits("shop-next"), ["- shop  not started: it needs shop-next"]);
        assert_eq!(waits("shop"), Vec::<String>::new());
    }

    #[test]
    fn only_changes_are_reported_as_not_started() {
        for (kind, is_shown) in [(StepKind::Change, true), (StepKind::Check, false), (StepKind::Prepare, false)] {
            let mut event = finished(Outcome::NotStarted, Some(Problem::new("not started: it needs redis")));
            if let Event::StepFinished { kind: of, .. } = &mut event {
                *of = kind;
            }
            assert_eq!(!lines(&event).is_empty(), is_shown, "{kind:?}");
        }
    }

    #[test]
    fn the_end_counts() {
        let end = |failed, not_started, interrupted| {
            lines(&Event::RunFinished {
                seconds: 61.0,
                done: 5,
                failed,
                not_started,
                interrupted,
                is_superseded: false,
                urls: Vec::new(),
                project_urls: BTreeMap::new(),
                api_requests: BTreeMap::new(),
            })
        };
        assert_eq!(end(0, 0, 0), "done: 5 steps in 1m01s");
        assert_eq!(end(1, 2, 0), "1 failed, 2 not started, 5 done in 1m01s");
        assert_eq!(end(0, 0, 3), "interrupted: 5 of 8 steps done in 1m01s; run the command again to continue");
        assert_eq!(end(1, 2, 3), "1 failed, 2 not started, 3 interrupted, 5 done in 1m01s");
    }
}
