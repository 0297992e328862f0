//! What the command line refuses about copies.

use super::{Place, assert_reported};

const WORKSPACE: &str = "version: 1
name: tunes
environments:
  local: {namespace: a-namespace-of-forty-characters-for-a-test}
  staging: {context: staging, domain: staging.example.com}
projects:
  catalog: {image: 'a/b:1', values: {ports: {http: 80}}}
";

#[test]
fn a_copy_has_a_name_that_fits_and_is_one_of_local() {
    let place = Place::with_workspace(WORKSPACE);
    assert_reported("copy-without-a-branch", &place.shown(&["up", "--copy"]));
    assert_reported("copy-without-a-letter", &place.shown(&["up", "--copy", "???"]));
    assert_reported("copy-with-the-name-of-a-project", &place.shown(&["up", "--copy", "catalog"]));
    let long = "a-branch-with-many-words-in-its-name";
    assert_reported("copy-with-a-long-namespace", &place.shown(&["up", "--copy", long]));
    assert_reported("copy-of-staging", &place.shown(&["status", "--copy", "fix-42", "--env", "staging"]));
    assert_reported("copies-of-staging", &place.shown(&["copies", "--env", "staging"]));
    assert_reported("copy-of-a-snapshot", &place.shown(&["snapshot", "list", "--copy", "fix-42"]));
    let ignored = place.shown_with(&["history", "--env", "staging"], &[("CMDR_COPY", "fix-42")]);
    assert_eq!(ignored, place.shown(&["history", "--env", "staging"]));
}

#[test]
fn options_that_only_one_of_both_has_are_refused() {
    let place = Place::with_workspace(WORKSPACE);
    assert_reported("data-for-the-original", &place.shown(&["up", "--data-from", "fix-42"]));
    let own = ["up", "--copy", "fix-42", "--data-from", "fix-42", "--recreate", "--adopt"];
    assert_reported("options-that-a-copy-does-not-have", &place.shown(&own));
    let staging = ["up", "--env", "staging", "--data-from", "fix-42"];
    assert_reported("data-for-staging", &place.shown(&staging));
}
