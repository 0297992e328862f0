//! `cmdr init`: creates a workspace from `templates/workspace`.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind as IoErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::{
    cli::InitOptions,
    config::{self, schema},
    domain::{Name, Problem},
    error::CommandError,
    settings::{Settings, display_path},
    ui,
};

const TEMPLATE: &str = include_str!("../../templates/workspace/projects.yaml");
/// The name of the workspace in the template, which is itself a valid workspace.
const TEMPLATE_NAME: &str = "my-platform";
/// The schema file for editors.
const SCHEMA_FILE: &str = "projects.schema.json";

/// # Errors
/// When a workspace already exists, the folder's name is not a valid workspace name, or a file cannot be written.
pub(super) fn init(settings: &Settings, options: &InitOptions) -> Result<(), CommandError> {
    let folder = match &options.folder {
        Some(folder) => settings.directory.join(folder),
        None => settings.directory.clone(),
    };
    let name = name(&folder, options.name.as_deref())?;
    let file = folder.join(config::FILE);
    let shown = display_path(&file, &settings.home);
    if file.exists() {
        return Err(already(&shown));
    }
    if settings.dry_run {
        ui::print_message(&format!("would write {shown}"));
        return Ok(());
    }
    fs::create_dir_all(&folder).map_err(|error| cannot("create", &folder, &error))?;
    write_new(&file, &TEMPLATE.replace(TEMPLATE_NAME, name.as_str()), &shown)?;
    let schema = folder.join(SCHEMA_FILE);
    fs::write(&schema, schema::json_schema()).map_err(|error| cannot("write", &schema, &error))?;
    if !settings.quiet {
        ui::print_message(&format!("wrote {shown}; deploy it with `cmdr up`"));
    }
    Ok(())
}

/// The given name, or a valid name derived from the folder's name.
fn name(folder: &Path, given: Option<&str>) -> Result<Name, CommandError> {
    if let Some(given) = given {
        return Name::short(given).map_err(|error| {
            let cause = format!("'{given}' is not a valid workspace name");
            let problem = Problem::new(cause).detail(error.to_string());
            CommandError::usage(match error.suggestion {
                Some(suggestion) => problem.help(format!("did you mean '{suggestion}'?")),
                None => problem,
            })
        });
    }
    let plain: PathBuf = folder.components().collect();
    let own = plain.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let near = match Name::short(&own) {
        Ok(name) => Some(name),
        Err(error) => error.suggestion.and_then(|suggestion| Name::short(&suggestion).ok()),
    };
    near.ok_or_else(|| {
        let cause = format!("the folder name '{own}' is not a valid workspace name");
        CommandError::usage(Problem::new(cause).help("set one with cmdr init --name NAME"))
    })
}

/// Never overwrites a file, not even one that is created at the same moment.
fn write_new(file: &Path, text: &str, shown: &str) -> Result<(), CommandError> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        IoErrorKind::AlreadyExists => already(shown),
        _ => cannot("write", file, &error),
    })
}

fn already(shown: &str) -> CommandError {
    let cause = format!("{shown} already exists");
    CommandError::usage(Problem::new(cause).help("edit it, or choose another folder: cmdr init FOLDER"))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(Problem::new(format!("cannot {what} {}: {error}", path.display())))
}
