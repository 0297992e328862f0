//! `cmdr up` and `cmdr plan`: bring the environment to its described state, or show how.

use crate::{
    cli::{PlanOptions, UpOptions},
    error::{CommandError, ErrorKind},
    ops::{
        local::{Purpose, bring},
        observe_environment,
        offline::plan_offline,
        options::UpRequest,
        prepared::show_plan,
        remote,
        session::Session,
    },
};

/// # Errors
/// When the environment cannot be brought to the described state; the error's kind is the exit code.
pub(super) async fn up(session: &Session, options: &UpOptions) -> Result<(), CommandError> {
    let request = UpRequest::from(options);
    if session.environment.is_local() {
        bring(session, &request, Purpose::Up, None).await
    } else {
        remote::up::up(session, &request).await
    }
}

/// # Errors
/// As `up`, or with exit code 3 when `--exit-code` is set and there is anything to do.
pub(super) async fn plan(session: &Session, options: &PlanOptions) -> Result<(), CommandError> {
    let request = UpRequest::from(&options.up);
    let (described, plan) = if options.offline {
        plan_offline(session, &request).await?
    } else {
        let prepared = observe_environment(session, &request).await?;
        let plan = prepared.plan()?;
        (prepared.described, plan)
    };
    show_plan(session, &described, &plan);
    let differs = plan.has_changes();
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}
