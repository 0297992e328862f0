//! The options of `cmdr copies`.

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct CopiesOptions {
    /// Delete the copies whose worktree, or the branch of its last `up`, no longer exists, also if a copy is not named
    /// after the branch; asks, or requires --yes
    #[arg(long)]
    pub prune: bool,
}
