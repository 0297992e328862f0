//! Reads the commit and the remotes of the workspace's Git repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};

/// The folder of a repository, or the file that names it.
const GIT: &str = ".git";

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

/// Returns the top folder of the worktree that contains `folder`; `None` outside a repository.
pub fn worktree(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|above| above.join(GIT).exists()).map(Path::to_owned)
}

/// Returns the branch that is checked out in a folder; `None` outside a repository, and if none is.
pub fn branch(folder: &Path) -> Option<String> {
    let entry = worktree(folder)?.join(GIT);
    // In a linked worktree, it is a file that names the folder.
    let git = match fs::read_to_string(&entry) {
        Ok(text) => entry.parent()?.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => entry,
    };
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let branch = head.trim().strip_prefix("ref: refs/heads/")?;
    // A repository with reftables has this name in the file.
    Some(branch.to_owned()).filter(|branch| branch != ".invalid")
}

/// Whether the repository of a folder has no branch of this name. `false` if that cannot be determined.
pub async fn lacks_branch(folder: &Path, branch: &str) -> bool {
    let reference = format!("refs/heads/{branch}");
    match say(folder, &["for-each-ref", "--format=%(refname)", &reference]).await {
        Some(found) => !found.lines().any(|line| line == reference),
        // Nothing was printed: it does not exist, or this is not a repository.
        None => head(folder).await.is_some(),
    }
}

/// Fetches one tag or commit of a repository into an empty folder, without its history, and returns the commit.
///
/// # Errors
/// If git cannot reach the repository, or the repository does not have the reference.
pub async fn fetch(
    folder: &Path,
    url: &str,
    reference: &str,
    cancel: &CancellationToken,
) -> Result<String, ProcessError> {
    // git must not wait for a password that it cannot ask for.
    let git = |words: &[&str]| Tool::new("git").directory(folder).env("GIT_TERMINAL_PROMPT", "0").args(words);
    git(&["init", "--quiet", "."]).run(cancel).await?;
    git(&["fetch", "--quiet", "--depth", "1", "--", url, reference]).run(cancel).await?;
    git(&["checkout", "--quiet", "--detach", "FETCH_HEAD"]).run(cancel).await?;
    Ok(git(&["rev-parse", "HEAD"]).run(cancel).await?.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branch_of_a_linked_worktree_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let linked = root.join("main/.git/worktrees/fix");
        fs::create_dir_all(&linked).unwrap();
        fs::create_dir_all(root.join("fix/services")).unwrap();
        fs::write(root.join("main/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(linked.join("HEAD"), "ref: refs/heads/feature/Fix_42\n").unwrap();
        fs::write(root.join("fix/.git"), "gitdir: ../main/.git/worktrees/fix\n").unwrap();
        let services = root.join("fix/services");
        assert_eq!(branch(&services).as_deref(), Some("feature/Fix_42"));
        assert_eq!(worktree(&services), Some(root.join("fix")));
        assert_eq!(branch(&root.join("main")).as_deref(), Some("main"));
        fs::write(linked.join("HEAD"), "0123456789abcdef\n").unwrap();
        assert_eq!((branch(&services), branch(&root)), (None, None));
    }
}
