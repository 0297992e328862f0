//! Which ports on 127.0.0.1 a local cluster publishes for HTTP and HTTPS. Fixed when the cluster is made.

use super::Name;

/// What browsers use when a URL names no port.
pub const STANDARD: Pair = Pair { http: 80, https: 443 };
/// What developers expect where the standard ports cannot be had.
pub const ALTERNATIVE: Pair = Pair { http: 8080, https: 8443 };
/// How many ports above [`ALTERNATIVE`] are tried.
const ATTEMPTS: u16 = 100;

/// A port for HTTP and one for HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub http: u16,
    pub https: u16,
}

/// What is known of a port on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    Free,
    /// The workspace's own cluster publishes it.
    Own,
    /// Somebody listens; `by` names the program or the cluster, when that can be told.
    Taken {
        by: Option<String>,
    },
    /// Nobody listens, and the Docker engine may not either: a rootless engine and a port below 1024.
    Forbidden,
}

/// The ports that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    pub http: u16,
    pub https: u16,
    /// A sentence for the user where these are not the ports he would expect.
    pub note: Option<String>,
}

/// Why no ports could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    #[error(
        "port {port} on 127.0.0.1, which projects.yaml names as environments.local.ports.{key}, is {}",
        because(state)
    )]
    Wanted { key: &'static str, port: u16, state: PortState },
    #[error("projects.yaml names port {0} for both http and https")]
    Same(u16),
    #[error("no free port on 127.0.0.1 between {first} and {last}")]
    Exhausted { first: u16, last: u16 },
}

impl PortsError {
    /// What the user can do.
    pub fn hint(&self, environment: &Name) -> String {
        match self {
            Self::Wanted { key, .. } => {
                format!(
                    "free the port, or name another one under environments.{environment}.ports.{key} in projects.yaml"
                )
            }
            Self::Same(_) => format!("give environment '{environment}' two different ports in projects.yaml"),
            Self::Exhausted { .. } => {
                format!("name free ports under environments.{environment}.ports in projects.yaml")
            }
        }
    }
}

impl PortState {
    pub fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

/// The state as it ends a sentence: `taken by nginx`.
fn because(state: &PortState) -> String {
    match state {
        PortState::Free => "free".to_owned(),
        PortState::Own => "this workspace's own".to_owned(),
        PortState::Taken { by: Some(holder) } => format!("taken by {holder}"),
        PortState::Taken { by: None } => "taken by another program".to_owned(),
        PortState::Forbidden => "forbidden to this Docker engine, which runs without root".to_owned(),
    }
}

/// Chooses the ports: what the user wrote, else 80 and 443, else 8080 and 8443, else the next free ones. Each of the
/// two is chosen for itself, but 80 is never paired with 8443: mixed pairs surprise more than they help.
///
/// `state` is asked for a port only when that port is considered.
///
/// # Errors
/// When a port that the user wrote cannot be had, or no free one is found.
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
    format!("{}: this cluster answers on port {http} (HTTP) and {https} (HTTPS) instead", reasons.join(", "))
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
    fn the_standard_ports_need_no_words() {
        assert_eq!(choose(None, None, except(&[])), Ok(Ports { http: 80, https: 443, note: None }));
    }

    #[test]
    fn one_taken_port_moves_both_and_says_why() {
        let ports = choose(None, None, except(&[80])).unwrap();
        assert_eq!((ports.http, ports.https), (8080, 8443));
        let note = "port 80 is taken by nginx: this cluster answers on port 8080 (HTTP) and 8443 (HTTPS) instead";
        assert_eq!(ports.note.as_deref(), Some(note));
    }

    #[test]
    fn one_holder_of_both_is_named_once() {
        let note = choose(None, None, except(&[80, 443])).unwrap().note.unwrap();
        assert!(note.starts_with("ports 80 and 443 are taken by nginx: this cluster answers on port 8080"), "{note}");
    }

    #[test]
    fn goes_on_to_the_next_free_ones() {
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
                .starts_with("ports 80 and 443 are forbidden to this Docker engine, which runs without root: ")
        );
    }

    #[test]
    fn a_wish_is_granted_or_refused_by_name() {
        assert_eq!(choose(Some(9000), None, except(&[80])), Ok(Ports { http: 9000, https: 443, note: None }));
        let error = choose(Some(9000), None, except(&[9000])).unwrap_err();
        let expected =
            "port 9000 on 127.0.0.1, which projects.yaml names as environments.local.ports.http, is taken by nginx";
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
