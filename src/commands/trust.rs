//! `cmdr trust`: makes the system and browsers trust the certificate authority of this machine, or no longer.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    adapters::{
        authority::{Authority, AuthorityError},
        trust_stores::{self, TrustChange, TrustFacts, TrustedCertificate},
    },
    cli::TrustOptions,
    domain::Problem,
    error::{CommandError, ErrorKind},
    settings::{OutputFormat, Settings},
    ui,
};

/// What `--print --output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TrustDocument {
    /// The certificate of the authority, in PEM.
    file: PathBuf,
}

/// # Errors
/// When there is no store, the answer is no, or a command fails.
pub(super) fn trust(settings: &Settings, options: &TrustOptions) -> Result<(), CommandError> {
    let folder = settings.authority_folder();
    let failed = |error: AuthorityError| CommandError::failed(Problem::of(&error));
    let file = Authority::certificate_file(&folder);
    if options.remove && Authority::open(&folder).map_err(failed)?.is_none() {
        ui::print_message("this machine has no certificate authority of cmdr: nothing to remove");
        return Ok(());
    }
    let authority = Authority::open_or_create(&folder).map_err(failed)?;
    if options.print {
        ui::print(&match settings.output {
            OutputFormat::Json => format!("{}\n", serde_json::json!(TrustDocument { file: file.clone() })),
            OutputFormat::Text => format!("{}\n", file.display()),
        });
        return Ok(());
    }
    let name = authority.name().map_err(failed)?;
    let certificate = TrustedCertificate { file: &file, name: &name };
    let facts = TrustFacts::find(Path::new("/"), &settings.home, &settings.variables.path);
    if !facts.has_store() {
        let help = format!("import {} as a trusted authority manually", file.display());
        return Err(CommandError::failed(Problem::new("no store of trusted certificates found").help(help)));
    }
    if !facts.databases.is_empty() && !facts.has_certutil {
        ui::print_message("warning: browsers are skipped: certutil not found (package libnss3-tools or nss-tools)");
    }
    let commands = facts.commands(if options.remove { TrustChange::Remove } else { TrustChange::Install }, certificate);
    show(settings, &commands);
    if settings.dry_run {
        return Ok(());
    }
    confirm(settings)?;
    let failures: Vec<Problem> = commands.iter().filter_map(|command| failure(command)).collect();
    CommandError::require_none(ErrorKind::Failed, failures)?;
    if !settings.quiet {
        let what = if options.remove { "no longer trusted" } else { "trusted; restart browsers that are open" };
        ui::print_message(&format!("'{name}' is {what}"));
    }
    Ok(())
}

/// Shows what is going to be run.
fn show(settings: &Settings, commands: &[Vec<String>]) {
    if settings.quiet {
        return;
    }
    ui::print_message("this changes which certificates this machine trusts, with these commands:");
    for command in commands {
        ui::print_message(&format!("  {}", shown(command)));
    }
}

fn shown(command: &[String]) -> String {
    let word = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Asks before the system is changed. Without a terminal, `--yes` is required.
fn confirm(settings: &Settings) -> Result<(), CommandError> {
    if settings.yes {
        return Ok(());
    }
    if !settings.may_ask() {
        let cause = "the trusted certificates of this machine would be changed: nothing was changed";
        return Err(CommandError::failed(Problem::new(cause).help("confirm with --yes")));
    }
    if ui::confirm("Run these commands?") {
        return Ok(());
    }
    Err(CommandError::failed(Problem::new("cancelled: nothing was changed")))
}

/// Runs a command, and returns why it failed.
fn failure(command: &[String]) -> Option<Problem> {
    let error = trust_stores::run(command).err()?;
    Some(Problem::new(format!("{} failed", shown(command))).detail(error))
}
