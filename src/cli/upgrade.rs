//! The options of `cmdr upgrade`.

use clap::Args;

/// Which release, and whether it is installed.
#[derive(Debug, Clone, Default, Args)]
pub struct UpgradeOptions {
    /// Install this version, also an older one; by default the newest
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Only check: exit with code 3 if there is a newer version
    #[arg(long, conflicts_with = "version")]
    pub check: bool,
}
