//! Finds the closest valid name for an invalid one.

/// The minimum similarity of a suggested key.
const ALIKE_KEY: f64 = 0.75;
/// The minimum similarity of a suggested name: `7.0` is suggested for `7.1`, but not one commit for another.
const ALIKE_NAME: f64 = 0.7;
/// The minimum similarity of a key that is worth showing.
const SOMEWHAT_ALIKE: f64 = 0.5;

/// Returns the closest of `candidates`, if it is similar enough. For names that people chose, such as tags and
/// contexts: a common start counts most, so that `prod` finds `production`.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    most_alike(candidates, ALIKE_NAME, |candidate| {
        if is_swapped(wrong, candidate) { 1.0 } else { strsim::jaro_winkler(wrong, candidate) }
    })
}

/// Whether only two neighbouring letters are swapped, which makes a short name unlike itself: `wbe` for `web`.
fn is_swapped(wrong: &str, candidate: &str) -> bool {
    strsim::levenshtein(wrong, candidate) == 2 && strsim::damerau_levenshtein(wrong, candidate) == 1
}

/// Returns the closest of `candidates`, if it is similar enough. For the keys and references of a file: there are many
/// of them, so the whole name counts, but not its spelling style.
pub fn nearest_key<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    most_alike(candidates, ALIKE_KEY, |candidate| likeness_of_keys(wrong, candidate))
}

/// Returns at most `most` of `candidates` that are somewhat similar, the closest first.
pub fn nearest_keys<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (likeness_of_keys(wrong, candidate), candidate));
    let mut alike: Vec<(f64, &str)> = scored.filter(|(score, _)| *score >= SOMEWHAT_ALIKE).collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

/// Edit distance works for short names, a common start for long ones.
fn likeness_of_keys(wrong: &str, candidate: &str) -> f64 {
    let (wrong, candidate) = (normalized(wrong), normalized(candidate));
    let edits = strsim::normalized_damerau_levenshtein(&wrong, &candidate);
    f64::midpoint(edits, strsim::jaro_winkler(&wrong, &candidate))
}

fn most_alike<'a>(
    candidates: impl IntoIterator<Item = &'a str>,
    least: f64,
    likeness: impl Fn(&str) -> f64,
) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    let alike = scored.filter(|(score, _)| *score >= least);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, candidate)| candidate)
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
    fn swapped_letters_are_found() {
        assert_eq!(nearest("wbe", ["web", "worker", "job"]), Some("web"));
        assert_eq!(nearest("og", ["rust", "go"]), Some("go"));
        assert_eq!(nearest("xbe", ["web", "job"]), None);
    }

    #[test]
    fn finds_what_was_meant() {
        let keys = ["image", "build", "chart", "needs", "environments", "on-failure"];
        for (wrong, meant) in [("imge", "image"), ("need", "needs"), ("enviroments", "environments")] {
            assert_eq!(nearest_key(wrong, keys), Some(meant));
        }
        assert_eq!(nearest_key("onFailure", keys), Some("on-failure"));
        assert_eq!(nearest("prod", ["staging", "production"]), Some("production"));
    }

    #[test]
    fn the_closest_of_many_come_first() {
        let keys = ["probes", "ports", "podLabels", "security", "podAnnotations"];
        assert_eq!(nearest_keys("podLables", keys, 1), ["podLabels"]);
        assert_eq!(nearest_keys("x", keys, 2), Vec::<&str>::new());
    }

    #[test]
    fn is_silent_when_nothing_is_near() {
        assert_eq!(nearest_key("replicas", ["image", "build"]), None);
        assert_eq!(nearest_key("x", []), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn the_nearest_tag_is_much_like_the_wrong_one() {
        let nearest = |wrong: &str, tags: &[&'static str]| nearest(wrong, tags.iter().copied());
        assert_eq!(nearest("7.1", &["latest", "7.0", "6.2"]), Some("7.0"));
        assert_eq!(nearest("v1.2.3", &["1.2.3", "1.2.4"]), Some("1.2.3"));
        assert_eq!(nearest("lates", &["latest", "7.0"]), Some("latest"));
        assert_eq!(nearest("main", &["7.0"]), None);
    }
}
