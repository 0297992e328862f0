//! The difference between two states of an object.

/// The current and the desired state of an object, as YAML; empty if the object does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `Deployment/shop`.
    pub object: String,
    pub before: String,
    pub after: String,
}
