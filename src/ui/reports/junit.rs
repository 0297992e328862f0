//! A run as a test suite in JUnit XML, which GitLab shows in merge requests.

use std::{collections::BTreeMap, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::markup::problem_text;
use crate::{
    domain::{Problem, StepKind},
    event::Outcome,
};

/// One run.
#[derive(Debug)]
pub(super) struct Suite {
    tests: TestSuite,
    class: String,
    pub(super) seconds: f64,
    /// Warnings of unfinished steps.
    warnings: BTreeMap<usize, Vec<String>>,
}

impl Suite {
    pub(super) fn new(name: String, class: &str) -> Self {
        Self { tests: TestSuite::new(name), class: class.to_owned(), seconds: 0.0, warnings: BTreeMap::new() }
    }

    pub(super) fn warn(&mut self, step: usize, problem: &Problem) {
        self.warnings.entry(step).or_default().push(problem_text(problem));
    }

    /// Adds a finished step. Of the steps that only prepare others, failures are reported.
    pub(super) fn end(&mut self, step: usize, case: &Case<'_>) {
        let warnings = self.warnings.remove(&step).unwrap_or_default();
        if case.outcome != Outcome::Failed && case.kind == StepKind::Prepare {
            return;
        }
        let mut test = TestCase::new(format!("{} {}", case.subject, case.action), case.status());
        test.set_classname(self.class.as_str()).set_time(time(case.seconds));
        let detail: Vec<&str> = case.message.into_iter().chain(warnings.iter().map(String::as_str)).collect();
        if !detail.is_empty() {
            test.set_system_out(detail.join("\n"));
        }
        self.tests.add_test_case(test);
    }
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    subject: &'a str,
    action: &'a str,
    kind: StepKind,
    outcome: Outcome,
    seconds: f64,
    message: Option<&'a str>,
    problem: Option<&'a Problem>,
}

impl<'a> Case<'a> {
    pub(super) fn new(subject: &'a str, action: &'a str, kind: StepKind, outcome: Outcome, seconds: f64) -> Self {
        Self { subject, action, kind, outcome, seconds, message: None, problem: None }
    }

    /// Adds the message and the problem at the end of the step.
    pub(super) fn with_result(self, message: Option<&'a str>, problem: Option<&'a Problem>) -> Self {
        Self { message, problem, ..self }
    }

    fn status(&self) -> TestCaseStatus {
        let unknown = Problem::new(format!("could not {}", self.action));
        let problem = self.problem.unwrap_or(&unknown);
        let (mut status, message) = match self.outcome {
            Outcome::Done => return TestCaseStatus::success(),
            Outcome::Failed => (TestCaseStatus::non_success(NonSuccessKind::Failure), problem.headline()),
            Outcome::NotStarted => (TestCaseStatus::skipped(), problem.headline()),
            Outcome::Interrupted => (TestCaseStatus::skipped(), "interrupted".to_owned()),
        };
        status.set_message(message);
        if self.outcome == Outcome::Failed {
            status.set_description(problem_text(problem));
        }
        status
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// All runs as one document. Characters that XML does not allow, as in a container's log, are removed.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut report = Report::unnamed();
    for Suite { tests, seconds, .. } in suites {
        let mut tests = tests.clone();
        tests.set_time(time(*seconds));
        report.add_test_suite(tests);
    }
    // Writing to memory does not fail.
    report.to_string().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_breaks_the_document() {
        let problem = Problem::new("a<b & \"c\"\n\u{1}\u{1b}[31mred\u{1b}[0m]]>");
        let mut suite = Suite::new("up".to_owned(), "local");
        suite.end(
            0,
            &Case::new("shop", "install", StepKind::Change, Outcome::Failed, 1.0).with_result(None, Some(&problem)),
        );
        let document = document(&[suite]);
        assert!(document.contains("a&lt;b &amp; &quot;c&quot;\nred]]&gt;"), "{document}");
        assert!(!document.contains(['\u{1}', '\u{1b}']), "{document}");
    }
}
