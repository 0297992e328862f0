//! What Traefik counts of the requests to each Service, in Prometheus' text format.

use std::collections::BTreeMap;

/// The gRPC status codes that are errors of a server, as OpenTelemetry defines them: `UNKNOWN`, `DEADLINE_EXCEEDED`,
/// `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
const GRPC_ERRORS: [u16; 6] = [2, 4, 12, 13, 14, 15];
const REQUESTS: &str = "traefik_service_requests_total";
const DURATIONS: &str = "traefik_service_request_duration_seconds_bucket";

/// The requests to one Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestCounts {
    pub requests: f64,
    /// Those that ended with an error of the server: HTTP 5xx, or a gRPC status.
    pub errors: f64,
    /// For each upper limit in seconds, how many requests took at most as long; without `WebSockets`.
    durations: Vec<(f64, f64)>,
}

/// The counts of each pod of Traefik since it started.
pub type Scrape = BTreeMap<String, RequestCounts>;

impl RequestCounts {
    /// Reads what one pod of Traefik has counted for the Services whose name in Traefik, without its provider, is in
    /// `services`: `tunes-shop-http`, or `tunes-shop-80`.
    pub fn read(metrics: &str, services: &[String]) -> Self {
        let mut counts = Self::default();
        for line in metrics.lines() {
            let Some((name, labels)) = line.split_once('{') else { continue };
            let Some((labels, value)) = labels.rsplit_once("} ") else { continue };
            let service = label(labels, "service").and_then(|service| service.split('@').next());
            let Some(value) = value.split(' ').next().and_then(|value| value.parse::<f64>().ok()) else { continue };
            if !service.is_some_and(|service| services.iter().any(|known| known == service)) {
                continue;
            }
            match name {
                REQUESTS => {
                    counts.requests += value;
                    counts.errors += if is_error(labels) { value } else { 0.0 };
                }
                DURATIONS if label(labels, "protocol") != Some("websocket") => {
                    let limit = label(labels, "le").and_then(|limit| limit.parse().ok());
                    counts.add_duration(limit.unwrap_or(f64::INFINITY), value);
                }
                _ => (),
            }
        }
        counts
    }

    fn add_duration(&mut self, limit: f64, count: f64) {
        match self.durations.binary_search_by(|(known, _)| known.total_cmp(&limit)) {
            Ok(index) => self.durations[index].1 += count,
            Err(index) => self.durations.insert(index, (limit, count)),
        }
    }

    /// What was counted after `before`. A pod that restarted has counted from 0.
    fn since(&self, before: &Self) -> Self {
        if self.requests < before.requests {
            return self.clone();
        }
        let is = |known: f64, limit: f64| known.total_cmp(&limit).is_eq();
        let earlier = |limit| before.durations.iter().find(|(known, _)| is(*known, limit)).map_or(0.0, |it| it.1);
        Self {
            requests: self.requests - before.requests,
            errors: (self.errors - before.errors).max(0.0),
            durations: self.durations.iter().map(|(limit, count)| (*limit, count - earlier(*limit))).collect(),
        }
    }

    /// The share of requests that ended with an error; `None` without requests.
    pub fn error_share(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.errors / self.requests)
    }

    /// The duration in seconds that a share of the requests did not exceed, interpolated as Prometheus does. `None`
    /// without requests.
    pub fn duration_quantile(&self, quantile: f64) -> Option<f64> {
        let (_, total) = *self.durations.last()?;
        if total <= 0.0 {
            return None;
        }
        let rank = quantile * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (limit, count) in &self.durations {
            if *count >= rank {
                let is_inside = limit.is_finite() && *count > below;
                return Some(if is_inside {
                    lower + (limit - lower) * (rank - below) / (count - below)
                } else {
                    lower
                });
            }
            (lower, below) = (*limit, *count);
        }
        Some(lower)
    }
}

/// What all pods counted between two scrapes. A pod that is new has started in between.
pub fn counted_between(before: &Scrape, after: &Scrape) -> RequestCounts {
    let none = RequestCounts::default();
    let mut sum = RequestCounts::default();
    for (pod, counts) in after {
        let counted = counts.since(before.get(pod).unwrap_or(&none));
        sum.requests += counted.requests;
        sum.errors += counted.errors;
        counted.durations.iter().for_each(|(limit, count)| sum.add_duration(*limit, *count));
    }
    sum
}

fn is_error(labels: &str) -> bool {
    let code: Option<u16> = label(labels, "code").and_then(|code| code.parse().ok());
    match label(labels, "protocol") {
        Some("grpc") => code.is_some_and(|code| GRPC_ERRORS.contains(&code) || code >= 500),
        _ => code.is_some_and(|code| code >= 500),
    }
}

/// The value of a label; the labels that are asked for have no escaped characters.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split("\",").find_map(|pair| {
        let (key, value) = pair.split_once("=\"")?;
        (key.trim() == name).then(|| value.trim_end_matches('"'))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const BEFORE: &str = include_str!("../../tests/checks/traefik-before.txt");
    pub(crate) const AFTER: &str = include_str!("../../tests/checks/traefik-after.txt");

    pub(crate) fn scrape(text: &str, service: &str) -> Scrape {
        let counts = RequestCounts::read(text, &[service.to_owned()]);
        BTreeMap::from([("traefik-1".to_owned(), counts)])
    }

    #[test]
    fn each_service_is_counted_alone() {
        let next = |text| scrape(text, "tunes-storefront-next-http");
        let counted = counted_between(&next(BEFORE), &next(AFTER));
        assert_eq!((counted.requests, counted.errors), (50.0, 10.0));
        assert_eq!(counted.error_share(), Some(0.2));
        let first = |text| scrape(text, "tunes-storefront-http");
        let counted = counted_between(&first(BEFORE), &first(AFTER));
        assert_eq!((counted.requests, counted.errors), (50.0, 0.0));
        let other = scrape(AFTER, "tunes-storefront");
        assert_eq!(counted_between(&Scrape::new(), &other).error_share(), None);
    }

    #[test]
    fn quantiles_are_interpolated() {
        let next = |text| scrape(text, "tunes-storefront-next-http");
        let counted = counted_between(&next(BEFORE), &next(AFTER));
        let quantile = |share| counted.duration_quantile(share).unwrap();
        assert!(quantile(0.5) > 0.01 && quantile(0.5) < 0.05, "{}", quantile(0.5));
        assert!(quantile(0.99) > 0.25 && quantile(0.99) <= 0.5, "{}", quantile(0.99));
        assert_eq!(RequestCounts::default().duration_quantile(0.99), None);
    }

    #[test]
    fn a_pod_that_restarted_has_counted_from_the_start() {
        let next = |text| scrape(text, "tunes-storefront-next-http");
        let counted = counted_between(&next(AFTER), &next(BEFORE));
        assert_eq!((counted.requests, counted.errors), (10.0, 2.0));
        let new = BTreeMap::from([("traefik-2".to_owned(), next(BEFORE)["traefik-1"].clone())]);
        assert!((counted_between(&next(AFTER), &new).requests - 10.0).abs() < 0.1);
    }

    #[test]
    fn grpc_has_status_codes_of_its_own() {
        let line = |code: &str| {
            let labels =
                format!("code=\"{code}\",method=\"POST\",protocol=\"grpc\",service=\"tunes-feed-grpc@kubernetescrd\"");
            RequestCounts::read(&format!("{REQUESTS}{{{labels}}} 3\n"), &["tunes-feed-grpc".to_owned()])
        };
        assert_eq!((line("0").errors, line("5").errors, line("14").errors), (0.0, 0.0, 3.0));
    }
}
