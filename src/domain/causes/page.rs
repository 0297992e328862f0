//! The page of the documentation about causes, `docs/causes.md`.

use super::{AREAS, KnownCause};

const HEAD: &str = "# Causes

Made from the program by `UPDATE_SCHEMA=1 cargo test --test documents`.

Each known cause of a failure has a stable code, which is part of every message about it:
`✗ shop  image not found: ghcr.io/tunes/shop:9 (C007)`, `\"code\": \"C007\"` in JSON. `cmdr explain
C007` prints its explanation, an example and its remedy, `cmdr explain` lists all.

A transient cause may resolve by itself: cmdr waits for it until the `timeout` of the project. For
the other ones, the table shows how long cmdr waits. Words in capitals are values.
";

/// Returns the page: a table for each area.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for area in AREAS {
        page.push_str(&format!("\n## {}\n\n{}\n\n", area.title, area.about));
        page.push_str("| code | name | message | why | remedy | waits |\n|---|---|---|---|---|---|\n");
        area.causes.iter().for_each(|cause| page.push_str(&row(cause)));
    }
    page
}

fn row(cause: &KnownCause) -> String {
    let entry = cause.entry();
    let cells = [entry.code, entry.name, &entry.message, entry.explanation, &entry.remedy, &waits(cause)];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('<', "&lt;"));
    format!("| {} |\n", cells.join(" | "))
}

/// The waiting time in a cell.
fn waits(cause: &KnownCause) -> String {
    match cause.budget {
        super::GiveUpAfter::Seconds(seconds) => format!("{seconds} s"),
        super::GiveUpAfter::Tries { after, at_most } => format!("{after} to {at_most} s"),
        super::GiveUpAfter::Timeout => "transient".to_owned(),
    }
}
