//! How one object would change.

/// An object as it is and as it would be, as YAML; empty where it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `Deployment/shop`.
    pub object: String,
    pub before: String,
    pub after: String,
}
