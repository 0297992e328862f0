//! Maintenance: which projects are closed, since when, and what their clients get.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The header of each answer to a closed project, and of cmdr's own requests.
pub const HEADER: &str = "cmdr-maintenance";
/// The value of the header in a request that is closed from any address and for any path.
pub const CHECK: &str = "check";
/// The image that serves the page: it has httpd.
pub const PAGE_IMAGE: &str = "docker.io/library/busybox:1.36";
/// What clients wait if no end is set, in seconds.
const RETRY_SECONDS: &str = "120";

/// The key `maintenance` of the workspace or of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaintenanceSettings {
    /// The template of the page; `None`: that of cmdr.
    pub page: Option<PathBuf>,
    /// The image that serves the page; `None`: [`PAGE_IMAGE`].
    pub image: Option<String>,
    /// Networks whose clients pass.
    pub allow: BTreeSet<String>,
    /// Paths that pass.
    pub health: BTreeSet<String>,
}

impl MaintenanceSettings {
    /// Returns these settings with those of an environment, which take precedence. Networks and paths are added.
    #[must_use]
    pub fn with(&self, environment: &Self) -> Self {
        Self {
            page: environment.page.clone().or_else(|| self.page.clone()),
            image: environment.image.clone().or_else(|| self.image.clone()),
            allow: self.allow.union(&environment.allow).cloned().collect(),
            health: self.health.union(&environment.health).cloned().collect(),
        }
    }
}

/// The annotation of the objects that close a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaintenanceMark {
    pub since: Timestamp,
    /// When it is expected to end; nothing ends it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who closed it.
    pub by: String,
    /// Whether `cmdr maintenance on` closed it.
    #[serde(default)]
    pub requested: bool,
    /// The drained projects whose producer it is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drains: BTreeSet<String>,
}

impl MaintenanceMark {
    /// The value of `Retry-After`: the end as a date, or a number of seconds.
    pub fn retry_after(&self) -> String {
        let date = |until: Timestamp| until.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.until.map_or_else(|| RETRY_SECONDS.to_owned(), date)
    }

    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until < now)
    }

    /// `in maintenance since 2026-11-27T03:00:00Z until 2026-11-27T04:00:00Z (overdue)`
    pub fn describe(&self, now: Option<Timestamp>) -> String {
        let until = self.until.map(|until| format!(" until {}", seconds(until))).unwrap_or_default();
        let overdue = if now.is_some_and(|now| self.is_overdue(now)) { " (overdue)" } else { "" };
        let drains: Vec<&str> = self.drains.iter().map(String::as_str).collect();
        let drains =
            if drains.is_empty() { String::new() } else { format!(", for the drain of {}", drains.join(", ")) };
        format!("in maintenance since {}{until}{overdue}{drains}", seconds(self.since))
    }
}

/// A time to the second.
pub fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Reads an end: a duration from `now`, or a time.
///
/// # Errors
/// What is wrong with it: unreadable, or not in the future.
pub fn parse_until(text: &str, duration: Option<Duration>, now: Timestamp) -> Result<Timestamp, &'static str> {
    let of_duration = duration.and_then(|duration| now.checked_add(duration).ok());
    let until = of_duration.or_else(|| text.parse().ok()).or_else(|| {
        // `2026-12-24T22:00Z`: jiff reads minutes only with a time zone of its own notation.
        text.strip_suffix('Z')?
            .parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|it| it.timestamp())
    });
    match until {
        None => Err("is not a valid time"),
        Some(until) if until <= now => Err("is not in the future"),
        Some(until) => Ok(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mark(until: Option<&str>) -> MaintenanceMark {
        MaintenanceMark {
            since: time("2026-11-27T03:00:00Z"),
            until: until.map(time),
            message: None,
            by: "ann".to_owned(),
            requested: true,
            drains: BTreeSet::new(),
        }
    }

    #[test]
    fn clients_wait_until_the_end() {
        assert_eq!(mark(None).retry_after(), "120");
        assert_eq!(mark(Some("2026-11-27T04:05:00Z")).retry_after(), "Fri, 27 Nov 2026 04:05:00 GMT");
    }

    #[test]
    fn an_end_in_the_past_is_overdue_and_refused() {
        let now = time("2026-11-27T03:30:00Z");
        assert_eq!(
            mark(Some("2026-11-27T03:10:00Z")).describe(Some(now)),
            "in maintenance since 2026-11-27T03:00:00Z until 2026-11-27T03:10:00Z (overdue)"
        );
        assert_eq!(parse_until("2026-11-27T03:10:00Z", None, now), Err("is not in the future"));
        assert_eq!(parse_until("soon", None, now), Err("is not a valid time"));
        assert_eq!(parse_until("2026-12-24T22:00Z", None, now), Ok(time("2026-12-24T22:00:00Z")));
        assert_eq!(parse_until("30m", Some(Duration::from_mins(30)), now), Ok(time("2026-11-27T04:00:00Z")));
    }

    #[test]
    fn an_environment_adds_to_the_workspace() {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let workspace = MaintenanceSettings { allow: set(&["10.0.0.0/8"]), ..MaintenanceSettings::default() };
        let own = MaintenanceSettings { allow: set(&["192.0.2.0/24"]), ..MaintenanceSettings::default() };
        assert_eq!(workspace.with(&own).allow, set(&["10.0.0.0/8", "192.0.2.0/24"]));
    }
}
