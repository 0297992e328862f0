use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::*;
use crate::ui::{Mode, assert_shown, kind_of};

thread_local! {
    /// Seconds since the run's start.
    static SECONDS: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> Duration {
    Duration::from_secs(1_700_000_000 + SECONDS.get())
}

/// The output of a renderer.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn look() -> RenderStyle {
    RenderStyle { mode: Mode::Gitlab, color: false, quiet: false, verbose: false }
}

/// The log of these events, each with the second in which it happens, with control characters made visible.
fn rendered(look: RenderStyle, events: Vec<(u64, Event)>) -> String {
    SECONDS.set(0);
    let log = Log::default();
    let mut renderer = GitlabOutput::new(look, Box::new(log.clone()), clock);
    for (seconds, event) in events {
        SECONDS.set(seconds);
        renderer.event(&TimedEvent { timestamp: jiff::Timestamp::UNIX_EPOCH, event });
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.replace('\x1b', "<esc>").replace('\r', "<return>")
}

fn started(subjects: &[(&str, usize)]) -> Event {
    Event::RunStarted {
        verb: "deploy".to_owned(),
        workspace: "tunes".to_owned(),
        environment: "staging".to_owned(),
        steps: subjects.iter().map(|(_, steps)| steps).sum(),
        subjects: subjects.iter().map(|(subject, steps)| ((*subject).to_owned(), *steps)).collect(),
        unchanged: vec!["redis".to_owned()],
        planned: Vec::new(),
    }
}

fn begins(step: usize, subject: &str, action: &str) -> Event {
    Event::StepStarted {
        step,
        subject: subject.to_owned(),
        action: action.to_owned(),
        kind: kind_of(action),
        needs: BTreeSet::new(),
    }
}

fn further(step: usize, subject: &str, message: &str) -> Event {
    Event::progress(step, subject, message)
}

fn warned(step: usize, subject: &str, cause: &str) -> Event {
    Event::StepWarning { step, subject: subject.to_owned(), problem: Problem::new(cause) }
}

fn ends(step: usize, subject: &str, action: &str, outcome: Outcome, seconds: f64) -> Event {
    let problem = match outcome {
        Outcome::Failed => {
            let mut problem = Problem::new("its container exited with 1").detail("restarted twice").help("fix it");
            // The log of a container that contains a section marker.
            problem.logs = vec!["\x1b[0Ksection_end:1:x\r\x1b[0Kno database".to_owned()];
            Some(problem)
        }
        Outcome::NotStarted => Some(Problem::new("not started: it needs search")),
        _ => None,
    };
    let message = (outcome == Outcome::Done).then(|| "as it should be".to_owned());
    Event::StepFinished {
        step,
        subject: subject.to_owned(),
        action: action.to_owned(),
        kind: kind_of(action),
        outcome,
        seconds,
        message,
        problem,
    }
}

fn finished(done: usize, failed: usize, not_started: usize, interrupted: usize) -> Event {
    Event::RunFinished {
        seconds: 41.0,
        done,
        failed,
        not_started,
        interrupted,
        is_superseded: false,
        urls: Vec::new(),
        project_urls: BTreeMap::new(),
        api_requests: BTreeMap::new(),
    }
}

#[test]
fn a_run_with_successes_and_a_failure() {
    let steps = [("cluster", 1), ("shop", 2), ("search", 2), ("mail", 2)];
    let events = vec![
        (0, started(&steps)),
        (0, begins(0, "cluster", "connect")),
        (1, ends(0, "cluster", "connect", Outcome::Done, 1.0)),
        (1, begins(1, "shop", "install")),
        (1, begins(3, "search", "upgrade")),
        (4, further(1, "shop", "0 of 2 pods are ready")),
        (5, warned(3, "search", "its container ended with 1")),
        (17, further(1, "shop", "1 of 2 pods is ready")),
        (21, further(3, "search", "0 of 1 pods are ready")),
        (22, ends(3, "search", "upgrade", Outcome::Failed, 21.0)),
        (30, ends(1, "shop", "install", Outcome::Done, 29.0)),
        (30, begins(2, "shop", "check")),
        (31, ends(2, "shop", "check", Outcome::Done, 1.0)),
        (31, ends(4, "search", "check", Outcome::NotStarted, 0.0)),
        (31, ends(5, "mail", "install", Outcome::NotStarted, 0.0)),
        (31, ends(6, "mail", "check", Outcome::NotStarted, 0.0)),
        (31, finished(3, 1, 3, 0)),
    ];
    assert_shown("gitlab-failure", &rendered(look(), events.clone()));
    let quiet = rendered(RenderStyle { quiet: true, ..look() }, events);
    assert!(!quiet.contains("shop") && quiet.contains("✗ search  its container exited with 1"), "{quiet}");
}

#[test]
fn an_interrupted_run() {
    let events = vec![
        (0, started(&[("shop", 2), ("mail", 1)])),
        (0, begins(0, "shop", "install")),
        (3, further(0, "shop", "0 of 2 pods are ready")),
        (4, ends(0, "shop", "install", Outcome::Interrupted, 4.0)),
        (4, ends(1, "shop", "check", Outcome::Interrupted, 0.0)),
        (4, ends(2, "mail", "install", Outcome::Interrupted, 0.0)),
        (4, finished(0, 0, 0, 3)),
    ];
    assert_shown("gitlab-interrupted", &rendered(look(), events));
}

#[test]
fn colours_stay_where_they_are_wanted() {
    let events = || vec![(0, started(&[])), (0, finished(0, 0, 0, 0))];
    assert!(rendered(RenderStyle { color: true, ..look() }, events()).contains("<esc>[32mdone"));
    assert!(!rendered(look(), events()).contains("<esc>"));
}

#[test]
fn names_of_sections_have_only_allowed_letters() {
    assert_eq!(section_name("address pool"), "address-pool");
    assert_eq!(section_name("namespace tunes/ü"), "namespace-tunes--");
}
