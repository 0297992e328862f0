//! Shows something again whenever the cluster reports a change.

use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::{
    adapters::{cluster::ClusterView, wait::pause},
    error::{CommandError, ErrorKind},
    ops::{connect, session::Session},
    ui::Watched,
};

/// What the cluster does not report as a change of a workload is shown after this time.
const LONGEST: Duration = Duration::from_secs(30);
/// Several changes within this time are shown together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Shows what `describe` returns again whenever it may have changed, until the command is interrupted.
///
/// # Errors
/// When the first version cannot be read, or with exit code 130 when the command is interrupted. Later errors are shown
/// in place of the version.
pub(crate) async fn repeat(
    session: &Session,
    describe: impl AsyncFn() -> Result<String, CommandError>,
) -> Result<(), CommandError> {
    let is_json = session.settings.prints_json();
    let mut watched = if is_json { Watched::json() } else { Watched::text() };
    let mut view = None;
    watched.show(&describe().await?);
    loop {
        if view.is_none() {
            let cluster = connect(session).await.ok();
            view = cluster.map(|cluster| ClusterView::start(&cluster)).map(|view| (view.changes(), view));
        }
        if !changed(session, view.as_mut().map(|(changes, _)| changes)).await {
            return Err(CommandError::reported(ErrorKind::Interrupted));
        }
        match describe().await {
            Ok(text) => watched.show(&text),
            // The cluster may have been stopped, and start again.
            Err(error) => {
                view = None;
                if !is_json {
                    watched.show(&messages(&error));
                }
            }
        }
    }
}

/// Waits until something may have changed. Returns whether the command continues.
async fn changed(session: &Session, changes: Option<&mut Receiver<u64>>) -> bool {
    // Without it, the cluster is not running.
    let longest = if changes.is_some() { LONGEST } else { TOGETHER * 2 };
    let change = async {
        match changes {
            Some(changes) => drop(changes.changed().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = change => (),
        () = tokio::time::sleep(longest) => (),
        () = session.cancel.cancelled() => return false,
    }
    pause(TOGETHER, &session.cancel).await.is_ok()
}

fn messages(error: &CommandError) -> String {
    error.problems.iter().map(|problem| format!("{}\n", problem.message)).collect()
}
