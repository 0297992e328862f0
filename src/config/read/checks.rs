//! Reads checks of rollouts and procedures.

use std::collections::BTreeMap;

use super::{duration_at, name_of, named, text_at};
use crate::{
    config::tree::Cursor,
    domain::{
        Name,
        check::{
            CHECK_WINDOW, HealthCheck, HealthTest, HttpTarget, Limit, PrometheusAddress, parse_latency, parse_percent,
        },
    },
};

/// The share of requests whose duration counts, unless projects.yaml sets it.
const QUANTILE: f64 = 0.99;

/// Reads the map from names to checks under `key`.
pub(in crate::config) fn checks(value: Cursor<'_>, key: &str) -> BTreeMap<Name, HealthCheck> {
    named(value, key, health_check)
}

fn health_check(value: Cursor<'_>) -> Option<HealthCheck> {
    Some(HealthCheck {
        test: test(value)?,
        project: value.get("project").and_then(name_of),
        failures: value.get("failures").and_then(|failures| u32::try_from(failures.integer()?).ok()),
        window: duration_at(value, "window").unwrap_or(CHECK_WINDOW),
    })
}

fn test(value: Cursor<'_>) -> Option<HealthTest> {
    if let Some(http) = value.get("http") {
        let target = text_at(http, "url").map(HttpTarget::Url).or_else(|| text_at(http, "path").map(HttpTarget::Path));
        let status = http.get("status").and_then(|status| u16::try_from(status.integer()?).ok());
        return Some(HealthTest::Http { target: target?, status });
    }
    if let Some(errors) = value.get("errors") {
        let below = parse_percent(errors.get("below")?.text()?)?;
        return Some(HealthTest::Errors { below, requests: number_at(errors, "requests") });
    }
    if let Some(latency) = value.get("latency") {
        let below = parse_latency(latency.get("below")?.text()?)?;
        let quantile = latency.get("quantile").and_then(|quantile| quantile.number()).unwrap_or(QUANTILE);
        return Some(HealthTest::Latency { below, quantile, requests: number_at(latency, "requests") });
    }
    if let Some(prometheus) = value.get("prometheus") {
        let limit = |key: &str| prometheus.get(key).and_then(|limit| limit.number());
        let limit = limit("below").map(Limit::Below).or_else(|| limit("above").map(Limit::Above));
        let at = PrometheusAddress::parse(prometheus.get("at")?.text()?)?;
        return Some(HealthTest::Prometheus { at, query: text_at(prometheus, "query")?, limit: limit? });
    }
    if let Some(run) = value.get("run") {
        return Some(HealthTest::Run(name_of(run)?));
    }
    Some(HealthTest::Expr { object: text_at(value, "object")?, expression: text_at(value, "expr")? })
}

/// A number that is 1 unless it is written.
fn number_at(value: Cursor<'_>, key: &str) -> u32 {
    value.get(key).and_then(|number| u32::try_from(number.integer()?).ok()).unwrap_or(1)
}
