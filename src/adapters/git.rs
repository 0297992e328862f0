//! Where the workspace's description comes from.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::process::Tool;

/// The commit of the folder, with `-dirty` when the tree has uncommitted changes; `None` outside a repository.
pub async fn commit(folder: &Path) -> Option<String> {
    let cancel = CancellationToken::new();
    let describe =
        Tool::new("git").directory(folder).args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let output = describe.env("GIT_OPTIONAL_LOCKS", "0").run(&cancel).await.ok()?;
    Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
}
