//! Whether the output of cmdr is enough to repair a workspace: a program that knows nothing else follows the help lines,
//! until the platform runs. Each broken workspace is a file in `tests/evaluation/cases`, whose first line is the known
//! remedy, for the readers of the table that this test prints.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "evaluation/follow.rs"]
mod follow;

use std::{fs, path::Path};

use common::{TestWorkspace, tell};
use follow::{Suggestion, apply, suggestions};

/// A workspace that needs more rounds is not repaired by what cmdr prints.
const ROUNDS: usize = 4;

/// How the repair of a workspace ended.
struct Repair {
    case: String,
    /// What was followed, in order.
    followed: Vec<Suggestion>,
    /// The last output of a workspace that was not repaired.
    unsolved: Option<String>,
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn cmdr_s_own_output_repairs_broken_workspaces() {
    let workspace = TestWorkspace::new("evaluation", "projects: {}\n");
    let repairs: Vec<Repair> = cases().into_iter().map(|(case, text)| repair(&workspace, case, &text)).collect();
    workspace.run(&["down", "--yes"]).expect(0);
    print(&repairs);
    let unsolved: Vec<&str> = repairs.iter().filter(|it| it.unsolved.is_some()).map(|it| it.case.as_str()).collect();
    assert!(unsolved.is_empty(), "what cmdr prints does not repair: {}", unsolved.join(", "));
}

/// The name and the text of each case that the variable `CASE` selects, or of all.
fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation/cases");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut cases: Vec<_> = files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    cases.sort();
    if let Ok(only) = std::env::var("CASE") {
        cases.retain(|(name, _)| name.contains(&only));
    }
    cases
}

/// Runs `cmdr up`, follows the first suggestion of its output, and runs it again.
fn repair(workspace: &TestWorkspace, case: String, text: &str) -> Repair {
    tell(&case);
    let (_, projects) = text.split_once("\nprojects:").unwrap();
    workspace.write_projects(&format!("projects:{projects}"));
    let file = workspace.root().join("projects.yaml");
    let mut followed = Vec::new();
    let unsolved = loop {
        let output = workspace.run(&["up", "--yes"]);
        if output.code == 0 {
            break None;
        }
        let next = suggestions(&output.said()).into_iter().find(|it| !followed.contains(it));
        let Some(next) = next.filter(|_| followed.len() < ROUNDS) else { break Some(output.said()) };
        apply(&next, &file);
        followed.push(next);
    };
    workspace.run(&["status", "--prune", "--yes"]);
    Repair { case, followed, unsolved }
}

fn print(repairs: &[Repair]) {
    for repair in repairs {
        let result = if repair.unsolved.is_some() { "NOT REPAIRED" } else { "repaired" };
        let followed: Vec<String> = repair.followed.iter().map(ToString::to_string).collect();
        tell(&format!("{:26} {result:12} {}", repair.case, followed.join("; then ")));
    }
    for repair in repairs {
        if let Some(output) = &repair.unsolved {
            tell(&format!("--- {}\n{output}", repair.case));
        }
    }
}
