//! The rows of an answer as lines of a table.

use crate::{
    commands::resources,
    domain::{
        pressure::Amounts,
        query::{
            Exposure, FoundObject, ObservedEvent, ProjectResources, QueryFinding, Restarts, RunningImage, WhyUnpinned,
        },
    },
    ops::query::QueryRow,
};

/// How many hexadecimal digits of a digest are shown.
const SHOWN_DIGITS: usize = 12;

/// The lines of a table with its head; the environment is a column if there are several.
pub(super) fn lines(rows: &[QueryRow], with_environment: bool) -> Vec<Vec<String>> {
    let head = rows.first().map(|row| head(&row.finding)).unwrap_or_default();
    let head = with_environment.then_some("ENVIRONMENT").into_iter().chain(head.iter().copied());
    let mut lines = vec![head.map(str::to_owned).collect()];
    lines.extend(rows.iter().map(|row| line(row, with_environment)));
    lines
}

pub(super) fn line(row: &QueryRow, with_environment: bool) -> Vec<String> {
    let environment = with_environment.then(|| row.environment.clone());
    environment.into_iter().chain(cells(&row.finding)).collect()
}

fn head(finding: &QueryFinding) -> &'static [&'static str] {
    match finding {
        QueryFinding::Image(_) => &["IMAGE", "TAG", "DIGEST", "PODS", "PROJECTS"],
        QueryFinding::Exposed(_) => &["PROJECT", "HOW", "OBJECT", "ADDRESS", "TARGET", "TLS"],
        QueryFinding::Differs(_) => &["PROJECT", "DESIRED", "RUNNING", "REASON"],
        QueryFinding::Unpinned(_) => &["PROJECT", "WORKLOAD", "CONTAINER", "IMAGE", "REASON"],
        QueryFinding::Restarts(_) => &["PROJECT", "POD", "CONTAINER", "RESTARTS", "STATE", "LAST END", "AT"],
        QueryFinding::Event(_) => &["LAST", "TYPE", "OBJECT", "REASON", "COUNT", "MESSAGE"],
        QueryFinding::Resources(_) => &["PROJECT", "PODS", "REQUESTED", "LIMIT", "USED", "MEMORY"],
        QueryFinding::Object(_) => &["NAMESPACE", "NAME", "STATE", "CREATED"],
    }
}

fn cells(finding: &QueryFinding) -> Vec<String> {
    match finding {
        QueryFinding::Image(row) => image(row),
        QueryFinding::Exposed(row) => exposure(row),
        QueryFinding::Differs(row) => {
            vec![row.project.clone(), or_dash(row.desired.as_ref()), or_dash(row.running.as_ref()), row.reason.clone()]
        }
        QueryFinding::Unpinned(row) => vec![
            row.project.clone(),
            row.workload.clone(),
            row.container.clone(),
            row.image.clone(),
            why(row.reason).to_owned(),
        ],
        QueryFinding::Restarts(row) => restarts(row),
        QueryFinding::Event(row) => event(row),
        QueryFinding::Resources(row) => project_resources(row),
        QueryFinding::Object(row) => object(row),
    }
}

fn or_dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

fn image(row: &RunningImage) -> Vec<String> {
    let digits = |digest: &String| {
        let hex = digest.split_once(':').map_or(digest.as_str(), |(_, hex)| hex);
        hex.chars().take(SHOWN_DIGITS).collect::<String>()
    };
    let digest = row.digest.as_ref().map(digits);
    vec![
        row.image.clone(),
        or_dash(row.tag.as_ref()),
        or_dash(digest.as_ref()),
        row.pods.to_string(),
        row.projects.join(", "),
    ]
}

fn exposure(row: &Exposure) -> Vec<String> {
    let object = if row.kind == "expose" { "-".to_owned() } else { format!("{}/{}", row.kind, row.name) };
    vec![
        row.project.clone(),
        row.how.clone(),
        object,
        row.address.clone(),
        or_dash(row.target.as_ref()),
        or_dash(row.tls.as_ref()),
    ]
}

fn why(reason: WhyUnpinned) -> &'static str {
    match reason {
        WhyUnpinned::NoTag => "no tag: latest",
        WhyUnpinned::MovingTag => "the tag moves",
        WhyUnpinned::NoDigest => "no digest",
    }
}

fn restarts(row: &Restarts) -> Vec<String> {
    let end = match (&row.last_reason, row.last_exit_code) {
        (Some(reason), Some(code)) => format!("{reason} (exit code {code})"),
        (Some(reason), None) => reason.clone(),
        (None, _) => "-".to_owned(),
    };
    vec![
        row.project.clone(),
        row.pod.clone(),
        row.container.clone(),
        row.restarts.to_string(),
        row.state.clone(),
        end,
        or_dash(row.last_ended.as_ref()),
    ]
}

fn event(row: &ObservedEvent) -> Vec<String> {
    vec![
        row.last.clone(),
        row.r#type.clone(),
        row.object.clone(),
        row.reason.clone(),
        row.count.to_string(),
        row.message.replace('\n', " "),
    ]
}

fn project_resources(row: &ProjectResources) -> Vec<String> {
    let amounts = |amounts: Option<Amounts>| amounts.map_or_else(|| "-".to_owned(), resources::shown);
    vec![
        row.project.clone(),
        row.pods.to_string(),
        resources::shown(row.requests),
        amounts(row.limits),
        amounts(row.used),
        resources::memory_state(row.used, row.exceeds_requests).to_owned(),
    ]
}

fn object(row: &FoundObject) -> Vec<String> {
    vec![or_dash(row.namespace.as_ref()), row.name.clone(), or_dash(row.state.as_ref()), or_dash(row.created.as_ref())]
}
