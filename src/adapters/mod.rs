//! The outside world: each adapter wraps one tool or API, has its own errors and prints nothing.

pub mod cluster;
pub mod credentials;
pub mod docker;
mod forbidden;
pub mod git;
pub mod helm;
pub mod host;
pub mod http;
pub mod kind;
pub mod lock;
pub mod process;
pub mod registry;
pub mod sops;
pub mod user_configuration;

/// The innermost error, which says what the network said.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
