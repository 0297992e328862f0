//! Events as live output: a progress line for each running step, and above them the lines of finished steps.

use std::{collections::BTreeMap, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{RenderStyle, Renderer, plain::Lines, print_output};
use crate::event::{Event, TimedEvent};

/// Redraws per second: smooth, with little use of the processor that the cluster needs.
const REDRAWS: u8 = 8;
const TURN: Duration = Duration::from_millis(150);

pub(super) struct Live {
    lines: Lines,
    bars: MultiProgress,
    running: BTreeMap<usize, ProgressBar>,
    total: Option<ProgressBar>,
}

impl Live {
    pub(super) fn new(look: RenderStyle) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        Self { lines: Lines::new(look), bars, running: BTreeMap::new(), total: None }
    }

    fn begin(&mut self, step: usize, subject: &str, action: &str) {
        let bar = match &self.total {
            Some(total) => self.bars.insert_before(total, ProgressBar::new_spinner()),
            None => self.bars.add(ProgressBar::new_spinner()),
        };
        bar.set_style(style("{spinner:.cyan} {prefix:20} {wide_msg:.dim} {elapsed:>4.dim}"));
        bar.set_prefix(subject.to_owned());
        bar.set_message(action.to_owned());
        bar.enable_steady_tick(TURN);
        self.running.insert(step, bar);
    }

    fn end(&mut self, step: usize) {
        if let Some(bar) = self.running.remove(&step) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if let Some(total) = &self.total {
            total.inc(1);
        }
    }
}

impl Renderer for Live {
    fn event(&mut self, timed: &TimedEvent) {
        let event = &timed.event;
        match event {
            Event::RunStarted { steps, .. } => {
                let length = u64::try_from(*steps).unwrap_or_default();
                let total = self.bars.add(ProgressBar::new(length));
                total.set_style(style("  {bar:30.cyan/dim} {pos}/{len} {elapsed:.dim}"));
                // A bar is not drawn before its first update.
                total.tick();
                self.total = Some(total);
            }
            Event::StepStarted { step, subject, action, .. } => self.begin(*step, subject, action),
            Event::StepProgress { step, message, .. } => {
                if let Some(bar) = self.running.get(step) {
                    bar.set_message(message.clone());
                }
            }
            Event::StepFinished { step, .. } => self.end(*step),
            Event::RunFinished { .. } => {
                if let Some(total) = self.total.take() {
                    total.finish_and_clear();
                }
            }
            Event::ContainerOutput { .. } | Event::ValuesFound { .. } => self.bars.suspend(|| print_output(event)),
            Event::ContainerExited { .. } | Event::StepWarning { .. } => {}
        }
        for line in self.lines.of(event) {
            let _ = self.bars.println(line);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        .progress_chars("━━─")
}
