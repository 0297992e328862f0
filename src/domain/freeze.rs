//! Freeze windows: times when the deployment window is closed and nothing is deployed.

use std::str::FromStr;

use jiff::{
    Timestamp, ToSpan, Zoned,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

/// The days of the week, as written in projects.yaml.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A time when the deployment window is closed.
#[derive(Debug, Clone, PartialEq)]
pub struct FreezeWindow {
    /// The days on which it starts; empty: every day.
    pub days: Vec<Weekday>,
    pub from: Option<Moment>,
    /// Exclusive.
    pub until: Option<Moment>,
    pub zone: TimeZone,
}

/// A time of any day, or the start of one date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Time(Time),
    Date(Date),
}

impl FromStr for Moment {
    type Err = ();

    /// Parses `18:00` or `2026-12-20`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let two_digits = |part: &str| part.len() == 2;
        if let Some((hours, minutes)) = text.split_once(':') {
            if !two_digits(hours) || !two_digits(minutes) {
                return Err(());
            }
            let (hours, minutes) = (hours.parse().map_err(|_| ())?, minutes.parse().map_err(|_| ())?);
            return Time::new(hours, minutes, 0, 0).map(Self::Time).map_err(|_| ());
        }
        if text.len() != "2026-12-20".len() {
            return Err(());
        }
        text.parse().map(Self::Date).map_err(|_| ())
    }
}

/// Parses a day of the week from projects.yaml.
pub fn weekday(word: &str) -> Option<Weekday> {
    DAYS.iter().find(|(written, _)| *written == word).map(|(_, day)| *day)
}

impl FreezeWindow {
    /// Returns when the window that contains `now` ends; `None` if `now` is outside the window.
    pub fn ends(&self, now: Timestamp) -> Option<Zoned> {
        let now = now.to_zoned(self.zone.clone());
        // A window that crosses midnight may have started the day before.
        [now.date(), now.date().checked_sub(1.day()).ok()?].into_iter().find_map(|day| {
            let (start, end) = self.on(day)?;
            (start <= now && now < end).then_some(end)
        })
    }

    /// Returns the window that starts on this day.
    fn on(&self, day: Date) -> Option<(Zoned, Zoned)> {
        if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
            return None;
        }
        let at = |date: Date, time: Time| date.to_datetime(time).to_zoned(self.zone.clone()).ok();
        let next_day = day.checked_add(1.day()).ok()?;
        let start = match self.from {
            Some(Moment::Time(time)) => at(day, time)?,
            Some(Moment::Date(date)) if day < date => return None,
            None | Some(Moment::Date(_)) => at(day, Time::midnight())?,
        };
        let end = match self.until {
            None => at(next_day, Time::midnight())?,
            Some(Moment::Time(time)) => {
                let same_day = at(day, time)?;
                if same_day > start { same_day } else { at(next_day, time)? }
            }
            Some(Moment::Date(date)) => at(date, Time::midnight())?,
        };
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[&str], from: Option<&str>, until: Option<&str>, zone: &str) -> FreezeWindow {
        FreezeWindow {
            days: days.iter().filter_map(|day| weekday(day)).collect(),
            from: from.map(|text| text.parse().unwrap()),
            until: until.map(|text| text.parse().unwrap()),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn end(window: &FreezeWindow, now: &str) -> Option<String> {
        window.ends(now.parse().unwrap()).map(|end| end.datetime().to_string())
    }

    #[test]
    fn whole_days() {
        // 2026-11-21 is a Saturday.
        let weekend = window(&["sat", "sun"], None, None, "Europe/Berlin");
        assert_eq!(end(&weekend, "2026-11-21T12:00:00Z"), Some("2026-11-22T00:00:00".to_owned()));
        assert_eq!(end(&weekend, "2026-11-23T12:00:00Z"), None);
        // In Berlin it is Saturday already.
        assert!(end(&weekend, "2026-11-20T23:30:00Z").is_some());
        assert_eq!(end(&weekend, "2026-11-20T22:30:00Z"), None);
    }

    #[test]
    fn hours_that_cross_midnight() {
        let night = window(&["fri"], Some("18:00"), Some("08:00"), "UTC");
        assert_eq!(end(&night, "2026-11-20T17:59:00Z"), None);
        assert_eq!(end(&night, "2026-11-20T18:00:00Z"), Some("2026-11-21T08:00:00".to_owned()));
        assert_eq!(end(&night, "2026-11-21T07:59:00Z"), Some("2026-11-21T08:00:00".to_owned()));
        assert_eq!(end(&night, "2026-11-21T08:00:00Z"), None);
        assert_eq!(end(&night, "2026-11-22T07:00:00Z"), None);
    }

    #[test]
    fn dates() {
        let holidays = window(&[], Some("2026-12-20"), Some("2027-01-06"), "UTC");
        assert_eq!(end(&holidays, "2026-12-19T23:59:00Z"), None);
        assert_eq!(end(&holidays, "2026-12-24T12:00:00Z"), Some("2027-01-06T00:00:00".to_owned()));
        assert_eq!(end(&holidays, "2027-01-06T00:00:00Z"), None);
    }

    #[test]
    fn what_is_no_moment() {
        for wrong in ["6:00", "25:00", "18", "2026-13-01", "20-12-2026", "18:00:00", ""] {
            assert!(Moment::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
