use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use vt100::Parser;

use super::{screen::Size, *};
use crate::{
    domain::{
        Problem, StepKind,
        wait_reason::{ContainerRole, PodStage, ProbeKind, WaitReason},
    },
    event::{PlannedStep, Readiness},
    ui::{Mode, assert_shown, kind_of},
};

/// A terminal that interprets what the renderer writes, and counts it.
#[derive(Clone)]
struct Terminal {
    parser: Arc<Mutex<Parser>>,
    bytes: Arc<AtomicUsize>,
}

impl std::io::Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        locked(&self.parser).process(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Terminal {
    fn new(rows: u16, columns: u16) -> Self {
        Self { parser: Arc::new(Mutex::new(Parser::new(rows, columns, 500))), bytes: Arc::default() }
    }

    fn resize(&self, rows: u16, columns: u16) {
        locked(&self.parser).screen_mut().set_size(rows, columns);
    }

    fn text(&self) -> String {
        locked(&self.parser).screen().contents().trim_end().to_owned() + "\n"
    }

    fn screen(&self) -> Screen {
        let parser = Arc::clone(&self.parser);
        let measure = move || {
            let (rows, columns) = locked(&parser).screen().size();
            Size { rows: rows.into(), columns: columns.into() }
        };
        Screen::new(Box::new(self.clone()), Box::new(measure))
    }
}

/// A run whose events are sent by a test, with its clock.
struct Show {
    terminal: Terminal,
    live: Live,
    milliseconds: i64,
}

impl Show {
    fn new(rows: u16, columns: u16, color: bool) -> Self {
        let terminal = Terminal::new(rows, columns);
        let look = RenderStyle { mode: Mode::Live, color, quiet: false, verbose: false };
        let mut durations = StepDurations::default();
        durations.add("cluster", "create", 31.0);
        durations.add("catalog", "install", 20.0);
        durations.add("catalog", "check", 1.0);
        Self { live: Live::new(look, durations, terminal.screen()), terminal, milliseconds: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.milliseconds).unwrap()
    }

    fn send(&mut self, event: Event) {
        let timestamp = self.now();
        self.live.event(&TimedEvent { timestamp, event });
    }

    /// Lets time pass, with as many ticks as in a real run.
    fn pass(&mut self, milliseconds: i64) {
        let end = self.milliseconds + milliseconds;
        while self.milliseconds < end {
            self.milliseconds += 125;
            self.live.tick(self.now());
        }
    }

    fn begin(&mut self, steps: &[(&str, &str, &[usize])]) {
        let planned = steps.iter().enumerate().map(|(step, (subject, action, needs))| PlannedStep {
            step,
            subject: (*subject).to_owned(),
            action: (*action).to_owned(),
            kind: kind_of(action),
            needs: needs.iter().copied().collect(),
        });
        let planned: Vec<PlannedStep> = planned.collect();
        self.send(Event::RunStarted {
            verb: "up".to_owned(),
            workspace: "tunes".to_owned(),
            environment: "local".to_owned(),
            steps: planned.len(),
            subjects: std::collections::BTreeMap::new(),
            unchanged: Vec::new(),
            planned,
        });
    }

    fn start(&mut self, step: usize, subject: &str, action: &str) {
        let (subject, action, needs) = (subject.to_owned(), action.to_owned(), BTreeSet::new());
        self.send(Event::StepStarted { step, subject, action, kind: StepKind::Change, needs });
    }

    fn wait(&mut self, step: usize, pods: Option<(i32, i32)>, reason: WaitReason) {
        let pods = pods.map(|(ready, desired)| Readiness { ready, desired });
        let message = reason.to_string();
        self.send(Event::StepProgress { step, subject: String::new(), message, pods, waits_for: Some(reason) });
    }

    fn end(&mut self, step: usize, subject: &str, action: &str, outcome: Outcome) {
        let problem = (outcome == Outcome::Failed).then(|| Problem::new("image not found: redis:99").help("push it"));
        let message = (outcome == Outcome::Done).then(|| format!("revision 1, {action} done"));
        let (subject, action, kind) = (subject.to_owned(), action.to_owned(), kind_of(action));
        self.send(Event::StepFinished { step, subject, action, kind, outcome, seconds: 2.0, message, problem });
    }
}

const STEPS: &[(&str, &str, &[usize])] = &[
    ("cluster", "create", &[]),
    ("catalog", "install", &[0]),
    ("storefront", "install", &[0]),
    ("database", "install", &[0]),
    ("search", "install", &[1, 3]),
    ("catalog", "check", &[1]),
];

/// Four projects, each with something else that it waits for.
fn platform(show: &mut Show) {
    show.begin(STEPS);
    show.start(0, "cluster", "create");
    show.send(Event::progress(0, "cluster", "preparing nodes"));
    show.pass(30_000);
    show.end(0, "cluster", "create", Outcome::Done);
    show.start(1, "catalog", "install");
    let image = WaitReason::Image {
        image: "ghcr.io/stefanprodan/podinfo:6.9.2".to_owned(),
        bytes_done: Some(41_000_000),
        bytes_total: Some(300_000_000),
    };
    show.wait(1, Some((0, 2)), image);
    show.start(2, "storefront", "install");
    let (container, probe, response) = ("shop".to_owned(), ProbeKind::Readiness, Some("HTTP 503".to_owned()));
    show.wait(2, Some((0, 1)), WaitReason::Probe { container, probe, response });
    show.start(3, "database", "install");
    let (container, role) = ("migrate".to_owned(), ContainerRole::Initial);
    let at = Timestamp::from_second(47).ok();
    let restart = WaitReason::Restart { container, role, exit_code: 1, delay_seconds: Some(10), at };
    show.wait(3, Some((0, 1)), restart);
    show.pass(8_000);
}

#[test]
fn each_project_shows_what_it_waits_for_at_every_width() {
    for columns in [40, 80, 120] {
        let mut show = Show::new(24, columns, false);
        platform(&mut show);
        assert_shown(&format!("live-{columns}"), &show.terminal.text());
    }
}

#[test]
fn a_terminal_of_another_size_gets_a_new_picture() {
    let mut show = Show::new(24, 80, false);
    platform(&mut show);
    for (rows, columns) in [(24, 120), (10, 60), (24, 80)] {
        show.terminal.resize(rows, columns);
        show.pass(1000);
    }
    let text = show.terminal.text();
    assert_eq!(text.matches("storefront").count(), 1, "{text}");
    assert_eq!(text.matches("of 6 steps").count(), 1, "{text}");
}

#[test]
fn colors_are_only_used_if_they_are_wanted() {
    for (color, name) in [(true, "live-color"), (false, "live-no-color")] {
        let mut show = Show::new(24, 80, color);
        platform(&mut show);
        let has_color = locked(&show.terminal.parser).screen().contents_formatted();
        let has_color = String::from_utf8_lossy(&has_color).contains("\x1b[33m");
        assert_eq!(has_color, color, "{name}");
    }
}

#[test]
fn projects_that_are_done_are_one_line_and_failures_are_shown_at_once() {
    let mut show = Show::new(24, 80, false);
    platform(&mut show);
    show.end(1, "catalog", "install", Outcome::Done);
    show.pass(125);
    assert!(!show.terminal.text().contains("✓ catalog"), "its check follows");
    show.start(5, "catalog", "check");
    show.end(5, "catalog", "check", Outcome::Done);
    show.end(3, "database", "install", Outcome::Failed);
    show.pass(1000);
    assert_shown("live-failure", &show.terminal.text());
    show.end(4, "search", "install", Outcome::NotStarted);
    show.end(2, "storefront", "install", Outcome::Interrupted);
    let (urls, project_urls, api_requests) = Default::default();
    let (seconds, done, failed, not_started, interrupted) = (39.0, 3, 1, 1, 1);
    show.send(Event::RunFinished {
        seconds,
        done,
        failed,
        not_started,
        interrupted,
        is_superseded: false,
        urls,
        project_urls,
        api_requests,
    });
    assert_shown("live-end", &show.terminal.text());
}

#[test]
fn a_message_is_printed_above_the_picture() {
    let mut show = Show::new(24, 80, false);
    platform(&mut show);
    assert!(locked(&show.live.screen).print_above("interrupted: waiting for running steps to finish"));
    show.pass(125);
    let text = show.terminal.text();
    let (message, picture) = (text.find("interrupted:").unwrap(), text.find("of 6 steps").unwrap());
    assert!(message < picture && text.matches("storefront").count() == 1, "{text}");
}

/// 200 projects of which 50 are in work.
fn many(rows: u16, columns: u16) -> Show {
    let mut show = Show::new(rows, columns, false);
    let names: Vec<String> = (0..200).map(|number| format!("service-{number:03}")).collect();
    let needs: Vec<Vec<usize>> = (0..200).map(|number| if number < 50 { vec![] } else { vec![number - 50] }).collect();
    let steps: Vec<(&str, &str, &[usize])> =
        names.iter().zip(&needs).map(|(name, needs)| (name.as_str(), "install", needs.as_slice())).collect();
    show.begin(&steps);
    for (step, name) in names.iter().enumerate().take(50) {
        show.start(step, name, "install");
        show.wait(step, Some((0, 1)), WaitReason::Pod { stage: PodStage::Creating });
    }
    show
}

#[test]
fn of_200_projects_the_running_ones_are_shown_as_far_as_they_fit() {
    let mut show = many(16, 80);
    show.pass(65_000);
    assert_shown("live-200", &show.terminal.text());
    let mut high = many(80, 80);
    high.pass(1000);
    let text = high.terminal.text();
    assert!(text.contains("service-049") && text.contains("150 more waiting"), "{text}");
}

#[test]
fn nothing_is_drawn_at_first() {
    let mut show = Show::new(24, 80, false);
    show.begin(STEPS);
    show.start(0, "cluster", "create");
    show.pass(125);
    assert_eq!(show.terminal.text(), "up tunes in local: 6 steps\n");
    show.pass(250);
    assert!(show.terminal.text().contains("0 of 6 steps"));
}

#[test]
fn a_picture_that_does_not_change_is_not_drawn_again_and_a_clock_costs_little() {
    let mut show = many(24, 80);
    show.pass(60_000);
    let before = show.terminal.bytes.load(Ordering::Relaxed);
    show.pass(60_000);
    let per_second = (show.terminal.bytes.load(Ordering::Relaxed) - before) / 60;
    assert!((100..2_500).contains(&per_second), "{per_second} bytes per second for 22 clocks");
    // Changes come faster than they are drawn.
    let before = show.terminal.bytes.load(Ordering::Relaxed);
    for second in 0..10 {
        for change in 0..100 {
            let stage = if change % 2 == 0 { PodStage::Preparing } else { PodStage::Creating };
            show.wait((second + change) % 50, Some((0, 1)), WaitReason::Pod { stage });
        }
        show.pass(1000);
    }
    let per_second = (show.terminal.bytes.load(Ordering::Relaxed) - before) / 10;
    assert!(per_second < 6_000, "{per_second} bytes per second");
}

#[test]
fn the_time_that_is_left_is_that_of_the_longest_chain() {
    let mut show = Show::new(24, 80, false);
    show.begin(&[("cluster", "create", &[]), ("catalog", "install", &[0]), ("catalog", "check", &[1])]);
    show.start(0, "cluster", "create");
    let left = |show: &Show| {
        let run = show.live.run.as_ref().unwrap();
        estimate::seconds_left(run, &show.live.durations, show.now())
    };
    assert_eq!(left(&show), Some(52.0));
    show.pass(11_000);
    assert_eq!(left(&show), Some(41.0));
    show.pass(60_000);
    assert_eq!(left(&show), Some(21.0), "the cluster takes longer than usual");
    show.begin(&[("cluster", "hibernate", &[])]);
    assert_eq!(left(&show), None, "nothing is known about this step");
    let texts = [0.4, 14.2, 41.0, 118.0].map(estimate::rounded);
    let texts = texts.map(Option::unwrap_or_default);
    assert_eq!(texts, ["", "about 15s left", "about 45s left", "about 2m00s left"]);
}
