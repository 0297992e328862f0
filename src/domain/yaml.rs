//! YAML that Helm also reads or writes: the files of charts, manifests, values.
//!
//! Scalars are resolved as Helm resolves them, so that a chart is accepted here exactly if Helm accepts it: a number
//! with a leading zero is octal, `yes` and `on` are booleans, and of a duplicate key the last value counts.
//! `projects.yaml` is stricter: `yes` is a string there, and a duplicate key is an error.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options, options};

fn as_helm_reads() -> Options {
    options! {
        // Charts and manifests can be large, and Helm has no limit either. Aliases stay limited.
        budget: None,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// Reads one document.
///
/// # Errors
/// If the text is not valid YAML, or not of this type.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str_with_options(text, as_helm_reads()).map_err(|error| error.to_string())
}

/// Reads all documents that are not empty.
///
/// # Errors
/// If the text is not valid YAML.
pub fn read_documents(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, as_helm_reads()).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Writes one document.
pub fn write<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `helm template` prints for each of these in `values.yaml`.
    #[test]
    fn scalars_are_those_of_helm() {
        for (written, value) in [
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("12", json!(12)),
            ("1.10", json!(1.1)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("True", json!(true)),
            ("~", Value::Null),
            ("1.2.3", json!("1.2.3")),
            ("10m", json!("10m")),
            ("\"0644\"", json!("0644")),
            ("'yes'", json!("yes")),
        ] {
            let read: Value = read(&format!("value: {written}")).unwrap();
            assert_eq!(read["value"], value, "{written}");
        }
    }

    #[test]
    fn documents_anchors_and_duplicates_are_read() {
        let text = "---\na: &x {b: 1}\nc: {<<: *x, d: 2}\n---\n---\na: 1\na: 2\n";
        let documents = read_documents(text).unwrap();
        assert_eq!(documents, [json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}), json!({"a": 2})]);
        assert!(read_documents("a: [1").unwrap_err().contains("line"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in ["0644", "yes", "1.10", "~", "", " x", "a: b", "line\nline\n", "1e3", "0x1F", "null", "-"] {
            let value = json!({"key": value, "list": [value, 1, true, null]});
            assert_eq!(read::<Value>(&write(&value)).unwrap(), value, "{}", write(&value));
        }
    }
}
