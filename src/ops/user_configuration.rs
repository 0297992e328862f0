//! The configuration of the user: the file, and the variables that override it.

use crate::{
    adapters::user_configuration,
    domain::{
        Problem,
        mirror::{ChartMirror, ImageMirror, Mirrors, tools_mirror_url},
        user_configuration::UserConfiguration,
    },
    error::CommandError,
    settings::Settings,
};

/// Reads the configuration. The default file may be missing, one that `CMDR_CONFIG` names may not.
///
/// # Errors
/// When the file or a variable is invalid.
pub(super) fn read(settings: &Settings) -> Result<UserConfiguration, CommandError> {
    let wrong = |text: String| CommandError::usage(Problem::new(text));
    let variables = &settings.variables;
    if let Some(file) = variables.configuration_file.as_ref().filter(|file| !file.exists()) {
        let cause = format!("CMDR_CONFIG: the file {} was not found", file.display());
        return Err(CommandError::usage(Problem::new(cause).help("correct the path, or unset CMDR_CONFIG")));
    }
    let file =
        user_configuration::read(&settings.folders.configuration_file).map_err(|error| wrong(error.to_string()))?;
    let images = variables.image_mirrors.as_deref().unwrap_or_default();
    let charts = variables.chart_mirrors.as_deref().unwrap_or_default();
    let images = ImageMirror::parse_list(images).map_err(|error| wrong(format!("CMDR_IMAGE_MIRRORS: {error}")))?;
    let charts = ChartMirror::parse_list(charts).map_err(|error| wrong(format!("CMDR_CHART_MIRRORS: {error}")))?;
    let tools_mirror = variables.tools_mirror.as_deref().map(tools_mirror_url).transpose();
    let over = UserConfiguration {
        mirrors: Mirrors { images, charts },
        tools_mirror: tools_mirror.map_err(|error| wrong(format!("CMDR_TOOLS_MIRROR: {error}")))?,
        ca: variables.certificate_authority.clone(),
    };
    Ok(file.overridden_by(over))
}

/// The certificates of the company's authority (PEM), if the user has configured any.
///
/// # Errors
/// When the file cannot be read or contains none. The error names the variable or the file that names it.
pub(super) fn certificate_authority(
    settings: &Settings,
    user: &UserConfiguration,
) -> Result<Option<String>, CommandError> {
    let Some(file) = &user.ca else { return Ok(None) };
    let origin = match &settings.variables.certificate_authority {
        Some(_) => "CMDR_CA".to_owned(),
        None => settings.folders.configuration_file.display().to_string(),
    };
    let read = user_configuration::read_ca(&origin, file);
    read.map(Some).map_err(|error| CommandError::usage(Problem::new(error.to_string())))
}
