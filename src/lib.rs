//! cmdr: a whole platform on a laptop, and the same manifests in staging and production.
//!
//! Every command follows the same path: `cli -> settings -> config -> observe -> plan -> confirm -> engine -> events ->
//! ui -> exit code`. Commands differ in plan, not in execution. `tests/architecture.rs` checks the dependencies below.
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`domain`] | names, images, workspaces, labels, address pools; no IO | - |
//! | [`config`] | `projects.yaml` text -> [`domain::Workspace`] or diagnostics; JSON Schema | `domain` |
//! | [`adapters`] | docker, kind, helm, the Kubernetes API, registries, git, GitLab, HTTP; own errors, no printing | `domain` |
//! | [`plan`] | pure: the described state and the observed state -> a graph of steps | `domain` |
//! | [`event`] | the only types that engine and ui share | `domain` |
//! | [`engine`] | runs a plan: order, limits, cancellation | `domain`, `plan`, `event` |
//! | [`steps`] | what each step does: step -> adapter calls | `domain`, `plan`, `engine`, `adapters` |
//! | [`ui`] | live, plain, GitLab and JSON renderers of events; diagnostics | `event`, `domain` |
//! | [`settings`] | flags, variables and the user's file -> settings; the only reader of variables | `cli`, `domain` |
//! | [`log`] | the log file of each run, and what `-vv` and `CMDR_LOG` print | `settings`, `ui`, `domain` |
//! | [`cli`] | the command line | - |
//! | [`error`] | the error that a command returns: kind, cause, help, exit code | `domain` |
//! | [`ops`] | what commands share: session, description, observation, running a plan | all but `cli`, `commands` |
//! | [`commands`] | one file per command | all |

pub mod adapters;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
pub mod event;
pub mod log;
pub mod ops;
pub mod plan;
pub mod settings;
pub mod steps;
pub mod ui;

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

/// Reads the command line, runs the command, and returns the exit code.
pub fn run() -> ExitCode {
    if let Some(words) = settings::words_to_complete() {
        commands::completions::complete(&words);
    }
    if let Some(words) = settings::words_after(adapters::local_run::ENTER) {
        return commands::dev_local::enter(&words);
    }
    if settings::wants_json() {
        ui::print_messages_as_json();
    }
    match cli::Cli::read() {
        Ok(cli) => run_command(cli),
        Err(error) => commands::command_line::report(&error),
    }
}

fn run_command(cli: cli::Cli) -> ExitCode {
    let color = settings::error_color(cli.global.color);
    if let Some(color) = settings::forced_color(cli.global.color) {
        ui::force_color(color);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::print_message(&format!("error: cannot start: {error}"));
            return error::ErrorKind::Failed.into();
        }
    };
    let log = log::RunLog::default();
    let is_stream = cli.ends_by_interrupt();
    let result = runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(cancel_on_signal(cancel.clone(), is_stream));
        if let Some(left) = settings::time_left() {
            tokio::spawn(cancel_when_over(tokio::time::sleep(left), cancel.clone()));
        }
        commands::run(cli, cancel, &log).await
    });
    // Requests that still wait for a response must not delay the exit.
    runtime.shutdown_background();
    let result = result.and_then(|()| match ui::output_error() {
        Some(error) => {
            Err(error::CommandError::failed(domain::Problem::new(format!("cannot write to standard output: {error}"))))
        }
        None => Ok(()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_stream && error.kind == error::ErrorKind::Interrupted => error.kind.into(),
        Err(error) => commands::print_error(&error, color, log.path().as_deref()),
    }
}

/// After the first signal, running steps may finish; a second one interrupts their child processes and exits. A stream
/// simply ends.
async fn cancel_on_signal(cancel: CancellationToken, is_stream: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for strike in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        if strike == 0 {
            if !is_stream {
                ui::print_message("interrupted: waiting for running steps to finish (interrupt again to exit at once)");
            }
            cancel.cancel();
        }
    }
    adapters::process::interrupt_all();
    end_now();
}

/// Interrupts the run as a signal does, while the job still has time to let running steps finish.
async fn cancel_when_over(time: impl Future<Output = ()>, cancel: CancellationToken) {
    time.await;
    ui::print_message(
        "interrupted: the job timeout (CI_JOB_TIMEOUT) is almost reached: waiting for running steps to finish",
    );
    cancel.cancel();
}

#[expect(clippy::exit, reason = "a second interrupt requests an immediate exit")]
fn end_now() -> ! {
    std::process::exit(error::ErrorKind::Interrupted as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_whose_time_is_over_is_interrupted() {
        let cancel = CancellationToken::new();
        cancel_when_over(std::future::ready(()), cancel.clone()).await;
        assert!(cancel.is_cancelled());
    }
}
