//! The desired state of an environment as far as this machine knows it, without a cluster, Docker or a registry.

use crate::{
    domain::{Name, ResolvedProject, ports},
    error::{CommandError, ErrorKind},
    ops::{
        builds::{leave_for_later, with_dependents},
        charts::chart_name,
        describe::describe,
        options::UpRequest,
        selection::Selection,
        session::Session,
    },
    plan::{
        Plan,
        up::{Described, Observed, ObservedCluster, up},
    },
};

/// Describes the environment with the charts of this machine, and plans it as if nothing were deployed. Releases whose
/// charts are not on this machine are left out, and noted.
///
/// # Errors
/// When `projects.yaml` or an option is invalid.
pub async fn plan_offline(session: &Session, request: &UpRequest) -> Result<(Described, Plan), CommandError> {
    let mut selection = Selection::choose(session, request)?;
    let left_out = selection.leave_out_unfetched(session);
    let without_image = leave_out_without_image(session, &mut selection);
    let helm = session.helm().await?;
    let mut described = describe(session, &helm, &selection, request, ports::STANDARD).await?;
    for (name, chart) in left_out {
        session.note(&format!("not checked: {name}, whose chart is not in the cache: {}", chart_name(&chart)));
    }
    for project in without_image {
        session.note(&format!(
            "not planned: {project}, which has no image in projects.yaml: cmdr deploy {project}=TAG, or a promotion, chooses it"
        ));
    }
    let unbuilt: Vec<_> = selection.buildable.iter().filter(|it| it.is_needed).map(|it| it.project.clone()).collect();
    for project in &unbuilt {
        session.note(&format!("not planned: {project}, which was never built"));
    }
    described.later = with_dependents(&described, unbuilt.into_iter().collect());
    leave_for_later(&mut described);
    let cluster = if session.environment.is_local() { ObservedCluster::Absent } else { ObservedCluster::Running };
    let observed = Observed { cluster, ..Observed::default() };
    let refused = |problems| CommandError { problems, ..CommandError::reported(ErrorKind::Failed) };
    let plan = up(&described, &observed).map_err(refused)?;
    Ok((described, plan))
}

/// Leaves out the projects of the universal chart whose image only a deployment chooses.
fn leave_out_without_image(session: &Session, selection: &mut Selection) -> Vec<Name> {
    let has_none = |project: &ResolvedProject| project.is_on_universal_chart() && project.image.is_none();
    let is_known_later = !session.environment.is_local();
    let left_out = selection.projects.extract_if(.., |project| is_known_later && has_none(project));
    left_out.map(|project| project.name).collect()
}
