//! Adapters to external tools and APIs. Each one wraps one tool or API, has its own error type and prints nothing.

pub mod builds;
pub mod cluster;
pub mod credentials;
pub mod docker;
mod forbidden;
pub mod git;
pub mod gitlab;
pub mod helm;
pub mod host;
pub mod http;
pub mod kind;
pub mod lock;
pub mod process;
pub mod registry;
pub mod retry_policy;
pub mod sops;
pub mod tcp;
pub mod user_configuration;
pub mod wait;

/// Returns the message of the innermost error, which is the network error itself.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns whether the connection failed at TLS; such a request is not retried.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // `source()` of an IO error skips the error that it wraps.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
