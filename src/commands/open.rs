//! `cmdr open`: the URL of a project in the browser.

use crate::{
    cli::OpenOptions,
    error::CommandError,
    ops::{reach::open::open_project, session::Session},
};

/// # Errors
/// When the project has no URL, or there is no browser.
pub(super) async fn open(session: &Session, options: &OpenOptions) -> Result<(), CommandError> {
    open_project(session, &options.project, options.print).await
}
