//! Names of projects, environments and workspaces.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

use super::digest::sha256;

/// The maximum length of a project's name: that of a Helm release.
pub const LONGEST: usize = 53;
/// The maximum length of other names, which become parts of longer ones, such as the host name of a cluster's node.
pub const SHORT: usize = 40;
/// The maximum length of the name of many Kubernetes objects and of the value of a label.
const LONGEST_LABEL: usize = 63;

/// An RFC 1035 label of at most [`LONGEST`] characters: the name of a Helm release, a Service and a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

/// Why a string is not a valid [`Name`], with a suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name contains lowercase letters, digits and '-', starts with a letter, ends with a letter or digit, and has at most {longest} characters"
)]
pub struct InvalidName {
    /// The maximum length of such a name.
    pub longest: usize,
    /// The closest valid name, if there is one.
    pub suggestion: Option<String>,
}

impl Name {
    /// # Errors
    /// Fails if `text` is not an RFC 1035 label, or is longer than [`LONGEST`].
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        Self::within(text, LONGEST)
    }

    /// # Errors
    /// Fails if `text` is not an RFC 1035 label, or is longer than [`SHORT`].
    pub fn short(text: &str) -> Result<Self, InvalidName> {
        Self::within(text, SHORT)
    }

    fn within(text: &str, longest: usize) -> Result<Self, InvalidName> {
        if is_valid(text, longest) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName { longest, suggestion: nearest_valid(text, longest) })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(&text)
    }
}

fn is_valid(text: &str, longest: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= longest
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
}

fn nearest_valid(text: &str, longest: usize) -> Option<String> {
    let lower = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let trimmed = lower.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let short: String = trimmed.chars().take(longest).collect();
    let candidate = short.trim_end_matches('-');
    is_valid(candidate, longest).then(|| candidate.to_owned())
}

/// Shortens the name of a Kubernetes object to 63 characters, with a hash of the whole name at the end.
pub fn shortened(text: &str) -> String {
    const HASH: usize = 8;
    if text.len() <= LONGEST_LABEL {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST_LABEL - HASH - 1).collect();
    format!("{}-{}", start.trim_end_matches('-'), &sha256(text.as_bytes())[..HASH])
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
        assert!(Name::short(&"a".repeat(SHORT + 1)).is_err());
    }

    #[test]
    fn long_names_of_objects_stay_different() {
        let long = format!("{}-verify-smoke", "a".repeat(LONGEST));
        assert!(shortened(&long).len() <= 63);
        assert_ne!(shortened(&long), shortened(&format!("{long}-2")));
        assert_eq!(shortened("shop-verify-smoke"), "shop-verify-smoke");
    }
}
