//! A run as a test suite in JUnit XML, which GitLab shows in merge requests.

use std::collections::BTreeMap;

use super::markup::{escaped, problem_text};
use crate::{
    domain::{Problem, StepKind},
    event::Outcome,
};

/// One run.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    class: String,
    pub(super) seconds: f64,
    cases: Vec<Case>,
    /// Warnings of unfinished steps.
    warnings: BTreeMap<usize, Vec<String>>,
}

impl Suite {
    pub(super) fn new(name: String, class: &str) -> Self {
        Self { name, class: class.to_owned(), seconds: 0.0, cases: Vec::new(), warnings: BTreeMap::new() }
    }

    pub(super) fn warn(&mut self, step: usize, problem: &Problem) {
        self.warnings.entry(step).or_default().push(problem_text(problem));
    }

    /// Adds a finished step. Of the steps that only prepare others, failures are reported.
    pub(super) fn end(&mut self, step: usize, mut case: Case) {
        case.warnings = self.warnings.remove(&step).unwrap_or_default();
        if case.outcome == Outcome::Failed || case.kind != StepKind::Prepare {
            self.cases.push(case);
        }
    }

    fn count(&self, is_counted: impl Fn(&Case) -> bool) -> usize {
        self.cases.iter().filter(|case| is_counted(case)).count()
    }

    fn xml(&self) -> String {
        let failures = self.count(|case| case.outcome == Outcome::Failed);
        let skipped = self.count(|case| matches!(case.outcome, Outcome::NotStarted | Outcome::Interrupted));
        let cases: String = self.cases.iter().map(|case| case.xml(&self.class)).collect();
        format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" \
             time=\"{:.3}\">\n{cases}  </testsuite>\n",
            escaped(&self.name),
            self.cases.len(),
            self.seconds
        )
    }
}

/// One step.
#[derive(Debug)]
pub(super) struct Case {
    subject: String,
    action: String,
    kind: StepKind,
    outcome: Outcome,
    seconds: f64,
    message: Option<String>,
    problem: Option<Problem>,
    warnings: Vec<String>,
}

impl Case {
    pub(super) fn new(subject: &str, action: &str, kind: StepKind, outcome: Outcome, seconds: f64) -> Self {
        Self {
            subject: subject.to_owned(),
            action: action.to_owned(),
            kind,
            outcome,
            seconds,
            message: None,
            problem: None,
            warnings: Vec::new(),
        }
    }

    /// Adds the message and the problem at the end of the step.
    pub(super) fn with_result(self, message: Option<&str>, problem: Option<&Problem>) -> Self {
        Self { message: message.map(str::to_owned), problem: problem.cloned(), ..self }
    }

    fn xml(&self, class: &str) -> String {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\"",
            escaped(class),
            escaped(&self.subject),
            escaped(&self.action),
            self.seconds
        );
        let body = self.body();
        if body.is_empty() { format!("{head}/>\n") } else { format!("{head}>\n{body}    </testcase>\n") }
    }

    fn body(&self) -> String {
        let unknown = Problem::new(format!("could not {}", self.action));
        let problem = self.problem.as_ref().unwrap_or(&unknown);
        let mut body = match self.outcome {
            Outcome::Done => String::new(),
            Outcome::Failed => format!(
                "      <failure message=\"{}\">{}</failure>\n",
                escaped(&problem.message),
                escaped(&problem_text(problem))
            ),
            Outcome::NotStarted => format!("      <skipped message=\"{}\"/>\n", escaped(&problem.message)),
            Outcome::Interrupted => "      <skipped message=\"interrupted\"/>\n".to_owned(),
        };
        let said: Vec<&str> = self.message.iter().chain(&self.warnings).map(String::as_str).collect();
        if !said.is_empty() {
            body.push_str(&format!("      <system-out>{}</system-out>\n", escaped(&said.join("\n"))));
        }
        body
    }
}

/// All runs as one document.
pub(super) fn document(suites: &[Suite]) -> String {
    let suites: String = suites.iter().map(Suite::xml).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
}
