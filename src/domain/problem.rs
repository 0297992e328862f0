//! Describes failures for users.

use std::error::Error;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::causes::KnownCause;

/// A failure: what happened, details, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Problem {
    /// What happened, in one line: `image not found: ghcr.io/tunes/shop:9`.
    pub message: String,
    /// The code of the cause: `C007`. `cmdr explain C007` explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The causes, outermost first, and the original messages of the cluster or the tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How to fix it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The last log lines of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
}

/// A mistake in a file or an option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LocatedProblem {
    #[serde(flatten)]
    pub problem: Problem,
    pub position: Position,
}

/// A place in a file or an option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The path below the workspace, or the option: `projects.yaml`, `--expr`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Describes an error with its causes.
    pub fn of(error: &dyn Error) -> Self {
        Self::new(error.to_string()).causes(error.source())
    }

    /// Adds the chain of causes that begins with `cause` to the details: one for each level, without levels that only
    /// repeat a part of what is above them.
    #[must_use]
    pub fn causes(mut self, cause: Option<&dyn Error>) -> Self {
        let mut next = cause;
        while let Some(level) = next {
            let text = level.to_string();
            next = level.source();
            if !self.details.iter().chain([&self.message]).any(|above| above.contains(text.trim())) {
                self.details.push(text);
            }
        }
        self
    }

    /// Names the cause in the catalogue.
    #[must_use]
    pub fn code(mut self, cause: &KnownCause) -> Self {
        self.code = Some(cause.code.to_owned());
        self
    }

    /// Returns the message with the code: `image not found: ghcr.io/tunes/shop:9 (C007)`.
    pub fn headline(&self) -> String {
        match &self.code {
            Some(code) => format!("{} ({code})", self.message),
            None => self.message.clone(),
        }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Level {
        text: &'static str,
        source: Option<Box<Level>>,
    }

    #[test]
    fn each_cause_is_a_detail_and_none_repeats_another() {
        let texts = ["refused", "connect: refused", "cannot send", "cannot list pods"];
        let chain = texts.into_iter().fold(None, |source, text| Some(Box::new(Level { text, source })));
        let problem = Problem::of(&chain.unwrap());
        assert_eq!(
            (problem.message.as_str(), problem.details),
            ("cannot list pods", vec!["cannot send".to_owned(), "connect: refused".to_owned()])
        );
    }
}
