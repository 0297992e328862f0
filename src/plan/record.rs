//! What names the content of a deployment.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::domain::Values;

/// Counts up when cmdr hands the same content to Helm in another way, so that releases are made anew.
const RENDERING: u32 = 1;

/// The identity of a release's content: equal chart and values have an equal record, whatever commit they come from.
pub fn record(chart_label: &str, chart_digest: &str, namespace: &str, values: &Values) -> String {
    let content = json!({
        "rendering": RENDERING,
        "chart": chart_label,
        "digest": chart_digest,
        "namespace": namespace,
        "values": values,
    });
    short_digest(content.to_string().as_bytes())
}

/// 80 bits of SHA-256 in hexadecimal: fits a label, and no two deployments of a platform collide.
fn short_digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes)[..10])
}

/// The whole SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
