//! Rollouts: reads back from Traefik's own API that it uses what was written.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{Cluster, ClusterError},
        wait::{Wait, every},
    },
    domain::{
        Problem, ReleaseKey,
        objects::{ServiceAnswer, SplitService},
    },
    engine::StepFailure,
};

/// How often Traefik is asked.
const LOOK: Duration = Duration::from_millis(100);
/// How long an API without a response is asked: the route to it is as new as the weights. Traefik has loaded both by
/// then.
const READABLE: Duration = Duration::from_secs(5);
/// How long Traefik may take to use what was written.
const LOADED: Duration = Duration::from_mins(1);

/// What must be read back.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// The service at this path has ready pods of this release, and no others.
    Served { path: String, release: ReleaseKey },
    /// A router uses a service with these weights.
    Loaded(SplitService),
    /// No router uses the service at this path.
    Released(String),
}

/// What was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadBack {
    /// Every pod of Traefik uses what was written.
    Confirmed,
    /// There is no response of Traefik's API, for this reason: only the objects in the cluster were observed.
    Unreadable(String),
}

/// What one round of questions has found.
enum Round {
    Confirmed,
    /// Traefik does not use what was written, for this reason.
    Late(String),
    Unreadable(String),
}

impl Expected {
    fn path(&self) -> &str {
        match self {
            Self::Loaded(service) => &service.path,
            Self::Served { path, .. } | Self::Released(path) => path,
        }
    }

    fn is_met(&self, answer: &ServiceAnswer, ready: &BTreeSet<String>) -> bool {
        match self {
            Self::Loaded(service) => service.is_loaded(answer),
            Self::Served { .. } => answer.is_served_by(ready),
            Self::Released(_) => answer.is_released(),
        }
    }

    /// What is said while it is not met.
    fn late(&self) -> String {
        let service = self.path().rsplit('/').next().unwrap_or_default();
        match self {
            Self::Served { release, .. } => {
                format!("Traefik does not know the ready pods of {}: its EndpointSlices may be missing", release.name)
            }
            Self::Loaded(_) | Self::Released(_) => format!("{service} is not as it was written"),
        }
    }
}

impl Runner {
    /// Waits until every pod of Traefik uses what was written.
    pub(super) async fn read_back(
        &self,
        expected: &[Expected],
        cancel: &CancellationToken,
    ) -> Result<ReadBack, StepFailure> {
        let (mut readable, mut wait) = (Instant::now(), Wait::new(every(LOOK), LOADED));
        loop {
            let late = match self.ask_traefik(expected).await {
                Round::Confirmed => return Ok(ReadBack::Confirmed),
                Round::Unreadable(reason) if readable.elapsed() > READABLE => return Ok(ReadBack::Unreadable(reason)),
                Round::Unreadable(reason) => reason,
                Round::Late(reason) => {
                    readable = Instant::now();
                    reason
                }
            };
            let cause = "Traefik has not loaded the routes of the rollout within 60 s";
            let problem = Problem::new(cause).detail(late).help("look for errors in Traefik's log: cmdr logs traefik");
            wait.pause_or(problem, cancel).await?;
        }
    }

    async fn ask_traefik(&self, expected: &[Expected]) -> Round {
        let Ok(connection) = self.connected() else { return Round::Unreadable("no connection".to_owned()) };
        for expected in expected {
            match self.ask_about(&connection.cluster, expected).await {
                Ok(Round::Confirmed) => (),
                Ok(other) => return other,
                Err(error) => return Round::Unreadable(error.problem().message),
            }
        }
        Round::Confirmed
    }

    async fn ask_about(&self, cluster: &Cluster, expected: &Expected) -> Result<Round, ClusterError> {
        let ready = match expected {
            Expected::Served { release, .. } => cluster.ready_addresses(release).await?,
            Expected::Loaded(_) | Expected::Released(_) => BTreeSet::new(),
        };
        let answers = cluster.traefik_answers(&self.ingress, expected.path()).await?;
        if answers.is_empty() {
            return Ok(Round::Unreadable(format!("no pod of Traefik runs in the namespace {}", self.ingress)));
        }
        for (pod, status, body) in answers {
            match ServiceAnswer::read(status, &body) {
                ServiceAnswer::Unreadable(reason) => return Ok(Round::Unreadable(format!("{reason} from {pod}"))),
                answer if expected.is_met(&answer, &ready) => (),
                _ => return Ok(Round::Late(expected.late())),
            }
        }
        Ok(Round::Confirmed)
    }
}
