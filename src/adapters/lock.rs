//! Prevents two cmdr runs on this machine from changing the same local cluster.
//!
//! The lock is on an open file that every child process inherits. It is free only when cmdr and all its helm and kind
//! processes have ended. A run that takes the lock therefore knows that unfinished work has no owner.

use std::{
    fs::{self, File, TryLockError},
    io::{Seek, Write},
    path::Path,
    time::Duration,
};

use rustix::io::FdFlags;

use super::wait::{Wait, every};

/// The interval at which a lock of another run is checked.
const LOOK: Duration = Duration::from_millis(100);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot lock {0}: {1}")]
    File(String, std::io::Error),
    #[error("{0}")]
    Held(String),
}

impl Lock {
    /// Takes the lock, and waits up to `patience` for it.
    ///
    /// # Errors
    /// If another process holds the lock, or the file cannot be written.
    pub async fn take(path: &Path, patience: Duration) -> Result<Self, LockError> {
        Self::open(path, patience, true).await
    }

    /// Takes the lock together with others that share it, and waits up to `patience` for one that does not.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn share(path: &Path, patience: Duration) -> Result<Self, LockError> {
        Self::open(path, patience, false).await
    }

    /// Takes the lock for this process only: its child processes do not hold it when it has ended.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_alone(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let lock = Self::open(path, patience, true).await?;
        let set = rustix::io::fcntl_setfd(&lock.file, FdFlags::CLOEXEC);
        set.map_err(|error| LockError::File(path.display().to_string(), error.into()))?;
        Ok(lock)
    }

    async fn open(path: &Path, patience: Duration, is_exclusive: bool) -> Result<Self, LockError> {
        let wrong = |error| LockError::File(path.display().to_string(), error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(wrong)?;
        }
        let open = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = open.map_err(wrong)?;
        let mut wait = Wait::new(every(LOOK), patience);
        let lock = |file: &File| if is_exclusive { file.try_lock() } else { file.try_lock_shared() };
        while let Err(error) = lock(&file) {
            match error {
                TryLockError::Error(error) => return Err(wrong(error)),
                TryLockError::WouldBlock => wait.sleep_or(LockError::Held(holder(path))).await?,
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(wrong)?;
        if is_exclusive {
            write!(file, "{}", std::process::id()).map_err(wrong)?;
        }
        rustix::io::fcntl_setfd(&file, FdFlags::empty()).map_err(|error| wrong(error.into()))?;
        Ok(Self { file })
    }
}

fn holder(path: &Path) -> String {
    match fs::read_to_string(path).unwrap_or_default().trim() {
        "" => "another cmdr run holds the lock on this cluster".to_owned(),
        process => {
            format!("another cmdr run holds the lock on this cluster (process {process}, or its helm or kind process)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_children_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster/lock");
        let lock = Lock::take(&path, Duration::ZERO).await.unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        drop(lock);
        let refused = Lock::take(&path, Duration::ZERO).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())));
        child.kill().unwrap();
        child.wait().unwrap();
        // Child processes of other tests in this process may also hold it for a moment.
        Lock::take(&path, Duration::from_secs(20)).await.unwrap();
    }

    #[tokio::test]
    async fn a_child_does_not_hold_the_lock_of_its_parent_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take_alone(&path, Duration::ZERO).await.unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        drop(lock);
        // Child processes of other tests in this process may hold it for a moment.
        Lock::take(&path, Duration::from_secs(20)).await.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn those_that_share_it_lock_out_only_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let shared =
            (Lock::share(&path, Duration::ZERO).await.unwrap(), Lock::share(&path, Duration::ZERO).await.unwrap());
        let refused = Lock::take(&path, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.to_string(), "another cmdr run holds the lock on this cluster");
        drop(shared);
        // Child processes of other tests in this process may also hold it for a moment.
        let _own = Lock::take(&path, Duration::from_secs(20)).await.unwrap();
        assert!(Lock::share(&path, Duration::ZERO).await.is_err());
    }
}
