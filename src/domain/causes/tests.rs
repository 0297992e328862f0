use std::collections::BTreeSet;

use super::*;

/// Every cause that is found in a text has a real text as its example, and is found in it.
#[test]
fn each_cause_is_found_in_its_example() {
    for cause in all() {
        assert!(!cause.example.is_empty(), "{}", cause.code);
        for source in cause.sources {
            let found = match source {
                CauseSource::Run | CauseSource::Environment => continue,
                CauseSource::State => cause.reasons.iter().find_map(|reason| find_state(reason, cause.example)),
                CauseSource::Log => find_in_log(cause.example.lines()).map(|found| found.cause),
                source => find(*source, cause.example),
            };
            let code = found.map(|found| found.code);
            assert_eq!(code, Some(cause.code), "{source:?}: {}", cause.example);
        }
    }
}

#[test]
fn codes_and_names_are_unique_and_in_order() {
    let codes: Vec<&str> = all().map(|cause| cause.code).collect();
    assert!(codes.len() >= 60);
    assert!(codes.is_sorted(), "{codes:?}");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    assert_eq!(all().map(|cause| cause.name).collect::<BTreeSet<_>>().len(), codes.len());
    for cause in all() {
        assert!(cause.code.len() == 4 && cause.code.starts_with('C'), "{}", cause.code);
        let is_plain = |text: &str| !text.is_empty() && !text.ends_with('.');
        assert!(is_plain(cause.message) && is_plain(cause.remedy), "{}", cause.code);
        assert!(cause.explanation.ends_with('.'), "{}", cause.code);
        assert_eq!(cause.sources.contains(&CauseSource::State), !cause.reasons.is_empty(), "{}", cause.code);
    }
}

#[test]
fn every_value_is_known() {
    for cause in all() {
        let left = [cause.message, cause.remedy].map(|text| filled(text, &[])).concat();
        let is_value = |part: &str| {
            let inner = part.split('}').next().unwrap_or_default();
            part.contains('}') && inner.len() > 1 && inner.chars().all(|c| c.is_ascii_lowercase())
        };
        assert!(!left.split('{').skip(1).any(is_value), "{}: {left}", cause.code);
    }
}

#[test]
fn unknown_values_are_in_capitals() {
    assert_eq!(
        filled("{who} exits: {message} {a: 1}", &[("who", "the container")]),
        "the container exits: MESSAGE {a: 1}"
    );
}

#[test]
fn codes_and_names_are_found_and_suggested() {
    assert_eq!(get("c014").map(|cause| cause.name), Some("image-moved"));
    assert_eq!(get("out-of-memory").map(|cause| cause.code), Some("C051"));
    assert_eq!(closest("out-of-memmory"), Some("out-of-memory"));
    assert_eq!(closest("xyz"), None);
    let about_memory = [
        "memory-insufficient",
        "out-of-memory",
        "program-out-of-memory",
        "shared-memory-small",
        "node-memory-pressure",
    ];
    assert_eq!(with_word("Memory"), about_memory);
    assert_eq!(with_word("mem"), Vec::<&str>::new());
}
