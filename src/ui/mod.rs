//! The output of a run, for people and for programs: renderers consume events and never call back.

mod ask;
mod confirm;
pub mod difference;
mod gitlab;
mod json;
mod live;
pub mod log_lines;
mod messages;
mod output_file;
mod plain;
mod record;
mod reports;
pub mod style;
pub mod table;
pub mod terminal;
mod watched;

use std::{
    collections::BTreeMap,
    io::Write,
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Mutex as Queue, MutexGuard as Turn},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use crate::{
    domain::{Problem, step_durations::StepDurations, yaml},
    event::{self, Event, Sender, TimedEvent},
};
pub use ask::{ask_choice, ask_text};
pub use confirm::confirm;
pub use messages::{
    Level, Message, print_message, print_messages_as_json, print_mistakes, print_problems, print_warnings,
};
pub use output_file::{OutputFile, check_output_files, write_output_file};
pub use reports::{Clock, ReportFiles, Reports};
use style::Style;
pub use watched::Watched;

/// The output mode for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Live progress, on a terminal.
    Live,
    /// Lines, in a pipe or a log.
    Plain,
    /// Collapsible sections, in the log of a GitLab job.
    Gitlab,
    /// JSON Lines, on standard output.
    Json,
}

/// The options of a renderer.
#[derive(Debug, Clone, Copy)]
pub struct RenderStyle {
    pub mode: Mode,
    pub color: bool,
    pub quiet: bool,
    pub verbose: bool,
}

/// Shows events in one output mode.
trait Renderer: Send {
    fn event(&mut self, timed: &TimedEvent);

    /// Is called several times a second, also without events.
    fn tick(&mut self, _now: Timestamp) {}
}

/// How often a renderer may update its output without an event.
const TICK: Duration = Duration::from_millis(125);

/// The queue for the screen: runs side by side are shown one after the other, in the order in which they started.
static SCREEN: Queue<()> = Queue::const_new(());
/// The renderers that had to wait for the screen.
static WAITING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Waits until no run writes to the screen, and keeps others from it until the guard is dropped.
pub async fn turn() -> Turn<'static, ()> {
    SCREEN.lock().await
}

/// Waits until all runs that had to wait for the screen have been shown.
pub async fn flush() {
    let waiting = mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    for task in waiting {
        let _ = task.await;
    }
}

/// A renderer that runs in its own task; it ends when the last sender is dropped.
#[derive(Debug)]
pub struct EventSink {
    pub events: Sender,
    task: JoinHandle<()>,
    /// Another run is being shown.
    waits: bool,
}

impl EventSink {
    /// Starts the renderer for `look`, which also passes the events to the reports. `durations` are those of earlier
    /// runs.
    pub fn open(look: RenderStyle, reports: &Reports, durations: StepDurations) -> Self {
        let (events, mut receiver) = event::channel(Timestamp::now);
        let mut renderer: Box<dyn Renderer> = match look.mode {
            Mode::Live => Box::new(live::Live::new(look, durations, live::Screen::stderr())),
            Mode::Plain => Box::new(plain::Plain::new(look)),
            Mode::Gitlab => Box::new(gitlab::GitlabOutput::new(look, Box::new(std::io::stderr()), gitlab::now)),
            Mode::Json => Box::new(json::Json),
        };
        let (reports, turn) = (reports.clone(), SCREEN.try_lock().ok());
        let waits = turn.is_none();
        let task = tokio::spawn(async move {
            let _turn = match turn {
                Some(turn) => turn,
                None => SCREEN.lock().await,
            };
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    event = receiver.recv() => {
                        let Some(event) = event else { break };
                        record::record(&event.event);
                        renderer.event(&event);
                        reports.handle(&event);
                    }
                    _ = ticks.tick() => renderer.tick(Timestamp::now()),
                }
            }
        });
        Self { events, task, waits }
    }

    /// Waits until all events have been shown. The events of a run beside another one are shown later, because the run
    /// must release its lock: see [`flush`].
    pub async fn close(self) {
        drop(self.events);
        if self.waits {
            WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        } else {
            let _ = self.task.await;
        }
    }
}

/// Turns colors on or off, whatever the streams are connected to.
pub fn force_color(color: bool) {
    let choice = if color { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never };
    choice.write_global();
}

/// The first error of standard output.
static OUTPUT_ERROR: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Writes data to standard output. An error is kept for [`output_error`].
pub fn print(text: &str) {
    let mut output = anstream::stdout();
    keep_error(output.write_all(text.as_bytes()).and_then(|()| output.flush()));
}

/// Keeps the first error of standard output. A reader that has closed the pipe has what it wanted.
fn keep_error(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = OUTPUT_ERROR.set(error.to_string());
    }
}

/// Why data could not be written to standard output: the disk is full.
pub fn output_error() -> Option<&'static str> {
    OUTPUT_ERROR.get().map(String::as_str)
}

/// Writes the data of an event to standard output.
fn print_output(event: &Event) {
    match event {
        Event::ContainerOutput { part, line, .. } => {
            let part = part.map(|part| format!("[{part}] ")).unwrap_or_default();
            print(&format!("{part}{line}\n"));
        }
        Event::ValuesFound { values, .. } => print(&yaml::write(values)),
        _ => {}
    }
}

/// Returns the sum of counts, and each of them: `list pods 2, watch pods 1`.
fn counted(counts: &BTreeMap<String, usize>) -> (usize, String) {
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    (counts.values().sum(), each.join(", "))
}

/// Returns a problem with its details, below the name of what it is about.
pub fn problem_text(problem: &Problem, color: bool) -> String {
    let style = Style::new(color);
    let mut text = format!("  {} {}\n", style.bad("problem:"), problem.message);
    print_details(problem, style, &mut |line| text.push_str(&format!("  {line}\n")));
    text
}

/// Passes the lines below a problem's cause to `line`.
fn print_details(problem: &Problem, style: Style, line: &mut dyn FnMut(String)) {
    for detail in &problem.details {
        for (number, text) in detail.lines().enumerate() {
            let label = if number == 0 { "caused by:" } else { "          " };
            line(format!("  {} {text}", style.dim(label)));
        }
    }
    if !problem.logs.is_empty() {
        line(format!("  {}", style.dim("last log lines:")));
    }
    for log in &problem.logs {
        line(format!("  {} {log}", style.dim("|")));
    }
    if let Some(help) = &problem.help {
        line(format!("  {} {help}", style.hint("help:")));
    }
}

/// The kind of a step with this action, in tests.
#[cfg(test)]
fn kind_of(action: &str) -> crate::domain::StepKind {
    match action {
        "check" => crate::domain::StepKind::Check,
        "connect" => crate::domain::StepKind::Prepare,
        _ => crate::domain::StepKind::Change,
    }
}

/// Compares the output with the snapshot of this name.
#[cfg(test)]
fn assert_shown(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
