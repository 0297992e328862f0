//! Texts that no output shows.

use std::{collections::BTreeMap, fmt};

/// A text that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a Kubernetes Secret holds: key -> value.
pub type SecretData = BTreeMap<String, Secret>;

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for what must be given it, never for messages.
    pub fn expose(&self) -> &str {
        &self.0
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
    }
}
