//! `cmdr maintenance`: closes and opens the routes of projects, and shows which are closed.

use jiff::Timestamp;

use crate::{
    cli::{MaintenanceCommand, MaintenanceOptions},
    domain::maintenance::seconds,
    error::CommandError,
    ops::{
        maintenance::{ClosedProject, MaintenanceChange, MaintenanceRequest, closed_projects, maintain},
        options::ChangeRequest,
        session::Session,
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

/// # Errors
/// When a project is unknown or cannot be closed, a gate refuses, or a request finds another state than requested.
pub(super) async fn maintenance(session: &Session, options: &MaintenanceOptions) -> Result<(), CommandError> {
    let (projects, change, operation) = match &options.command {
        None => return show(session).await,
        Some(MaintenanceCommand::On(on)) => {
            let change = MaintenanceChange::on(on.until.as_deref(), on.message.clone())?;
            (on.projects.clone(), change, &on.operation)
        }
        Some(MaintenanceCommand::Off(off)) => (off.projects.clone(), MaintenanceChange::Off, &off.operation),
    };
    maintain(session, &MaintenanceRequest { projects, change }, &ChangeRequest::from(operation)).await
}

async fn show(session: &Session) -> Result<(), CommandError> {
    let closed = closed_projects(session).await?;
    if session.settings.output == OutputFormat::Json {
        ui::print(&format!("{}\n", serde_json::json!(closed)));
        return Ok(());
    }
    if closed.is_empty() {
        session.note("no project is in maintenance");
        return Ok(());
    }
    let head = ["PROJECT", "SINCE", "UNTIL", "BY", "URL", "FOUND", "MESSAGE"].map(str::to_owned).to_vec();
    let rows = std::iter::once(head).chain(closed.iter().flat_map(rows));
    ui::print(&table(&rows.collect::<Vec<_>>()));
    for project in closed.iter().filter(|project| project.overdue) {
        session.note(&format!("'{0}' is overdue: end it with cmdr maintenance off {0}", project.project));
    }
    Ok(())
}

fn rows(closed: &ClosedProject) -> Vec<Vec<String>> {
    let ClosedProject { project, mark, .. } = closed;
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), seconds);
    let message = mark.message.clone().unwrap_or_else(|| "-".to_owned());
    let row = |url: &str, found: &str| {
        let texts = [project, &seconds(mark.since), &time(mark.until), &mark.by, url, found, &message];
        texts.map(str::to_owned).to_vec()
    };
    if closed.urls.is_empty() {
        return vec![row("-", "not requested")];
    }
    closed.urls.iter().map(|(url, found)| row(url, found)).collect()
}
