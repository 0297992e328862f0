//! Selects the ports on 127.0.0.1 that a local cluster publishes for HTTP and HTTPS. They are fixed at creation.

use super::Name;

/// The default ports of browsers.
pub const STANDARD: Pair = Pair { http: 80, https: 443 };
/// The ports that developers expect if the standard ports are not available.
pub const ALTERNATIVE: Pair = Pair { http: 8080, https: 8443 };
/// How many ports above [`ALTERNATIVE`] are tried.
const ATTEMPTS: u16 = 100;

/// A port for HTTP and one for HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub http: u16,
    pub https: u16,
}

/// The state of a port on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    Free,
    /// Published by the cluster of this workspace.
    Own,
    /// In use; `by` is the program or the cluster, if known.
    Taken {
        by: Option<String>,
    },
    /// Not in use, but the Docker engine is not allowed to use it: a rootless engine and a port below 1024.
    Forbidden,
}

/// The selected ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    pub http: u16,
    pub https: u16,
    /// A note for the user if these are not the default ports.
    pub note: Option<String>,
}

/// Why no ports could be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    #[error("port {port} on 127.0.0.1 (environments.local.ports.{key} in projects.yaml) is {}", because(state))]
    Wanted { key: &'static str, port: u16, state: PortState },
    #[error("projects.yaml sets port {0} for both http and https")]
    Same(u16),
    #[error("no free port on 127.0.0.1 between {first} and {last}")]
    Exhausted { first: u16, last: u16 },
}

impl PortsError {
    /// Returns how to fix it.
    pub fn hint(&self, environment: &Name) -> String {
        match self {
            Self::Wanted { key, .. } => {
                format!("free the port, or set another one as environments.{environment}.ports.{key} in projects.yaml")
            }
            Self::Same(_) => format!("set two different ports for environment '{environment}' in projects.yaml"),
            Self::Exhausted { .. } => {
                format!("set free ports under environments.{environment}.ports in projects.yaml")
            }
        }
    }
}

impl PortState {
    pub fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

/// Returns the state as the end of a sentence: `in use by nginx`.
pub fn because(state: &PortState) -> String {
    match state {
        PortState::Free => "free".to_owned(),
        PortState::Own => "in use by this workspace".to_owned(),
        PortState::Taken { by: Some(holder) } => format!("in use by {holder}"),
        PortState::Taken { by: None } => "in use by another program".to_owned(),
        PortState::Forbidden => "not allowed for this Docker engine, which runs rootless".to_owned(),
    }
}

/// Selects the ports: those that the user set, or 80 and 443, or 8080 and 8443, or the next free ones. The two are
/// selected independently, but 80 is never combined with 8443, because mixed pairs are confusing.
///
/// `state` is only called for ports that are candidates.
///
/// # Errors
/// Fails if a port that the user set is not available, or if no free port is found.
pub fn choose(
    wanted_http: Option<u16>,
    wanted_https: Option<u16>,
    mut state: impl FnMut(u16) -> PortState,
) -> Result<Ports, PortsError> {
    if let (Some(http), Some(https)) = (wanted_http, wanted_https)
        && http == https
    {
        return Err(PortsError::Same(http));
    }
    check_wanted("http", wanted_http, &mut state)?;
    check_wanted("https", wanted_https, &mut state)?;
    let obstacles =
        [(wanted_http, STANDARD.http), (wanted_https, STANDARD.https)].map(|(wanted, standard)| match wanted {
            Some(_) => None,
            None => Some((standard, state(standard))).filter(|(_, state)| !state.is_free()),
        });
    let obstacles: Vec<_> = obstacles.into_iter().flatten().collect();
    let base = if obstacles.is_empty() { STANDARD } else { ALTERNATIVE };
    let http = match wanted_http {
        Some(port) => port,
        None => next_free(base.http, wanted_https, &mut state)?,
    };
    let https = match wanted_https {
        Some(port) => port,
        None => next_free(base.https, Some(http), &mut state)?,
    };
    let note = (!obstacles.is_empty()).then(|| note(&obstacles, http, https));
    Ok(Ports { http, https, note })
}

fn check_wanted(
    key: &'static str,
    wanted: Option<u16>,
    state: &mut impl FnMut(u16) -> PortState,
) -> Result<(), PortsError> {
    let Some(port) = wanted else { return Ok(()) };
    match state(port) {
        PortState::Free => Ok(()),
        state => Err(PortsError::Wanted { key, port, state }),
    }
}

fn next_free(first: u16, without: Option<u16>, state: &mut impl FnMut(u16) -> PortState) -> Result<u16, PortsError> {
    let last = first.saturating_add(ATTEMPTS);
    (first..=last)
        .filter(|port| Some(*port) != without)
        .find(|port| state(*port).is_free())
        .ok_or(PortsError::Exhausted { first, last })
}

fn note(obstacles: &[(u16, PortState)], http: u16, https: u16) -> String {
    let reasons: Vec<String> = match obstacles {
        [(one, state), (other, same)] if state == same => {
            vec![format!("ports {one} and {other} are {}", because(state))]
        }
        _ => obstacles.iter().map(|(port, state)| format!("port {port} is {}", because(state))).collect(),
    };
    format!("{}: this cluster uses ports {http} (HTTP) and {https} (HTTPS) instead", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(by: &str) -> PortState {
        PortState::Taken { by: Some(by.to_owned()) }
    }

    fn except(taken_ports: &'static [u16]) -> impl FnMut(u16) -> PortState {
        |port| if taken_ports.contains(&port) { taken("nginx") } else { PortState::Free }
    }

    #[test]
    fn the_standard_ports_need_no_note() {
        assert_eq!(choose(None, None, except(&[])), Ok(Ports { http: 80, https: 443, note: None }));
    }

    #[test]
    fn one_port_in_use_changes_both_with_a_note() {
        let ports = choose(None, None, except(&[80])).unwrap();
        assert_eq!((ports.http, ports.https), (8080, 8443));
        let note = "port 80 is in use by nginx: this cluster uses ports 8080 (HTTP) and 8443 (HTTPS) instead";
        assert_eq!(ports.note.as_deref(), Some(note));
    }

    #[test]
    fn one_holder_of_both_is_named_once() {
        let note = choose(None, None, except(&[80, 443])).unwrap().note.unwrap();
        assert!(note.starts_with("ports 80 and 443 are in use by nginx: this cluster uses ports 8080"), "{note}");
    }

    #[test]
    fn continues_with_the_next_free_ports() {
        let ports = choose(None, None, except(&[443, 8080, 8081, 8443])).unwrap();
        assert_eq!((ports.http, ports.https), (8082, 8444));
    }

    #[test]
    fn forbidden_ports_are_explained() {
        let ports =
            choose(None, None, |port| if port < 1024 { PortState::Forbidden } else { PortState::Free }).unwrap();
        assert_eq!((ports.http, ports.https), (8080, 8443));
        assert!(
            ports
                .note
                .unwrap()
                .starts_with("ports 80 and 443 are not allowed for this Docker engine, which runs rootless: ")
        );
    }

    #[test]
    fn a_configured_port_is_used_or_refused() {
        assert_eq!(choose(Some(9000), None, except(&[80])), Ok(Ports { http: 9000, https: 443, note: None }));
        let error = choose(Some(9000), None, except(&[9000])).unwrap_err();
        let expected = "port 9000 on 127.0.0.1 (environments.local.ports.http in projects.yaml) is in use by nginx";
        assert_eq!(error.to_string(), expected);
        assert_eq!(choose(Some(9000), Some(9000), except(&[])), Err(PortsError::Same(9000)));
    }

    #[test]
    fn never_gives_one_port_twice() {
        let ports = choose(None, Some(8080), except(&[80])).unwrap();
        assert_eq!((ports.http, ports.https), (8081, 8080));
        assert!(matches!(choose(None, None, |_| PortState::Forbidden), Err(PortsError::Exhausted { first: 8080, .. })));
    }
}
