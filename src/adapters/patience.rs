//! How long and how often a server on the network is asked.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The times of one kind of server; each adapter names its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one request, to the last byte of its answer.
    pub request: Duration,
    /// Before each further try of what may pass, such as 429 and 5xx.
    pub pauses: &'static [Duration],
    /// The longest pause that the server may ask for.
    pub longest_pause: Duration,
}

impl Patience {
    /// The pause that an answer asks for with `Retry-After`, as far as it is granted. A date there is not understood.
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
        let patience = Patience { request: Duration::ZERO, pauses: &[], longest_pause: Duration::from_secs(20) };
        let asked = |text| patience.asked_pause(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(asked(" 7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("3600"), Some(Duration::from_secs(20)));
        assert_eq!(asked("Sat, 21 Nov 2026 07:28:00 GMT"), None);
        assert_eq!(patience.asked_pause(&HeaderMap::new()), None);
    }
}
