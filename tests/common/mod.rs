//! Shared by the tests on a real cluster: a workspace for each test, cmdr with a minimal environment, and the tools that
//! observe the result.
#![allow(dead_code, reason = "each file of tests uses its own part")]
#![allow(clippy::print_stderr, reason = "a test tells what it waits for")]

pub(crate) mod cloud;
pub(crate) mod program;
pub(crate) mod projects;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The names of the workspaces of this process.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// The limit of any run that works.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// The variables that a run inherits from the tests' environment.
const PASSED_ON: [&str; 6] =
    ["CMDR_IMAGE_MIRRORS", "CMDR_CHART_MIRRORS", "CMDR_NODE_IMAGE", "CMDR_CA", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"];

/// A variable that `make test` sets.
pub(crate) fn rig(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("this test needs {name}, which 'make test' sets: run it with 'make test'"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The exit code and the output of a command.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub seconds: f64,
    /// The peak of its heap and stacks in kB; 0 if the system does not report it.
    pub peak_kb: u64,
}

impl Output {
    /// Fails the test, and shows the output, unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output and standard error.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails the test unless the output contains this text.
    #[track_caller]
    pub(crate) fn expect_said(self, text: &str) -> Self {
        assert!(
            self.said().contains(text),
            "'{text}' was not said\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// Standard output as one JSON value per line, as `--output json` prints events.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A running command, whose output is collected.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    command: String,
    start: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, command: format!("{program} {}", words.join(" ")), start: Instant::now(), stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Sends a signal, such as `INT` or `KILL`, to only this process.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot signal '{}'", self.command);
    }

    /// Waits for the end; the test fails after `patience`, counted from this call.
    #[track_caller]
    pub(crate) fn wait(mut self, patience: Duration) -> Output {
        let (start, mut peak_kb) = (Instant::now(), 0);
        let status = loop {
            peak_kb = heap_memory(self.child.id()).unwrap_or(peak_kb).max(peak_kb);
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                break status;
            }
            if start.elapsed() > patience {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let (stdout, stderr) = (said(&mut self.stdout), said(&mut self.stderr));
                panic!(
                    "'{}' did not end within {patience:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                    self.command
                );
            }
            thread::sleep(Duration::from_millis(10));
        };
        let seconds = self.start.elapsed().as_secs_f64();
        let code = status.code().unwrap_or(-1);
        let (stdout, stderr) = (said(&mut self.stdout), said(&mut self.stderr));
        Output { code, stdout, stderr, seconds, peak_kb }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn said(reader: &mut Option<JoinHandle<String>>) -> String {
    reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
}

/// The heap and the stacks of a running process, in kB, without the code of the program: a debug build has several
/// times the code of a release, and the kernel counts what was used of it as resident.
fn heap_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A workspace in a temporary folder, with its own name and cluster. The cluster is deleted on drop.
#[derive(Debug)]
pub(crate) struct TestWorkspace {
    pub name: String,
    folder: TempDir,
    cmdr: PathBuf,
    environment: BTreeMap<String, String>,
    transcript: RefCell<Vec<String>>,
    peak_kb: Cell<u64>,
}

impl TestWorkspace {
    /// `projects` is the text of projects.yaml without `version` and `name`.
    pub(crate) fn new(name: &str, projects: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for part in ["home", "docker", "workspace"] {
            fs::create_dir(folder.path().join(part)).expect("a folder can be made");
        }
        fs::write(folder.path().join("config.yaml"), "").expect("a file can be written");
        // Another build may replace the program while this test runs.
        let cmdr = folder.path().join("cmdr");
        program::copy_program(env!("CARGO_BIN_EXE_cmdr"), &cmdr);
        let name = format!("{name}-{}", std::process::id());
        // The end of one test would delete the cluster of the other.
        let is_new = NAMES.lock().expect("no test panics here").insert(name.clone());
        assert!(is_new, "two workspaces of this test have the name '{name}'");
        let environment = environment(folder.path());
        let (transcript, peak_kb) = (RefCell::default(), Cell::default());
        let workspace = Self { name, folder, cmdr, environment, transcript, peak_kb };
        workspace.write_projects(projects);
        workspace
    }

    /// The folder with projects.yaml.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// The folder of Docker's configuration, empty at first.
    pub(crate) fn docker_config(&self) -> PathBuf {
        self.folder.path().join("docker")
    }

    /// Writes projects.yaml: `projects` is everything except `version` and `name`.
    pub(crate) fn write_projects(&self, projects: &str) {
        let text = format!("version: 1\nname: {}\n{projects}", self.name);
        fs::write(self.root().join("projects.yaml"), text).expect("projects.yaml can be written");
    }

    /// Replaces a part of projects.yaml; the test fails if it is missing.
    #[track_caller]
    pub(crate) fn replace(&self, old: &str, new: &str) {
        let file = self.root().join("projects.yaml");
        let text = fs::read_to_string(&file).expect("projects.yaml can be read");
        assert!(text.contains(old), "'{old}' is not in projects.yaml:\n{text}");
        fs::write(file, text.replacen(old, new, 1)).expect("projects.yaml can be written");
    }

    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        self.environment.get(name).map_or("", String::as_str)
    }

    /// A program with cmdr's environment, in the workspace's folder.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).current_dir(self.root());
        command
    }

    /// The command line of cmdr, not started.
    pub(crate) fn cmdr(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.cmdr);
        command.args(args);
        command
    }

    /// Starts cmdr.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        tell(&format!("cmdr {}", args.join(" ")));
        Running::start(&mut self.cmdr(args))
    }

    /// Runs cmdr and waits for its end.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.start(args).wait(PATIENCE);
        tell(&format!("  exit code {} after {:.1} s", output.code, output.seconds));
        self.transcript.borrow_mut().push(output.said());
        self.peak_kb.set(self.peak_kb.get().max(output.peak_kb));
        output
    }

    /// The output of all runs of cmdr so far.
    pub(crate) fn transcript(&self) -> Vec<String> {
        self.transcript.borrow().clone()
    }

    /// The peak of the heap and the stacks of all runs of cmdr, in kB.
    pub(crate) fn peak_kb(&self) -> u64 {
        self.peak_kb.get()
    }

    /// Runs another program, which must succeed, and returns its standard output.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> String {
        let output = Running::start(self.command(program).args(args)).wait(PATIENCE);
        assert_eq!(output.code, 0, "{program} {}\n{}", args.join(" "), output.said());
        output.stdout.trim_end().to_owned()
    }

    /// As [`TestWorkspace::tool`]; `None` if the program fails.
    pub(crate) fn try_tool(&self, program: &str, args: &[&str]) -> Option<String> {
        let output = Running::start(self.command(program).args(args)).wait(PATIENCE);
        (output.code == 0).then(|| output.stdout.trim_end().to_owned())
    }

    /// The user's own kubeconfig, for clusters that cmdr does not own.
    pub(crate) fn user_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("home/.kube/config")
    }

    /// The kubeconfig file that cmdr keeps for this cluster.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        Path::new(self.variable("CMDR_STATE")).join("clusters").join(&self.name).join("kubeconfig")
    }

    /// Runs kubectl in the namespace of the projects.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let kubeconfig = self.kubeconfig();
        let target = ["--kubeconfig", &kubeconfig.to_string_lossy(), "--namespace", &self.name];
        self.tool("kubectl", &[&target, args].concat())
    }

    /// Runs kubectl; `None` if it fails.
    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Option<String> {
        let kubeconfig = self.kubeconfig();
        let target = ["--kubeconfig", &kubeconfig.to_string_lossy(), "--namespace", &self.name];
        self.try_tool("kubectl", &[&target, args].concat())
    }

    /// Runs kubectl and returns its output as JSON.
    #[track_caller]
    pub(crate) fn objects(&self, args: &[&str]) -> serde_json::Value {
        let answer = self.kubectl(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("kubectl {}: {error}", args.join(" ")))
    }

    #[track_caller]
    pub(crate) fn helm(&self, args: &[&str]) -> String {
        let kubeconfig = self.kubeconfig();
        let target = ["--kubeconfig", &kubeconfig.to_string_lossy()];
        self.tool("helm", &[args, &target].concat())
    }

    /// The port of the cluster on 127.0.0.1 for HTTP.
    #[track_caller]
    pub(crate) fn http_port(&self) -> u16 {
        let node = format!("{}-control-plane", self.name);
        let published = self.tool("docker", &["port", &node, "30047/tcp"]);
        let port = published.lines().next().and_then(|line| line.rsplit(':').next()?.parse().ok());
        port.unwrap_or_else(|| panic!("not a port: {published}"))
    }

    /// Sends a request to a project by the host of its route (`shop`), through the published port.
    pub(crate) fn ask(&self, host: &str, path: &str) -> Result<Answer, String> {
        self.request("GET", host, path, "")
    }

    pub(crate) fn request(&self, method: &str, host: &str, path: &str, body: &str) -> Result<Answer, String> {
        request(self.http_port(), method, &format!("{host}.{}.localhost", self.name), path, body)
    }
}

impl Drop for TestWorkspace {
    fn drop(&mut self) {
        tell("cmdr down --yes (clearing up)");
        let down = Running::start(self.command(&self.cmdr).args(["down", "--yes"]));
        let down = catch_unwind(AssertUnwindSafe(|| down.wait(Duration::from_mins(1))));
        if !down.is_ok_and(|output| output.code == 0) {
            tell(&format!("cmdr down did not work: kind delete cluster --name {}", self.name));
            let _ = self.command("kind").args(["delete", "cluster", "--name", &self.name]).output();
        }
        // The kept node is in this workspace's own state folder.
        let _ = self.command(&self.cmdr).args(["cache", "prune", "--all", "--quiet"]).output();
        let store = format!("cmdr-images.{}", self.name);
        for words in [["rm", "--force", "--volumes"], ["volume", "rm", "--force"]] {
            let _ = self.command("docker").args(words).arg(&store).output();
        }
    }
}

/// The environment of cmdr: the tools, the engine, mirrors of images and charts; nothing of the user's.
fn environment(folder: &Path) -> BTreeMap<String, String> {
    for name in ["CMDR_IMAGE_MIRRORS", "CMDR_CHART_MIRRORS", "CMDR_NODE_IMAGE"] {
        rig(name);
    }
    let within = |part: &str| folder.join(part).to_string_lossy().into_owned();
    let mut environment: BTreeMap<String, String> =
        PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?))).collect();
    let own = [
        ("PATH", variable("PATH").unwrap_or_default()),
        ("HOME", within("home")),
        ("CMDR_STATE", within("state")),
        ("CMDR_CACHE", within("cache")),
        ("CMDR_CONFIG", within("config.yaml")),
        ("DOCKER_CONFIG", within("docker")),
        ("DOCKER_HOST", engine()),
    ];
    environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// The engine of the docker command, also if a context of the user names it.
fn engine() -> String {
    if let Some(host) = variable("DOCKER_HOST") {
        return host;
    }
    let asked = Command::new("docker").args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).output();
    let asked = asked.expect("docker is installed: 'make test' brings it up");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends one request to 127.0.0.1 with its own connection, in HTTP/1.0 so that the response is not chunked.
///
/// # Errors
/// When there is no complete response.
pub(crate) fn request(port: u16, method: &str, host: &str, path: &str, body: &str) -> Result<Answer, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let text = |error: std::io::Error| format!("http://{host}:{port}{path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(text)?;
    let answer = String::from_utf8_lossy(&answer);
    let whole = || format!("http://{host}:{port}{path}: no whole answer: '{answer}'");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(whole)?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or_else(whole)?;
    Ok(Answer { status, body: body.to_owned() })
}

/// Waits until `look` returns something; the test fails after two minutes.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    tell(&format!("waiting for {what}"));
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_mins(2), "waited two minutes for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Prints progress immediately, without the test harness, which would keep it until the end of the test.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "    {text}");
}

/// Named stages on one cluster: a failed stage does not stop the others.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    failed: RefCell<Vec<String>>,
}

impl Stages {
    /// Runs a stage and records whether it failed.
    pub(crate) fn stage(&self, name: &str, stage: impl FnOnce()) {
        tell(&format!("=== {name}"));
        let start = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(stage)).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        tell(&format!("=== {name}: {word} in {:.1} s", start.elapsed().as_secs_f64()));
        if !passed {
            // The harness shows the reason at the end.
            eprintln!("=== in the stage '{name}'");
            self.failed.borrow_mut().push(name.to_owned());
        }
    }

    /// Fails the test if a stage has failed.
    pub(crate) fn finish(self) {
        let failed = self.failed.into_inner();
        assert!(failed.is_empty(), "these stages failed: {}", failed.join("; "));
    }
}
