//! An open-loop client: it sends requests at a fixed rate, whether or not the answers keep up, and counts which version
//! answered.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How long the answers to the last requests of a window are awaited.
const LAST: Duration = Duration::from_secs(1);
/// The limit of one request.
const LIMIT: Duration = Duration::from_secs(10);

/// A request without a good answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// When it was sent, from the start of the client.
    sent: Duration,
    reason: String,
}

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// The number of answers by version.
    pub by_version: BTreeMap<String, u64>,
    pub failed: Vec<Failure>,
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.by_version.values().sum()
    }

    /// The share of a version, in percent.
    pub(crate) fn share(&self, version: &str) -> f64 {
        let own = self.by_version.get(version).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "numbers of requests are small")]
        let share = 100.0 * own as f64 / self.total().max(1) as f64;
        share
    }

    /// How many requests failed for each reason, and when the first and the last of them were sent.
    pub(crate) fn failures(&self) -> String {
        let mut by_reason = BTreeMap::<&str, Vec<Duration>>::new();
        for failure in &self.failed {
            by_reason.entry(&failure.reason).or_default().push(failure.sent);
        }
        let line = |(reason, sent): (&&str, &Vec<Duration>)| {
            let (first, last) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
            format!("  {} of {}, sent from {first:.1?} to {last:.1?}: {reason}\n", sent.len(), self.total())
        };
        by_reason.iter().map(line).collect()
    }
}

/// The answers by the window in which their requests were sent. A busy machine answers late, from before a change.
type Windows = Arc<Mutex<Vec<Counts>>>;

/// A running client.
pub(crate) struct Load {
    windows: Windows,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts to send `rate` requests in each second to a host at a port of this machine. The version is the `message`
    /// of podinfo.
    pub(crate) fn start(port: u16, host: &str, rate: u32) -> Self {
        Self::with_headers(port, host, rate, &[])
    }

    pub(crate) fn with_headers(port: u16, host: &str, rate: u32, headers: &[(&str, &str)]) -> Self {
        let (host, headers) =
            (host.to_owned(), headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let headers: Vec<(String, String)> = headers.collect();
        Self::spawn(rate, move || Client::Http(HttpClient::new(port, host, headers)))
    }

    /// As [`Self::start`], with gRPC calls of podinfo's `info.InfoService/Info`.
    pub(crate) fn of_calls(port: u16, host: &str, rate: u32) -> Self {
        let host = host.to_owned();
        Self::spawn(rate, move || Client::Grpc(GrpcClient::new(port, &host)))
    }

    fn spawn(rate: u32, client: impl FnOnce() -> Client + Send + 'static) -> Self {
        let windows = Windows::new(Mutex::new(vec![Counts::default()]));
        let (counts, stop) = (Arc::clone(&windows), CancellationToken::new());
        let cancel = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(send(client(), rate, &counts, &cancel));
        });
        Self { windows, stop, thread: Some(thread) }
    }

    /// What is answered of the requests that are sent within a time from now.
    pub(crate) fn during(&mut self, time: Duration) -> Counts {
        let window = self.start_window();
        thread::sleep(time);
        self.start_window();
        // The last requests are still under way.
        thread::sleep(LAST);
        self.windows.lock().unwrap()[window].clone()
    }

    /// Returns its position.
    fn start_window(&self) -> usize {
        let mut windows = self.windows.lock().unwrap();
        windows.push(Counts::default());
        windows.len() - 1
    }

    /// Stops, waits for the last answers, and returns everything.
    pub(crate) fn finish(mut self) -> Counts {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()), "the client has failed");
        let mut all = Counts::default();
        for counts in self.windows.lock().unwrap().drain(..) {
            for (version, number) in counts.by_version {
                *all.by_version.entry(version).or_default() += number;
            }
            all.failed.extend(counts.failed);
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn send(client: Client, rate: u32, windows: &Windows, stop: &CancellationToken) {
    let mut requests = tokio::task::JoinSet::new();
    let start = Instant::now();
    for number in 1_u32.. {
        if stop.is_cancelled() {
            break;
        }
        let (client, windows) = (client.clone(), Arc::clone(windows));
        let (window, sent) = (windows.lock().unwrap().len() - 1, start.elapsed());
        requests.spawn(async move {
            let answer = tokio::time::timeout(LIMIT, client.version()).await;
            let mut windows = windows.lock().unwrap();
            let counts = &mut windows[window];
            match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(version) => *counts.by_version.entry(version).or_default() += 1,
                Err(reason) => counts.failed.push(Failure { sent, reason }),
            }
        });
        while requests.try_join_next().is_some() {}
        let due = start + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
    }
    while requests.join_next().await.is_some() {}
}

/// What sends the requests.
#[derive(Clone)]
enum Client {
    Http(HttpClient),
    Grpc(GrpcClient),
}

impl Client {
    /// The version that answers.
    async fn version(self) -> Result<String, String> {
        match self {
            Self::Http(client) => client.version().await,
            Self::Grpc(client) => client.version().await,
        }
    }
}

#[derive(Clone)]
struct HttpClient {
    client: reqwest::Client,
    url: String,
    host: String,
    headers: Vec<(String, String)>,
}

impl HttpClient {
    fn new(port: u16, host: String, headers: Vec<(String, String)>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, url: format!("http://127.0.0.1:{port}/"), host, headers }
    }

    async fn version(self) -> Result<String, String> {
        let mut request = self.client.get(&self.url).header("Host", &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(shown)?;
        let (status, body) = (response.status(), response.text().await.map_err(shown)?);
        let json: serde_json::Value = serde_json::from_str(&body).map_err(|_| format!("{status}: {body}"))?;
        match json["message"].as_str() {
            Some(version) if status == 200 => Ok(version.to_owned()),
            _ => Err(format!("{status}: {body}")),
        }
    }
}

/// The frame of an empty message.
const EMPTY: &[u8] = b"\0\0\0\0\0";
/// The key of the field `message` of podinfo's answer: a text with the number 6.
const MESSAGE: u8 = 6 << 3 | 2;

/// How many calls are sent on one connection: h2 closes one with many small or empty frames.
const CALLS: u32 = 50;

type Connection = h2::client::SendRequest<&'static [u8]>;

#[derive(Clone)]
struct GrpcClient {
    port: u16,
    url: String,
    /// The connection of the last call, and how many calls it has had.
    used: Arc<tokio::sync::Mutex<Option<(Connection, u32)>>>,
}

impl GrpcClient {
    fn new(port: u16, host: &str) -> Self {
        Self { port, url: format!("http://{host}/info.InfoService/Info"), used: Arc::default() }
    }

    async fn connection(&self) -> Result<Connection, String> {
        let mut used = self.used.lock().await;
        let (connection, calls) = match used.take().filter(|(_, calls)| *calls < CALLS) {
            Some(used) => used,
            None => (self.connect().await?, 0),
        };
        *used = Some((connection.clone(), calls + 1));
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.map_err(shown)?;
        let (connection, driver) = h2::client::Builder::new().handshake(stream).await.map_err(shown)?;
        tokio::spawn(driver);
        Ok(connection)
    }

    async fn version(self) -> Result<String, String> {
        let request = http::Request::post(&self.url).header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).map_err(shown)?;
        let mut connection = self.connection().await?.ready().await.map_err(shown)?;
        let (response, mut body) = connection.send_request(request, false).map_err(shown)?;
        body.send_data(EMPTY, true).map_err(shown)?;
        let response = response.await.map_err(shown)?;
        let (status, code) = (response.status(), response.headers().get("grpc-status").cloned());
        let (mut stream, mut frame) = (response.into_body(), Vec::new());
        while let Some(part) = stream.data().await.transpose().map_err(shown)? {
            stream.flow_control().release_capacity(part.len()).map_err(shown)?;
            frame.extend_from_slice(&part);
        }
        let trailers = stream.trailers().await.map_err(shown)?.unwrap_or_default();
        let code = code.or_else(|| trailers.get("grpc-status").cloned());
        match (code, message(frame.get(EMPTY.len()..).unwrap_or_default())) {
            (Some(code), Some(version)) if code == "0" => Ok(version),
            (code, _) => Err(format!("{status}, gRPC status {code:?}: {}", String::from_utf8_lossy(&frame))),
        }
    }
}

/// The field `message`. All fields before it are texts of less than 128 bytes.
fn message(mut fields: &[u8]) -> Option<String> {
    while let [key, length, rest @ ..] = fields {
        let (text, others) = rest.split_at_checked(usize::from(*length))?;
        if *key == MESSAGE {
            return String::from_utf8(text.to_vec()).ok();
        }
        fields = others;
    }
    None
}

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
