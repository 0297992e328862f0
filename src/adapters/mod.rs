//! The outside world: each adapter wraps one tool or API, has its own errors and prints nothing.

pub mod cluster;
pub mod credentials;
pub mod docker;
pub mod git;
pub mod helm;
pub mod host;
pub mod http;
pub mod kind;
pub mod lock;
pub mod process;
pub mod user_configuration;
