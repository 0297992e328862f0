//! The style guide, docs/style.md, applied: its words in everything people read, and the layout of Markdown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Phrases that the guide replaces, and what to write instead. The list is the right column of its table, as far as a
/// phrase has no other meaning in this field.
const REPLACED: [(&str, &str); 38] = [
    ("is no valid", "is not a valid"),
    ("nobody", "no response from, unknown"),
    ("somebody", "another tool, another run, a user"),
    ("does not answer", "no response from, connection refused, timed out"),
    ("takes no more requests", "rate limit exceeded"),
    ("out of order", "server error (503)"),
    ("safe connection", "TLS error"),
    ("tells", "prints, shows, reports"),
    ("told", "printed, shown, reported"),
    ("wish", "request"),
    ("wished", "requested"),
    ("asleep", "stopped"),
    ("sleeping", "stopped"),
    ("woken", "started"),
    ("wakes", "starts"),
    ("frozen", "paused"),
    ("went back", "was rolled back automatically"),
    ("goes back", "is rolled back automatically"),
    ("by hand", "manually"),
    ("put right", "revert"),
    ("puts right", "reverts"),
    ("stop sign", "hold"),
    ("stands for", "digest, image reference"),
    ("leads to", "refers to, resolves to"),
    ("run by others", "external"),
    ("anew", "again, re-created"),
    ("begun", "started"),
    ("cut off", "interrupted"),
    ("half-done", "unfinished"),
    ("alone", "only"),
    ("proof", "verification, check"),
    ("proofs", "verifications, checks"),
    ("prove", "verify, check"),
    ("proves", "verifies, checks"),
    ("proven", "verified, checked"),
    ("at work", "holds the lock"),
    ("with why", "with the reason"),
    ("with what", "with its content"),
];

/// The widest line of Markdown, except in tables, code blocks and links.
const WIDTH: usize = 100;
/// The longest paragraph of the contract (docs/design*.md), in characters.
const PARAGRAPH: usize = 400;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut open = vec![repository().join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The pages of the documentation, without the guide, which names what it replaces.
fn pages() -> Vec<PathBuf> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "rig/README.md"];
    let mut pages: Vec<PathBuf> = top.iter().map(|page| repository().join(page)).collect();
    pages.extend(files("docs", &["md"]).into_iter().filter(|page| !page.ends_with("style.md")));
    pages
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned()
}

fn has_phrase(line: &str, phrase: &str) -> bool {
    let is_inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(phrase).any(|(at, _)| {
        !is_inside(line[..at].chars().next_back()) && !is_inside(line[at + phrase.len()..].chars().next())
    })
}

#[test]
fn texts_use_the_words_of_the_guide() {
    let mut all = pages();
    all.extend(files("src", &["rs", "sh", "conf", "html", "css"]));
    all.extend(files("charts", &["yaml", "json", "tpl", "txt", "md"]));
    all.extend(files("templates", &["yaml", "yml", "md", "Dockerfile"]));
    all.extend(files("platform", &["yaml"]));
    // projects.schema.json is made of these, and of Kubernetes' own texts.
    let mut wrong = Vec::new();
    for path in all {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let line = line.to_lowercase();
            for (phrase, instead) in REPLACED.iter().filter(|(phrase, _)| has_phrase(&line, phrase)) {
                wrong.push(format!("{}:{}: '{phrase}': write: {instead}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "phrases that docs/style.md replaces:\n  {}", wrong.join("\n  "));
}

#[test]
fn the_guide_names_every_phrase_that_is_refused() {
    let guide = fs::read_to_string(repository().join("docs/style.md")).unwrap().to_lowercase();
    // The table has the stem of most words.
    let stems = ["asleep", "anew", "alone", "begun", "nobody", "proof", "stop sign", "told", "wish", "woken"];
    for stem in stems {
        assert!(guide.contains(stem), "docs/style.md does not mention '{stem}'");
        assert!(REPLACED.iter().any(|(phrase, _)| phrase.starts_with(stem)), "'{stem}' is not refused");
    }
}

/// The lines of a page that are prose, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with('|') {
            lines.push((number + 1, line));
        }
    }
    lines
}

#[test]
fn markdown_is_wrapped() {
    let mut wrong = Vec::new();
    for page in pages().into_iter().chain([repository().join("docs/style.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        // A link or an image cannot be broken.
        let breakable = |line: &str| !line.contains("](") && !line.starts_with("<!--");
        let long = prose(&text).into_iter().filter(|(_, line)| line.chars().count() > WIDTH && breakable(line));
        wrong.extend(long.map(|(number, line)| format!("{}:{number}: {}", shown(&page), line.chars().count())));
    }
    assert!(wrong.is_empty(), "lines of more than {WIDTH} characters:\n  {}", wrong.join("\n  "));
}

#[test]
fn paragraphs_of_the_design_are_short() {
    let mut wrong = Vec::new();
    for name in [
        "docs/design.md",
        "docs/design-change.md",
        "docs/design-maintenance.md",
        "docs/design-procedures.md",
        "docs/design-charts.md",
        "docs/design-delivery.md",
        "docs/design-inspect.md",
        "docs/design-local.md",
        "docs/design-traffic.md",
        "docs/design-waits.md",
    ] {
        let text = fs::read_to_string(repository().join(name)).unwrap();
        let (mut start, mut length) = (0, 0);
        for (number, line) in prose(&text).into_iter().chain([(usize::MAX, "")]) {
            let begins = line.trim().is_empty() || line.starts_with('#') || line.trim_start().starts_with("- ");
            if begins {
                if length > PARAGRAPH {
                    wrong.push(format!("{name}:{start}: {length}"));
                }
                (start, length) = (number, 0);
            }
            length += line.chars().count();
        }
    }
    assert!(wrong.is_empty(), "paragraphs of more than {PARAGRAPH} characters:\n  {}", wrong.join("\n  "));
}

#[test]
fn this_test_sees_what_it_should() {
    assert!(has_phrase("it is no valid name", "is no valid") && !has_phrase("a stop signal", "stop sign"));
    assert!(!has_phrase("let has_told = 1", "told") && has_phrase("what it told.", "told"));
    assert_eq!(prose("a\n```\nb\n```\n| c |\nd"), [(1, "a"), (6, "d")]);
}
