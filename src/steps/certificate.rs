//! The certificate of a local cluster, signed by the authority of this machine.

use jiff::Timestamp;

use super::Runner;
use crate::{
    adapters::cluster::ClusterError,
    domain::{Problem, local_certificate::LocalCertificate},
    engine::{Reporter, StepFailure},
};

impl Runner {
    /// Projects are reached over HTTP without it, so a failure is only a warning.
    pub(super) async fn local_certificate(
        &self,
        wanted: &LocalCertificate,
        reporter: &Reporter,
    ) -> Result<Option<String>, StepFailure> {
        let none = || Problem::new("this machine has no certificate authority");
        let authority = self.authority.as_ref().ok_or_else(none)?;
        let issued = authority.issue(&wanted.hosts, Timestamp::now());
        let data = issued.map_err(|error| Problem::of(&error))?;
        let checksum = wanted.checksum(&authority.fingerprint());
        let cluster = &self.connected()?.cluster;
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

fn not_used(error: &ClusterError) -> Problem {
    let cause = "HTTPS of this cluster has no certificate of the local authority";
    Problem::new(cause).detail(error.problem().message).help(
        "let Traefik's chart install its CRDs, or set platform.traefik.values.tlsStore to use a certificate of your own",
    )
}
