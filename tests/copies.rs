//! Copies of a local environment, on one real cluster: two worktrees of a repository beside the original.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use common::{Output, PATIENCE, Running, Stages, TestWorkspace, request, rig, until};
use serde_json::Value;

const PROJECTS: &str = r#"
environments:
  local: {expose: {PORT: db}}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: shop
    check: {path: /readyz, status: 200}
    values: {ports: {http: 9898}, env: {PODINFO_UI_MESSAGE: written on main}}
  page:
    build: {context: page}
    host: page
    values: {ports: {http: 9898}}
  late:
    enabled: false
    build: {context: late}
    values: {ports: {http: 9898}}
  broken:
    enabled: false
    image: docker.io/library/redis:7.0
    values: {command: [nosuchprogram]}
  db:
    image: docker.io/library/redis:7.0
    values:
      kind: StatefulSet
      args: [--appendonly, "yes", --appendfsync, always]
      ports: {redis: 6379}
      secrets: {key: {generate: password}}
      volumes: {data: {path: /data, size: 1Gi}}
"#;

/// The copy of the branch `feature/Fix_42`, as its slug.
const FIX: &str = "feature-fix-42-941976";

struct Platform {
    workspace: TestWorkspace,
    port: u16,
}

impl Platform {
    fn new() -> Self {
        let workspace = TestWorkspace::new("copies", PROJECTS);
        let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        workspace.replace("PORT", &port.to_string());
        let base = format!("{}/stefanprodan/podinfo:6.9.2", rig("RIG_REGISTRY"));
        workspace.tool("docker", &["pull", "--quiet", &base]);
        fs::create_dir(workspace.root().join("page")).unwrap();
        let dockerfile = format!("FROM {base}\nENV PODINFO_UI_MESSAGE=\"built on main\"\n");
        fs::write(workspace.root().join("page/Dockerfile"), dockerfile).unwrap();
        fs::create_dir(workspace.root().join("late")).unwrap();
        fs::write(workspace.root().join("late/Dockerfile"), format!("FROM {base}\nLABEL late=yes\n")).unwrap();
        let platform = Self { workspace, port };
        platform.git(&["init", "--quiet", "--initial-branch", "main"]);
        platform.git(&["add", "."]);
        platform.git(&["commit", "--quiet", "--message", "Start"]);
        platform.git(&["worktree", "add", "--quiet", "-b", "feature/Fix_42", &platform.fix().to_string_lossy()]);
        platform
    }

    fn git(&self, words: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        self.workspace.tool("git", &[&identity, words].concat());
    }

    /// The worktree of the branch.
    fn fix(&self) -> PathBuf {
        self.workspace.root().with_file_name("fix")
    }

    /// Runs cmdr in the worktree of the branch.
    #[track_caller]
    fn in_fix(&self, words: &[&str]) -> Output {
        self.workspace.run(&[&["-C", &self.fix().to_string_lossy()], words].concat())
    }

    fn change(&self, file: &str, old: &str, new: &str) {
        let file = self.fix().join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(file, text.replacen(old, new, 1)).unwrap();
    }

    /// The message of a project at its host: `shop`, or `shop.fix-42` of a copy.
    #[track_caller]
    fn message(&self, host: &str) -> String {
        let host = format!("{host}.{}.localhost", self.workspace.name);
        let answer = until(&format!("{host} answers"), || {
            request(self.workspace.http_port(), "GET", &host, "/", "").ok().filter(|answer| answer.status == 200)
        });
        answer.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The port that a copy has for its database, as `status` shows it.
    #[track_caller]
    fn port_of(&self, copy: &str) -> u16 {
        let status = self.workspace.run(&["status", "--copy", copy, "--output", "json"]).expect(0).json();
        u16::try_from(status["ports"][0]["port"].as_u64().unwrap()).unwrap()
    }

    #[track_caller]
    fn copies(&self) -> Vec<Value> {
        self.workspace.run(&["copies", "--output", "json"]).expect(0).json().as_array().unwrap().clone()
    }

    #[track_caller]
    fn names(&self) -> Vec<String> {
        self.copies().iter().map(|copy| copy["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// The answer of the database behind a port of this machine.
fn database(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 200];
    let length = stream.read(&mut answer).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[track_caller]
fn ask_database(port: u16, command: &str) -> String {
    until(&format!("the database at {port} answers"), || database(port, command))
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn a_workspace_runs_several_times_on_one_cluster() {
    let (platform, stages) = (Platform::new(), Stages::default());
    stages.stage("a copy creates the cluster, and nothing of the original", || platform.creates_the_cluster());
    stages.stage("two worktrees have different content, ports and databases", || platform.are_separate());
    stages.stage("unchanged builds are shared, changed ones replace no others", || platform.share_builds());
    stages.stage("what is built is deployed although another project fails", || platform.deploys_what_was_built());
    stages.stage("copies and the original are brought up at the same time", || platform.run_together());
    stages.stage("a copy gets the data of another", || platform.copies_data());
    stages.stage("a copy gets the data of a snapshot", || platform.gets_the_data_of_a_snapshot());
    stages.stage("names are checked, and a copy belongs to one worktree", || platform.refuses());
    stages.stage("a killed up is run again", || platform.is_killed());
    stages.stage("a deleted copy leaves the others", || platform.ends_one());
    stages.stage("a copy without a worktree is marked and deleted", || platform.loses_its_worktree());
    stages.finish();
}

impl Platform {
    fn creates_the_cluster(&self) {
        self.workspace.run(&["up", "db", "--copy", "other"]).expect(0);
        assert_eq!(self.names(), ["other"]);
        let namespaces = self.workspace.kubectl(&["get", "namespaces", "--output", "name"]);
        assert!(!namespaces.lines().any(|name| name == format!("namespace/{}", self.workspace.name)), "{namespaces}");
        self.workspace.run(&["up"]).expect(0);
        ask_database(self.port, "SET color blue");
    }

    fn are_separate(&self) {
        self.change("projects.yaml", "written on main", "written in the branch");
        let up = self.in_fix(&["up", "--copy"]).expect(0);
        let own = format!("shop.{FIX}.{}.localhost", self.workspace.name);
        assert!(up.stdout.contains(&own), "{}", up.said());
        assert_eq!(self.message(&format!("shop.{FIX}")), "written in the branch");
        assert_eq!(self.message("shop"), "written on main");
        let ports = [self.port, self.port_of("other"), self.port_of(FIX)];
        assert!(ports[1] != ports[0] && ports[2] != ports[0] && ports[1] != ports[2], "{ports:?}");
        assert_eq!(ask_database(ports[0], "GET color"), "$4\r\nblue\r\n");
        assert_eq!(ask_database(ports[2], "GET color"), "$-1\r\n");
        // The next run changes nothing, and keeps the ports.
        let again = self.in_fix(&["plan", "--copy", "--exit-code"]);
        again.expect(0).expect_said("nothing to do");
        assert_eq!(self.port_of(FIX), ports[2]);
        for words in [vec!["status"], vec!["status", "--copy", FIX]] {
            let status = self.workspace.run(&[&words[..], &["--output", "json"]].concat()).expect(0).json();
            assert_eq!(status["orphans"], serde_json::json!([]), "{words:?}");
        }
    }

    fn share_builds(&self) {
        // The branch had built nothing, and got what main had built.
        assert_eq!(self.message(&format!("page.{FIX}")), "built on main");
        self.change("page/Dockerfile", "built on main", "built in the branch");
        self.in_fix(&["up", "--copy", "--build"]).expect(0);
        assert_eq!(self.message(&format!("page.{FIX}")), "built in the branch");
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.message("page"), "built on main");
    }

    fn deploys_what_was_built(&self) {
        let up = self.workspace.run(&["up", "late", "broken", "--copy", "partial"]).expect(1);
        let up = up.expect_said("nosuchprogram").expect_said("as reported above: broken");
        let pods = ["get", "pods", "--namespace", &format!("{}-partial", self.workspace.name), "--output", "name"];
        assert!(self.workspace.kubectl(&pods).contains("pod/late-"), "{}", up.said());
        self.workspace.run(&["down", "--copy", "partial", "--yes"]).expect(0);
    }

    /// Two copies of one worktree are brought up while the original is.
    fn run_together(&self) {
        let runs = [vec!["up", "shop", "--copy", "one"], vec!["up", "shop", "--copy", "two"], vec!["up", "shop"]];
        let running = runs.map(|words| self.workspace.start(&words));
        for run in running {
            run.wait(Duration::from_mins(2)).expect(0);
        }
        // A run holds the lock of its own copy only.
        let held = self.workspace.start(&["up", "db", "--copy", "one"]);
        let lock = format!("clusters/{}.one.lock", self.workspace.name);
        let lock = PathBuf::from(self.workspace.variable("CMDR_STATE")).join(lock);
        until("the first run holds its lock", || {
            fs::read_to_string(&lock).ok().filter(|holder| *holder == held.id().to_string())
        });
        let other = self.workspace.start(&["restart", "shop", "--copy", "two"]);
        let refused = self.workspace.start(&["restart", "shop", "--copy", "one"]);
        other.wait(Duration::from_mins(2)).expect(0);
        let refused = refused.wait(Duration::from_mins(2));
        held.wait(Duration::from_mins(2)).expect(0);
        // The lock may have been released in time.
        assert!([0, 11].contains(&refused.code), "{}", refused.said());
        self.workspace.run(&["down", "--copy", "one", "--yes"]).expect(0);
        self.workspace.run(&["down", "--copy", "two", "--yes"]).expect(0);
    }

    fn copies_data(&self) {
        let up = self.workspace.run(&["up", "db", "--copy", "data", "--data-from", "original"]).expect(0);
        assert!(!up.said().contains("not copied"), "{}", up.said());
        assert_eq!(ask_database(self.port_of("data"), "GET color"), "$4\r\nblue\r\n");
        let password = |copy: &str| self.workspace.run(&["secret", "show", "db/key", "--copy", copy]).expect(0).stdout;
        assert_eq!(password("data"), password("original"));
        assert_ne!(password("other"), password("original"));
        // The containers of the original were paused only for the time of the copy.
        ask_database(self.port, "SET color green");
        assert_eq!(ask_database(self.port_of("data"), "GET color"), "$4\r\nblue\r\n");
        let again = self.workspace.run(&["up", "db", "--copy", "data", "--data-from", "original"]).expect(0);
        again.expect_said("no data of 'original' is copied");
        let unknown = self.workspace.run(&["up", "--copy", "new", "--data-from", "dtaa"]).expect(2);
        self.workspace
            .run(&["up", "--copy", "new", "--data-from", "nightly"])
            .expect(2)
            .expect_said("for a snapshot: snapshot:NAME");
        unknown.expect_said("did you mean 'data'?");
    }

    fn gets_the_data_of_a_snapshot(&self) {
        self.workspace.run(&["snapshot", "save", "before"]).expect(0);
        // The cluster changes after the snapshot: its data and its password.
        ask_database(self.port, "SET color red");
        let password = |copy: &str| self.workspace.run(&["secret", "show", "db/key", "--copy", copy]).expect(0).stdout;
        let former = password("original");
        let secret = format!("--namespace={}", self.workspace.name);
        self.workspace.kubectl(&["delete", "secret", "db-key", &secret]);
        self.workspace.run(&["up", "db"]).expect(0);
        assert_ne!(password("original"), former);
        let words = ["up", "db", "--copy", "past", "--data-from", "snapshot:before"];
        let up = self.workspace.run(&words).expect(0);
        assert!(!up.said().contains("not copied"), "{}", up.said());
        assert_eq!(ask_database(self.port_of("past"), "GET color"), "$5\r\ngreen\r\n");
        assert_eq!(ask_database(self.port, "GET color"), "$3\r\nred\r\n");
        assert_eq!(password("past"), former);
        self.workspace.run(&words).expect(0).expect_said("no data of 'snapshot:before' is copied");
        let unknown = self.workspace.run(&["up", "--copy", "new", "--data-from", "snapshot:befroe"]).expect(2);
        unknown.expect_said("did you mean 'before'?");
        self.workspace.run(&["down", "--copy", "past", "--yes"]).expect(0);
        self.workspace.run(&["snapshot", "delete", "before"]).expect(0);
        ask_database(self.port, "SET color green");
    }

    fn refuses(&self) {
        let status = self.workspace.run(&["status", "--copy", "otehr"]).expect(2);
        status.expect_said("copy 'otehr' not found").expect_said("did you mean 'other'?");
        self.workspace.run(&["logs", "shop", "--copy", "otehr"]).expect(2).expect_said("did you mean 'other'?");
        let taken = self.in_fix(&["up", "--copy", "other"]).expect(10);
        taken.expect_said(&self.workspace.root().canonicalize().unwrap().to_string_lossy());
        let down = self.workspace.run(&["down"]).expect(1);
        down.expect_said(FIX).expect_said("'other'").expect_said("nothing was changed");
        self.workspace.run(&["down", "--copy", "other"]).expect(1).expect_said("nothing was changed");
    }

    fn is_killed(&self) {
        let args = ["up", "shop", "--copy", "killed"];
        let run = Running::start(&mut self.workspace.cmdr(&args));
        until("the namespace exists", || {
            self.workspace.try_kubectl(&["get", "namespace", &format!("{}-killed", self.workspace.name)])
        });
        run.signal("KILL");
        run.wait(PATIENCE);
        self.workspace.run(&args).expect(0);
        assert_eq!(self.message("shop.killed"), "written on main");
    }

    fn ends_one(&self) {
        let volumes = || self.workspace.kubectl(&["get", "persistentvolumes", "--output", "name"]);
        let of_data = format!("persistentvolume/{}-data-data-db-0", self.workspace.name);
        assert!(volumes().contains(&of_data), "{}", volumes());
        self.workspace.run(&["down", "--copy", "data", "--yes"]).expect(0);
        assert!(!volumes().contains(&of_data), "{}", volumes());
        assert_eq!(self.names(), [FIX, "killed", "other"]);
        assert_eq!(ask_database(self.port, "GET color"), "$5\r\ngreen\r\n");
        // The next one of this name starts empty.
        self.workspace.run(&["up", "db", "--copy", "data"]).expect(0);
        assert_eq!(ask_database(self.port_of("data"), "GET color"), "$-1\r\n");
    }

    fn loses_its_worktree(&self) {
        fs::remove_dir_all(self.fix()).unwrap();
        let own = self.copies().into_iter().find(|copy| copy["name"] == FIX).unwrap();
        assert_eq!(own["abandoned"], "worktree-deleted", "{own}");
        assert_eq!((&own["branch"], &own["projects"], &own["ready"]), (&"feature/Fix_42".into(), &3.into(), &3.into()));
        self.workspace.run(&["up"]).expect(0).expect_said("cmdr copies --prune");
        self.workspace.run(&["copies", "--prune"]).expect(1).expect_said("nothing was changed");
        self.workspace.run(&["copies", "--prune", "--yes"]).expect(0);
        assert_eq!(self.names(), ["data", "killed", "other"]);
        assert_eq!(self.message("shop"), "written on main");
    }
}
