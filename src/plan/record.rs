//! What names the content of a deployment.

use serde_json::json;

use crate::domain::{Values, digest::sha256};

/// Counts up when cmdr hands the same content to Helm in another way, so that releases are made anew.
const RENDERING: u32 = 1;
/// Hexadecimal digits: 80 bits fit a label, and no two deployments of a platform collide.
const LENGTH: usize = 20;

/// The identity of a release's content: equal chart and values have an equal record, whatever commit they come from.
pub fn record(chart_label: &str, chart_digest: &str, namespace: &str, values: &Values) -> String {
    let content = json!({
        "rendering": RENDERING,
        "chart": chart_label,
        "digest": chart_digest,
        "namespace": namespace,
        "values": values,
    });
    let mut digest = sha256(content.to_string().as_bytes());
    digest.truncate(LENGTH);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_alone_decides() {
        let values = |text: &str| serde_json::from_str::<Values>(text).unwrap();
        let one = record("service-1", "d", "tunes", &values(r#"{"a": 1, "b": 2}"#));
        assert_eq!(one, record("service-1", "d", "tunes", &values(r#"{"b": 2, "a": 1}"#)));
        assert_ne!(one, record("service-1", "e", "tunes", &values(r#"{"a": 1, "b": 2}"#)));
        assert_ne!(one, record("service-1", "d", "tunes", &values(r#"{"a": 1, "b": 3}"#)));
        assert_eq!(one.len(), 20);
    }
}
