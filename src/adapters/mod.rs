//! The outside world: each adapter wraps one tool or API, has its own errors and prints nothing.

pub mod cluster;
pub mod git;
pub mod helm;
pub mod http;
pub mod kind;
pub mod lock;
pub mod process;
