//! Locks of this machine: a run on one namespace of a local cluster, or on the whole cluster.

use std::time::Duration;

use crate::{
    adapters::lock::{Lock, LockError},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::session::{LocalAccess, Session},
};

/// How long a run waits for another cmdr run on the same cluster: enough for one that is finishing.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a copy waits while another run creates or changes the cluster that it shares.
const PATIENCE_OF_COPIES: Duration = Duration::from_mins(10);

/// What a run changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockScope {
    /// The namespace of the environment or of one copy. Runs on different namespaces work at the same time.
    Namespace,
    /// The cluster, its platform, or everything in it.
    Cluster,
}

/// The lock of a run, held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    pub scope: LockScope,
    _cluster: Lock,
    _namespace: Option<Lock>,
}

impl Session {
    /// Locks out other cmdr runs on this machine that would change the same.
    ///
    /// # Errors
    /// When another run holds the lock.
    pub async fn lock(&self, access: &LocalAccess, scope: LockScope) -> Result<RunLock, CommandError> {
        let copy = self.environment.copy_name();
        let cluster = self.lock_cluster(access, scope).await?;
        let namespace = match scope {
            LockScope::Cluster => None,
            LockScope::Namespace => {
                Some(Lock::take(&access.folder.namespace_lock(copy), PATIENCE).await.map_err(|error| failed(&error))?)
            }
        };
        Ok(RunLock { scope, _cluster: cluster, _namespace: namespace })
    }

    async fn lock_cluster(&self, access: &LocalAccess, scope: LockScope) -> Result<Lock, CommandError> {
        let path = access.folder.lock();
        let take = async |patience| match scope {
            LockScope::Cluster => Lock::take(&path, patience).await,
            LockScope::Namespace => Lock::share(&path, patience).await,
        };
        match take(PATIENCE).await {
            Err(LockError::Held(held)) if self.environment.local_copy.is_some() => {
                self.note(&format!("waiting: {held}"));
                tokio::select! {
                    taken = take(PATIENCE_OF_COPIES) => taken.map_err(|error| failed(&error)),
                    () = self.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
                }
            }
            taken => taken.map_err(|error| failed(&error)),
        }
    }
}

fn failed(error: &LockError) -> CommandError {
    let problem = Problem::new(error.to_string());
    match error {
        LockError::Held(_) => {
            CommandError::new(ErrorKind::Locked, problem.help("wait until it has finished, or stop it"))
        }
        LockError::File(..) => CommandError::failed(problem.help("set CMDR_STATE to a writable folder")),
    }
}
