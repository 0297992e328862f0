//! Queues that a project consumes: how they are asked, and what they contain.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Name, ReleaseKey};

/// The program or the API that knows a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    Rabbitmq,
    Kafka,
    Redis,
    Nats,
    Sql,
    Http,
    Command,
}

impl QueueKind {
    /// Reads a kind from `projects.yaml`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rabbitmq" => Self::Rabbitmq,
            "kafka" => Self::Kafka,
            "redis" => Self::Redis,
            "nats" => Self::Nats,
            "sql" => Self::Sql,
            "http" => Self::Http,
            "command" => Self::Command,
            _ => return None,
        })
    }
}

/// How a producer is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closure {
    /// Its routes answer 503, and its pods run on.
    Maintenance,
    /// It is scaled to 0; a `CronJob` is suspended.
    Stop,
}

/// A user of a management API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLogin {
    pub user: String,
    pub secret: String,
    pub key: String,
}

/// An entry of `queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub kind: QueueKind,
    /// The project of the broker; `None` for a command.
    pub at: Option<Name>,
    /// The queue, topic, list or stream.
    pub queue: String,
    pub vhost: String,
    pub group: Option<String>,
    pub port: Option<u16>,
    pub query: Option<String>,
    pub path: Option<String>,
    pub value: Option<String>,
    pub command: Vec<String>,
    pub login: Option<QueueLogin>,
    pub producers: BTreeMap<Name, Closure>,
}

/// An entry of `queues` with the release of its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQueue {
    pub name: String,
    pub queue: Queue,
    pub broker: Option<ReleaseKey>,
}

/// What a look at a queue has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct QueueContent {
    /// Messages that no consumer has.
    pub ready: u64,
    /// Messages that a consumer has not acknowledged.
    pub unacknowledged: u64,
    /// `None` if the kind does not report them.
    pub consumers: Option<u64>,
}

impl QueueContent {
    pub fn is_empty(self) -> bool {
        self.messages() == 0
    }

    pub fn messages(self) -> u64 {
        self.ready.saturating_add(self.unacknowledged)
    }

    /// `12 ready, 3 unacknowledged, 2 consumers`
    pub fn describe(self) -> String {
        let consumers = match self.consumers {
            Some(1) => ", 1 consumer".to_owned(),
            Some(count) => format!(", {count} consumers"),
            None => String::new(),
        };
        format!("{} ready, {} unacknowledged{consumers}", self.ready, self.unacknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacknowledged_messages_are_still_in_the_queue() {
        let content = QueueContent { ready: 0, unacknowledged: 3, consumers: Some(1) };
        assert!(!content.is_empty() && QueueContent::default().is_empty());
        assert_eq!(content.describe(), "0 ready, 3 unacknowledged, 1 consumer");
    }
}
