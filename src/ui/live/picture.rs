//! The lines of the picture at one moment, for a terminal of a given size.

use std::time::Duration;

use console::{measure_text_width, truncate_str};
use jiff::Timestamp;

use super::{
    estimate::{rounded, seconds_left},
    run::{LiveRun, LiveStep, Phase},
    screen::Size,
};
use crate::{domain::step_durations::StepDurations, event::Outcome, ui::style::Style};

/// From this width on, a line has the action and the ready pods in columns of their own.
const WIDE: usize = 60;
/// The widest column of names, in a wide and a narrow terminal.
const NAMES: (usize, usize) = (24, 14);
/// What the header shows while a step of the cluster is running.
const CLUSTER: &[(&str, &str)] = &[
    ("create", "creating cluster"),
    ("start", "starting cluster"),
    ("stop", "stopping cluster"),
    ("pause", "pausing cluster"),
    ("delete", "deleting cluster"),
];

/// A project in the picture.
struct Row<'a> {
    subject: &'a str,
    action: &'a str,
    pods: String,
    detail: String,
    is_failure: bool,
    /// Seconds since the step started; `None` if it has not.
    seconds: Option<f64>,
}

/// Returns the lines of the picture: at most one less than the terminal has, each shorter than its width.
pub(super) fn lines(run: &LiveRun, durations: &StepDurations, now: Timestamp, size: Size, style: Style) -> Vec<String> {
    let width = size.columns.saturating_sub(1);
    let height = size.rows.saturating_sub(1);
    let mut lines = vec![header(run, durations, now, width, style)];
    let (running, waiting) = (running(run, now), waiting(run));
    let most = if width < WIDE { NAMES.1 } else { NAMES.0 };
    let names = running.iter().chain(&waiting).map(|row| measure_text_width(row.subject)).max();
    let names = names.unwrap_or_default().min(most);
    // The last line is for what is not shown.
    let mut add = |rows: &[Row<'_>], until: usize| {
        let fits = rows.iter().map(|row| row_lines(row, names, width, style)).take_while(|own| {
            let fits = lines.len() + own.len() < until;
            if fits {
                lines.extend_from_slice(own);
            }
            fits
        });
        fits.count()
    };
    let shown = (add(&running, height), add(&waiting, size.rows / 2));
    lines.extend(counts(run, shown).map(|text| style.dim(cut(&format!("  {text}"), width))));
    lines.truncate(height);
    lines
}

/// What is known about the whole run, as far as it fits: the title is left out first.
fn header(run: &LiveRun, durations: &StepDurations, now: Timestamp, width: usize, style: Style) -> String {
    let over = run.count(LiveStep::is_over);
    let failed = run.count(|step| step.phase == Phase::Ended(Outcome::Failed));
    let failed = (failed > 0).then(|| format!("{failed} failed"));
    let steps = format!("{over} of {} steps", run.steps.len());
    let time = clock(now.duration_since(run.started).as_secs_f64());
    let left = seconds_left(run, durations, now).and_then(rounded);
    let parts = [Some(run.title.clone()), cluster(run), failed, Some(steps), Some(time), left];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let fits = |parts: &[String]| parts.iter().map(|part| measure_text_width(part) + 2).sum::<usize>() <= width + 2;
    let first = (0..parts.len()).find(|&first| fits(&parts[first..])).unwrap_or(parts.len() - 1);
    let text = parts[first..].join("  ");
    style.bold(cut(&text, width))
}

/// What is being done with the cluster.
fn cluster(run: &LiveRun) -> Option<String> {
    let step = run.of_subject("cluster").find(|step| matches!(step.phase, Phase::Running(_)))?;
    let (_, text) = CLUSTER.iter().find(|(action, _)| *action == step.planned.action)?;
    Some((*text).to_owned())
}

/// The projects in work, the one that started first at the top.
fn running<'a>(run: &'a LiveRun, now: Timestamp) -> Vec<Row<'a>> {
    let mut found: Vec<(Timestamp, Row<'a>)> = Vec::new();
    for step in run.steps.values() {
        let Phase::Running(since) = step.phase else { continue };
        let seconds = Some(now.duration_since(since).as_secs_f64());
        let detail = match &step.waits_for {
            Some(reason) => reason.at(now),
            // The pods have a column of their own.
            None if step.pods.is_some() => String::new(),
            None => step.message.clone(),
        };
        let pods = step.pods.map(|pods| format!("{}/{}", pods.ready, pods.desired)).unwrap_or_default();
        let is_failure = step.waits_for.as_ref().is_some_and(crate::domain::wait_reason::WaitReason::is_failure);
        let (subject, action) = (step.planned.subject.as_str(), step.planned.action.as_str());
        found.push((since, Row { subject, action, pods, detail, is_failure, seconds }));
    }
    found.sort_by_key(|(since, _)| *since);
    found.into_iter().map(|(_, row)| row).collect()
}

/// The projects of which no step is running, and some have not ended.
fn waiting(run: &LiveRun) -> Vec<Row<'_>> {
    let mut found: Vec<Row<'_>> = Vec::new();
    for step in run.steps.values().filter(|step| step.phase == Phase::Waiting) {
        let subject = step.planned.subject.as_str();
        let is_shown = found.iter().any(|row| row.subject == subject);
        if is_shown || run.of_subject(subject).any(|own| matches!(own.phase, Phase::Running(_))) {
            continue;
        }
        let awaited: Vec<&str> = run.awaited(step).into_iter().collect();
        let (detail, is_failure) = match run.failed_need(step) {
            Some(need) => (format!("not started: it needs {need}"), true),
            None if awaited.is_empty() => (String::new(), false),
            None => (format!("waiting for {}", awaited.join(", ")), false),
        };
        found.push(Row { subject, action: "", pods: String::new(), detail, is_failure, seconds: None });
    }
    found
}

/// How many projects are not in the picture: `9 done, 3 more running, 28 more waiting`.
fn counts(run: &LiveRun, (running, waiting): (usize, usize)) -> Option<String> {
    let subjects = run.subjects();
    let is_running = |subject: &&String| run.of_subject(subject).any(|step| matches!(step.phase, Phase::Running(_)));
    let all_running: usize = run.count(|step| matches!(step.phase, Phase::Running(_)));
    let done = subjects.iter().filter(|subject| run.is_over(subject)).count();
    let all_waiting = subjects.len() - done - subjects.iter().filter(is_running).count();
    let parts = [(done, "done"), (all_running - running, "more running"), (all_waiting - waiting, "more waiting")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The lines of a project: in a narrow terminal, a long detail has a line of its own.
fn row_lines(row: &Row<'_>, names: usize, width: usize, style: Style) -> Vec<String> {
    let name = cut(row.subject, names);
    let name = format!("{name}{}", " ".repeat(names - measure_text_width(&name)));
    let is_narrow = width < WIDE;
    let head = if is_narrow { format!("  {name}") } else { format!("  {name}  {:8} {:>5}", row.action, row.pods) };
    let detail = row.detail.lines().next().unwrap_or_default();
    let painted = |text: String| if row.is_failure { style.warning(text) } else { style.dim(text) };
    let time = row.seconds.map(clock).unwrap_or_default();
    // Two spaces before the detail, and two before the time.
    let space = width.saturating_sub(measure_text_width(&head) + measure_text_width(&time) + 4);
    let line = |detail: String| {
        let gap = " ".repeat(space - measure_text_width(&detail) + 2);
        format!("{head}  {}{gap}{}", painted(detail), style.dim(&time)).trim_end().to_owned()
    };
    if is_narrow && (detail.is_empty() || measure_text_width(detail) > space) {
        let first = line(cut(format!("{} {}", row.action, row.pods).trim(), space));
        let second = (!detail.is_empty()).then(|| format!("    {}", painted(cut(detail, width.saturating_sub(4)))));
        return std::iter::once(first).chain(second).collect();
    }
    vec![line(cut(detail, space))]
}

fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width, "…").into_owned()
}

/// Formats seconds for a clock: `7s`, `1m02s`, `1h05m`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}
