//! The certificate of a local cluster.

use super::{Step, StepId, up::Described, up::Observed};
use crate::{domain::local_certificate::SECRET, plan::Plan};

/// Adds the step that writes the certificate, if the cluster does not have it. Traefik reads it while it runs.
pub(super) fn add_certificate(
    plan: &mut Plan,
    described: &Described,
    observed: &Observed,
    needs: impl IntoIterator<Item = StepId>,
) -> Option<StepId> {
    let wanted = described.certificate.as_ref()?;
    let found = observed.namespaces.get(&wanted.namespace).and_then(|secrets| secrets.get(SECRET));
    if wanted.is(found.and_then(Option::as_deref)) {
        return None;
    }
    let reason = format!("HTTPS for {}", wanted.hosts.join(", "));
    Some(plan.add(Step::LocalCertificate(wanted.clone()), reason, needs))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;

    use super::*;
    use crate::{domain::local_certificate::LocalCertificate, plan::graph::tests::lines};

    #[test]
    fn a_certificate_is_written_once() {
        let domain = ("tunes.localhost", &BTreeSet::new());
        let wanted = LocalCertificate::new("traefik", domain, Some("ca".to_owned()), Timestamp::UNIX_EPOCH);
        let checksum = wanted.checksum("ca");
        let described = Described { certificate: Some(wanted), ..Described::default() };
        let planned = |checksum: Option<String>| {
            let secrets = BTreeMap::from([(SECRET.to_owned(), checksum)]);
            let namespaces = BTreeMap::from([("traefik".to_owned(), secrets)]);
            let mut plan = Plan::default();
            add_certificate(&mut plan, &described, &Observed { namespaces, ..Observed::default() }, None);
            lines(&plan)
        };
        assert_eq!(planned(Some("old".to_owned())), ["apply certificate <- "]);
        assert_eq!(planned(Some(checksum)), Vec::<String>::new());
    }
}
