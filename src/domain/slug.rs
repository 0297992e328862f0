//! The slug of a review environment: the part of names and hosts that identifies a branch.

use std::fmt;

use super::digest::sha256;

/// The maximum length, so that a host label such as `storefront-SLUG` has at most 63 characters.
pub const LONGEST: usize = 30;
/// Hexadecimal digits of the hash that keeps shortened and changed slugs apart.
const HASH: usize = 6;

/// Lowercase letters, digits and `-`, starting and ending with a letter or digit: valid in the middle and at the end
/// of a DNS label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    /// Derives the slug of a branch. A name that is a valid slug is kept. In others, each invalid character becomes
    /// `-`, they are shortened, and a hash of the name is appended: two branches never share a slug by accident.
    /// `None` if the name has no letter and no digit.
    pub fn of_branch(branch: &str) -> Option<Self> {
        let lower = branch.to_ascii_lowercase();
        let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        let readable = words.join("-");
        if readable.is_empty() {
            return None;
        }
        if readable == branch && readable.len() <= LONGEST {
            return Some(Self(readable));
        }
        let digest = sha256(branch.as_bytes());
        let hash = &digest[..HASH];
        let short = &readable[..readable.len().min(LONGEST - HASH - 1)];
        Some(Self(format!("{}-{hash}", short.trim_end_matches('-'))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slug(branch: &str) -> String {
        Slug::of_branch(branch).unwrap().to_string()
    }

    #[test]
    fn a_valid_slug_is_kept() {
        for branch in ["fix-42", "123-title", "4", "main"] {
            assert_eq!(slug(branch), branch);
        }
    }

    #[test]
    fn other_names_are_changed_and_get_a_hash() {
        assert_eq!(slug("Fix_1"), "fix-1-b95884");
        assert_eq!(slug("feature/ÄRGER!"), "feature-rger-b73b35");
        let long = "add-a-very-long-explanation-of-what-this-branch-is-about-0123456";
        assert_eq!(slug(long), "add-a-very-long-explana-55fc82");
        assert_ne!(slug(long), slug(&long.replace("0123456", "0123457")));
        assert_ne!(slug("fix/42"), slug("fix-42"));
        assert_eq!(Slug::of_branch("///"), None);
        assert_eq!(Slug::of_branch(""), None);
    }

    proptest! {
        #[test]
        fn every_slug_fits_into_a_label(branch in "\\PC{0,100}") {
            if let Some(slug) = Slug::of_branch(&branch) {
                let slug = slug.as_str();
                prop_assert!(!slug.is_empty() && slug.len() <= LONGEST);
                prop_assert!(slug.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-'));
                prop_assert!(!slug.starts_with('-') && !slug.ends_with('-'));
            }
        }
    }
}
