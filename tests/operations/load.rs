//! An open-loop client: it sends requests at a fixed rate, whether or not the answers keep up, and counts which version
//! answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How long the answers to the last requests of a window are awaited.
const LAST: Duration = Duration::from_secs(1);
/// The limit of one request.
const LIMIT: Duration = Duration::from_secs(10);

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// The number of answers by version.
    pub by_version: BTreeMap<String, u64>,
    /// Requests without a good answer, each with the reason.
    pub failed: Vec<String>,
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
        let windows = Windows::new(Mutex::new(vec![Counts::default()]));
        let (counts, stop) = (Arc::clone(&windows), CancellationToken::new());
        let (cancel, host) = (stop.clone(), host.to_owned());
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(send(HttpClient::new(port, host, headers), rate, &counts, &cancel));
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

async fn send(client: HttpClient, rate: u32, windows: &Windows, stop: &CancellationToken) {
    let mut requests = tokio::task::JoinSet::new();
    let start = Instant::now();
    for number in 1_u32.. {
        if stop.is_cancelled() {
            break;
        }
        let (client, windows) = (client.clone(), Arc::clone(windows));
        let window = windows.lock().unwrap().len() - 1;
        requests.spawn(async move {
            let answer = tokio::time::timeout(LIMIT, client.version()).await;
            let mut windows = windows.lock().unwrap();
            let counts = &mut windows[window];
            match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(version) => *counts.by_version.entry(version).or_default() += 1,
                Err(error) => counts.failed.push(format!("after {:.1} s: {error}", start.elapsed().as_secs_f64())),
            }
        });
        while requests.try_join_next().is_some() {}
        let due = start + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
    }
    while requests.join_next().await.is_some() {}
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

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
