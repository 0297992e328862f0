//! A run as a test suite in JUnit XML, which GitLab shows in merge requests.

use std::collections::BTreeMap;

use super::markup::{escaped, told};
use crate::{domain::Diagnosis, event::Outcome};

/// Steps between those that change or check something: only their failures are reported.
const BETWEEN: [&str; 3] = ["connect", "prepare", "apply"];

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

    pub(super) fn warn(&mut self, step: usize, diagnosis: &Diagnosis) {
        self.warnings.entry(step).or_default().push(told(diagnosis));
    }

    pub(super) fn end(&mut self, step: usize, mut case: Case) {
        case.warnings = self.warnings.remove(&step).unwrap_or_default();
        if case.outcome == Outcome::Failed || !BETWEEN.contains(&case.action.as_str()) {
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
    outcome: Outcome,
    seconds: f64,
    message: Option<String>,
    diagnosis: Option<Diagnosis>,
    warnings: Vec<String>,
}

impl Case {
    pub(super) fn new(subject: &str, action: &str, outcome: Outcome, seconds: f64) -> Self {
        Self {
            subject: subject.to_owned(),
            action: action.to_owned(),
            outcome,
            seconds,
            message: None,
            diagnosis: None,
            warnings: Vec::new(),
        }
    }

    /// Adds the message and the diagnosis at the end of the step.
    pub(super) fn told(self, message: Option<&str>, diagnosis: Option<&Diagnosis>) -> Self {
        Self { message: message.map(str::to_owned), diagnosis: diagnosis.cloned(), ..self }
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
        let unknown = Diagnosis::new(format!("could not {}", self.action));
        let diagnosis = self.diagnosis.as_ref().unwrap_or(&unknown);
        let mut body = match self.outcome {
            Outcome::Done => String::new(),
            Outcome::Failed => format!(
                "      <failure message=\"{}\">{}</failure>\n",
                escaped(&diagnosis.cause),
                escaped(&told(diagnosis))
            ),
            Outcome::NotStarted => format!("      <skipped message=\"{}\"/>\n", escaped(&diagnosis.cause)),
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
