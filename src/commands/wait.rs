//! `cmdr wait`: waits until projects are ready, their Jobs have succeeded, or their URLs respond.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    cli::{WaitOptions, WaitState},
    config::parse_duration,
    domain::{Name, Problem, ReleaseKey, ports},
    error::{CommandError, ErrorKind},
    ops::{
        describe::describe,
        local::{running_local, wait_until_running},
        options::UpRequest,
        remote::access::RemoteAccess,
        selection::Selection,
        session::{Session, external_here},
    },
    plan::{
        CheckSpec, RolloutSpec,
        wait::{WaitSpec, wait as plan_wait},
    },
};

/// # Errors
/// When a project is unknown or external, the cluster is not running, or the state is not reached in time.
pub(super) async fn wait(session: &Session, options: &WaitOptions) -> Result<(), CommandError> {
    let mut timeout = timeout(&options.timeout)?;
    let names = names(session, &options.projects)?;
    if session.environment.is_local() {
        timeout = wait_until_running(session, timeout).await?;
    }
    let checks = match options.state {
        WaitState::Url => checks(session, &names, &options.projects).await?,
        WaitState::Ready | WaitState::Done => BTreeMap::new(),
    };
    let plan = plan_wait(names.iter().map(|name| {
        let release = ReleaseKey::new(&session.environment.namespace, name.as_str());
        let rollout = RolloutSpec { release, timeout_seconds: timeout.as_secs() };
        let spec = WaitSpec { rollout, is_done: options.state == WaitState::Done };
        (spec, checks.get(name).cloned().unwrap_or_default())
    }));
    let helm = session.helm().await?;
    if session.environment.is_local() {
        let runner = session.runner(helm, running_local(session).await?).await?;
        return session.execute("wait", &plan, Arc::new(runner)).await.map(drop);
    }
    let access = RemoteAccess::open(session).await?;
    let runner = access.runner(session, helm).await?;
    session.execute("wait", &plan, Arc::new(runner)).await.map(drop)
}

fn timeout(text: &str) -> Result<Duration, CommandError> {
    parse_duration(text).filter(|timeout| timeout.as_secs() > 0).ok_or_else(|| {
        let problem = Problem::new(format!("--timeout: '{text}' is not a valid value"));
        CommandError::usage(problem.help("for example 90s, 30m or 2h"))
    })
}

/// The named projects, or all that are not optional; without external ones.
fn names(session: &Session, named: &[String]) -> Result<Vec<Name>, CommandError> {
    let request = UpRequest { projects: named.to_vec(), ..UpRequest::default() };
    let selection = Selection::choose(session, &request)?;
    let is_named = |name: &Name| named.is_empty() || named.iter().any(|it| it == name.as_str());
    if let Some(external) =
        selection.externals.iter().find(|external| named.iter().any(|it| it == external.name.as_str()))
    {
        return Err(external_here(external.name.as_str()));
    }
    Ok(selection.projects.into_iter().map(|project| project.name).filter(is_named).collect())
}

/// The checks of the URLs of each project; an error for one that was named and has none.
async fn checks(
    session: &Session,
    names: &[Name],
    named: &[String],
) -> Result<BTreeMap<Name, Vec<CheckSpec>>, CommandError> {
    let projects = names.iter().map(Name::to_string).collect();
    let request = UpRequest { projects, ..UpRequest::default() };
    let selection = Selection::choose(session, &request)?;
    let published = if session.environment.is_local() { session.local().await?.published_ports() } else { None };
    let ports = published.map_or(ports::STANDARD, |(http, https)| ports::Pair { http, https });
    let helm = session.helm().await?;
    let described = describe(session, &helm, &selection, &request, ports).await?;
    let checks: BTreeMap<Name, Vec<CheckSpec>> =
        described.projects.into_iter().map(|project| (project.name, project.checks)).collect();
    let without = named.iter().filter(|name| checks.get(name.as_str()).is_none_or(Vec::is_empty));
    let problems = without.map(|name| {
        Problem::new(format!("'{name}' has no URL that is checked")).help("wait for its pods: cmdr wait --for ready")
    });
    CommandError::require_none(ErrorKind::Usage, problems.collect())?;
    Ok(checks)
}
