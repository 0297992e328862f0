//! Events as the log of a GitLab job: a section for each subject, collapsed if it succeeded.
//!
//! GitLab decides at a section's start whether it is collapsed. So the output of a subject is kept until it has
//! finished, and written in one piece, which also separates subjects that run in parallel.

use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anstream::adapter::strip_str;
use jiff::Timestamp;

use super::{RenderStyle, Renderer, plain::Lines, print_details, print_output, style::Style, style::duration};
use crate::{
    domain::Problem,
    event::{Event, Outcome, TimedEvent},
};

/// The longest time without output: after it, a progress line shows that the run is alive.
const SILENCE: Duration = Duration::from_secs(15);
/// The maximum number of subjects in a progress line; the others are counted.
const NAMED: usize = 4;

/// The time since the start of 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(super) struct GitlabOutput {
    look: RenderStyle,
    style: Style,
    lines: Lines,
    out: Box<dyn Write + Send>,
    clock: fn() -> Duration,
    start: Duration,
    /// When output was last written.
    shown: Duration,
    steps: usize,
    ended: usize,
    /// The number of unfinished steps of each subject.
    left: BTreeMap<String, usize>,
    /// The subject of each running step, and its action or the reason for which it waits.
    running: BTreeMap<usize, (String, String)>,
    subjects: BTreeMap<String, Subject>,
}

/// The output of a subject that is not written yet.
#[derive(Debug, Default)]
struct Subject {
    /// The first of its steps that started, with its time; `None` before that.
    first_step: Option<(usize, Duration)>,
    seconds: f64,
    journal: Vec<String>,
    /// The finished steps, as text for the section's head.
    done: Vec<String>,
    interrupted: Option<String>,
    failure: Option<Problem>,
    /// Lines for steps that never started.
    left_out: Vec<String>,
}

/// A section of the job's log.
#[derive(Debug)]
struct Section<'a> {
    name: &'a str,
    first_step: Option<(usize, Duration)>,
    is_collapsed: bool,
    /// Of complete lines, like the body.
    head: String,
    body: String,
}

impl Section<'_> {
    /// Returns head and body between the markers of a section that ends now.
    fn text(&self, now: Duration) -> String {
        let Self { head, body, .. } = self;
        let end = now.as_secs();
        let (step, start) = self.first_step.map_or((0, end), |(step, start)| (step, start.as_secs()));
        // Two runs of a job may have the same subject, but the names of sections must be unique.
        let name = format!("{}.{step}.{start}", section_name(self.name));
        let options = if self.is_collapsed { "[collapsed=true]" } else { "" };
        format!(
            "\x1b[0Ksection_start:{start}:{name}{options}\r\x1b[0K{head}{body}\x1b[0Ksection_end:{end}:{name}\r\x1b[0K\n"
        )
    }
}

impl GitlabOutput {
    pub(super) fn new(look: RenderStyle, out: Box<dyn Write + Send>, clock: fn() -> Duration) -> Self {
        let start = clock();
        Self {
            look,
            style: Style::new(look.color),
            lines: Lines::new(look),
            out,
            clock,
            start,
            shown: start,
            steps: 0,
            ended: 0,
            left: BTreeMap::new(),
            running: BTreeMap::new(),
            subjects: BTreeMap::new(),
        }
    }

    /// Writes everything in one call, so that no other output comes in between.
    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = self.out.write_all(text.as_bytes());
            self.shown = (self.clock)();
        }
    }

    /// The lines as text, without carriage returns: one in a container's log could end a section's marker.
    fn text(&self, lines: &[String]) -> String {
        let text: String = lines.iter().map(|line| format!("{}\n", line.replace('\r', ""))).collect();
        if self.look.color { text } else { strip_str(&text).to_string() }
    }

    fn note(&mut self, subject: &str, text: &str) {
        let time = duration((self.clock)().saturating_sub(self.start).as_secs_f64());
        let line = format!("  {} {text}", self.style.dim(format!("{time:>6}")));
        self.subjects.entry(subject.to_owned()).or_default().journal.push(line);
    }

    fn begin(&mut self, step: usize, subject: &str, action: &str) {
        let now = (self.clock)();
        self.running.insert(step, (subject.to_owned(), action.to_owned()));
        self.subjects.entry(subject.to_owned()).or_default().first_step.get_or_insert((step, now));
        self.note(subject, &format!("{action} started"));
    }

    fn end(&mut self, event: &Event) {
        let Event::StepFinished { step, subject, action, outcome, seconds, message, problem, .. } = event else {
            return;
        };
        let has_started = self.running.remove(step).is_some();
        self.ended += 1;
        let shown = message.as_ref().map_or_else(|| action.clone(), |message| format!("{action}: {message}"));
        match outcome {
            Outcome::Done => self.note(subject, &shown),
            Outcome::Interrupted if has_started => self.note(subject, &format!("{action}: interrupted")),
            Outcome::Failed => self.note(subject, &format!("{action} failed")),
            _ => {}
        }
        let left_out = self.lines.of(event);
        let entry = self.subjects.entry(subject.clone()).or_default();
        entry.seconds += seconds;
        match outcome {
            Outcome::Done => entry.done.push(shown),
            Outcome::Interrupted if has_started => entry.interrupted = Some(format!("{action}: interrupted")),
            Outcome::Failed => {
                let unknown = || Problem::new(format!("could not {action}"));
                entry.failure = Some(problem.clone().unwrap_or_else(unknown));
            }
            Outcome::NotStarted | Outcome::Interrupted => entry.left_out.extend(left_out),
        }
        let left = self.left.entry(subject.clone()).or_insert(1);
        *left = left.saturating_sub(1);
        // A failure is reported at once: other steps of the subject may finish much later, or never start.
        if *left == 0 || *outcome == Outcome::Failed {
            self.close(subject);
        }
    }

    /// Writes the section of a subject.
    fn close(&mut self, name: &str) {
        let Some(subject) = self.subjects.remove(name) else { return };
        let style = self.style;
        let (head, is_collapsed, mut body) = if let Some(failure) = &subject.failure {
            let mut body = Vec::new();
            print_details(failure, style, &mut |line| body.push(line));
            (format!("{} {}  {}", style.bad("✗"), style.bold(name), failure.headline()), false, body)
        } else if let Some(interrupted) = &subject.interrupted {
            (format!("{} {name}  {interrupted}", style.warning("-")), true, Vec::new())
        } else if subject.done.is_empty() || self.look.quiet {
            self.write(&self.text(&subject.left_out));
            return;
        } else {
            let time = style.dim(duration(subject.seconds));
            (format!("{} {name}  {}  {time}", style.good("✓"), subject.done.join("; ")), true, Vec::new())
        };
        body.extend(subject.journal);
        let (head, body) = (self.text(&[head]), self.text(&body));
        let section = Section { name, first_step: subject.first_step, is_collapsed, head, body };
        self.write(&format!("{}{}", section.text((self.clock)()), self.text(&subject.left_out)));
    }

    /// Writes a progress line after a time without output.
    fn break_silence(&mut self) {
        let now = (self.clock)();
        if self.look.quiet || self.running.is_empty() || now.saturating_sub(self.shown) < SILENCE {
            return;
        }
        let named: Vec<String> =
            self.running.values().take(NAMED).map(|(subject, action)| format!("{subject} ({action})")).collect();
        let more = self.running.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let time = duration(now.saturating_sub(self.start).as_secs_f64());
        let line =
            format!("  {} of {} steps after {time}; running: {}{more}", self.ended, self.steps, named.join(", "));
        self.write(&self.text(&[self.style.dim(line)]));
    }
}

impl Renderer for GitlabOutput {
    fn event(&mut self, timed: &TimedEvent) {
        let event = &timed.event;
        match event {
            Event::RunStarted { steps, subjects, .. } => {
                (self.steps, self.left) = (*steps, subjects.clone());
                self.write(&self.text(&self.lines.of(event)));
            }
            Event::StepStarted { step, subject, action, .. } => self.begin(*step, subject, action),
            Event::StepProgress { step, subject, message, waits_for, .. } => {
                if let Some((running, reason)) = self.running.get_mut(step).zip(waits_for.as_ref()) {
                    running.1 = reason.to_string();
                }
                self.note(subject, message);
            }
            Event::StepWarning { subject, problem, .. } => {
                self.note(subject, &problem.headline());
                self.write(&self.text(&self.lines.of(event)));
            }
            Event::ContainerOutput { .. } | Event::ValuesFound { .. } => {
                print_output(event);
                self.shown = (self.clock)();
            }
            Event::ContainerExited { .. } => {}
            Event::StepFinished { .. } => self.end(event),
            Event::RunFinished { .. } => {
                let open: Vec<String> = self.subjects.keys().cloned().collect();
                for name in open {
                    self.close(&name);
                }
                self.write(&self.text(&self.lines.of(event)));
            }
        }
        self.break_silence();
    }

    fn tick(&mut self, _now: Timestamp) {
        self.break_silence();
    }
}

/// The name of a section: letters, digits, `_`, `.` and `-` are allowed.
fn section_name(subject: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    subject.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests;
