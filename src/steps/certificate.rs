//! The certificate of a local cluster, signed by the authority of this machine.

use std::time::Duration;

use jiff::Timestamp;

use super::Runner;
use crate::{
    adapters::{cluster::ClusterError, lock::Lock},
    domain::{
        Problem,
        local_certificate::{LocalCertificate, SECRET},
    },
    engine::{Reporter, StepFailure},
};

/// How long another run may write the certificate.
const PATIENCE: Duration = Duration::from_secs(30);

impl Runner {
    /// Projects are reached over HTTP without it, so a failure is only a warning.
    pub(super) async fn local_certificate(
        &self,
        wanted: &LocalCertificate,
        reporter: &Reporter,
    ) -> Result<Option<String>, StepFailure> {
        let none = || Problem::new("this machine has no certificate authority");
        let authority = self.authority.as_ref().ok_or_else(none)?;
        let cluster = &self.connected()?.cluster;
        let _lock = self.lock_certificate().await?;
        let all = self.with_other_hosts(wanted).await?;
        let issued = authority.issue(&all.hosts, Timestamp::now());
        let data = issued.map_err(|error| Problem::of(&error))?;
        let checksum = all.checksum(&authority.fingerprint());
        match cluster.apply_local_certificate(&wanted.namespace, &checksum, &data).await {
            Ok(()) => Ok(Some(wanted.hosts.join(", "))),
            Err(error) if error.is_status(404) || matches!(error, ClusterError::Foreign { .. }) => {
                reporter.warn(not_used(&error));
                Ok(Some("skipped".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Runner {
    /// Copies share the certificate, and may be brought up at the same time.
    async fn lock_certificate(&self) -> Result<Lock, StepFailure> {
        let path = self.local()?.folder.certificate_lock();
        Lock::take(&path, PATIENCE).await.map_err(|error| Problem::of(&error).into())
    }

    /// Adds the hosts of the other copies and of the original.
    async fn with_other_hosts(&self, wanted: &LocalCertificate) -> Result<LocalCertificate, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let namespaces = cluster.namespaces().await?;
        let found = namespaces.get(&wanted.namespace).and_then(|secrets| secrets.get(SECRET)).cloned().flatten();
        let copies = cluster.copies(&self.release.origin.workspace).await?;
        let names: Vec<&str> = copies.iter().map(|copy| copy.name.as_str()).collect();
        let mut wanted = wanted.clone();
        wanted.keep_hosts(found.as_deref().unwrap_or_default(), &names);
        Ok(wanted)
    }
}

fn not_used(error: &ClusterError) -> Problem {
    let cause = "HTTPS of this cluster has no certificate of the local authority";
    Problem::new(cause).detail(error.problem().message).help(
        "let Traefik's chart install its CRDs, or set platform.traefik.values.tlsStore to use a certificate of your own",
    )
}
