use super::*;
use crate::ui::{assert_shown, kind_of};

fn run(verb: &str, unchanged: &[&str]) -> Event {
    Event::RunStarted {
        verb: verb.to_owned(),
        workspace: "tunes".to_owned(),
        environment: "local".to_owned(),
        steps: 0,
        subjects: BTreeMap::new(),
        unchanged: unchanged.iter().map(|name| (*name).to_owned()).collect(),
        planned: Vec::new(),
    }
}

fn starts(step: usize, subject: &str, action: &str, needs: &[usize]) -> Event {
    let needs = needs.iter().copied().collect();
    Event::StepStarted { step, subject: subject.to_owned(), action: action.to_owned(), kind: kind_of(action), needs }
}

fn further(step: usize, message: &str) -> Event {
    Event::progress(step, "", message)
}

fn ends(step: usize, subject: &str, action: &str, outcome: Outcome, problem: Option<Problem>) -> Event {
    Event::StepFinished {
        step,
        subject: subject.to_owned(),
        action: action.to_owned(),
        kind: kind_of(action),
        outcome,
        seconds: 0.0,
        message: (outcome == Outcome::Done).then(|| "revision <1>".to_owned()),
        problem,
    }
}

/// `counts` are those since the start of cmdr.
fn finish(counts: &[(&str, usize)]) -> Event {
    Event::RunFinished {
        seconds: 0.0,
        done: 0,
        failed: 0,
        not_started: 0,
        interrupted: 0,
        is_superseded: false,
        urls: Vec::new(),
        project_urls: BTreeMap::new(),
        api_requests: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
    }
}

fn timeline(events: &[(f64, Event)]) -> Timeline {
    let mut timeline = Timeline::default();
    for (at, event) in events {
        timeline.event(event, *at);
    }
    timeline
}

/// A cluster that is started first, and a second run with every outcome.
fn two_stages() -> Timeline {
    let failure = Problem::new("its container exited with 1").detail("a<b").help("fix it");
    let missing = Problem::new("not started: it needs search");
    let warning = Event::StepWarning { step: 2, subject: "shop".to_owned(), problem: Problem::new("pulls for long") };
    timeline(&[
        (0.5, run("up", &[])),
        (0.5, starts(0, "cluster", "start", &[])),
        (0.6, further(0, "waiting for its API")),
        (6.0, ends(0, "cluster", "start", Outcome::Done, None)),
        (6.0, finish(&[("list pods", 2)])),
        (6.4, run("up", &["redis", "postgres"])),
        (6.4, starts(0, "cluster", "connect", &[])),
        (6.5, ends(0, "cluster", "connect", Outcome::Done, None)),
        (6.5, starts(2, "shop", "install", &[0])),
        (6.5, further(2, "helm")),
        (6.5, starts(3, "search", "install", &[0])),
        (7.0, warning),
        (7.5, further(2, "0/1 ready")),
        (7.6, further(2, "0/1 ready")),
        (9.0, ends(3, "search", "install", Outcome::Failed, Some(failure))),
        (14.0, ends(2, "shop", "install", Outcome::Done, None)),
        (14.0, starts(4, "shop", "check", &[0, 2])),
        (14.5, ends(4, "shop", "check", Outcome::Interrupted, None)),
        (14.5, ends(5, "mail", "install", Outcome::NotStarted, Some(missing))),
        (14.5, finish(&[("list pods", 3), ("patch deployments", 1)])),
    ])
}

#[test]
fn a_run_is_a_page() {
    let used = |from, until, share| ProcessorUse { from, until, share };
    let uses = [used(0.0, 5.0, 0.25), used(5.0, 10.0, 1.0), used(10.0, 14.5, 0.5)];
    let page = two_stages().page(Some(&uses));
    let body = page.find("<body>").unwrap();
    assert_shown("timeline", &page[body..]);
}

#[test]
fn the_critical_path_contains_all_stages() {
    let timeline = two_stages();
    let path: Vec<String> =
        timeline.critical_path().iter().map(|link| format!("{} {:.1}", link.name, link.end - link.start)).collect();
    let expected = [
        "read and plan 0.5",
        "cluster start 5.5",
        "observe and plan again 0.4",
        "cluster connect 0.1",
        "shop install 7.5",
        "shop check 0.5",
    ];
    assert_eq!(path, expected);
}

#[test]
fn without_a_count_of_the_processors_a_note_replaces_the_curve() {
    let page = two_stages().page(None);
    assert!(page.contains("the processor usage is not available on this system") && !page.contains("<svg"));
}

#[test]
fn a_run_without_steps_is_a_page_too() {
    let page = timeline(&[(0.0, run("up", &["redis"])), (0.0, finish(&[]))]).page(Some(&[]));
    assert!(page.contains("1 unchanged") && page.contains("too short") && !page.contains("NaN"));
}
