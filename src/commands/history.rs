//! `cmdr history`: who deployed what, when, and from where.

use std::collections::BTreeMap;

use crate::{
    cli::HistoryOptions,
    domain::ledger::{Deployment, History},
    error::CommandError,
    ops::remote::access::refuse_local,
    ops::{
        remote::{access::RemoteAccess, deploy_request::expand},
        session::Session,
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

const HEAD: [&str; 8] = ["PROJECT", "STARTED", "VERB", "VERSION", "RECORD", "OUTCOME", "BY", "FROM"];

/// # Errors
/// When a project is unknown, or the cluster does not respond.
pub(super) async fn history(session: &Session, options: &HistoryOptions) -> Result<(), CommandError> {
    refuse_local(session, "use git log for its history")?;
    let (projects, _) = expand(session, &options.projects)?;
    let access = RemoteAccess::open(session).await?;
    let mut histories = access.cluster.histories(&session.environment.namespace).await?;
    histories.retain(|subject, _| projects.is_empty() || projects.contains(subject.as_str()));
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::to_string(&histories).unwrap_or_default())),
        OutputFormat::Text => show(session, &histories),
    }
    Ok(())
}

fn show(session: &Session, histories: &BTreeMap<String, History>) {
    if histories.values().all(|history| history.deployments.is_empty()) {
        session.note(&format!("no deployments to '{}' yet", session.environment.name));
    }
    let mut rows: Vec<(&String, &Deployment)> = histories
        .iter()
        .flat_map(|(subject, history)| history.deployments.iter().map(move |it| (subject, it)))
        .collect();
    rows.sort_by_key(|(_, deployment)| std::cmp::Reverse(deployment.started));
    let head = HEAD.map(str::to_owned).to_vec();
    let lines = rows.into_iter().map(|(subject, deployment)| row(subject, deployment));
    ui::print(&table(&std::iter::once(head).chain(lines).collect::<Vec<_>>()));
    for (subject, history) in histories {
        if let Some(hold) = &history.hold {
            let since = hold.since.strftime("%Y-%m-%d %H:%M UTC");
            ui::print_message(&format!(
                "deployments of {subject} are blocked by {} since {since}: {}",
                hold.by, hold.because
            ));
        }
    }
}

fn row(subject: &str, deployment: &Deployment) -> Vec<String> {
    let origin = &deployment.origin;
    let promoted = deployment.promoted_from.as_ref().map(|environment| format!("promoted from {environment}"));
    let overridden = origin.overridden.iter().map(|gate| format!("overrode {gate}"));
    let because = origin.because.as_ref().map(|because| format!("\"{because}\""));
    let from = [
        promoted,
        deployment.bundle.clone(),
        origin.job.clone().or_else(|| origin.pipeline.clone()),
        origin.commit.clone(),
    ];
    let from: Vec<String> = from.into_iter().flatten().chain(overridden).chain(because).collect();
    vec![
        subject.to_owned(),
        deployment.started.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        deployment.verb.clone(),
        deployment.version.clone(),
        deployment.record.as_str().chars().take(12).collect(),
        deployment.outcome.as_str().to_owned(),
        origin.by.clone(),
        from.join(", "),
    ]
}
