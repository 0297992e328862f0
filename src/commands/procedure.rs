//! `cmdr procedure`: starts, continues and aborts the procedures of projects.yaml, and shows them.

use serde_json::json;

use crate::{
    cli::{OperationOptions, ProcedureCommand},
    error::CommandError,
    ops::{
        options::ChangeRequest,
        procedures::{ProcedureRequest, ProcedureRow, abort, go_on, list, show, start},
        session::Session,
    },
    settings::OutputFormat,
    ui::{self, table::table},
};

/// The description of a procedure that is under way, but has none any longer.
const REMOVED: &str = "no longer in projects.yaml: abort it, or restore it there";

/// # Errors
/// When a procedure is unknown, a gate refuses, or a step fails.
pub(super) async fn procedure(session: &Session, command: &ProcedureCommand) -> Result<(), CommandError> {
    match command {
        ProcedureCommand::List => show_list(session, &list(session).await?),
        ProcedureCommand::Show { procedure } => show(session, procedure).await?.print(session),
        ProcedureCommand::Start(options) => {
            start(session, &request(&options.procedure, false, &options.operation)).await?;
        }
        ProcedureCommand::Continue(options) => {
            go_on(session, &request(&options.procedure, options.accept_changes, &options.operation)).await?;
        }
        ProcedureCommand::Abort(options) => {
            abort(session, &request(&options.procedure, options.accept_changes, &options.operation)).await?;
        }
    }
    Ok(())
}

fn request(name: &str, accepts_changes: bool, options: &OperationOptions) -> ProcedureRequest {
    ProcedureRequest { name: name.to_owned(), accepts_changes, change: ChangeRequest::from(options) }
}

fn show_list(session: &Session, rows: &[ProcedureRow]) {
    if session.settings.output == OutputFormat::Json {
        ui::print(&format!("{}\n", json!(rows)));
        return;
    }
    if rows.is_empty() {
        session.note("projects.yaml has no procedures");
        return;
    }
    let head = ["PROCEDURE", "STEPS", "STATE", "NEXT", "STARTED", "BY", "DESCRIPTION"].map(str::to_owned).to_vec();
    let row = |row: &ProcedureRow| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            row.procedure.clone(),
            row.steps.to_string(),
            or_none(row.phase.map(|phase| phase.as_str().to_owned())),
            or_none(row.next.clone()),
            or_none(row.started.map(|started| started.strftime("%Y-%m-%d %H:%M UTC").to_string())),
            or_none(row.by.clone()),
            or_none(row.description.clone().or_else(|| row.removed.then(|| REMOVED.to_owned()))),
        ]
    };
    ui::print(&table(&std::iter::once(head).chain(rows.iter().map(row)).collect::<Vec<_>>()));
}
