//! Secret strings that are never shown in output.

use std::{collections::BTreeMap, fmt};

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// A string that is never shown in output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The content of a Kubernetes Secret: key -> value.
pub type SecretData = BTreeMap<String, Secret>;

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret string. Must not be used in messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_would_print_does_not_show_it() {
        let data = SecretData::from([("PASSWORD".to_owned(), Secret::new("canary"))]);
        assert_eq!(format!("{data:?}"), r#"{"PASSWORD": Secret(***)}"#);
        assert_eq!(Secret::new("canary").to_string(), "***");
    }
}
