//! Looks into queues: by the program or the HTTP API of their broker, or by a command on this machine.
//!
//! Programs run in the broker's own container, with its variables: no password is on a command line.

mod answers;

use std::{path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    cluster::{
        Cluster, PodRequest,
        exec::{ExecEnd, ExecTarget, ReachablePod},
    },
    process::Tool,
};
use crate::domain::{
    Problem, ReleaseKey, labels,
    queues::{NamedQueue, Queue, QueueContent, QueueKind},
};

/// How long one look may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Kafka's script is not on PATH in all images, and has two names.
const KAFKA: &str = "PATH=\"$PATH:/opt/kafka/bin:/opt/bitnami/kafka/bin\"; name=kafka-consumer-groups.sh; \
                     command -v \"$name\" >/dev/null 2>&1 || name=kafka-consumer-groups; exec \"$name\" \"$@\"";
/// redis-cli reads the password from a variable of its own.
const REDIS: &str = "if [ -z \"$REDISCLI_AUTH\" ] && [ -n \"$REDIS_PASSWORD\" ]; then \
                     export REDISCLI_AUTH=\"$REDIS_PASSWORD\"; fi; exec redis-cli \"$@\"";
/// The variables are those of the official images.
const SQL: &str = "if command -v psql >/dev/null 2>&1; then \
    export PGPASSWORD=\"${PGPASSWORD:-$POSTGRES_PASSWORD}\"; user=\"${PGUSER:-${POSTGRES_USER:-postgres}}\"; \
    exec psql -X -q -t -A -U \"$user\" -d \"${PGDATABASE:-${POSTGRES_DB:-$user}}\" -c \"$1\"; fi; \
    export MYSQL_PWD=\"${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}\"; \
    name=mariadb; command -v mariadb >/dev/null 2>&1 || name=mysql; \
    exec \"$name\" -u root -N -B -e \"$1\" \"${MARIADB_DATABASE:-$MYSQL_DATABASE}\"";
const MANAGEMENT_PORT: u16 = 15672;
const MONITORING_PORT: u16 = 8222;

/// Looks into a queue. `folder` is that of the workspace, where a command runs.
///
/// # Errors
/// Why its content is not known.
pub async fn look(
    cluster: &Cluster,
    queue: &NamedQueue,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<QueueContent, Problem> {
    let asked = tokio::time::timeout(TIMEOUT, ask(cluster, queue, folder, cancel));
    let answer = asked.await.unwrap_or_else(|_| Err(format!("no response within {} s", TIMEOUT.as_secs())));
    answer.map_err(|reason| Problem::new(format!("cannot look into the queue '{}'", queue.name)).detail(reason))
}

async fn ask(
    cluster: &Cluster,
    NamedQueue { queue, broker, .. }: &NamedQueue,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<QueueContent, String> {
    let Some(broker) = broker else { return run(queue, folder, cancel).await };
    let pod = broker_pod(cluster, broker).await?;
    let asked = BrokerPod { cluster, pod: &pod, queue };
    match queue.kind {
        QueueKind::Rabbitmq => asked.rabbitmq().await,
        QueueKind::Kafka => asked.kafka().await,
        QueueKind::Redis => asked.redis().await,
        QueueKind::Nats => answers::nats(queue, &asked.get(MONITORING_PORT, "/jsz?consumers=true").await?),
        QueueKind::Sql => {
            let query = queue.query.as_deref().unwrap_or_default();
            answers::number(&asked.run(&["sh", "-c", SQL, "sh", query]).await?)
        }
        QueueKind::Http => {
            let port = pod.ports.first().map_or(80, |(_, port)| *port);
            answers::document(queue, &asked.get(port, queue.path.as_deref().unwrap_or("/")).await?)
        }
        QueueKind::Command => run(queue, folder, cancel).await,
    }
}

/// Runs a command on this machine.
async fn run(queue: &Queue, folder: &Path, cancel: &CancellationToken) -> Result<QueueContent, String> {
    let (program, arguments) = queue.command.split_first().ok_or("its command is empty")?;
    let ran = Tool::new(program).args(arguments).directory(folder).run(cancel).await;
    answers::number(&ran.map_err(|error| error.to_string())?.stdout)
}

/// A pod of the broker that is ready.
async fn broker_pod(cluster: &Cluster, broker: &ReleaseKey) -> Result<ReachablePod, String> {
    let pods = cluster.reachable_pods(&broker.namespace).await.map_err(|error| error.problem().message)?;
    let is_own = |pod: &ReachablePod| pod.labels.get(labels::INSTANCE).is_some_and(|it| *it == broker.name);
    let pod = pods.into_iter().find(|pod| is_own(pod) && pod.is_ready);
    pod.ok_or_else(|| format!("no pod of '{}' is ready", broker.name))
}

/// A queue in a pod of its broker.
struct BrokerPod<'a> {
    cluster: &'a Cluster,
    pod: &'a ReachablePod,
    queue: &'a Queue,
}

impl BrokerPod<'_> {
    async fn rabbitmq(&self) -> Result<QueueContent, String> {
        let Queue { queue, vhost, .. } = self.queue;
        if self.queue.login.is_some() {
            let path = format!("/api/queues/{}/{}", answers::encoded(vhost), answers::encoded(queue));
            return answers::rabbitmq_queue(queue, &self.get(MANAGEMENT_PORT, &path).await?);
        }
        let columns = ["name", "messages_ready", "messages_unacknowledged", "consumers"];
        let command = [&["rabbitmqctl", "--quiet", "list_queues", "-p", vhost, "--formatter", "json"], &columns[..]];
        answers::rabbitmq_list(queue, &self.run(&command.concat()).await?)
    }

    async fn kafka(&self) -> Result<QueueContent, String> {
        let server = format!("localhost:{}", self.queue.port.unwrap_or(9092));
        let group = self.queue.group.as_deref().unwrap_or_default();
        let options = ["--bootstrap-server", &server, "--describe", "--group", group];
        answers::kafka(&self.queue.queue, &self.run(&[&["sh", "-c", KAFKA, "sh"], &options[..]].concat()).await?)
    }

    async fn redis(&self) -> Result<QueueContent, String> {
        let (port, name) = (self.queue.port.unwrap_or(6379).to_string(), self.queue.queue.as_str());
        let run =
            async |words: &[&str]| self.run(&[&["sh", "-c", REDIS, "sh", "-p", &port, "--raw"], words].concat()).await;
        match &self.queue.group {
            None => answers::number(&run(&["LLEN", name]).await?),
            Some(group) => answers::redis_group(group, &run(&["XINFO", "GROUPS", name]).await?),
        }
    }

    /// Runs a command in the broker's container, and returns its output.
    async fn run(&self, command: &[&str]) -> Result<String, String> {
        let container = self.pod.containers.first().cloned().unwrap_or_default();
        let (namespace, pod) = (self.pod.namespace.clone(), self.pod.name.clone());
        let target = ExecTarget { namespace, pod, container };
        let printed = self.cluster.output(&target, command).await.map_err(|error| error.problem().message)?;
        let (output, errors) = (printed.stdout.trim(), printed.stderr.trim());
        match printed.end {
            ExecEnd::Exited(0) | ExecEnd::OutputClosed => Ok(output.to_owned()),
            ExecEnd::Exited(code) => Err(format!("exit code {code}: {}", answers::reason(errors, output))),
            ExecEnd::NotFound(reason) | ExecEnd::Failed(reason) => Err(reason),
        }
    }

    /// Requests a path from the broker's pod.
    async fn get(&self, default_port: u16, path: &str) -> Result<Vec<u8>, String> {
        let (namespace, pod) = (self.pod.namespace.as_str(), self.pod.name.as_str());
        let port = self.queue.port.unwrap_or(default_port);
        let failed = |error: super::cluster::ClusterError| error.problem().message;
        let mut login = None;
        let mut data = None;
        if let Some(written) = &self.queue.login {
            data = self.cluster.secret_data(namespace, &written.secret).await.map_err(failed)?;
            let password = data.as_ref().and_then(|data| data.get(&written.key));
            let missing = || format!("the Secret '{}' has no key '{}'", written.secret, written.key);
            login = Some((written.user.as_str(), password.ok_or_else(missing)?));
        }
        let request = PodRequest { namespace, pod, port, path, login };
        let answer = self.cluster.request_pod(&request).await.map_err(failed)?;
        drop(data);
        match answer {
            Some((200, body)) => Ok(body),
            Some((404, _)) => Err(format!("HTTP 404 from port {port} of {pod}: not found: {path}")),
            Some((status, _)) => Err(format!("HTTP {status} from port {port} of {pod}")),
            None => Err(format!("no HTTP response from port {port} of {pod}")),
        }
    }
}
