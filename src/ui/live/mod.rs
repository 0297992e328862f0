//! Events as a live picture: a header and a line for each project in work. Projects that are done become one short line
//! above it.

mod estimate;
mod picture;
mod run;
mod screen;
#[cfg(test)]
mod tests;

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use self::run::LiveRun;
pub(super) use self::screen::Screen;
use super::{
    RenderStyle, Renderer,
    plain::Lines,
    print_output,
    style::{Style, duration},
};
use crate::{
    domain::step_durations::StepDurations,
    event::{Event, Outcome, TimedEvent},
};

/// A run that is over before this time draws nothing.
const FIRST_PICTURE: SignedDuration = SignedDuration::from_millis(250);

/// The screen with a picture, for messages that are printed above it.
static SHOWN: Mutex<Option<Arc<Mutex<Screen>>>> = Mutex::new(None);

/// Prints a message above the picture. Returns whether there is one.
pub(super) fn print_above(text: &str) -> bool {
    let shown = locked(&SHOWN).clone();
    shown.is_some_and(|screen| locked(&screen).print_above(text))
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Live {
    lines: Lines,
    style: Style,
    is_verbose: bool,
    durations: StepDurations,
    screen: Arc<Mutex<Screen>>,
    run: Option<LiveRun>,
    /// Lines to print above the next picture.
    above: Vec<String>,
}

impl Live {
    pub(super) fn new(look: RenderStyle, durations: StepDurations, screen: Screen) -> Self {
        let (lines, style, screen) = (Lines::new(look), Style::new(look.color), Arc::new(Mutex::new(screen)));
        Self { lines, style, is_verbose: look.verbose, durations, screen, run: None, above: Vec::new() }
    }

    /// Draws the picture of this moment, below the lines that are due.
    fn draw(&mut self, now: Timestamp) {
        let mut screen = locked(&self.screen);
        let size = screen.size();
        let due = self.run.as_ref().filter(|run| now.duration_since(run.started) >= FIRST_PICTURE);
        let picture = due.map(|run| picture::lines(run, &self.durations, now, size, self.style));
        screen.draw(&mem::take(&mut self.above), picture.unwrap_or_default());
    }

    /// Removes the picture before something else is written, and prints the lines that are due.
    fn clear(&mut self) {
        locked(&self.screen).draw(&mem::take(&mut self.above), Vec::new());
    }

    /// The lines above the picture for a step that has ended.
    fn ended(&mut self, event: &Event, subject: &str, outcome: Outcome) -> Vec<String> {
        if self.is_verbose {
            return self.lines.of(event);
        }
        let Some(run) = &mut self.run else { return self.lines.of(event) };
        if outcome == Outcome::Done {
            return if run.is_over(subject) { folded(run, subject, self.style) } else { Vec::new() };
        }
        let mut lines = if outcome == Outcome::Failed { folded(run, subject, self.style) } else { Vec::new() };
        lines.extend(self.lines.of(event));
        lines
    }

    /// What has not been reported of the subjects whose other steps were not started.
    fn rest(&mut self) -> Vec<String> {
        let Some(run) = self.run.as_mut().filter(|_| !self.is_verbose) else { return Vec::new() };
        let subjects = run.subjects();
        subjects.iter().flat_map(|subject| folded(run, subject, self.style)).collect()
    }
}

impl Renderer for Live {
    fn event(&mut self, timed: &TimedEvent) {
        let event = &timed.event;
        if let Event::RunStarted { .. } = event {
            *locked(&SHOWN) = Some(Arc::clone(&self.screen));
            self.run = LiveRun::of(timed);
        }
        if let Some(run) = &mut self.run {
            run.apply(timed);
        }
        match event {
            Event::StepFinished { subject, outcome, .. } => {
                let lines = self.ended(event, subject, *outcome);
                self.above.extend(lines);
            }
            Event::ContainerOutput { .. } | Event::ValuesFound { .. } => {
                self.clear();
                print_output(event);
                self.draw(timed.timestamp);
            }
            Event::RunFinished { .. } => {
                let rest = self.rest();
                self.above.extend(rest);
                self.above.extend(self.lines.of(event));
                self.run = None;
                self.clear();
                *locked(&SHOWN) = None;
            }
            _ => self.above.extend(self.lines.of(event)),
        }
        if self.run.is_none() {
            self.clear();
        }
    }

    fn tick(&mut self, now: Timestamp) {
        self.draw(now);
    }
}

/// One line for the steps of a subject that are done and not reported yet: `✓ shop  revision 1, 1/1 ready  2.0s`.
fn folded(run: &mut LiveRun, subject: &str, style: Style) -> Vec<String> {
    let (results, seconds) = run.take_results(subject);
    if results.is_empty() {
        return Vec::new();
    }
    vec![format!("{} {subject}  {}  {}", style.good("✓"), results.join(", "), style.dim(duration(seconds)))]
}
