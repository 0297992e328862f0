//! A program in the network of a pod that passes connections on to this machine, and routes those of this machine to
//! Services as connections of the pod.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_util::{
    compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt},
    task::AbortOnDropHandle,
};
use yamux::{Config, Connection, Mode, Stream};

use crate::{
    adapters::docker::{AttachedExec, Docker, DockerError},
    domain::local_run::{AddressBook, PortPair},
};

const ATTACH: &str = include_str!("attach.sh");
const RELAY: &str = include_str!("relay.pl");
/// How long the program may take to start.
const START: Duration = Duration::from_secs(20);
/// The most connections at once.
const MOST_CONNECTIONS: usize = 4096;
/// The rules in the network of a pod.
const TABLE: &str = "cmdr_local_run";
/// How often, and at which interval, the end of the program is checked.
const RESTORE_LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(100);
/// Routes a block of addresses to a pod, and has the node answer for them in the Docker network.
const ROUTE: &str = r#"
block=$1 pod=$2
device=$(ip route get "$pod" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
echo 1 > /proc/sys/net/ipv4/conf/eth0/proxy_arp
ip route replace "$block" via "$pod" dev "$device" onlink
"#;

/// A pod in whose network the program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedPod {
    pub namespace: String,
    pub name: String,
    pub address: Ipv4Addr,
}

/// The running program. The pod's network is as before when this is dropped, also by the end of cmdr.
#[derive(Debug)]
pub struct PodRelay {
    docker: Docker,
    node: String,
    /// A process in the network of the pod.
    process: String,
    /// Where the program listens, by port of the container.
    listeners: BTreeMap<u16, u16>,
    serving: AbortOnDropHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("cannot take part in the network of the pod {pod}: {why}")]
    Start { pod: String, why: String },
}

impl PodRelay {
    /// Starts the program in the network of a pod. Traffic is unchanged until [`PodRelay::receive`].
    ///
    /// # Errors
    /// If the engine returns an error, or the program does not start.
    pub async fn attach(docker: &Docker, node: &str, pod: &RelayedPod, ports: &[PortPair]) -> Result<Self, RelayError> {
        let (address, numbers) = (pod.address.to_string(), ports.iter().map(|port| port.container.to_string()));
        let numbers: Vec<String> = numbers.collect();
        let mut args = vec!["bash", "-c", ATTACH, "attach", RELAY, &pod.namespace, &pod.name, &address];
        args.extend(numbers.iter().map(String::as_str));
        let mut exec = docker.attach(node, &args).await?;
        let started = timeout(START, started(&mut exec)).await;
        let why = |why: String| RelayError::Start { pod: pod.name.clone(), why };
        let started = started.map_err(|_| why(format!("timed out after {} s", START.as_secs())))?;
        let (process, listeners) = started.map_err(why)?;
        let locals = ports.iter().map(|port| (port.container, port.local)).collect();
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(exec, locals)));
        Ok(Self { docker: docker.clone(), node: node.to_owned(), process, listeners, serving })
    }

    /// Whether the program has ended, usually because its pod has.
    pub fn is_ended(&self) -> bool {
        self.serving.is_finished()
    }

    /// Ends the program, and waits until the pod's network is as before.
    ///
    /// # Errors
    /// If the engine returns an error. A pod that has ended counts as restored.
    pub async fn end(self) -> Result<bool, RelayError> {
        let namespace = self.namespace();
        let Self { docker, node, serving, .. } = self;
        drop(serving);
        let list = ["nsenter", &namespace, "nft", "list", "table", "ip", TABLE];
        for _ in 0..RESTORE_LOOKS {
            if docker.exec(&node, &list).await?.exit_code != 0 {
                return Ok(true);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(false)
    }

    /// Passes connections to these ports of the pod to this machine, from now on.
    ///
    /// # Errors
    /// If the engine returns an error, or the program has ended.
    pub async fn receive(&self, ports: impl Iterator<Item = u16>) -> Result<(), RelayError> {
        let pairs: Vec<(u16, u16)> = ports.filter_map(|port| Some((port, *self.listeners.get(&port)?))).collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let list = |text: fn(&(u16, u16)) -> String| pairs.iter().map(text).collect::<Vec<_>>().join(", ");
        let (mapped, received) = (list(|(port, own)| format!("{port} : {own}")), list(|(port, _)| port.to_string()));
        let rules =
            format!("add element ip {TABLE} ports {{ {mapped} }}; add element ip {TABLE} received {{ {received} }}");
        self.change(&rules).await?;
        // Connections that are idle end at once where the kernel allows it, and at their next use otherwise.
        let namespace = self.namespace();
        for (port, _) in &pairs {
            let source = format!("sport = :{port}");
            self.docker.exec(&self.node, &["nsenter", &namespace, "ss", "-K", "-t", &source]).await?;
        }
        Ok(())
    }

    /// Routes the addresses of the book through this pod.
    ///
    /// # Errors
    /// As [`PodRelay::receive`].
    pub async fn route(&self, book: &AddressBook, pod: &RelayedPod) -> Result<(), RelayError> {
        self.change(&format!("add element ip {TABLE} services {{ {} }}", book.map())).await?;
        let (block, address) = (book.block.to_string(), pod.address.to_string());
        self.run(&["bash", "-c", ROUTE, "route", &block, &address]).await
    }

    /// Changes the rules of the pod, which exist as long as the program runs.
    async fn change(&self, rule: &str) -> Result<(), RelayError> {
        self.run(&["nsenter", &self.namespace(), "nft", rule]).await
    }

    /// The option of `nsenter` for the network of the pod.
    fn namespace(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.process)
    }

    async fn run(&self, args: &[&str]) -> Result<(), RelayError> {
        let output = self.docker.exec(&self.node, args).await?;
        if output.exit_code == 0 {
            return Ok(());
        }
        Err(RelayError::Start { pod: format!("of process {}", self.process), why: output.stderr.trim().to_owned() })
    }
}

/// Waits until the program listens. Returns its process, and its listeners by port of the container.
async fn started(exec: &mut AttachedExec) -> Result<(String, BTreeMap<u16, u16>), String> {
    let (mut process, mut listeners, mut others) = (None, BTreeMap::<u16, u16>::new(), Vec::new());
    while let Ok(Some(line)) = exec.errors.next_line().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ready"] => return process.map(|process| (process, listeners)).ok_or_else(|| others.join("; ")),
            ["process", id] => process = Some((*id).to_owned()),
            [port, listener] => match (port.parse(), listener.parse()) {
                (Ok(port), Ok(listener)) => drop(listeners.insert(port, listener)),
                _ => others.push(line),
            },
            _ => others.push(line),
        }
    }
    Err(others.join("; "))
}

/// Passes connections on until the program ends.
async fn serve(exec: AttachedExec, locals: BTreeMap<u16, u16>) {
    // The streams end when all of these are dropped.
    let AttachedExec { input, output, errors: _errors, passing: _passing } = exec;
    let mut config = Config::default();
    config.set_max_num_streams(MOST_CONNECTIONS);
    let mut connection = Connection::new(tokio::io::join(output, input).compat(), config, Mode::Server);
    while let Some(Ok(stream)) = std::future::poll_fn(|context| connection.poll_next_inbound(context)).await {
        tokio::spawn(pass_on(stream, locals.clone()));
    }
}

/// Connects to the process. If it does not accept the connection, the other side sees it reset.
async fn pass_on(stream: Stream, locals: BTreeMap<u16, u16>) {
    let mut stream = stream.compat();
    let Ok(port) = stream.read_u16().await else { return };
    let Some(local) = locals.get(&port) else { return };
    if let Ok(mut process) = connect(*local).await {
        let _ = process.set_nodelay(true);
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut process).await;
    }
}

/// Connects to a port of this machine, where programs listen for IPv4, IPv6 or both.
///
/// # Errors
/// If nothing accepts the connection.
pub async fn connect(port: u16) -> std::io::Result<TcpStream> {
    match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(connection) => Ok(connection),
        Err(_) => TcpStream::connect(("::1", port)).await,
    }
}
