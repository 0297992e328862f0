//! Reads the commit and the remotes of the workspace's Git repository.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::process::Tool;

/// Returns the subjects of the commits between `old` and `new`, newest first; empty if the repository does not contain
/// them.
pub async fn commits_between(folder: &Path, old: &str, new: &str, most: usize) -> Vec<String> {
    let is_commit = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit(old) || !is_commit(new) {
        return Vec::new();
    }
    let cancel = CancellationToken::new();
    let log = Tool::new("git").directory(folder).args(["log", "--oneline", "--no-decorate", "--max-count"]);
    let output = log.arg(most.to_string()).arg(format!("{old}..{new}")).run(&cancel).await;
    output.map(|output| output.stdout.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// Returns the commit of the folder, with `-dirty` if there are uncommitted changes; `None` outside a repository.
pub async fn commit(folder: &Path) -> Option<String> {
    let cancel = CancellationToken::new();
    let describe =
        Tool::new("git").directory(folder).args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let output = describe.env("GIT_OPTIONAL_LOCKS", "0").run(&cancel).await.ok()?;
    Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Returns the full hash of the commit that is checked out; `None` outside a repository.
pub async fn head(folder: &Path) -> Option<String> {
    say(folder, &["rev-parse", "--verify", "HEAD"]).await
}

/// Returns the fetch URL of a remote; `None` if the remote does not exist.
pub async fn remote(folder: &Path, name: &str) -> Option<String> {
    say(folder, &["remote", "get-url", name]).await
}

async fn say(folder: &Path, words: &[&str]) -> Option<String> {
    let output = Tool::new("git").directory(folder).args(words).run(&CancellationToken::new()).await.ok()?;
    Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
}
