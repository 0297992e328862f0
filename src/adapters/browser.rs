//! The user's browser, as the desktop starts it.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;

/// The programs that open a URL: macOS, desktops on Linux, Windows Subsystem for Linux.
const OPENERS: &[&str] = if cfg!(target_os = "macos") { &["open"] } else { &["xdg-open", "wslview"] };

/// A program that still runs after this time has opened the browser itself.
const STARTED: Duration = Duration::from_secs(3);

/// Opens a URL in the browser.
///
/// # Errors
/// With the reason, if no program can open it.
pub async fn open_in_browser(url: &str) -> Result<(), String> {
    let mut reason = format!("none of these programs is installed: {}", OPENERS.join(", "));
    for opener in OPENERS {
        let mut command = Command::new(opener);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { continue };
        match tokio::time::timeout(STARTED, child.wait()).await {
            Ok(Ok(status)) if !status.success() => reason = format!("{opener} failed ({status})"),
            _ => return Ok(()),
        }
    }
    Err(reason)
}
