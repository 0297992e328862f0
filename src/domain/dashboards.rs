//! Dashboards of Grafana: a ConfigMap of the release, which Grafana's sidecar finds by its label.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The most bytes of all dashboards of a project, without whitespace. Helm stores a release, which contains them twice,
/// in a Secret of at most 1 MiB, compressed.
pub const LARGEST_SUM: usize = 512 * 1024;
/// The label that Grafana's sidecar searches for by default.
const LABEL: &str = "grafana_dashboard";

/// Returns the key of a dashboard in the ConfigMap. The sidecar writes all dashboards of a cluster into one folder, so it
/// starts with the name of the project.
pub fn key(project: &str, path: &str) -> String {
    let valid = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    format!("{project}-{}", path.chars().map(valid).collect::<String>())
}

/// Returns the ConfigMap with these dashboards, by their keys. Its name comes from the chart.
pub fn config_map(dashboards: &BTreeMap<String, String>) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {LABEL: "1"}}, "data": dashboards})
}

/// Returns a dashboard without whitespace, or why Grafana would not load it.
///
/// # Errors
/// When the text is not a JSON object with a title.
pub fn compact(text: &[u8]) -> Result<String, String> {
    let dashboard: Value = serde_json::from_slice(text).map_err(|error| format!("is not valid JSON: {error}"))?;
    let has_title = |value: &Value| value.get("title").and_then(Value::as_str).is_some_and(|title| !title.is_empty());
    if has_title(&dashboard) {
        return Ok(dashboard.to_string());
    }
    // Grafana's API wraps a dashboard.
    let is_wrapped = dashboard.get("dashboard").is_some_and(has_title);
    let reason = if is_wrapped { "only the content of its key `dashboard` is one" } else { "it has no `title`" };
    Err(format!("is not a dashboard: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashboard_has_a_title() {
        assert_eq!(compact(b"{ \"title\": \"Shop\",\n \"panels\": [] }").unwrap(), r#"{"panels":[],"title":"Shop"}"#);
        assert_eq!(compact(b"[]").unwrap_err(), "is not a dashboard: it has no `title`");
        assert_eq!(compact(b"{\"title\": \"\"}").unwrap_err(), "is not a dashboard: it has no `title`");
        let wrapped = compact(br#"{"meta": {}, "dashboard": {"title": "Shop"}}"#).unwrap_err();
        assert_eq!(wrapped, "is not a dashboard: only the content of its key `dashboard` is one");
        assert!(compact(b"{\n\"title\" 1}").unwrap_err().contains("line 2 column 9"));
    }

    #[test]
    fn keys_are_valid_and_of_one_project() {
        assert_eq!(key("shop", "all/Node Exporter Full.json"), "shop-all-Node-Exporter-Full.json");
    }
}
