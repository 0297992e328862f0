//! Checks of what runs, for rollouts and procedures: what is tested, what was seen, and the verdict.
//!
//! A check that cannot be answered, because Prometheus does not respond or there are no requests yet, is neither passed
//! nor failed: who asked decides when its deadline is over.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, traffic_metrics::RequestCounts};

/// How long requests are counted, unless projects.yaml sets it.
pub const CHECK_WINDOW: Duration = Duration::from_secs(30);
/// The status of a response that is not an error, of a check that names none.
const GOOD_STATUS: std::ops::Range<u16> = 200..400;

/// A check of a rollout or a procedure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub test: HealthTest,
    /// The project that is tested; `None`: the one that is rolled out.
    pub project: Option<Name>,
    /// How many times in a row the test must fail before the check has failed; `None`: once.
    pub failures: Option<u32>,
    /// How long requests are counted.
    pub window: Duration,
}

/// What a check tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// A request has a response with this status, or any that is not an error.
    Http { target: HttpTarget, status: Option<u16> },
    /// The share of requests with an error of the server, of 1, is below a limit.
    Errors { below: f64, requests: u32 },
    /// The duration that a share of the requests does not exceed is below a limit.
    Latency { below: Duration, quantile: f64, requests: u32 },
    /// The result of a query is within a limit.
    Prometheus { at: PrometheusAddress, query: String, limit: Limit },
    /// A run of this project, a Job, succeeds.
    Run(Name),
    /// An expression in CEL is true for an object of the cluster: `deployment/shop`.
    Expr { object: String, expression: String },
}

/// What an HTTP check requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpTarget {
    Url(String),
    /// A path below the URL of the project.
    Path(String),
}

/// Where Prometheus answers queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrometheusAddress {
    /// A URL that this machine reaches.
    Url(String),
    /// A Service, which is reached through the API server.
    Service {
        /// `None`: that of the environment.
        namespace: Option<String>,
        name: String,
        /// A number or a name; `None`: the first port.
        port: Option<String>,
    },
}

/// What a number must be below or above.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    Below(f64),
    Above(f64),
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum CheckVerdict {
    Passed {
        /// What was observed.
        seen: String,
    },
    Failed {
        seen: String,
        /// What was expected instead.
        limit: String,
    },
    /// Neither passed nor failed.
    Unknown { reason: String },
}

/// How often the checks of one rollout or step have failed in a row, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FailuresInARow(BTreeMap<String, u32>);

impl FailuresInARow {
    /// Returns the verdicts that count, of all checks.
    pub fn count_all(
        &mut self,
        checks: &BTreeMap<Name, HealthCheck>,
        verdicts: BTreeMap<Name, CheckVerdict>,
    ) -> BTreeMap<Name, CheckVerdict> {
        let counted = verdicts.into_iter().filter_map(|(name, verdict)| {
            let verdict = self.count(&name, checks.get(&name)?, verdict);
            Some((name, verdict))
        });
        counted.collect()
    }

    /// Returns the verdict that counts: a test that failed less often in a row than the check requires is unknown.
    fn count(&mut self, name: &Name, check: &HealthCheck, verdict: CheckVerdict) -> CheckVerdict {
        match verdict {
            CheckVerdict::Failed { seen, limit } => {
                let failed = self.0.entry(name.to_string()).or_default();
                *failed += 1;
                let most = check.failures.unwrap_or(1);
                if *failed >= most {
                    return CheckVerdict::Failed { seen, limit };
                }
                CheckVerdict::Unknown {
                    reason: format!("failed {failed} of {most} times in a row: {seen}, expected {limit}"),
                }
            }
            CheckVerdict::Passed { .. } => {
                self.0.remove(name.as_str());
                verdict
            }
            CheckVerdict::Unknown { .. } => verdict,
        }
    }
}

impl HealthCheck {
    /// Whether a failure ends a step that waits for the check: if the number of failures is limited, and for a Job, which
    /// would run again and again.
    pub fn ends_wait(&self) -> bool {
        self.failures.is_some() || matches!(self.test, HealthTest::Run(_))
    }

    /// Whether the verdict needs two scrapes of Traefik's metrics.
    pub fn counts_requests(&self) -> bool {
        matches!(self.test, HealthTest::Errors { .. } | HealthTest::Latency { .. })
    }

    /// Judges the requests that were counted; unknown for a check that counts none.
    pub fn judge_requests(&self, counted: &RequestCounts) -> CheckVerdict {
        let (HealthTest::Errors { requests, .. } | HealthTest::Latency { requests, .. }) = &self.test else {
            return CheckVerdict::Unknown { reason: "the check counts no requests".to_owned() };
        };
        let seconds = self.window.as_secs();
        let number = counted.requests;
        if number < f64::from((*requests).max(1)) {
            let least = if *requests > 1 { format!(" of at least {requests}") } else { String::new() };
            return CheckVerdict::Unknown { reason: format!("{number} requests in {seconds} s{least}") };
        }
        match &self.test {
            HealthTest::Errors { below, .. } => {
                let share = counted.error_share().unwrap_or_default();
                let seen = format!("{} errors ({} of {number} requests)", percent(share), counted.errors);
                judged(share < *below, seen, || format!("below {}", percent(*below)))
            }
            HealthTest::Latency { below, quantile, .. } => {
                let took = counted.duration_quantile(*quantile).unwrap_or_default();
                let seen = format!("{} of {number} requests took up to {}", percent(*quantile), milliseconds(took));
                judged(took < below.as_secs_f64(), seen, || format!("below {}", milliseconds(below.as_secs_f64())))
            }
            _ => CheckVerdict::Unknown { reason: "the check counts no requests".to_owned() },
        }
    }
}

/// Judges the status of a response.
pub fn judge_status(url: &str, status: u16, expected: Option<u16>) -> CheckVerdict {
    let is_good = expected.map_or(GOOD_STATUS.contains(&status), |expected| expected == status);
    let limit = || expected.map_or_else(|| "a status from 200 to 399".to_owned(), |it| format!("HTTP {it}"));
    judged(is_good, format!("HTTP {status} from {url}"), limit)
}

/// Judges the results of a query, which are one number for each series: each must be within the limit.
pub fn judge_numbers(numbers: &[f64], limit: Limit) -> CheckVerdict {
    let known = || numbers.iter().copied().filter(|number| !number.is_nan());
    let worst = match limit {
        Limit::Below(_) => known().reduce(f64::max),
        Limit::Above(_) => known().reduce(f64::min),
    };
    let Some(worst) = worst else {
        return CheckVerdict::Unknown { reason: "the query has no result yet".to_owned() };
    };
    let (is_good, text) = match limit {
        Limit::Below(limit) => (worst < limit, format!("below {limit}")),
        Limit::Above(limit) => (worst > limit, format!("above {limit}")),
    };
    judged(is_good, format!("{worst}"), || text)
}

fn judged(is_good: bool, seen: String, limit: impl FnOnce() -> String) -> CheckVerdict {
    if is_good { CheckVerdict::Passed { seen } } else { CheckVerdict::Failed { seen, limit: limit() } }
}

impl std::fmt::Display for CheckVerdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed { seen } => write!(formatter, "passed: {seen}"),
            Self::Failed { seen, limit } => write!(formatter, "failed: {seen}, expected {limit}"),
            Self::Unknown { reason } => write!(formatter, "unknown: {reason}"),
        }
    }
}

impl PrometheusAddress {
    /// Reads a URL, or a project with perhaps a port: `prometheus:9090`. The URL of a Service (`NAME.NAMESPACE.svc`) is
    /// reached through the API server. `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((_, rest)) = text.split_once("://") else {
            let (name, port) = name_and_port(text);
            Name::new(name).ok()?;
            return Some(Self::Service { namespace: None, name: name.to_owned(), port });
        };
        let (host, port) = name_and_port(rest.trim_end_matches('/'));
        let host = host.strip_suffix(".cluster.local").unwrap_or(host);
        let Some((name, namespace)) = host.strip_suffix(".svc").and_then(|host| host.split_once('.')) else {
            return Some(Self::Url(text.trim_end_matches('/').to_owned()));
        };
        Some(Self::Service { namespace: Some(namespace.to_owned()), name: name.to_owned(), port })
    }
}

fn name_and_port(text: &str) -> (&str, Option<String>) {
    text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port.to_owned())))
}

/// A share as `0.5%`.
pub fn percent(share: f64) -> String {
    let rounded = (share * 100_000.0).round() / 1000.0;
    format!("{rounded}%")
}

/// Reads a share as `0.5%`, from 0 to 100%.
pub fn parse_percent(text: &str) -> Option<f64> {
    let number: f64 = text.strip_suffix('%').filter(|number| is_decimal(number))?.parse().ok()?;
    (number <= 100.0).then_some(number / 100.0)
}

/// Reads a short duration: `250ms`, `2s`.
pub fn parse_latency(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    let number: f64 = Some(number).filter(|number| is_decimal(number))?.parse().ok()?;
    (number > 0.0).then(|| Duration::from_secs_f64(number * unit))
}

/// Digits with at most one point between them, and few enough for every unit.
fn is_decimal(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 9 && parts.len() <= 2 && parts.iter().all(is_number)
}

fn milliseconds(seconds: f64) -> String {
    format!("{} ms", (seconds * 1000.0).round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::traffic_metrics::{
        counted_between,
        tests::{AFTER, BEFORE, scrape},
    };

    fn check(test: HealthTest) -> HealthCheck {
        HealthCheck { test, project: None, failures: None, window: CHECK_WINDOW }
    }

    fn judged_for(service: &str, test: HealthTest) -> String {
        let counted = counted_between(&scrape(BEFORE, service), &scrape(AFTER, service));
        check(test).judge_requests(&counted).to_string()
    }

    #[test]
    fn a_verdict_says_what_was_seen_and_the_limit() {
        let errors = |requests| HealthTest::Errors { below: 0.01, requests };
        let next = "tunes-storefront-next-http";
        assert_eq!(judged_for(next, errors(1)), "failed: 20% errors (10 of 50 requests), expected below 1%");
        assert_eq!(judged_for("tunes-storefront-http", errors(1)), "passed: 0% errors (0 of 50 requests)");
        assert_eq!(judged_for(next, errors(100)), "unknown: 50 requests in 30 s of at least 100");
        assert_eq!(judged_for("tunes-other-http", errors(1)), "unknown: 0 requests in 30 s");
        let latency = HealthTest::Latency { below: Duration::from_millis(200), quantile: 0.99, requests: 1 };
        let slow = judged_for(next, latency.clone());
        assert!(slow.starts_with("failed: 99% of 50 requests took up to "), "{slow}");
        assert!(slow.ends_with("ms, expected below 200 ms"), "{slow}");
        assert!(judged_for("tunes-storefront-http", latency).starts_with("passed: "));
    }

    #[test]
    fn a_check_that_flaps_has_not_failed() {
        let flaps = HealthCheck { failures: Some(2), ..check(HealthTest::Errors { below: 0.01, requests: 1 }) };
        let (mut row, name) = (FailuresInARow::default(), Name::new("errors").unwrap());
        let failed = || judge_status("http://shop", 503, None);
        let passed = || judge_status("http://shop", 204, None);
        let mut count = |verdict| row.count(&name, &flaps, verdict);
        let first = count(failed()).to_string();
        assert!(first.starts_with("unknown: failed 1 of 2 times in a row: HTTP 503"), "{first}");
        assert!(matches!(count(passed()), CheckVerdict::Passed { .. }));
        assert!(matches!(count(failed()), CheckVerdict::Unknown { .. }));
        let away = CheckVerdict::Unknown { reason: "no response".to_owned() };
        assert_eq!(count(away.clone()), away);
        assert!(matches!(count(failed()), CheckVerdict::Failed { .. }));
    }

    #[test]
    fn the_worst_series_of_a_query_counts() {
        let text = |numbers: &[f64], limit| judge_numbers(numbers, limit).to_string();
        assert_eq!(text(&[0.1, 0.7], Limit::Below(0.5)), "failed: 0.7, expected below 0.5");
        assert_eq!(text(&[3.0, 2.0], Limit::Above(1.0)), "passed: 2");
        assert_eq!(text(&[], Limit::Above(1.0)), "unknown: the query has no result yet");
        assert_eq!(text(&[f64::NAN], Limit::Below(1.0)), "unknown: the query has no result yet");
    }

    #[test]
    fn shares_durations_and_addresses() {
        assert_eq!((parse_percent("1%"), parse_percent("0.5%")), (Some(0.01), Some(0.005)));
        for wrong in ["1", "101%", "-1%", "%", "1.%", "1e1%", "one%"] {
            assert_eq!(parse_percent(wrong), None, "{wrong}");
        }
        assert_eq!(parse_latency("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_latency("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!((parse_latency("0ms"), parse_latency("5m"), parse_latency("5")), (None, None, None));
        let service = |namespace: Option<&str>, port: Option<&str>| PrometheusAddress::Service {
            namespace: namespace.map(str::to_owned),
            name: "prometheus".to_owned(),
            port: port.map(str::to_owned),
        };
        let parse = |text: &str| PrometheusAddress::parse(text).unwrap();
        assert_eq!(parse("prometheus:9090"), service(None, Some("9090")));
        assert_eq!(parse("http://prometheus.monitoring.svc:80/"), service(Some("monitoring"), Some("80")));
        assert_eq!(parse("http://prometheus.monitoring.svc.cluster.local"), service(Some("monitoring"), None));
        let url = "https://metrics.example.com/prometheus";
        assert_eq!(parse(url), PrometheusAddress::Url(url.to_owned()));
        assert_eq!(PrometheusAddress::parse("Not a name"), None);
    }
}
