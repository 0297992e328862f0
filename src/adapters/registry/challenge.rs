//! Parses the `WWW-Authenticate` header, in which a registry requests authentication.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The authentication that a registry requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token, from the service at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// User name and password.
    Basic,
}

/// One scheme with its parameters.
#[derive(Debug, Default)]
struct Scheme {
    name: String,
    parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Returns the preferred challenge of all that a registry offers: a token, if possible.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|header| header.to_str().ok());
        let schemes: Vec<Scheme> = texts.flat_map(schemes).collect();
        let token = schemes.iter().filter(|scheme| scheme.is("bearer")).find_map(Scheme::bearer);
        token.or_else(|| schemes.iter().any(|scheme| scheme.is("basic")).then_some(Self::Basic))
    }
}

impl Scheme {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn bearer(&self) -> Option<Challenge> {
        let parameter = |name: &str| self.parameters.get(name).filter(|value| !value.is_empty()).cloned();
        Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service"), scope: parameter("scope") })
    }
}

/// Parses `SCHEME KEY=VALUE, KEY="VALUE", SCHEME ...`.
fn schemes(text: &str) -> Vec<Scheme> {
    let mut schemes: Vec<Scheme> = Vec::new();
    for part in parts(text) {
        let (key, value) = part.split_once('=').unwrap_or((&part, ""));
        // A space before the first `=` follows the name of a scheme.
        let (name, key) = match key.trim().split_once(char::is_whitespace) {
            Some((name, key)) => (Some(name), key.trim()),
            None if part.contains('=') => (None, key.trim()),
            None => (Some(key.trim()), ""),
        };
        if let Some(name) = name {
            schemes.push(Scheme { name: name.to_owned(), ..Scheme::default() });
        }
        if let Some(scheme) = schemes.last_mut().filter(|_| !key.is_empty()) {
            scheme.parameters.insert(key.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    schemes
}

/// Splits at commas outside quotes, and removes the quotes.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => {
                is_escaped = true;
                continue;
            }
            '"' => {
                is_quoted = !is_quoted;
                continue;
            }
            ',' if !is_quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().into_iter().for_each(|part| part.push(letter));
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(headers: &[&str]) -> Option<Challenge> {
        let headers = headers.iter().map(|text| (WWW_AUTHENTICATE, text.parse().unwrap())).collect();
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/redis:pull,push""#;
        let scope = Some("repository:library/redis:pull,push");
        let token = bearer("https://auth.docker.io/token", Some("registry.docker.io"), scope);
        assert_eq!(challenge(&[hub]), Some(token));
        assert_eq!(challenge(&[r#"Basic realm="rig""#]), Some(Challenge::Basic));
        assert_eq!(challenge(&["basic"]), Some(Challenge::Basic));
        let token = bearer("https://a/t", Some("x"), None);
        assert_eq!(challenge(&["bearer realm=https://a/t , service = x"]), Some(token));
    }

    #[test]
    fn a_token_comes_before_a_password() {
        let token = Some(bearer("https://a/t", None, None));
        assert_eq!(challenge(&[r#"Basic realm="a \" b, c", Bearer realm="https://a/t""#]), token);
        assert_eq!(challenge(&["Basic realm=a", "Bearer realm=https://a/t"]), token);
        assert_eq!(challenge(&["Bearer service=x, Basic realm=y"]), Some(Challenge::Basic));
        assert_eq!(challenge(&["Negotiate", ""]), None);
        assert_eq!(challenge(&[]), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[A-Za-z=\", \\\\]{0,60}") {
            let _ = schemes(&text);
        }
    }
}
