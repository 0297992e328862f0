//! sops, which decrypts secret files. Its output is never passed on, because its messages may quote secrets.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::{
    Problem,
    secret::{Secret, SecretData},
};

/// The timeout for sops: some keys are fetched over the network, and some are in a keyring that must be unlocked.
const PATIENCE: Duration = Duration::from_mins(2);
/// The exit code of sops if it has no key for the file.
const NO_KEY: i32 = 128;
/// The exit code of sops if the file was modified without sops.
const CHANGED_BY_HAND: i32 = 51;
/// The message of sops for a file that it did not write; other errors have the same exit code.
const NOT_ENCRYPTED: &str = "sops metadata not found";

/// Why a file cannot be decrypted. No variant contains output of sops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    #[error("'sops' is not installed, or not on PATH")]
    NotInstalled,
    #[error("'sops' cannot be started: {0}")]
    Start(String),
    #[error("sops timed out after {} seconds", PATIENCE.as_secs())]
    NoAnswer,
    #[error("sops was interrupted")]
    Interrupted,
    #[error("sops has no key for the file")]
    NoKey,
    #[error("the file was modified without sops after it was encrypted")]
    ChangedByHand,
    #[error("the file is not encrypted")]
    NotEncrypted,
    #[error("sops cannot read the file")]
    Broken,
    #[error("the file is not a map of keys to values")]
    NoMap,
    #[error("key '{0}' is not a string, number or boolean")]
    Nested(String),
    #[error("'{0}' is not a valid Secret key: only letters, digits, '-', '_' and '.' are allowed")]
    BadKey(String),
}

impl SopsError {
    /// Returns what happened to `file`, as the user wrote its name, and how to fix it.
    pub fn problem(&self, file: &Path) -> Problem {
        let file = file.display();
        let by_hand = format!("run 'sops decrypt {file} > /dev/null' to see why");
        let help = match self {
            Self::NotInstalled => "install sops: https://getsops.io/docs/#download".to_owned(),
            Self::NoKey => format!(
                "set SOPS_AGE_KEY_FILE to the path of the age key or SOPS_AGE_KEY to the key itself, or put the key \
                 into ~/.config/sops/age/keys.txt; {by_hand}"
            ),
            Self::NotEncrypted => format!("encrypt the file: sops encrypt --in-place {file}"),
            Self::ChangedByHand => format!("edit the file only with sops: sops edit {file}"),
            Self::Nested(_) | Self::NoMap => {
                format!("write one KEY: value per line: sops edit {file}")
            }
            Self::BadKey(_) => format!("rename the key: sops edit {file}"),
            Self::Broken | Self::Start(_) | Self::NoAnswer | Self::Interrupted => by_hand,
        };
        Problem::new(format!("cannot decrypt {file}: {self}")).help(help)
    }
}

/// Decrypts a file. sops finds its keys itself, in the variables and files that its documentation lists.
///
/// # Errors
/// If sops is missing or cannot decrypt the file, or the file is not a flat map.
pub async fn decrypt(program: &Path, file: &Path, cancel: &CancellationToken) -> Result<SecretData, SopsError> {
    let tool = Tool::new(program).args(["decrypt", "--output-type", "json"]).arg(file);
    let decrypted = tokio::time::timeout(PATIENCE, tool.run(cancel)).await.map_err(|_| SopsError::NoAnswer)?;
    read(&decrypted.map_err(failure)?.stdout)
}

fn failure(error: ProcessError) -> SopsError {
    match error {
        ProcessError::NotFound { .. } => SopsError::NotInstalled,
        ProcessError::Start { source, .. } => SopsError::Start(source.to_string()),
        ProcessError::Interrupted { .. } => SopsError::Interrupted,
        ProcessError::Failed { status, stderr, .. } => refusal(status.code(), &stderr),
    }
}

/// Maps an exit code of sops to an error.
fn refusal(code: Option<i32>, stderr: &str) -> SopsError {
    match code {
        Some(NO_KEY) => SopsError::NoKey,
        Some(CHANGED_BY_HAND) => SopsError::ChangedByHand,
        _ if stderr.contains(NOT_ENCRYPTED) => SopsError::NotEncrypted,
        _ => SopsError::Broken,
    }
}

/// Parses the output of sops as a flat map.
fn read(json: &str) -> Result<SecretData, SopsError> {
    let Ok(Value::Object(map)) = serde_json::from_str(json) else { return Err(SopsError::NoMap) };
    let entries = map.into_iter().map(|(key, value)| {
        if !is_key(&key) {
            return Err(SopsError::BadKey(key));
        }
        match plain(&value) {
            Some(text) => Ok((key, Secret::new(text))),
            None => Err(SopsError::Nested(key)),
        }
    });
    entries.collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns whether Kubernetes accepts this key in a Secret.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_map_is_read_as_text() {
        let data = read(r#"{"PASSWORD": "x", "PORT": 5432, "RATE": 0.5, "TLS": true}"#).unwrap();
        let exposed: Vec<(&str, &str)> = data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(exposed, [("PASSWORD", "x"), ("PORT", "5432"), ("RATE", "0.5"), ("TLS", "true")]);
    }

    #[test]
    fn what_is_not_flat_is_refused_by_its_key() {
        for value in ["{}", "[1]", "null"] {
            let refused = read(&format!(r#"{{"db": {value}}}"#)).unwrap_err();
            assert_eq!(refused, SopsError::Nested("db".to_owned()));
        }
        assert_eq!(read(r#"{"a key": 1}"#), Err(SopsError::BadKey("a key".to_owned())));
        assert_eq!(read("[]"), Err(SopsError::NoMap));
    }

    /// Exit codes and messages of sops 3.13.
    #[test]
    fn refusals_are_reported_apart_and_quote_nothing() {
        let mac = "MAC mismatch. File has D00A46051A6F, computed 32FF6EDCD8A6";
        for (code, stderr, meant) in [
            (128, "Failed to get the data key required to decrypt the SOPS file.", SopsError::NoKey),
            (51, mac, SopsError::ChangedByHand),
            (1, "sops metadata not found", SopsError::NotEncrypted),
            (25, "Error decrypting tree: canary", SopsError::Broken),
            (1, "yaml: line 1: did not find expected ',' or ']' canary", SopsError::Broken),
        ] {
            let refused = refusal(Some(code), stderr);
            assert_eq!(refused, meant);
            let shown = format!("{:?}", refused.problem(Path::new("secrets/api.yaml")));
            assert!(
                !shown.contains("canary") && !shown.contains("D00A") && shown.contains("secrets/api.yaml"),
                "{shown}"
            );
        }
    }
}
