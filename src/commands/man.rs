//! `cmdr man`: writes the man pages.

use std::{fs, io, path::Path};

use clap::CommandFactory;

use crate::{
    cli::Cli,
    domain::Problem,
    error::CommandError,
    settings::{Settings, display_path},
    ui,
};

/// # Errors
/// When a file cannot be written.
pub(super) fn man(settings: &Settings, folder: &Path) -> Result<(), CommandError> {
    let folder = settings.directory.join(folder);
    let shown = display_path(&folder, &settings.home);
    if settings.dry_run {
        ui::print_message(&format!("would write the man pages to {shown}"));
        return Ok(());
    }
    write(&folder).map_err(|error| {
        CommandError::failed(
            Problem::new(format!("failed to write the man pages to {shown}")).detail(error.to_string()),
        )
    })?;
    if !settings.quiet {
        ui::print_message(&format!("wrote the man pages to {shown}"));
    }
    Ok(())
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
