//! Timeouts and retries of requests to servers on the network.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The timeouts for one kind of server; each adapter defines its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The timeout of one request, until the last byte of the response.
    pub request: Duration,
    /// The delay before each retry after a temporary error, such as 429 or 5xx.
    pub pauses: &'static [Duration],
    /// The longest `Retry-After` that is accepted.
    pub longest_pause: Duration,
}

impl RetryPolicy {
    /// Returns the delay that a response requests with `Retry-After`, up to the limit. Dates are not supported.
    pub(super) fn asked_pause(&self, headers: &HeaderMap) -> Option<Duration> {
        let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(self.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn no_more_than_the_longest_pause_is_granted() {
        let patience = RetryPolicy { request: Duration::ZERO, pauses: &[], longest_pause: Duration::from_secs(20) };
        let asked = |text| patience.asked_pause(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(asked(" 7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("3600"), Some(Duration::from_secs(20)));
        assert_eq!(asked("Sat, 21 Nov 2026 07:28:00 GMT"), None);
        assert_eq!(patience.asked_pause(&HeaderMap::new()), None);
    }
}
