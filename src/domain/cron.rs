//! Schedules of a `CronJob`: five fields, or a word such as `@daily`.

const WORDS: [&str; 7] = ["@annually", "@yearly", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What a field of a schedule accepts: numbers from `first` to `last`, and names, the first of which is `first`.
struct CronField {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: [CronField; 5] = [
    CronField { first: 0, last: 59, names: &[] },
    CronField { first: 0, last: 23, names: &[] },
    CronField { first: 1, last: 31, names: &[] },
    CronField { first: 1, last: 12, names: &MONTHS },
    CronField { first: 0, last: 6, names: &DAYS },
];

/// Whether Kubernetes accepts `text` as the schedule of a `CronJob`.
pub(crate) fn is_schedule(text: &str) -> bool {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let is_word = WORDS.contains(&text);
    is_word || (parts.len() == FIELDS.len() && FIELDS.iter().zip(parts).all(|(field, part)| field.accepts(part)))
}

impl CronField {
    /// A list of `*`, numbers and ranges, each with an optional step.
    fn accepts(&self, text: &str) -> bool {
        text.split(',').all(|item| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            self.accepts_range(range) && step.is_none_or(|step| number(step).is_some_and(|step| step > 0))
        })
    }

    fn accepts_range(&self, text: &str) -> bool {
        if ["*", "?"].contains(&text) {
            return true;
        }
        let (from, until) = text.split_once('-').unwrap_or((text, text));
        let is_within = |value: &u32| (self.first..=self.last).contains(value);
        let ends = (self.value(from).filter(is_within), self.value(until).filter(is_within));
        matches!(ends, (Some(from), Some(until)) if from <= until)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let name = self.names.iter().zip(self.first..).find(|(name, _)| text.eq_ignore_ascii_case(name));
        name.map(|(_, value)| value).or_else(|| number(text))
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_as_kubernetes_reads_them() {
        for valid in
            ["0 3 * * *", "*/5 0-6/2 1,15 JAN-mar mon-fri", "? ? ? ? 0", "@hourly", "5/15 * * * *", "0  3 * * *"]
        {
            assert!(is_schedule(valid), "{valid}");
        }
        for invalid in [
            "every day",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "* * * *",
            "* * * * * *",
            "a b c d e",
            "@never",
            "",
            "1- * * * *",
            "+1 * * * *",
        ] {
            assert!(!is_schedule(invalid), "{invalid}");
        }
    }
}
