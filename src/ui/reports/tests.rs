use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::Problem,
    event::Outcome,
    ui::{assert_shown, kind_of},
};

fn ended(step: usize, subject: &str, action: &str, outcome: Outcome, problem: Option<Problem>) -> Event {
    let message = (outcome == Outcome::Done).then(|| "revision 2".to_owned());
    Event::StepFinished {
        step,
        subject: subject.to_owned(),
        action: action.to_owned(),
        kind: kind_of(action),
        outcome,
        seconds: 1.5,
        message,
        problem,
    }
}

/// A run with every outcome.
fn run() -> Vec<Event> {
    let mut failure = Problem::new("its container exited with 1").detail("a<b").help("fix it");
    failure.logs = vec!["\u{1b}[31mno \"database\"\u{1b}[0m".to_owned()];
    let warning = Problem::new("pulls its image for long");
    vec![
        Event::RunStarted {
            verb: "deploy".to_owned(),
            workspace: "tunes".to_owned(),
            environment: "staging".to_owned(),
            steps: 5,
            subjects: BTreeMap::new(),
            unchanged: Vec::new(),
            planned: Vec::new(),
        },
        ended(0, "cluster", "connect", Outcome::Done, None),
        Event::StepWarning { step: 1, subject: "shop".to_owned(), problem: warning },
        ended(1, "shop", "upgrade", Outcome::Done, None),
        ended(2, "search", "install", Outcome::Failed, Some(failure)),
        ended(3, "mail", "install", Outcome::NotStarted, Some(Problem::new("not started: it needs search"))),
        ended(4, "shop", "check", Outcome::Interrupted, None),
        Event::RunFinished {
            seconds: 12.25,
            done: 2,
            failed: 1,
            not_started: 1,
            interrupted: 1,
            is_superseded: false,
            urls: vec!["https://shop.example/".to_owned()],
            project_urls: BTreeMap::from([("shop".to_owned(), "https://shop.example/".to_owned())]),
            api_requests: BTreeMap::new(),
        },
    ]
}

/// One event per second, the first at the start of cmdr.
fn timed(events: impl IntoIterator<Item = Event>) -> Vec<TimedEvent> {
    let second = |number: usize| Timestamp::from_second(number.try_into().unwrap()).unwrap();
    events.into_iter().enumerate().map(|(number, event)| TimedEvent { timestamp: second(number), event }).collect()
}

fn clock() -> Clock {
    Clock { began: Timestamp::UNIX_EPOCH, processor: None }
}

#[test]
fn files_are_written_when_a_run_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| Some(folder.path().join(name));
    let files = ReportFiles { junit: file("cmdr.xml"), dotenv: file("cmdr.env"), timeline: file("cmdr.html") };
    let reports = Reports::new(files.clone(), clock());
    for event in timed(run()) {
        reports.handle(&event);
    }
    assert_shown("junit", &std::fs::read_to_string(files.junit.unwrap()).unwrap());
    let variables = std::fs::read_to_string(files.dotenv.unwrap()).unwrap();
    assert!(std::fs::read_to_string(files.timeline.unwrap()).unwrap().ends_with("</html>\n"));
    assert_eq!(variables, "ENVIRONMENT_URL=https://shop.example/\nCMDR_URL_SHOP=https://shop.example/\n");
}

#[test]
fn each_run_of_a_call_is_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cmdr.xml");
    let reports = Reports::new(ReportFiles { junit: Some(file.clone()), ..ReportFiles::default() }, clock());
    for event in timed(run().into_iter().chain(run())) {
        reports.handle(&event);
    }
    assert_eq!(std::fs::read_to_string(file).unwrap().matches("<testsuite ").count(), 2);
}

#[test]
fn a_timeline_has_the_times_of_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cmdr.html");
    let reports = Reports::new(ReportFiles { timeline: Some(file.clone()), ..ReportFiles::default() }, clock());
    let events = timed(run());
    let seconds = events.len() - 1;
    for event in events {
        reports.handle(&event);
    }
    let page = std::fs::read_to_string(file).unwrap();
    assert!(page.contains(&format!("<b>{seconds}.0 s</b> in total")), "{page}");
}

#[test]
fn a_command_without_a_run_writes_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    let files = ReportFiles { junit: Some(file.clone()), ..ReportFiles::default() };
    Reports::new(files, Clock { began: Timestamp::UNIX_EPOCH, processor: None }).finish();
    assert!(std::fs::read_to_string(file).unwrap().contains("<testsuites"));
}
