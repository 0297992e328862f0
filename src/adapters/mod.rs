//! Adapters to external tools and APIs. Each one wraps one tool or API, has its own error type and prints nothing.

pub mod authority;
pub mod browser;
pub mod build_context;
pub mod builds;
pub mod cache;
mod call;
#[cfg(test)]
mod captured_log;
pub mod cluster;
pub mod credentials;
pub mod docker;
pub mod download;
pub mod durations;
pub mod file_watch;
mod forbidden;
pub mod git;
pub mod gitlab;
pub mod helm;
pub mod host;
pub mod http;
pub mod kind;
pub mod local_run;
pub mod lock;
pub mod process;
pub mod queues;
mod refusals;
pub mod registry;
pub mod retry_policy;
pub mod sops;
pub mod source_tree;
pub mod sync_archive;
pub mod tcp;
pub mod templates;
pub mod tool_folder;
pub mod trust_stores;
pub mod user_configuration;
pub mod wait;
mod web;

/// The error below an adapter's error: of a connection, of a file, or a message of the other side.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Returns the message of the innermost error, which is the network error itself.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The length of a call, for the log.
fn seconds(duration: std::time::Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}
