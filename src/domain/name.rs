//! Names of projects, environments and workspaces.

use std::{borrow::Borrow, fmt};

use serde::Serialize;

/// The maximum length of a name, so that names with a suffix (pod hashes, `-headless`) have at most 63 characters.
pub const LONGEST: usize = 40;

/// An RFC 1035 label of at most [`LONGEST`] characters: the name of a Helm release, a Service and a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a string is not a valid [`Name`], with a suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name contains lowercase letters, digits and '-', starts with a letter, ends with a letter or digit, and has at most {LONGEST} characters"
)]
pub struct InvalidName {
    /// The closest valid name, if there is one.
    pub suggestion: Option<String>,
}

impl Name {
    /// # Errors
    /// Fails if `text` is not an RFC 1035 label, or is longer than [`LONGEST`].
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if is_valid(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName { suggestion: nearest_valid(text) })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_valid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= LONGEST
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
}

fn nearest_valid(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let trimmed = lower.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let short: String = trimmed.chars().take(LONGEST).collect();
    let candidate = short.trim_end_matches('-');
    is_valid(candidate).then(|| candidate.to_owned())
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_labels() {
        for good in ["a", "shop", "shop-2", &"a".repeat(LONGEST)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_others_and_suggests() {
        let suggestion = |text: &str| Name::new(text).unwrap_err().suggestion;
        assert_eq!(suggestion("Store_Front"), Some("store-front".to_owned()));
        assert_eq!(suggestion("-shop-"), Some("shop".to_owned()));
        assert_eq!(suggestion("9"), None);
        assert_eq!(suggestion(&"a".repeat(LONGEST + 1)), Some("a".repeat(LONGEST)));
        assert!(Name::new("").is_err());
    }
}
