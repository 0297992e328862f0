//! The certificate of a local cluster: its hosts, and when it is made again.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::digest::sha256;

/// The name of its Secret in the namespace of Traefik.
pub const SECRET: &str = "cmdr-local-tls";
/// How long a certificate is valid. Browsers accept at most 398 days.
pub const VALID_DAYS: i64 = 90;
/// A new certificate is made once in each period of this length.
const PERIOD_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

/// The desired certificate of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCertificate {
    /// The namespace of Traefik.
    pub namespace: String,
    /// A wildcard for the domain, the domain itself, and the hosts that these do not cover.
    pub hosts: Vec<String>,
    /// The fingerprint of the authority; `None` if it does not exist yet.
    pub authority: Option<String>,
    /// The period in which it is made.
    pub period: i64,
}

impl LocalCertificate {
    /// Returns the certificate of the hosts of an environment.
    pub fn new(
        namespace: &str,
        (domain, hosts): (&str, &BTreeSet<String>),
        authority: Option<String>,
        now: Timestamp,
    ) -> Self {
        let below = format!(".{domain}");
        let covered = |host: &str| host == domain || host.strip_suffix(&below).is_some_and(|it| !it.contains('.'));
        let own = [format!("*.{domain}"), domain.to_owned()].into_iter();
        Self {
            namespace: namespace.to_owned(),
            hosts: own.chain(hosts.iter().filter(|host| !covered(host)).cloned()).collect(),
            authority,
            period: now.as_second() / (PERIOD_DAYS * DAY_SECONDS),
        }
    }

    /// Returns a checksum of everything that it is made from, with the fingerprint of the authority that signs it.
    pub fn checksum(&self, authority: &str) -> String {
        sha256(format!("{authority}\n{}\n{}", self.hosts.join(" "), self.period).as_bytes())[..20].to_owned()
    }

    /// Whether a certificate with this checksum is the desired one.
    pub fn is(&self, checksum: Option<&str>) -> bool {
        self.authority.as_ref().is_some_and(|authority| checksum == Some(self.checksum(authority).as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(hosts: &[&str], day: i64) -> LocalCertificate {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let now = Timestamp::from_second(day * DAY_SECONDS).unwrap();
        LocalCertificate::new("traefik", ("tunes.localhost", &hosts), Some("ca".to_owned()), now)
    }

    #[test]
    fn hosts_that_the_wildcard_covers_are_not_listed() {
        let hosts = ["shop.tunes.localhost", "tunes.localhost", "a.b.tunes.localhost", "mytunes.localhost"];
        let expected = ["*.tunes.localhost", "tunes.localhost", "a.b.tunes.localhost", "mytunes.localhost"];
        assert_eq!(certificate(&hosts, 0).hosts, expected);
    }

    #[test]
    fn it_is_made_again_for_other_hosts_another_authority_and_in_each_period() {
        let one = certificate(&[], 30);
        let checksum = one.checksum("ca");
        assert!(one.is(Some(&checksum)) && certificate(&["shop.tunes.localhost"], 59).is(Some(&checksum)));
        assert!(!certificate(&["shop.example.com"], 30).is(Some(&checksum)));
        assert!(!certificate(&[], 60).is(Some(&checksum)) && !one.is(None));
        assert!(!LocalCertificate { authority: None, ..one }.is(Some(&checksum)));
    }
}
