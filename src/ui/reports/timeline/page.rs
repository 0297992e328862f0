//! The page: a summary in words, then the chart. It needs no network and no script.

use super::{
    Stage, Timeline, processor,
    rows::rows,
    scale::{Scale, seconds},
};
use crate::{
    domain::processor::ProcessorUse,
    event::Outcome,
    ui::{counted, reports::markup::escaped},
};

const STYLE: &str = include_str!("style.css");
/// Behind this position there is no room for a label on the axis (percent).
const LAST_TEXT: f64 = 95.0;
/// The shortest duration that the scale can show (seconds).
const SHORTEST: f64 = 0.001;

pub(super) fn page(timeline: &Timeline, uses: Option<&[ProcessorUse]>) -> String {
    let scale = Scale { all: timeline.end().max(SHORTEST) };
    let title = timeline.stages.last().map_or("", |stage| stage.title.as_str());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: timeline</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{facts}{path}{legend}\
         <div class=\"chart\">\n{lines}{axis}{stages}{processor}</div>\n</body>\n</html>\n",
        title = escaped(title),
        facts = facts(timeline, uses),
        path = critical_path(timeline, scale),
        legend = LEGEND,
        lines = lines(scale),
        axis = axis(scale),
        stages = stages(timeline, scale),
        processor = processor_row(uses, scale),
    )
}

const LEGEND: &str = "<p class=\"legend\"><i class=\"critical\"></i>on the critical path<i class=\"done\"></i>not on it\
    <i class=\"failed\"></i>failed<i class=\"interrupted\"></i>interrupted\
    <span>Click a row for its parts, the steps it waited for, and its messages.</span></p>\n";

/// The duration, the numbers of steps and the processor usage.
fn facts(timeline: &Timeline, uses: Option<&[ProcessorUse]>) -> String {
    let count = |outcome| {
        let of = |stage: &Stage| stage.steps.values().filter(|step| step.outcome == outcome).count();
        timeline.stages.iter().map(of).sum::<usize>()
    };
    let mut facts = vec![format!("<b>{}</b> in total", seconds(timeline.end()))];
    let outcomes = [
        (Outcome::Done, "done"),
        (Outcome::Failed, "failed"),
        (Outcome::NotStarted, "not started"),
        (Outcome::Interrupted, "interrupted"),
    ];
    let steps: Vec<String> = outcomes
        .iter()
        .filter(|(outcome, _)| count(*outcome) > 0)
        .map(|(outcome, name)| format!("{} {name}", count(*outcome)))
        .collect();
    if !steps.is_empty() {
        facts.push(format!("steps: {}", steps.join(", ")));
    }
    let unchanged: usize = timeline.stages.iter().map(|stage| stage.unchanged).sum();
    if unchanged > 0 {
        facts.push(format!("{unchanged} unchanged"));
    }
    facts.extend(api_requests(timeline));
    facts.push(busy(uses));
    format!("<p class=\"facts\">{}</p>\n", facts.join(" · "))
}

/// The number of requests to the Kubernetes API; a tooltip has each of them.
fn api_requests(timeline: &Timeline) -> Option<String> {
    let (all, each) = counted(&timeline.api_requests);
    let each = escaped(&each);
    (all > 0).then(|| format!("<span title=\"{each}\">{all} requests to the Kubernetes API</span>"))
}

/// The processor usage in words.
fn busy(uses: Option<&[ProcessorUse]>) -> String {
    let Some(uses) = uses else { return "the processor usage is not available on this system".to_owned() };
    processor::share(uses).map_or("too short to measure the processor usage".to_owned(), |share| {
        format!("processors {} busy", percent(share))
    })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The chain of steps that determined the duration.
fn critical_path(timeline: &Timeline, scale: Scale) -> String {
    let links: String = timeline
        .critical_path()
        .iter()
        .map(|link| {
            let name = match &link.anchor {
                Some(anchor) => format!("<a href=\"#{anchor}\">{}</a>", escaped(&link.name)),
                None => escaped(&link.name),
            };
            let (took, share) = (link.end - link.start, scale.percent(link.end - link.start));
            format!("<li style=\"--share:{share:.1}%\">{name} <b>{}</b></li>\n", seconds(took))
        })
        .collect();
    format!("<h2>Critical path</h2>\n<ol class=\"path\">\n{links}</ol>\n")
}

/// The grid lines of the axis, behind everything else.
fn lines(scale: Scale) -> String {
    let line = |moment: f64| format!("<i style=\"left:{:.2}%\"></i>", scale.percent(moment));
    format!("<div class=\"lines\">{}</div>\n", scale.lines().into_iter().map(line).collect::<String>())
}

fn axis(scale: Scale) -> String {
    let mark = |moment: f64| {
        let text = if moment == 0.0 { "0".to_owned() } else { seconds(moment).replace(".0 s", " s") };
        format!("<i style=\"left:{:.2}%\">{text}</i>", scale.percent(moment))
    };
    let marks: String =
        scale.lines().into_iter().filter(|moment| scale.percent(*moment) < LAST_TEXT).map(mark).collect();
    format!("<div class=\"axis\"><span class=\"name\"></span><span class=\"track\">{marks}</span></div>\n")
}

/// The rows of each stage, below its name if there are several.
fn stages(timeline: &Timeline, scale: Scale) -> String {
    let count = timeline.stages.len();
    let one = |(number, stage): (usize, &Stage)| {
        let head = format!("<h3>{}, {} of {count}</h3>\n", escaped(&stage.title), number + 1);
        let head = if count > 1 { head } else { String::new() };
        head + &rows(number, stage, scale)
    };
    timeline.stages.iter().enumerate().map(one).collect()
}

fn processor_row(uses: Option<&[ProcessorUse]>, scale: Scale) -> String {
    let Some(uses) = uses else { return String::new() };
    let share = processor::share(uses).map(|share| format!("<b>{}</b> busy", percent(share))).unwrap_or_default();
    format!(
        "<div class=\"processor\"><span class=\"name\">processors {share}</span><span class=\"track\">{}</span></div>\n",
        processor::curve(uses, scale.all)
    )
}
