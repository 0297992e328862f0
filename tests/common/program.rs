//! Programs that tests copy and run.

use std::{path::Path, process::Command};

/// Copies a program. Another process does it: a program that another thread starts meanwhile would inherit the open file,
/// and one that is open for writing cannot be run (ETXTBSY).
pub(crate) fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").args([from.as_ref(), to.as_ref()]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} can be copied", from.as_ref().display());
}
