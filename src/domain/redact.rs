//! Removes secrets from what leaves this machine or is written to a log: URLs, and values of YAML.

use serde_json::Value;

use super::secret::MASK;

/// Parameters of a query whose values are never secret. All other values are masked.
const HARMLESS_PARAMETERS: &[&str] = &[
    // Kubernetes
    "allowWatchBookmarks",
    "container",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "force",
    "labelSelector",
    "limit",
    "previous",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "tailLines",
    "timeoutSeconds",
    "watch",
    // Docker
    "all",
    "filters",
    "fromImage",
    "name",
    "path",
    "platform",
    "repo",
    "t",
    "tag",
    "v",
    // registries
    "last",
    "n",
    "scope",
    "service",
    // GitLab
    "order_by",
    "page",
    "per_page",
    "ref",
    "sha",
    "sort",
];

/// Parts of names of keys whose values are secret.
const SECRET_PARTS: &[&str] =
    &["password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "authorization", "private"];

/// The keys of an entry of `secrets` that refer to a secret, and contain none.
const REFERENCES: &[&str] = &["existing", "sops", "generate", "external"];

/// Returns a URL without user, password and fragment, and with the values of its query masked unless they are harmless.
pub fn masked_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (url, None),
    };
    let place = match place.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{MASK}@{host}{path}"),
                None => place.to_owned(),
            }
        }
        None => place.to_owned(),
    };
    let Some(query) = query else { return place };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if HARMLESS_PARAMETERS.contains(&name) => parameter.to_owned(),
            Some((name, _)) => format!("{name}={MASK}"),
            // A parameter without a name may be the secret itself.
            None => MASK.to_owned(),
        })
        .collect();
    format!("{place}?{}", parameters.join("&"))
}

/// Returns the text with every URL in it masked.
pub fn masked_urls(text: &str) -> String {
    let is_end = |letter: char| letter.is_whitespace() || "\"'`<>,;".contains(letter);
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let start = rest[..at].rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '+');
        let start = start.map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        let end = at + rest[at..].find(is_end).unwrap_or(rest.len() - at);
        masked.push_str(&rest[..start]);
        masked.push_str(&masked_url(&rest[start..end]));
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

/// Returns whether the value of a key with this name is a secret: `DB_PASSWORD`, `apiKey`.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_PARTS.iter().any(|part| name.contains(part)) || name.ends_with("key") || name.ends_with("keys")
}

/// Returns a document with secret-looking values masked: those of keys with a secret name, those below `secrets`, and
/// URLs with credentials.
pub fn redacted(document: &Value) -> Value {
    match document {
        Value::Object(map) => {
            let named = map.get("name").and_then(Value::as_str).is_some_and(is_secret_name);
            let entries = map.iter().map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    // Their keys are names of projects and environments: a project may be called `token-service`.
                    ("projects" | "environments" | "platform", Value::Object(entries)) => {
                        Value::Object(entries.iter().map(|(name, entry)| (name.clone(), redacted(entry))).collect())
                    }
                    ("secrets", value) => redacted_secrets(value),
                    // An item of a list of variables: {name: DB_PASSWORD, value: x}.
                    ("value", value) if named => masked(value),
                    (key, value) if is_secret_name(key) => masked(value),
                    (_, value) => redacted(value),
                };
                (key.clone(), value)
            });
            Value::Object(entries.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        Value::String(text) => Value::String(masked_urls(text)),
        other => other.clone(),
    }
}

/// The values of `secrets`: only references stay.
fn redacted_secrets(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let is_reference = REFERENCES.contains(&key.as_str());
                    (key.clone(), if is_reference { value.clone() } else { redacted_secrets(value) })
                })
                .collect(),
        ),
        other => masked(other),
    }
}

/// Masks every value and keeps the structure.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), masked(value))).collect()),
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(_) | Value::String(_) => Value::String(MASK.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn urls_lose_credentials_and_unknown_parameters() {
        for (url, shown) in [
            ("https://a.example/x", "https://a.example/x"),
            ("https://me:canary@a.example:8443/x#canary", "https://***@a.example:8443/x"),
            ("https://me:can@ary@a.example", "https://***@a.example"),
            ("https://a.example/?limit=5&sig=canary&canary", "https://a.example/?limit=5&sig=***&***"),
            ("/v1.44/containers/json?all=true&x=canary", "/v1.44/containers/json?all=true&x=***"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
        let text = "cannot fetch 'https://me:canary@a.example/x', or oci://b:canary@c";
        assert_eq!(masked_urls(text), "cannot fetch 'https://***@a.example/x', or oci://***@c");
        assert_eq!(masked_urls("--repo=\u{e9}https://me:canary@a"), "--repo=\u{e9}https://***@a");
        assert_eq!(masked_urls("no URL: //x"), "no URL: //x");
    }

    #[test]
    fn values_of_secret_names_are_removed() {
        let document = json!({
            "projects": {"token-service": {
                "image": "x:1",
                "values": {
                    "env": {"DB_PASSWORD": "canary", "apiKey": ["canary", 1], "LOG_LEVEL": "debug", "PIN": {"secret": "auth"}},
                    "list": [{"name": "ACCESS_TOKEN", "value": "canary"}, {"name": "A", "value": "b"}],
                    "secrets": {"auth": {"existing": "auth", "literal": {"user": "canary"}}, "other": "canary"},
                    "url": "postgres://me:canary@db/x",
                    "enabled": true,
                },
            }},
        });
        let shown = redacted(&document);
        assert!(!shown.to_string().contains("canary"), "{shown}");
        let values = &shown["projects"]["token-service"]["values"];
        assert_eq!(shown["projects"]["token-service"]["image"], "x:1");
        assert_eq!(
            values["env"],
            json!({"DB_PASSWORD": "***", "apiKey": ["***", "***"], "LOG_LEVEL": "debug", "PIN": {"secret": "***"}})
        );
        assert_eq!(values["list"][1]["value"], "b");
        assert_eq!(values["secrets"]["auth"], json!({"existing": "auth", "literal": {"user": "***"}}));
        assert_eq!(values["url"], "postgres://***@db/x");
    }
}
