//! `cmdr drain` and `cmdr fill`: stop projects when their queues are empty, and start them in order.

use crate::{
    cli::{DrainOptions, FillOptions, ThenOption},
    error::CommandError,
    ops::{
        drain::{self, AtDeadline, DrainRequest},
        options::ChangeRequest,
        session::Session,
    },
};

/// # Errors
/// When something is invalid, a gate refuses, or the queues are not empty in time.
pub(super) async fn drain(session: &Session, options: &DrainOptions) -> Result<(), CommandError> {
    let then = match options.then {
        ThenOption::Keep => AtDeadline::Keep,
        ThenOption::Resume => AtDeadline::Resume,
        ThenOption::Stop => AtDeadline::Stop,
    };
    let request = DrainRequest::new(options.projects.clone(), &options.timeout, then)?;
    drain::drain(session, &request, &ChangeRequest::from(&options.operation)).await
}

/// # Errors
/// When a name is unknown, or something does not become ready.
pub(super) async fn fill(session: &Session, options: &FillOptions) -> Result<(), CommandError> {
    drain::fill(session, &options.projects, &ChangeRequest::from(&options.operation)).await
}
