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
    /// The domain of the environment; that of the original for a copy.
    pub domain: String,
    /// A wildcard for the domain, the domain itself, and the hosts that these do not cover.
    pub hosts: Vec<String>,
    /// The fingerprint of the authority; `None` if it does not exist yet.
    pub authority: Option<String>,
    /// The period in which it is made.
    pub period: i64,
}

impl LocalCertificate {
    /// Returns the certificate of the hosts of an environment, or of a copy of one.
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
            domain: domain.to_owned(),
            hosts: own.chain(hosts.iter().filter(|host| !covered(host)).cloned()).collect(),
            authority,
            period: now.as_second() / (PERIOD_DAYS * DAY_SECONDS),
        }
    }

    /// Returns what it is made from: a checksum of the period and of the authority that signs it, given by its
    /// fingerprint, then the hosts.
    pub fn checksum(&self, authority: &str) -> String {
        format!("{} {}", self.signed_by(authority), self.hosts.join(" "))
    }

    fn signed_by(&self, authority: &str) -> String {
        sha256(format!("{authority}\n{}", self.period).as_bytes())[..20].to_owned()
    }

    /// Whether a certificate with this checksum serves all hosts. It may have others, those of copies.
    pub fn is(&self, checksum: Option<&str>) -> bool {
        let Some((authority, checksum)) = self.authority.as_ref().zip(checksum) else { return false };
        let mut made_from = checksum.split(' ');
        let (signed_by, hosts) = (made_from.next(), made_from.collect::<BTreeSet<_>>());
        signed_by == Some(&self.signed_by(authority)) && self.hosts.iter().all(|host| hosts.contains(host.as_str()))
    }

    /// Adds the hosts of the certificate with this checksum, which it replaces, but not those of copies that no longer
    /// exist. `copies` are the names of all that do.
    pub fn keep_hosts(&mut self, checksum: &str, copies: &[&str]) {
        let below = format!(".{}", self.domain);
        // The domain of a copy is its name below the domain of the original.
        let is_kept = |host: &&str| match host.trim_start_matches("*.").strip_suffix(&below) {
            Some(name) if !name.contains('.') => copies.contains(&name),
            _ => true,
        };
        let kept: Vec<String> = checksum.split(' ').skip(1).filter(is_kept).map(str::to_owned).collect();
        for host in kept {
            if !self.hosts.contains(&host) {
                self.hosts.push(host);
            }
        }
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

    #[test]
    fn it_keeps_the_hosts_of_copies_that_exist() {
        let mut one = certificate(&["shop.example.com"], 30);
        let mut copies = one.clone();
        let others = ["*.fix.tunes.localhost", "fix.tunes.localhost", "*.old.tunes.localhost", "a.b.tunes.localhost"];
        copies.hosts.extend(others.map(str::to_owned));
        let checksum = copies.checksum("ca");
        assert!(one.is(Some(&checksum)));
        let own = one.hosts.clone();
        one.keep_hosts(&checksum, &["fix"]);
        assert_eq!(one.hosts[..own.len()], own);
        assert_eq!(one.hosts[own.len()..], ["*.fix.tunes.localhost", "fix.tunes.localhost", "a.b.tunes.localhost"]);
    }
}
