//! Volumes of the universal chart.

use serde_json::Value;

/// The access mode of a claim that has no `accessMode`.
pub const ACCESS_MODE: &str = "ReadWriteOnce";

/// Returns whether a volume is a claim that pods of one node only, or of one pod only, can mount.
pub fn is_of_one_node(volume: &Value) -> bool {
    let is_claim = volume.get("size").is_some() && volume.get("temporary") != Some(&Value::Bool(true));
    is_claim && volume.get("accessMode").and_then(Value::as_str).unwrap_or(ACCESS_MODE).starts_with(ACCESS_MODE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_of_one_node_unless_it_says_otherwise() {
        assert!(is_of_one_node(&json!({"size": "1Gi"})));
        assert!(is_of_one_node(&json!({"size": "1Gi", "accessMode": "ReadWriteOncePod"})));
        assert!(!is_of_one_node(&json!({"size": "1Gi", "accessMode": "ReadWriteMany"})));
        assert!(!is_of_one_node(&json!({"size": "1Gi", "temporary": true})));
        assert!(!is_of_one_node(&json!({"claim": "shared"})));
    }
}
