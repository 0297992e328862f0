//! `cmdr up` and `cmdr plan`: bring the environment to its described state, or show how.

use crate::{
    cli::{DeployOptions, PlanOptions, UpOptions},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::{
        local::{Purpose, bring},
        observe_planned,
        offline::plan_offline,
        options::UpRequest,
        prepared::show_plan,
        remote::{self, access::refuse_local, named_images::split},
        session::Session,
    },
    plan::{Plan, up::Described},
};

use super::deploy;

/// # Errors
/// When the environment cannot be brought to the described state; the error's kind is the exit code.
pub(super) async fn up(session: &Session, options: &UpOptions) -> Result<(), CommandError> {
    let request = UpRequest::from(options);
    if let Some(target) = tagged(&request) {
        let cause = format!("'{target}': up does not accept a tag with the name of a project");
        let help = format!("use --tag {target}, or cmdr deploy {target}");
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    if session.environment.is_local() {
        bring(session, &request, Purpose::Up, None).await
    } else {
        remote::up::up(session, &request).await
    }
}

/// # Errors
/// As `up` or `deploy`, or with exit code 3 when `--exit-code` is set and there is anything to do.
pub(super) async fn plan(session: &Session, options: &PlanOptions) -> Result<(), CommandError> {
    let request = UpRequest::from(options);
    let (described, plan) = if let Some(target) = tagged(&request) {
        plan_deploy(session, &request, target, options.offline).await?
    } else if options.offline {
        plan_offline(session, &request).await?
    } else if session.environment.is_local() {
        let prepared = observe_planned(session, &request).await?;
        let plan = prepared.plan()?;
        (prepared.described, plan)
    } else {
        let deploy = remote::up::request(session, &request).await?;
        remote::plan::plan(session, &deploy, &request.change).await?
    };
    show_plan(session, &described, &plan);
    let differs = plan.has_changes();
    if differs && options.exit_code { Err(CommandError::reported(ErrorKind::Differs)) } else { Ok(()) }
}

/// The first project that is named with a tag.
fn tagged(request: &UpRequest) -> Option<&str> {
    request.projects.iter().map(String::as_str).find(|target| split(target).1.is_some())
}

/// What `cmdr deploy` would do with the same projects and tags.
async fn plan_deploy(
    session: &Session,
    request: &UpRequest,
    target: &str,
    is_offline: bool,
) -> Result<(Described, Plan), CommandError> {
    refuse_local(session, "a tag is for other environments: here, write the image to projects.local.yaml")?;
    refuse_options_of_up(request, target, is_offline)?;
    let options =
        DeployOptions { projects: request.projects.clone(), set: request.set.clone(), ..DeployOptions::default() };
    remote::plan::plan(session, &deploy::request(session, &options)?, &request.change).await
}

/// Refuses options that `deploy` does not have.
fn refuse_options_of_up(request: &UpRequest, target: &str, is_offline: bool) -> Result<(), CommandError> {
    let given = [
        (!request.without.is_empty(), "--without"),
        (!request.tags.is_empty(), "--tag"),
        (request.build, "--build"),
        (request.recreate, "--recreate"),
        (request.adopt, "--adopt"),
        (request.refresh, "--refresh"),
        (request.repair, "--repair"),
        (request.data_from.is_some(), "--data-from"),
        (is_offline, "--offline"),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, name)| name).collect();
    if given.is_empty() {
        return Ok(());
    }
    let cause = format!("'{target}' plans a deployment, to which these options do not apply: {}", given.join(", "));
    Err(CommandError::usage(Problem::new(cause).help("leave out the options, or the tag")))
}
