//! What a person or a program sees of a run: renderers consume events and never call back.

pub mod difference;
mod gitlab;
mod json;
mod live;
mod plain;
mod reports;
pub mod style;
pub mod table;

use std::io::Write;

use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    domain::Diagnosis,
    event::{Event, Sender},
};
pub use reports::{Clock, ReportFiles, Reports};
use style::Style;

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A picture that moves, on a terminal.
    Live,
    /// Lines, in a pipe or a log.
    Plain,
    /// Collapsible sections, in the log of a GitLab job.
    Gitlab,
    /// One JSON object a line, on standard output.
    Json,
}

/// What a renderer is told about its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub mode: Mode,
    pub color: bool,
    pub quiet: bool,
    pub verbose: bool,
}

/// Tells one kind of reader what happens.
trait Renderer: Send {
    fn event(&mut self, event: &Event);
}

/// A renderer at work on its own task; it ends when the last sender is gone.
#[derive(Debug)]
pub struct Screen {
    pub events: Sender,
    task: JoinHandle<()>,
}

impl Screen {
    /// What happens is told to the reader that `look` describes, and goes into the reports.
    pub fn open(look: Look, reports: &Reports) -> Self {
        let (events, mut receiver) = mpsc::unbounded_channel();
        let mut renderer: Box<dyn Renderer> = match look.mode {
            Mode::Live => Box::new(live::Live::new(look)),
            Mode::Plain => Box::new(plain::Plain::new(look)),
            Mode::Gitlab => Box::new(gitlab::Gitlab::new(look, Box::new(std::io::stderr()), gitlab::now)),
            Mode::Json => Box::new(json::Json),
        };
        let reports = reports.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                renderer.event(&event);
                reports.tell(&event);
            }
        });
        Self { events, task }
    }

    /// Waits until everything has been told.
    pub async fn close(self) {
        drop(self.events);
        let _ = self.task.await;
    }
}

/// Paints, or not, whatever the streams lead to.
pub fn force_color(color: bool) {
    let choice = if color { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never };
    choice.write_global();
}

/// Writes data to standard output. A reader that has gone away wants no more.
pub fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// Writes a message for people to standard error.
pub fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Tells diagnoses that no run is there for.
pub fn tell_diagnoses(diagnoses: &[Diagnosis], color: bool) {
    let style = Style::new(color);
    for diagnosis in diagnoses {
        tell(&format!("{} {}", style.bad("error:"), diagnosis.cause));
        tell_rest(diagnosis, style, &mut |line| tell(&line));
    }
}

/// What stands below a diagnosis's cause, line by line.
fn tell_rest(diagnosis: &Diagnosis, style: Style, line: &mut dyn FnMut(String)) {
    for detail in &diagnosis.details {
        line(format!("    {}", style.dim(detail)));
    }
    if !diagnosis.logs.is_empty() {
        line(format!("    {}", style.dim("its last log lines:")));
    }
    for log in &diagnosis.logs {
        line(format!("    {} {log}", style.dim("|")));
    }
    if let Some(remedy) = &diagnosis.remedy {
        line(format!("    {} {remedy}", style.hint("help:")));
    }
}

/// Compares what somebody sees with the snapshot of this name.
#[cfg(test)]
fn assert_shown(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
