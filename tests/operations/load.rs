//! An open-loop client: it sends requests at a fixed rate, whether or not the answers keep up, and counts which version
//! answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// The limit of one request.
const LIMIT: Duration = Duration::from_secs(10);

/// What was answered since the last look.
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

/// A running client.
pub(crate) struct Load {
    window: Arc<Mutex<Counts>>,
    all: Counts,
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
        let window = Arc::new(Mutex::new(Counts::default()));
        let (counts, stop) = (Arc::clone(&window), CancellationToken::new());
        let (cancel, host) = (stop.clone(), host.to_owned());
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(send((port, &host), rate, &headers, &counts, &cancel));
        });
        Self { window, all: Counts::default(), stop, thread: Some(thread) }
    }

    /// What was answered since the last call.
    pub(crate) fn take(&mut self) -> Counts {
        let counts = std::mem::take(&mut *self.window.lock().unwrap());
        for (version, number) in &counts.by_version {
            *self.all.by_version.entry(version.clone()).or_default() += number;
        }
        self.all.failed.extend(counts.failed.iter().cloned());
        counts
    }

    /// What is answered within a time from now.
    pub(crate) fn during(&mut self, time: Duration) -> Counts {
        self.take();
        thread::sleep(time);
        self.take()
    }

    /// Stops, waits for the last answers, and returns everything.
    pub(crate) fn finish(mut self) -> Counts {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()), "the client has failed");
        self.take();
        self.all.clone()
    }
}

async fn send(
    (port, host): (u16, &str),
    rate: u32,
    headers: &[(String, String)],
    counts: &Arc<Mutex<Counts>>,
    stop: &CancellationToken,
) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let mut requests = tokio::task::JoinSet::new();
    let start = Instant::now();
    for number in 1_u32.. {
        if stop.is_cancelled() {
            break;
        }
        let mut request = client.get(format!("http://127.0.0.1:{port}/")).header("Host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let counts = Arc::clone(counts);
        requests.spawn(async move {
            let answer = version(request).await;
            let mut counts = counts.lock().unwrap();
            match answer {
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

async fn version(request: reqwest::RequestBuilder) -> Result<String, String> {
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let (status, body) = (response.status(), response.text().await.map_err(|error| format!("{error:?}"))?);
    let json: serde_json::Value = serde_json::from_str(&body).map_err(|_| format!("{status}: {body}"))?;
    match json["message"].as_str() {
        Some(version) if status == 200 => Ok(version.to_owned()),
        _ => Err(format!("{status}: {body}")),
    }
}
