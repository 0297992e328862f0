//! Finds the closest valid name for an invalid one.

/// The minimum similarity for suggesting a name.
const ALIKE: f64 = 0.75;

/// Returns the name among `candidates` that is closest to `wrong`, if it is similar enough.
pub(super) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = normalized(wrong);
    let scored = candidates.into_iter().map(|candidate| (likeness(&normal, &normalized(candidate)), candidate));
    let best = scored.filter(|(score, _)| *score >= ALIKE).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, candidate)| candidate)
}

/// Returns a help text that suggests the closest name.
pub(super) fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// Combines edit distance, which works for short names, with a common prefix, which works for long ones.
fn likeness(one: &str, other: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(one, other);
    let start = strsim::jaro_winkler(one, other);
    f64::midpoint(edits, start)
}

/// Normalizes spelling styles: `onFailure` and `on_failure` equal `on-failure`.
fn normalized(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
    letters.take(80).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["image", "build", "chart", "needs", "environments", "on-failure"];
        for (wrong, meant) in [("imge", "image"), ("need", "needs"), ("enviroments", "environments")] {
            assert_eq!(nearest(wrong, keys), Some(meant));
        }
        assert_eq!(nearest("onFailure", keys), Some("on-failure"));
    }

    #[test]
    fn is_silent_when_nothing_is_near() {
        assert_eq!(nearest("replicas", ["image", "build"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
