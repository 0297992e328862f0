//! One row for each step: its name, its bar in parts, its duration, and all details when it is opened.

use super::{
    Stage, TimelineStep,
    critical_path::last_ended,
    scale::{Scale, seconds},
};
use crate::{
    event::Outcome,
    ui::reports::markup::{escaped, problem_text},
};

/// A narrower part of a bar is merged into the part before it (percent of the page's time).
const LEAST_PART: f64 = 0.25;
/// A narrower part has no room for a word (percent of the page's time).
const LEAST_WORD: f64 = 4.0;
/// The minimum room beside a bar for its label (percent of the page's time).
const LEAST_ROOM: f64 = 12.0;

/// The anchor of a step on the page.
pub(super) fn anchor(stage: usize, step: usize) -> String {
    format!("step-{}-{step}", stage + 1)
}

/// All steps of a stage, in the order of their start; those that never started come last.
pub(super) fn rows(number: usize, stage: &Stage, scale: Scale) -> String {
    let critical = stage.critical_path();
    let mut ids: Vec<usize> = stage.steps.keys().copied().collect();
    let start = |id: &usize| stage.steps[id].start.unwrap_or(f64::INFINITY);
    ids.sort_by(|one, other| start(one).total_cmp(&start(other)));
    ids.iter().map(|id| TimelineRow { number, stage, id: *id, scale }.html(critical.contains(id))).collect()
}

struct TimelineRow<'a> {
    number: usize,
    stage: &'a Stage,
    id: usize,
    scale: Scale,
}

impl TimelineRow<'_> {
    fn step(&self) -> &TimelineStep {
        &self.stage.steps[&self.id]
    }

    fn html(&self, is_critical: bool) -> String {
        let step = self.step();
        let critical = if is_critical { " critical" } else { "" };
        format!(
            "<details class=\"step {}{critical}\" id=\"{}\"{}><summary><span class=\"name\" title=\"{}\"><b>{}</b> {}</span>\
             <span class=\"track\">{}{}</span></summary>\n<div class=\"more\">{}</div></details>\n",
            class(step.outcome),
            anchor(self.number, self.id),
            if step.outcome == Outcome::Failed { " open" } else { "" },
            escaped(&step.name()),
            escaped(&step.subject),
            escaped(&step.action),
            self.bar(),
            self.label(),
            self.more(),
        )
    }

    /// The parts of the bar, side by side; those that are too narrow to see are merged with a neighbor.
    fn bar(&self) -> String {
        let mut parts: Vec<Part> = Vec::new();
        for (begin, end, name) in self.step().parts() {
            let is_narrow = |begin: f64, end: f64| self.scale.percent(end - begin) < LEAST_PART;
            match parts.last_mut() {
                Some(last) if is_narrow(begin, end) || is_narrow(last.begin, last.end) => last.join(end, name),
                _ => parts.push(Part { begin, end, names: vec![(name, end - begin)] }),
            }
        }
        parts.iter().map(|part| part.html(self.scale)).collect()
    }

    /// The duration and the step before it, on the side of the bar that has more room.
    fn label(&self) -> String {
        let step = self.step();
        let Some(start) = step.start else {
            let why = step.problem.as_ref().map_or("interrupted before it started", |shown| &shown.message);
            return format!("<span class=\"label\" style=\"left:0\">{}</span>", escaped(why));
        };
        let (before, after) = (self.scale.percent(start), 100.0 - self.scale.percent(step.end));
        let place = if after >= LEAST_ROOM.max(before) {
            format!("left:{:.2}%;max-width:{after:.2}%", 100.0 - after)
        } else if before >= LEAST_ROOM {
            format!("right:{:.2}%;max-width:{before:.2}%", 100.0 - before)
        } else {
            return format!("<span class=\"label inside\" style=\"right:{after:.2}%\">{}</span>", self.took(start));
        };
        let came = self.last_need().map(|need| format!(" <small>after {}</small>", escaped(&need.name())));
        format!("<span class=\"label\" style=\"{place}\">{}{}</span>", self.took(start), came.unwrap_or_default())
    }

    fn took(&self, start: f64) -> String {
        let step = self.step();
        let took = seconds(step.end - start);
        match (step.outcome, &step.problem) {
            (Outcome::Failed, Some(shown)) => format!("{took}, failed: {}", escaped(&shown.headline())),
            (Outcome::Failed, None) => format!("{took}, failed"),
            (Outcome::Interrupted, _) => format!("{took}, interrupted"),
            _ => took,
        }
    }

    fn last_need(&self) -> Option<&TimelineStep> {
        self.stage.steps.get(&last_ended(&self.stage.spans(), &self.step().needs)?)
    }

    /// All details of the step.
    fn more(&self) -> String {
        let step = self.step();
        let mut more = String::new();
        if let Some(start) = step.start {
            more.push_str(&format!("<p>from {} to {}</p>", seconds(start), seconds(step.end)));
            let parts: Vec<String> =
                step.parts().iter().map(|(begin, end, name)| item(name, &seconds(end - begin))).collect();
            more.push_str(&format!("<ol>{}</ol>", parts.concat()));
        }
        more.push_str(&self.waited());
        more.extend(step.message.iter().map(|message| format!("<p>{}</p>", escaped(message))));
        let problems = step.warnings.iter().chain(&step.problem);
        more.extend(problems.map(|problem| format!("<pre>{}</pre>", escaped(&problem_text(problem)))));
        more
    }

    /// The steps that it waited for, the last one first.
    fn waited(&self) -> String {
        let step = self.step();
        let mut needs: Vec<(&usize, &TimelineStep)> =
            step.needs.iter().filter_map(|id| Some((id, self.stage.steps.get(id)?))).collect();
        needs.sort_by(|(_, one), (_, other)| other.end.total_cmp(&one.end));
        if needs.is_empty() {
            return String::new();
        }
        let link = |(id, need): &(&usize, &TimelineStep)| {
            let place = anchor(self.number, **id);
            format!("<a href=\"#{place}\">{}</a> ({})", escaped(&need.name()), seconds(need.end))
        };
        format!("<p>waited for {}</p>", needs.iter().map(link).collect::<Vec<String>>().join(", "))
    }
}

/// A part of a bar that is drawn as one.
struct Part<'a> {
    begin: f64,
    end: f64,
    /// Each with its duration in seconds.
    names: Vec<(&'a str, f64)>,
}

impl<'a> Part<'a> {
    fn join(&mut self, end: f64, name: &'a str) {
        self.names.push((name, end - self.end));
        self.end = end;
    }

    /// The label is the name that took longest.
    fn html(&self, scale: Scale) -> String {
        let (left, width) = (scale.percent(self.begin), scale.percent(self.end - self.begin));
        let longest = self.names.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        let word = longest.filter(|_| width >= LEAST_WORD).map_or("", |(name, _)| name);
        let title: Vec<String> = self.names.iter().map(|(name, took)| format!("{name}: {}", seconds(*took))).collect();
        format!(
            "<i style=\"left:{left:.2}%;width:{width:.2}%\" title=\"{}\">{}</i>",
            escaped(&title.join("\n")),
            escaped(word)
        )
    }
}

fn item(name: &str, time: &str) -> String {
    format!("<li>{} <small>{time}</small></li>", escaped(name))
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::NotStarted => "left-out",
        Outcome::Interrupted => "interrupted",
    }
}
