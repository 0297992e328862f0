//! Helm values: JSON trees that are merged; later values override earlier ones.

use std::{collections::BTreeSet, ops::Range};

use serde_json::{Map, Value};

/// A tree of Helm values. Keys are sorted, so equal values have equal text.
pub type Values = Map<String, Value>;

/// Merges `over` into `base`, as Helm does: maps are merged, other values are replaced, and `null` removes a key of the
/// chart's defaults.
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

/// Merges all `layers`; later layers override earlier ones.
pub fn merged<'a>(layers: impl IntoIterator<Item = &'a Values>) -> Values {
    let mut result = Values::new();
    for layer in layers {
        merge(&mut result, layer);
    }
    result
}

/// Returns the keys whose values differ between two trees, in the notation of `--set`. A key that is `null` counts as
/// missing, and numbers are compared by value: Helm stores `1` as `1.0`.
pub fn differing_keys(one: &Values, other: &Values) -> Vec<String> {
    let mut keys = Vec::new();
    note_differences(one, other, "", &mut keys);
    keys
}

fn note_differences(one: &Values, other: &Values, above: &str, keys: &mut Vec<String>) {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for name in names {
        let key = format!("{above}{}", name.replace('.', "\\."));
        let value = |values: &'_ Values| values.get(name).cloned().unwrap_or_default();
        match (value(one), value(other)) {
            (Value::Object(one), Value::Object(other)) => {
                note_differences(&one, &other, &format!("{key}."), keys);
            }
            (Value::Object(map), Value::Null) | (Value::Null, Value::Object(map)) => {
                note_differences(&map, &Values::new(), &format!("{key}."), keys);
            }
            (one, other) if !is_same(&one, &other) => keys.push(key),
            _ => (),
        }
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => differing_keys(one, other).is_empty(),
        _ => one == other,
    }
}

/// Why `--set` cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSet {
    #[error("'{0}' has no value: expected KEY=VALUE, such as replicas=3")]
    NoValue(String),
    #[error("'{0}' has an empty key: expected KEY=VALUE, such as env.LOG_LEVEL=debug")]
    EmptyKey(String),
    #[error("cannot set '{key}': '{holder}' is not a map")]
    NotAMap { key: String, holder: String },
    #[error("'{0}' refers to a list item: set the whole list in the values instead")]
    ListItem(String),
}

/// One `--set KEY=VALUE`. Keys are separated by dots (`\.` is a literal dot). Commas have no special meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The keys from the root on, each with its place in the option, in bytes. At least one.
    pub keys: Vec<(String, Range<usize>)>,
    /// A boolean, `null` or an integer if the text parses as one, and a string otherwise, so `1.10` keeps its zero.
    pub value: Value,
    /// The value as written.
    pub text: String,
    pub value_range: Range<usize>,
}

impl Assignment {
    /// # Errors
    /// Fails if there is no `=`, or if a key is empty or refers to a list item.
    pub fn parse(assignment: &str) -> Result<Self, InvalidSet> {
        let (path, text) = assignment.split_once('=').ok_or_else(|| InvalidSet::NoValue(assignment.to_owned()))?;
        let keys = divided(path);
        if keys.iter().any(|(key, _)| key.is_empty()) {
            return Err(InvalidSet::EmptyKey(assignment.to_owned()));
        }
        if path.ends_with(']') {
            return Err(InvalidSet::ListItem(path.to_owned()));
        }
        let value_range = path.len() + 1..assignment.len();
        Ok(Self { keys, value: typed(text), text: text.to_owned(), value_range })
    }

    /// Sets `value` at the keys of this assignment.
    ///
    /// # Errors
    /// Fails if a parent of the last key is not a map.
    pub fn apply(&self, values: &mut Values, value: Value) -> Result<(), InvalidSet> {
        let names: Vec<&str> = self.keys.iter().map(|(key, _)| key.as_str()).collect();
        put(values, &names, value)
            .map_err(|depth| InvalidSet::NotAMap { key: names.join("."), holder: names[..=depth].join(".") })
    }
}

/// Sets the value at a path of keys, and creates the maps that it needs.
///
/// # Errors
/// Returns the depth of the first key whose value is not a map.
pub fn put(values: &mut Values, keys: &[impl AsRef<str>], value: Value) -> Result<(), usize> {
    let Some((last, above)) = keys.split_last() else { return Ok(()) };
    let mut map = values;
    for (depth, key) in above.iter().enumerate() {
        let below = map.entry(key.as_ref()).or_insert(Value::Null);
        if below.is_null() {
            *below = Value::Object(Values::new());
        }
        map = below.as_object_mut().ok_or(depth)?;
    }
    map.insert(last.as_ref().to_owned(), value);
    Ok(())
}

/// `a.b\.c` -> `a`, `b.c`, each with its place.
pub fn divided(path: &str) -> Vec<(String, Range<usize>)> {
    let mut keys = vec![(String::new(), 0..0)];
    let mut characters = path.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let last = keys.len() - 1;
        let (key, range) = &mut keys[last];
        range.end = end;
        match character {
            '\\' if characters.peek().is_some_and(|(_, next)| *next == '.') => {
                key.extend(characters.next().map(|(_, dot)| dot));
                range.end = end + 1;
            }
            '.' => {
                range.end = at;
                keys.push((String::new(), end..end));
            }
            _ => key.push(character),
        }
    }
    keys
}

fn typed(text: &str) -> Value {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ if plain => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(value: &Value) -> Values {
        value.as_object().unwrap().clone()
    }

    fn set(values: &mut Values, assignment: &str) -> Result<(), InvalidSet> {
        let assignment = Assignment::parse(assignment)?;
        assignment.apply(values, assignment.value.clone())
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        let base = values(&json!({"env": {"A": "1", "B": "2"}, "ports": {"http": 80}, "args": [1, 2]}));
        let over = values(&json!({"env": {"B": "3", "C": null}, "ports": 1, "args": [3]}));
        let expected = json!({"env": {"A": "1", "B": "3", "C": null}, "ports": 1, "args": [3]});
        assert_eq!(Value::Object(merged([&base, &over])), expected);
    }

    #[test]
    fn differences_are_named_by_their_keys() {
        let one = values(&json!({
            "env": {"A": "1", "B": {"secret": "x"}}, "replicas": 1, "args": [1, {"a": 1}], "old": true, "none": null,
            "labels": {"example.com/team": "a"}, "empty": {},
        }));
        let other = values(&json!({
            "env": {"A": "2", "B": {"secret": "x"}, "C": "3"}, "replicas": 1.0, "args": [1.0, {"a": 1}],
            "labels": {"example.com/team": "b"},
        }));
        assert_eq!(differing_keys(&one, &other), ["env.A", "env.C", "labels.example\\.com/team", "old"]);
        assert!(differing_keys(&one, &one).is_empty());
    }

    #[test]
    fn sets_types_as_helm_does_and_keeps_versions_text() {
        let mut base = values(&json!({"image": {"tag": "1"}, "resources": null}));
        for assignment in [
            "replicas=3",
            "debug=true",
            "image.tag=1.10",
            "zip=007",
            "gone=null",
            "text=a=b,c",
            "resources.limits.memory=64Mi",
            "annotations.example\\.com/team=shop",
            "empty=",
            "large=99999999999999999999",
        ] {
            set(&mut base, assignment).unwrap();
        }
        let expected = json!({
            "replicas": 3, "debug": true, "image": {"tag": "1.10"}, "zip": "007", "gone": null, "text": "a=b,c",
            "resources": {"limits": {"memory": "64Mi"}}, "annotations": {"example.com/team": "shop"}, "empty": "",
            "large": "99999999999999999999"
        });
        assert_eq!(Value::Object(base), expected);
    }

    #[test]
    fn refuses_to_set_what_cannot_be() {
        let mut base = values(&json!({"replicas": 3}));
        let mut refused = |assignment: &str| set(&mut base, assignment).unwrap_err();
        assert_eq!(refused("replicas"), InvalidSet::NoValue("replicas".to_owned()));
        assert_eq!(refused("a..b=1"), InvalidSet::EmptyKey("a..b=1".to_owned()));
        assert_eq!(refused("=1"), InvalidSet::EmptyKey("=1".to_owned()));
        assert_eq!(refused("args[0]=1"), InvalidSet::ListItem("args[0]".to_owned()));
        let not_a_map = InvalidSet::NotAMap { key: "replicas.most".to_owned(), holder: "replicas".to_owned() };
        assert_eq!(refused("replicas.most=3"), not_a_map);
    }
}
