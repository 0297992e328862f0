//! `cmdr run` and `cmdr runs`: runs of Jobs on demand, and the list of all runs.

use std::sync::Arc;

use serde_json::json;

use crate::{
    adapters::cluster::runs::{JobResult, RunState},
    cli::{RunOptions, RunsOptions},
    error::CommandError,
    ops::{
        connect,
        local::{refuse_change_options, running_local},
        options::ChangeRequest,
        remote::operation::{OperationRequest, operate},
        run::{RunRequest, RunText},
        session::{Session, unknown},
    },
    plan::run,
    settings::OutputFormat,
    ui::{self, style::duration, table::table},
};

const HEAD: [&str; 8] = ["RUN", "PROJECT", "BY", "STARTED", "DURATION", "RESULT", "EXIT", "MEMORY"];
const MEBIBYTE: u64 = 1 << 20;

/// # Errors
/// When the project cannot be run, a gate refuses, or with the exit code of the container.
pub(super) async fn run(session: &Session, options: &RunOptions) -> Result<(), CommandError> {
    let change = ChangeRequest::from(&options.operation);
    let text = RunText {
        cpu: options.cpu.clone(),
        memory: options.memory.clone(),
        timeout: options.timeout.clone(),
        array: options.array,
        parallel: options.parallel,
    };
    let run_options = text.read(options.arguments.clone(), options.detach)?;
    let request = RunRequest { project: options.project.clone(), set: options.set.clone(), options: run_options };
    request.release(session)?;
    if !session.environment.is_local() {
        return operate(session, &OperationRequest::Run(request), &change).await;
    }
    refuse_change_options(&change)?;
    let spec = request.spec(session, &connect(session).await?).await?;
    if session.settings.dry_run {
        session.note(&format!("would run {}", options.project));
        return Ok(());
    }
    let runner = session.runner(session.helm().await?, running_local(session).await?).await?;
    session.execute("run", &run::run(spec), Arc::new(runner)).await.map(drop)
}

/// # Errors
/// When the project is unknown or the cluster does not respond.
pub(super) async fn runs(session: &Session, options: &RunsOptions) -> Result<(), CommandError> {
    let known = || session.projects.iter().map(|project| project.name.as_str());
    if let Some(name) = options.project.as_ref().filter(|name| known().all(|known| known != name.as_str())) {
        return Err(unknown("project", name, known()));
    }
    let cluster = connect(session).await?;
    let mut runs = cluster.runs(session.workspace().as_str(), &session.environment.namespace).await?;
    runs.retain(|run| options.project.as_ref().is_none_or(|project| run.project == *project));
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", json!(runs))),
        OutputFormat::Text if runs.is_empty() => session.note("no runs yet"),
        OutputFormat::Text => {
            let head = HEAD.map(str::to_owned).to_vec();
            ui::print(&table(&std::iter::once(head).chain(runs.iter().map(row)).collect::<Vec<_>>()));
        }
    }
    Ok(())
}

fn row(run: &RunState) -> Vec<String> {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let parts = if run.parts > 1 { format!(" {}/{}", run.parts_done, run.parts) } else { String::new() };
    vec![
        run.name.clone(),
        run.project.clone(),
        json!(run.origin).as_str().unwrap_or_default().to_owned(),
        or_unknown(run.started.map(|started| started.strftime("%Y-%m-%d %H:%M UTC").to_string())),
        or_unknown(run.seconds.map(duration)),
        format!("{}{parts}", result(run.result)),
        or_unknown(run.exit_code.map(|code| code.to_string())),
        or_unknown(run.peak_memory_bytes.map(|bytes| format!("{} MiB", bytes.div_ceil(MEBIBYTE)))),
    ]
}

fn result(result: JobResult) -> &'static str {
    match result {
        JobResult::Suspended => "suspended",
        JobResult::Running => "running",
        JobResult::Succeeded => "succeeded",
        JobResult::Failed => "failed",
        JobResult::DeadlineExceeded => "deadline exceeded",
    }
}
