//! `cmdr dev` on a real cluster: one workspace in stages.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{
    cell::OnceCell,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use common::{Running, Stages, TestWorkspace, request, rig, tell, until};

/// How many times each change is measured.
const TIMES: usize = 10;
const ENDS: Duration = Duration::from_mins(2);

/// How long the test of `slow` runs, by which it is found among all processes.
const SLOW_TEST: &str = "4321";

/// `site` serves what is synced, `again` what it read when it started, `built` what its image of 300 MB has, `upper` what
/// this machine has compiled, `bare` what it cannot compile. The test of `slow` does not end by itself.
const PROJECTS: &str = r#"
defaults:
  values:
    grace: 1
    drain: 0
    resources: {requests: {cpu: 10m, memory: 16Mi}}
    files: {/etc/nginx/nginx.conf: {from: nginx.conf}}
projects:
  site:
    image: docker.io/library/nginx:1.22
    host: site
    dev: {sync: {site/src: /app/src, site/note.txt: /app/note.txt}}
    values: {ports: {http: 8080}}
  again:
    image: docker.io/library/nginx:1.22
    host: again
    dev: {sync: {again: /app/src}, restart: true, test: "test ! -e again/bad.txt"}
    values:
      ports: {http: 8080}
      command: [sh, -c, "mkdir -p /tmp/app && cp /app/src/* /tmp/app/; exec nginx -g \"daemon off;\""]
  store:
    image: docker.io/library/nginx:1.22
    values: {ports: {http: 8080}, volumes: {data: {path: /data, size: 1Gi}}}
  built:
    build: {context: built}
    host: built
    dev: {test: echo tested >> ../tests}
    values: {ports: {http: 8080}}
  upper:
    build: {context: upper}
    host: upper
    dev:
      compile: "! grep bad page.txt && echo compiled >> ../compiled && mkdir -p out && tr a-z A-Z < page.txt > out/page.txt"
      sync: {out: /app/out}
    values: {ports: {http: 8080}}
  bare:
    build: {context: bare}
    host: bare
    dev: {compile: no-such-compiler -o out, sync: {out: /app/out}}
    values: {ports: {http: 8080}}
  slow:
    image: docker.io/library/nginx:1.22
    host: slow
    dev: {sync: {slow: /app/slow}, test: "echo started >> slow-tests; sleep 4321 & wait"}
    values: {ports: {http: 8080}}
"#;

const NGINX: &str = "pid /tmp/nginx.pid;
events {}
http {
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; access_log off; disable_symlinks off;
  server { listen 8080; location / { root /app; } location /started/ { alias /tmp/app/; } }
}
";

struct Desk {
    workspace: TestWorkspace,
    port: OnceCell<u16>,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { workspace: TestWorkspace::new("dev", PROJECTS), port: OnceCell::new() };
        let base = format!("{}/library/nginx:1.22", rig("RIG_REGISTRY"));
        desk.workspace.tool("docker", &["pull", "--quiet", &base]);
        desk.write("nginx.conf", NGINX);
        desk.write("site/src/index.html", "zero");
        desk.write("site/note.txt", "zero");
        desk.write("again/page.txt", "zero");
        desk.write("again/kept.txt", "kept");
        desk.write("built/page/index.html", "zero");
        desk.write("slow/page.txt", "zero");
        desk.write("upper/page.txt", "zero");
        desk.write("upper/Dockerfile", &format!("FROM {base}\nCOPY page.txt /app/page.txt\n"));
        desk.write("upper/.dockerignore", "out\n");
        desk.write("bare/page.txt", "zero");
        desk.write("bare/Dockerfile", &format!("FROM {base}\nCOPY page.txt /app/page.txt\n"));
        let big = "RUN head -c 300M /dev/urandom > /big";
        desk.write("built/Dockerfile", &format!("FROM {base}\nUSER root\n{big}\nCOPY page /app/page\n"));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workspace.root().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The status and the body of a page of a project.
    fn page(&self, project: &str, path: &str) -> (u16, String) {
        let host = format!("{project}.{}.localhost", self.workspace.name);
        let port = *self.port.get_or_init(|| self.workspace.http_port());
        match request(port, "GET", &host, path, "") {
            Ok(answer) => (answer.status, answer.body.trim().to_owned()),
            Err(_) => (0, String::new()),
        }
    }

    fn await_page(&self, project: &str, path: &str, expected: (u16, &str)) {
        until(&format!("{project}{path}: {expected:?}"), || {
            let (status, body) = self.page(project, path);
            (status == expected.0 && (status != 200 || body == expected.1)).then_some(())
        });
    }

    /// The median time from a change to the page that shows it.
    fn median(&self, project: &str, path: &str, change: impl Fn(&str)) -> Duration {
        let mut times: Vec<Duration> = (0..TIMES)
            .map(|time| {
                let text = format!("measured {time}");
                let start = Instant::now();
                change(&text);
                while self.page(project, path).1 != text {
                    assert!(start.elapsed() < ENDS, "{project} does not show '{text}'");
                    thread::sleep(Duration::from_millis(10));
                }
                let time = start.elapsed();
                // The run that made the change ends a moment later.
                thread::sleep(Duration::from_millis(500));
                time
            })
            .collect();
        times.sort();
        tell(&format!("{project}: {times:?}"));
        times[TIMES / 2]
    }

    fn state(&self) -> String {
        let annotations = "jsonpath={.items[*].metadata.annotations.cmdr\\.dev/dev}";
        self.workspace.kubectl(&["get", "deployments", "-n", &self.workspace.name, "-o", annotations])
    }

    fn pods(&self, project: &str) -> String {
        let label = format!("app.kubernetes.io/instance={project}");
        let names = "jsonpath={.items[*].metadata.name}";
        self.workspace.kubectl(&["get", "pods", "-n", &self.workspace.name, "-l", &label, "-o", names])
    }

    fn exec(&self, project: &str, command: &[&str]) -> String {
        let arguments = [&["exec", project, "--"], command].concat();
        self.workspace.run(&arguments).expect(0).stdout.trim().to_owned()
    }

    /// Starts `cmdr dev`, and waits until the containers have what is synced.
    #[track_caller]
    fn start(&self) -> Running {
        let mut dev = self.workspace.start(&["dev"]);
        let synced = fs::read_to_string(self.path("site/src/index.html")).unwrap();
        let start = Instant::now();
        while self.page("site", "/src/index.html") != (200, synced.clone()) {
            if !dev.is_running() || start.elapsed() > ENDS {
                dev.signal("INT");
                panic!("{}", dev.wait(ENDS * 2).said());
            }
            thread::sleep(Duration::from_millis(100));
        }
        dev
    }
}

fn files_are_synced(desk: &Desk) {
    desk.write("site/src/index.html", "one");
    desk.await_page("site", "/src/index.html", (200, "one"));
    desk.write("site/note.txt", "one");
    desk.await_page("site", "/note.txt", (200, "one"));
    desk.write("site/src/new/deep/page.html", "deep");
    desk.await_page("site", "/src/new/deep/page.html", (200, "deep"));
    fs::rename(desk.path("site/src/new"), desk.path("site/src/moved")).unwrap();
    desk.await_page("site", "/src/moved/deep/page.html", (200, "deep"));
    desk.await_page("site", "/src/new/deep/page.html", (404, ""));
    symlink("index.html", desk.path("site/src/link.html")).unwrap();
    desk.await_page("site", "/src/link.html", (200, "one"));
    fs::set_permissions(desk.path("site/src/index.html"), fs::Permissions::from_mode(0o750)).unwrap();
    let mode = || desk.exec("site", &["stat", "-c", "%a", "/app/src/index.html"]);
    until("the permissions", || (mode() == "750").then_some(()));
    assert_eq!(desk.exec("site", &["readlink", "/app/src/link.html"]), "index.html");
    fs::remove_file(desk.path("site/src/link.html")).unwrap();
    desk.await_page("site", "/src/link.html", (404, ""));
}

fn many_files_are_synced(desk: &Desk) {
    let start = Instant::now();
    for number in 0..5_000 {
        desk.write(&format!("site/src/many/{}/{number}.txt", number % 50), &number.to_string());
    }
    desk.await_page("site", "/src/many/49/4999.txt", (200, "4999"));
    tell(&format!("5,000 files after {:?}", start.elapsed()));
    // Those that were written while the first ones were copied follow.
    let count = || desk.exec("site", &["sh", "-c", "find /app/src/many -type f | wc -l"]);
    until("all files", || (count() == "5000").then_some(()));
    tell(&format!("all files after {:?}", start.elapsed()));
    fs::remove_dir_all(desk.path("site/src/many")).unwrap();
    desk.await_page("site", "/src/many/49/4999.txt", (404, ""));
}

/// The last content counts, whatever happens while files are copied.
fn a_file_that_changes_meanwhile_is_sent_again(desk: &Desk) {
    for number in 0..200 {
        desk.write("site/src/busy.txt", &"x".repeat(number * 500));
        thread::sleep(Duration::from_millis(5));
    }
    desk.write("site/src/busy.txt", "end");
    desk.await_page("site", "/src/busy.txt", (200, "end"));
}

fn programs_restart_and_keep_their_files(desk: &Desk) {
    desk.await_page("again", "/started/page.txt", (200, "zero"));
    let start = Instant::now();
    desk.write("again/page.txt", "one");
    desk.await_page("again", "/started/page.txt", (200, "one"));
    tell(&format!("restarted after {:?}", start.elapsed()));
    desk.await_page("again", "/started/kept.txt", (200, "kept"));
    desk.write("again/bad.txt", "the test fails");
    desk.await_page("again", "/started/bad.txt", (200, "the test fails"));
    fs::remove_file(desk.path("again/bad.txt")).unwrap();
    desk.await_page("again", "/started/bad.txt", (404, ""));
}

fn images_are_built(desk: &Desk) {
    let others = desk.pods("site");
    desk.write("built/page/index.html", "one");
    desk.await_page("built", "/page/index.html", (200, "one"));
    let file = desk.path("built/Dockerfile");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}COPY no-such-file /\n")).unwrap();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(desk.page("built", "/page/index.html"), (200, "one".to_owned()), "the last version runs");
    desk.write("built/page/index.html", "two");
    fs::write(&file, text).unwrap();
    desk.await_page("built", "/page/index.html", (200, "two"));
    assert_eq!(desk.pods("site"), others, "the others are left alone");
    until("the test", || desk.path("tests").exists().then_some(()));
}

/// A change of the sources is compiled on this machine; only one of the Dockerfile builds the image.
fn sources_are_compiled_here(desk: &Desk) {
    let compilations = || fs::read_to_string(desk.path("compiled")).unwrap().lines().count();
    desk.await_page("upper", "/out/page.txt", (200, "ZERO"));
    desk.write("upper/page.txt", "one");
    desk.await_page("upper", "/out/page.txt", (200, "ONE"));
    assert_eq!(desk.page("upper", "/page.txt"), (200, "zero".to_owned()), "the image is not built");
    desk.write("upper/page.txt", "bad");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(desk.page("upper", "/out/page.txt"), (200, "ONE".to_owned()), "the last version stays");
    desk.write("upper/page.txt", "two");
    desk.await_page("upper", "/out/page.txt", (200, "TWO"));
    let before = compilations();
    let file = desk.path("upper/Dockerfile");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}COPY page.txt /app/again.txt\n")).unwrap();
    desk.await_page("upper", "/again.txt", (200, "two"));
    desk.await_page("upper", "/out/page.txt", (200, "TWO"));
    assert_eq!(compilations(), before, "nothing was to compile, and what it writes is no change");
    fs::write(&file, text).unwrap();
}

fn without_its_compiler_the_image_is_built(desk: &Desk) {
    desk.write("bare/page.txt", "one");
    desk.await_page("bare", "/page.txt", (200, "one"));
}

/// A change does not wait for a test, which ends with what it has started.
fn a_change_ends_the_test_that_runs(desk: &Desk) {
    let started = || fs::read_to_string(desk.path("slow-tests")).unwrap_or_default().lines().count();
    for text in ["one", "two"] {
        until("the test", || (sleepers().len() == 1).then_some(()));
        let (before, start) = (started(), Instant::now());
        desk.write("slow/page.txt", text);
        desk.await_page("slow", "/slow/page.txt", (200, text));
        tell(&format!("=== a change while a test runs: {:?}", start.elapsed()));
        until("the next test", || (started() == before + 1).then_some(()));
    }
    until("only the last test runs", || (sleepers().len() == 1).then_some(()));
    // The change of another project ends it too; it is not forgotten.
    let before = started();
    desk.write("site/src/index.html", "beside a test");
    desk.await_page("site", "/src/index.html", (200, "beside a test"));
    until("the test runs again", || (started() == before + 1).then_some(()));
}

/// The processes that the test of `slow` has started and that still run.
fn sleepers() -> Vec<String> {
    let command = format!("sleep\0{SLOW_TEST}\0").into_bytes();
    let is_one = |process: &fs::DirEntry| fs::read(process.path().join("cmdline")).is_ok_and(|line| line == command);
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(is_one);
    processes.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

fn edits_of_the_file_are_applied(desk: &Desk) {
    let file = desk.path("projects.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}  broken: [\n")).unwrap();
    desk.write("site/src/index.html", "beside a broken file");
    desk.await_page("site", "/src/index.html", (200, "beside a broken file"));
    fs::write(&file, text.replacen(", volumes: {data: {path: /data, size: 1Gi}}", "", 1)).unwrap();
    thread::sleep(Duration::from_secs(5));
    let claims = desk.workspace.kubectl(&["get", "pvc", "-n", &desk.workspace.name, "-o", "name"]);
    assert_ne!(claims.trim(), "", "data is deleted only after a question");
    let reload = "restart: cp /app/src/page.txt /tmp/app/page.txt";
    fs::write(
        &file,
        text.replacen("restart: true", reload, 1).replacen(
            "    values: {ports: {http: 8080}}\n  again",
            "    values: {ports: {http: 8080}, env: {EDITED: \"yes\"}}\n  again",
            1,
        ),
    )
    .unwrap();
    until("the edited variable", || {
        let output = desk.workspace.run(&["exec", "site", "--", "printenv", "EDITED"]);
        (output.stdout.trim() == "yes").then_some(())
    });
    desk.await_page("site", "/src/index.html", (200, "beside a broken file"));
    thread::sleep(Duration::from_secs(3));
    let pods = until("one pod", || Some(desk.pods("again")).filter(|pods| !pods.contains(' ')));
    desk.write("again/page.txt", "reloaded");
    desk.await_page("again", "/started/page.txt", (200, "reloaded"));
    assert_eq!(desk.pods("again"), pods, "a command replaces no pods");
}

fn it_is_quick(desk: &Desk) {
    let sync = desk.median("site", "/src/index.html", |text| desk.write("site/src/index.html", text));
    let build = desk.median("built", "/page/index.html", |text| {
        desk.write("built/page/blob", &text.repeat(1_000_000 / text.len()));
        desk.write("built/page/index.html", text);
    });
    tell(&format!("=== median of {TIMES}: sync {sync:?}, build {build:?}"));
    assert!(sync < Duration::from_secs(2), "{sync:?}");
    assert!(build < Duration::from_secs(10), "{build:?}");
}

fn it_is_idle(dev: &Running) {
    let file = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", dev.id())).unwrap();
    let ticks = || file("stat").split_whitespace().skip(13).take(2).map(|it| it.parse::<u64>().unwrap()).sum::<u64>();
    let before = ticks();
    thread::sleep(Duration::from_secs(10));
    let used = ticks() - before;
    let memory = file("status").lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
    tell(&format!("=== idle: {used} ms of a core per second, {memory}"));
    assert!(used <= 20, "{used} ticks in 10 s");
}

fn interrupts_restore(desk: &Desk, dev: Running) {
    let image = || {
        desk.workspace.kubectl(&[
            "get",
            "deployment",
            "built",
            "-n",
            &desk.workspace.name,
            "-o",
            "jsonpath={.spec.template.spec.containers[*].image}",
        ])
    };
    let built = image();
    desk.workspace.run(&["dev", "site"]).expect(11).expect_said(&format!("process {}", dev.id()));
    desk.workspace.run(&["status"]).expect(0).expect_said("changed by cmdr dev");
    dev.signal("INT");
    let output = dev.wait(Duration::from_mins(20)).expect(0);
    tell(&output.said());
    assert!(sleepers().is_empty(), "no test outlives cmdr dev");
    let output = output.expect_said("stopped: a source has changed").expect_said("the compilation failed");
    let output = output.expect_said("no-such-compiler is not installed here");
    output.expect_said("no-such-file").expect_said("the test failed").expect_said("broken").expect_said("not applied");
    assert_eq!(desk.state().trim(), "");
    assert_ne!(image(), built, "the deployed image runs again");
    desk.await_page("site", "/src/index.html", (404, ""));
    desk.await_page("built", "/page/index.html", (200, "zero"));
    desk.workspace.run(&["plan", "--exit-code"]).expect(0);
    let node = format!("{}-control-plane", desk.workspace.name);
    let left = desk.workspace.tool("docker", &["exec", &node, "find", "/var/lib/cmdr/dev", "-type", "f"]);
    assert_eq!(left.trim(), "", "no synced files stay on the node");
}

fn a_killed_one_is_restored(desk: &Desk) {
    let dev = desk.start();
    // A test that runs holds no lock when cmdr is killed.
    until("the test", || (sleepers().len() == 1).then_some(()));
    dev.signal("KILL");
    desk.workspace.run(&["status"]).expect(0).expect_said("cmdr up restores it");
    desk.workspace.run(&["up"]).expect(0).expect_said("restore");
    for process in sleepers() {
        desk.workspace.tool("kill", &["-KILL", &process]);
    }
    let _ = dev.wait(ENDS);
    assert_eq!(desk.state().trim(), "");
    desk.await_page("site", "/src/index.html", (404, ""));
    desk.workspace.run(&["plan", "--exit-code"]).expect(0);
}

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn changes_are_in_the_cluster_in_a_moment() {
    let (desk, stages) = (Desk::new(), Stages::default());
    desk.workspace.run(&["up"]).expect(0);
    let dev = desk.start();
    stages.stage("files are copied, renamed and deleted, with links and permissions", || files_are_synced(&desk));
    stages.stage("5,000 files are copied at once", || many_files_are_synced(&desk));
    stages.stage("a file that changes meanwhile", || a_file_that_changes_meanwhile_is_sent_again(&desk));
    stages.stage("programs restart and keep their files", || programs_restart_and_keep_their_files(&desk));
    stages.stage("images are built, and a failed build changes nothing", || images_are_built(&desk));
    stages.stage("sources are compiled on this machine", || sources_are_compiled_here(&desk));
    stages.stage("without its compiler, the image is built", || without_its_compiler_the_image_is_built(&desk));
    stages.stage("a change ends the test that runs", || a_change_ends_the_test_that_runs(&desk));
    stages.stage("edits of projects.yaml are applied", || edits_of_the_file_are_applied(&desk));
    stages.stage("it is quick", || it_is_quick(&desk));
    stages.stage("it is idle", || it_is_idle(&dev));
    stages.stage("an interrupt restores what is deployed", || interrupts_restore(&desk, dev));
    stages.stage("what a killed one has left is restored", || a_killed_one_is_restored(&desk));
    desk.workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}
