//! Helm values: JSON trees that are merged, last wins.

use serde_json::{Map, Value};

/// A tree of Helm values. Keys are sorted, so equal values have equal text.
pub type Values = Map<String, Value>;

/// Lays `over` upon `base`, as Helm does: maps merge, anything else replaces, `null` takes a key away from charts.
pub fn merge(base: &mut Values, over: &Values) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The merge of all `layers`, the last one winning.
pub fn merged<'a>(layers: impl IntoIterator<Item = &'a Values>) -> Values {
    let mut result = Values::new();
    for layer in layers {
        merge(&mut result, layer);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(value: Value) -> Values {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        let base = values(json!({"env": {"A": "1", "B": "2"}, "ports": {"http": 80}, "args": [1, 2]}));
        let over = values(json!({"env": {"B": "3", "C": null}, "ports": 1, "args": [3]}));
        let expected = json!({"env": {"A": "1", "B": "3", "C": null}, "ports": 1, "args": [3]});
        assert_eq!(Value::Object(merged([&base, &over])), expected);
    }
}
