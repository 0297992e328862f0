//! `cmdr upgrade`: replaces this cmdr by a release.

use schemars::JsonSchema;
use semver::Version;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::UpgradeOptions,
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::upgrade::{ReleaseFolder, replaceable_program},
    settings::{OutputFormat, Settings},
    ui,
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UpgradeDocument {
    /// The version of this cmdr.
    current: String,
    /// The requested version, or the newest.
    available: String,
    /// Whether this cmdr was replaced.
    upgraded: bool,
}

/// # Errors
/// When there is no such release, cmdr cannot be replaced, or with exit code 3 if `--check` finds a newer version.
pub(super) async fn upgrade(
    settings: &Settings,
    cancel: &CancellationToken,
    options: &UpgradeOptions,
) -> Result<(), CommandError> {
    let current = parsed(env!("CARGO_PKG_VERSION"))?;
    let wanted = options.version.as_deref().map(parsed).transpose()?;
    let only_check = options.check || settings.dry_run;
    let program = if only_check { None } else { Some(replaceable_program()?) };
    let releases = ReleaseFolder::open(settings, cancel)?;
    let release = releases.find(wanted.as_ref()).await?;
    let is_newer = release.version > current;
    let is_wanted = is_newer || (wanted.is_some() && release.version != current);
    let end = match program {
        Some(program) if is_wanted => {
            releases.install(&release, &program, cancel).await?;
            UpgradeEnd::Replaced
        }
        _ if is_wanted => UpgradeEnd::Available,
        _ => UpgradeEnd::Unchanged,
    };
    let document = UpgradeDocument {
        current: current.to_string(),
        available: release.version.to_string(),
        upgraded: end == UpgradeEnd::Replaced,
    };
    match settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(document))),
        OutputFormat::Text => ui::print(&format!("{}\n", summary(&current, &release.version, end))),
    }
    if options.check && is_newer { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

/// How an upgrade has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpgradeEnd {
    Replaced,
    /// There is a release that was not installed.
    Available,
    Unchanged,
}

fn summary(current: &Version, available: &Version, end: UpgradeEnd) -> String {
    match end {
        UpgradeEnd::Replaced => format!("cmdr {current} was replaced by cmdr {available}"),
        UpgradeEnd::Available => format!("cmdr {available} is available (this is cmdr {current}): cmdr upgrade"),
        UpgradeEnd::Unchanged if available < current => {
            format!("cmdr {current} is newer than the release: cmdr upgrade --version {available} installs that one")
        }
        UpgradeEnd::Unchanged => format!("cmdr {current} is the newest version"),
    }
}

fn parsed(text: &str) -> Result<Version, CommandError> {
    let version = Version::parse(text.trim_start_matches('v'));
    version.map_err(|_| {
        let problem = Problem::new(format!("--version: '{text}' is not a valid version"));
        CommandError::usage(problem.help("use a version such as 1.2.3"))
    })
}
