//! A Kubernetes API server that knows pods and their logs, over plain HTTP.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What the server sends of a log.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Lines(Vec<String>),
    /// The stream ends; the next request gets the lines from this one on again.
    CloseAndRepeat {
        from: usize,
    },
    /// As before, but the connection breaks in the middle of a line.
    Break {
        from: usize,
    },
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// This many lines a second, until the client leaves.
    Flood(u32),
    /// The stream stays open without lines.
    Stay,
}

/// A pod with one container of the project's name.
#[derive(Debug, Clone)]
pub(crate) struct FakeContainer {
    project: String,
    is_running: bool,
    parts: Vec<Part>,
}

impl FakeContainer {
    pub(crate) fn ended(project: &str, lines: Vec<String>) -> Self {
        Self { project: project.to_owned(), is_running: false, parts: vec![Part::Lines(lines)] }
    }

    pub(crate) fn running(project: &str, parts: Vec<Part>) -> Self {
        Self { project: project.to_owned(), is_running: true, parts }
    }

    pub(crate) fn bytes(project: &str, lines: &[Vec<u8>]) -> Self {
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        Self { project: project.to_owned(), is_running: false, parts: vec![Part::Bytes(text)] }
    }

    fn pod(&self) -> Value {
        let state = if self.is_running {
            json!({"running": {}})
        } else {
            json!({"terminated": {"exitCode": 0, "containerID": format!("containerd://{}", self.project)}})
        };
        json!({
            "metadata": {
                "name": format!("{}-1", self.project), "namespace": "staging", "uid": self.project,
                "resourceVersion": "1", "labels": {"app.kubernetes.io/instance": self.project},
            },
            "spec": {"containers": [{"name": self.project}]},
            "status": {"containerStatuses": [{
                "name": self.project, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "containerID": format!("containerd://{}", self.project), "state": state,
            }]},
        })
    }
}

#[derive(Debug)]
struct State {
    containers: Vec<FakeContainer>,
    /// The requests so far, as path and query.
    requests: Mutex<Vec<String>>,
    /// How many parts of each log have been sent.
    sent: Mutex<Vec<usize>>,
}

/// The server, and a workspace whose environment `staging` is on it.
#[derive(Debug)]
pub(crate) struct FakeApi {
    state: Arc<State>,
    folder: TempDir,
}

impl FakeApi {
    pub(crate) fn start(containers: Vec<FakeContainer>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let folder = workspace(&containers, &server);
        let sent = Mutex::new(vec![0; containers.len()]);
        let state = Arc::new(State { containers, requests: Mutex::default(), sent });
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                thread::spawn(move || {
                    // The client leaves when it likes.
                    let _ = serve(&state, &stream);
                });
            }
        });
        Self { state, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The requests whose path and query contain this text.
    pub(crate) fn requests(&self, text: &str) -> Vec<String> {
        self.state.requests.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) fn wait_for_requests(&self, text: &str, count: usize) {
        let start = Instant::now();
        while self.requests(text).len() < count {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", self.state.requests.lock().unwrap());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// cmdr in the workspace.
    pub(crate) fn cmdr(&self, args: &[&str]) -> Command {
        let within = |part: &str| self.folder().join(part);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmdr"));
        command.env_clear().current_dir(self.folder()).args(args).args(["--env", "staging"]);
        command.env("HOME", self.folder()).env("CMDR_STATE", within("state")).env("CMDR_CACHE", within("cache"));
        command.env("KUBECONFIG", within("kubeconfig"));
        command
    }
}

fn workspace(containers: &[FakeContainer], server: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let projects: String = containers
        .iter()
        .map(|container| format!("  {}: {{image: 'docker.io/library/redis:7.0'}}\n", container.project))
        .collect();
    let text = format!(
        "version: 1\nname: tunes\nenvironments:\n  staging: {{context: fake, namespace: staging, platform: external}}\n\
         projects:\n{projects}"
    );
    fs::write(folder.path().join("projects.yaml"), text).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": server}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    });
    fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
    folder
}

/// Answers the requests of one connection.
fn serve(state: &State, stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        state.requests.lock().unwrap().push(target.clone());
        answer(state, &target, stream)?;
    }
}

fn answer(state: &State, target: &str, stream: &TcpStream) -> std::io::Result<()> {
    if target.starts_with("/api/v1/namespaces/kube-system") {
        let metadata = json!({"name": "kube-system", "uid": "1"});
        return whole(stream, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    if target.contains("watch=true") {
        head(stream, "application/json")?;
        thread::sleep(Duration::from_mins(1));
        return Ok(());
    }
    let found = state.containers.iter().position(|it| target.contains(&format!("/pods/{}-1/log", it.project)));
    let Some(index) = found else {
        let items: Vec<Value> = state.containers.iter().map(FakeContainer::pod).collect();
        let metadata = json!({"resourceVersion": "1"});
        return whole(stream, &json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}));
    };
    head(stream, "text/plain")?;
    log(state, index, stream)
}

fn whole(mut stream: &TcpStream, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn head(mut stream: &TcpStream, kind: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

fn chunk(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut text = format!("{:x}\r\n", bytes.len()).into_bytes();
    text.extend(bytes);
    text.extend(b"\r\n");
    stream.write_all(&text)
}

/// Sends the parts of a log that have not been sent yet. A log that has ended is sent as a whole each time.
fn log(state: &State, index: usize, mut stream: &TcpStream) -> std::io::Result<()> {
    let container = &state.containers[index];
    let first = if container.is_running { state.sent.lock().unwrap()[index] } else { 0 };
    let lines = |from: usize| {
        let before = container.parts[..first].iter().flat_map(|part| match part {
            Part::Lines(lines) => lines.clone(),
            _ => Vec::new(),
        });
        before.skip(from).collect::<Vec<String>>()
    };
    let repeated = first.checked_sub(1).map(|last| match container.parts[last] {
        Part::CloseAndRepeat { from } | Part::Break { from } => lines(from),
        _ => Vec::new(),
    });
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let repeated = text(&repeated.unwrap_or_default());
    if !repeated.is_empty() {
        chunk(stream, repeated.as_bytes())?;
    }
    for (number, part) in container.parts.iter().enumerate().skip(first) {
        state.sent.lock().unwrap()[index] = number + 1;
        match part {
            Part::Lines(lines) => chunk(stream, text(lines).as_bytes())?,
            Part::Bytes(bytes) => chunk(stream, bytes)?,
            Part::CloseAndRepeat { .. } => break,
            Part::Break { .. } => {
                chunk(stream, b"2026-01-02T03:04:00.65")?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
            Part::Flood(rate) => flood(stream, *rate)?,
            Part::Stay => thread::sleep(Duration::from_mins(1)),
        }
    }
    stream.write_all(b"0\r\n\r\n")
}

/// Sends lines ten times a second, as a service with JSON logs writes them.
fn flood(stream: &TcpStream, rate: u32) -> std::io::Result<()> {
    let start = Instant::now();
    for round in 0u32.. {
        let now = jiff::Timestamp::now();
        let line = |number: u32| {
            let order = round * rate / 10 + number;
            format!(
                "{now:.9} {{\"time\":\"{now}\",\"level\":\"info\",\"msg\":\"order has been accepted\",\"order\":{order},\
                 \"path\":\"/api/orders\",\"status\":200,\"seconds\":0.0123}}\n"
            )
        };
        chunk(stream, (0..rate / 10).map(line).collect::<String>().as_bytes())?;
        // A busy machine must not make it a smaller flood.
        thread::sleep((start + Duration::from_millis(100) * (round + 1)).saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Sends what Ctrl-C sends.
pub(crate) fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The processor time of a process so far.
pub(crate) fn processor_seconds(child: &Child) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// The peak memory of a process, in kB.
pub(crate) fn peak_memory(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) fn size(file: &PathBuf) -> u64 {
    fs::metadata(file).unwrap().len()
}
