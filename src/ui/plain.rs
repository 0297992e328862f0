//! Events as lines, for a pipe, a log or a CI job.

use super::{RenderStyle, Renderer, print_details, print_message, style::Style, style::duration};
use crate::{
    domain::Problem,
    event::{Event, Outcome},
};

pub(super) struct Plain {
    look: RenderStyle,
    lines: Lines,
}

impl Plain {
    pub(super) fn new(look: RenderStyle) -> Self {
        Self { look, lines: Lines::new(look) }
    }
}

impl Renderer for Plain {
    fn event(&mut self, event: &Event) {
        if let Event::StepProgress { subject, message, .. } = event
            && self.look.verbose
        {
            print_message(&format!("  {subject}: {message}"));
        }
        for line in self.lines.of(event) {
            print_message(&line);
        }
    }
}

/// cmdr's own steps between the described ones: it is not useful to report that they were not started.
const OWN_ACTIONS: [&str; 4] = ["check", "connect", "prepare", "apply"];

/// The lines of an event, on a terminal as in a pipe.
pub(super) struct Lines {
    look: RenderStyle,
    style: Style,
}

impl Lines {
    pub(super) fn new(look: RenderStyle) -> Self {
        Self { look, style: Style::new(look.color) }
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
            Event::StepFinished { subject, action, outcome, seconds, message, problem, .. } => {
                self.finished(subject, action, *outcome, *seconds, message.as_deref(), problem.as_ref())
            }
            Event::RunFinished { seconds, done, failed, not_started, interrupted, .. } => {
                vec![self.summary(*seconds, *done, [*failed, *not_started, *interrupted])]
            }
            _ => Vec::new(),
        }
    }

    fn finished(
        &self,
        subject: &str,
        action: &str,
        outcome: Outcome,
        seconds: f64,
        message: Option<&str>,
        problem: Option<&Problem>,
    ) -> Vec<String> {
        let fallback = Problem::new(format!("could not {action}"));
        match outcome {
            Outcome::Done if self.look.quiet => Vec::new(),
            Outcome::Done => {
                let shown = message.map_or_else(|| action.to_owned(), |message| format!("{action}: {message}"));
                vec![format!("{} {subject}  {shown}  {}", self.style.good("✓"), self.style.dim(duration(seconds)))]
            }
            Outcome::Failed => self.diagnosed(&self.style.bad("✗"), subject, problem.unwrap_or(&fallback)),
            Outcome::NotStarted if OWN_ACTIONS.contains(&action) => Vec::new(),
            Outcome::NotStarted => {
                let problem = problem.unwrap_or(&fallback);
                vec![format!("{} {subject}  {}", self.style.warning("-"), problem.message)]
            }
            Outcome::Interrupted if self.look.verbose => {
                vec![format!("{} {subject}  {action}: interrupted", self.style.warning("-"))]
            }
            Outcome::Interrupted => Vec::new(),
        }
    }

    fn diagnosed(&self, mark: &str, subject: &str, problem: &Problem) -> Vec<String> {
        let mut lines = vec![format!("{mark} {}  {}", self.style.bold(subject), problem.message)];
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
                self.style.warning(format!("interrupted: {done} of {of} done in {time}"))
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
            outcome,
            seconds: 2.04,
            message: Some("revision 1, 1/1 ready".to_owned()),
            problem,
        }
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
    fn the_end_counts() {
        let end = |failed, not_started, interrupted| {
            lines(&Event::RunFinished {
                seconds: 61.0,
                done: 5,
                failed,
                not_started,
                interrupted,
                urls: Vec::new(),
                project_urls: BTreeMap::new(),
            })
        };
        assert_eq!(end(0, 0, 0), "done: 5 steps in 1m01s");
        assert_eq!(end(1, 2, 0), "1 failed, 2 not started, 5 done in 1m01s");
        assert_eq!(end(0, 0, 3), "interrupted: 5 of 8 steps done in 1m01s");
        assert_eq!(end(1, 2, 3), "1 failed, 2 not started, 3 interrupted, 5 done in 1m01s");
    }
}
