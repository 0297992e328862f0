//! Rollouts: reads back from Traefik's own API that it uses what was written.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::wait::{Wait, every},
    domain::{
        Problem,
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
    /// The service at this path has pods.
    Served(String),
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
            Self::Served(path) | Self::Released(path) => path,
        }
    }

    fn is_met(&self, answer: &ServiceAnswer) -> bool {
        match self {
            Self::Loaded(service) => service.is_loaded(answer),
            Self::Served(_) => matches!(answer, ServiceAnswer::Pods(pods) if *pods > 0),
            Self::Released(_) => answer.is_released(),
        }
    }

    /// What is said while it is not met.
    fn late(&self) -> String {
        let service = self.path().rsplit('/').next().unwrap_or_default();
        match self {
            Self::Served(_) => format!("{service} has no pods: the EndpointSlices of the new version may be missing"),
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
            let answers = match connection.cluster.traefik_answers(&self.ingress, expected.path()).await {
                Ok(answers) if answers.is_empty() => {
                    return Round::Unreadable(format!("no pod of Traefik runs in the namespace {}", self.ingress));
                }
                Ok(answers) => answers,
                Err(error) => return Round::Unreadable(error.problem().message),
            };
            for (pod, status, body) in answers {
                match ServiceAnswer::read(status, &body) {
                    ServiceAnswer::Unreadable(reason) => return Round::Unreadable(format!("{reason} from {pod}")),
                    answer if expected.is_met(&answer) => (),
                    _ => return Round::Late(expected.late()),
                }
            }
        }
        Round::Confirmed
    }
}
