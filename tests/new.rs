//! `cmdr new`: what it writes, what it refuses, and whether the created projects pass their own tests.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]
#![allow(clippy::print_stderr, reason = "a test tells what it skips")]

#[path = "common/mod.rs"]
mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use common::{PATIENCE, Stages, TestWorkspace, rig, until};

const TEMPLATES: [&str; 5] = ["web", "worker", "cron", "job", "store"];
const LANGUAGES: [&str; 4] = ["rust", "go", "python", "node"];
const WORKSPACE: &str = "# our shop\nversion: 1\nname: shop\nprojects:\n  # the catalog\n  catalog:\n    \
                         image: ghcr.io/stefanprodan/podinfo:6.9.2 # pinned\nbundles:\n  all: {projects: [catalog]}\n";

/// A folder with a workspace, and a home of its own.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write("projects.yaml", WORKSPACE);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .args(words)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("COLUMNS", "100")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// What was printed; the exit code must be `code`.
    #[track_caller]
    fn said(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap().replace(&self.folder.path().display().to_string(), "HOME");
        assert_eq!(output.status.code(), Some(code), "{text}");
        text
    }

    #[track_caller]
    fn create(&self, name: &str, template: &str, language: &str) {
        self.said(0, &["new", name, "--template", template, "--lang", language]);
    }

    /// All files below the folder, without the home.
    fn files(&self) -> Vec<String> {
        let (mut found, mut open) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(next) = open.pop() {
            for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true if path.ends_with("home") => {}
                    true => open.push(path),
                    false => found.push(path.strip_prefix(self.folder.path()).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }
}

#[test]
fn every_template_renders_in_every_language() {
    let desk = Desk::new();
    for template in TEMPLATES {
        for language in LANGUAGES {
            let name = format!("{template}-{language}");
            desk.create(&name, template, language);
            let dockerfile = desk.read(&format!("{name}/Dockerfile"));
            assert!(dockerfile.matches("FROM ").count() == 2 && dockerfile.contains("USER 1000"), "{dockerfile}");
            assert!(desk.path(&format!("{name}/.dockerignore")).exists());
        }
    }
    for file in desk.files() {
        let text = desk.read(&file);
        assert!(!text.contains("{{") && !text.contains("{%"), "{file} is not rendered: {text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{file}: {text:?}");
    }
    // cmdr's own check of the workspace and of all values.
    let loaded = cmdr::config::load(desk.folder.path()).unwrap();
    assert_eq!((loaded.workspace.projects.len(), loaded.warnings.len()), (1 + TEMPLATES.len() * LANGUAGES.len(), 0));
    let text = desk.read("projects.yaml");
    assert!(text.starts_with(WORKSPACE.split("bundles").next().unwrap()), "{text}");
    assert!(text.ends_with("bundles:\n  all: {projects: [catalog]}\n"), "{text}");
}

#[test]
fn a_web_service_in_go() {
    let desk = Desk::new();
    desk.create("cart", "web", "go");
    let files = desk.files();
    let shown = files
        .iter()
        .filter(|file| file.starts_with("cart/") || *file == "projects.yaml")
        .map(|file| format!("==> {file}\n{}", desk.read(file)));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/new"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("web-go", shown.collect::<Vec<_>>().join("\n")));
}

#[test]
fn nothing_is_written_before_everything_is_known_to_be_good() {
    let desk = Desk::new();
    desk.write("taken/file", "");
    let before = desk.files();
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["Cart_2", "--template", "web", "--lang", "go"],
            &["'Cart_2' is not a valid project name", "did you mean 'cart-2'?"],
        ),
        (&["catalog", "--template", "web", "--lang", "go"], &["projects.yaml already has a project 'catalog'"]),
        (&["taken", "--template", "web", "--lang", "go"], &["HOME/taken already exists", "--folder"]),
        (&["cart", "--template", "webb", "--lang", "go"], &["unknown template 'webb'", "did you mean 'web'?"]),
        (&["cart", "--template", "web", "--lang", "golang"], &["has no language 'golang'", "did you mean 'go'?"]),
        (&["cart", "--template", "web"], &["--lang is missing", "rust, go, python, node"]),
        (&[], &["NAME is missing", "--template is missing"]),
        (&["cart", "--template", "cron", "--lang", "go", "--set", "shedule=x"], &["did you mean 'schedule'?"]),
        (
            &["cart", "--template", "web", "--lang", "go", "--folder", "../x"],
            &["--folder ../x is not below the workspace"],
        ),
    ];
    for (words, expected) in cases {
        let said = desk.said(2, &[&["new"], words].concat());
        for part in expected {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let bad = desk.said(2, &["new", "cart", "--template", "cron", "--lang", "go", "--set", "schedule=often"]);
    assert!(bad.contains("projects.yaml:"), "the entry is checked with its line: {bad}");
    let dry = desk.said(0, &["new", "cart", "--template", "web", "--lang", "go", "--dry-run"]);
    for part in [
        "would create:\n",
        "  cart/main.go\n",
        "would change:\n  projects.yaml\n",
        "  cart:\n    build: {context: cart}",
    ] {
        assert!(dry.contains(part), "{part}: {dry}");
    }
    assert_eq!((desk.files(), desk.read("projects.yaml").as_str()), (before, WORKSPACE));
}

#[test]
fn files_are_listed_as_data() {
    let desk = Desk::new();
    let said =
        desk.said(0, &["new", "cart", "--template", "job", "--lang", "python", "--folder", "services/cart", "-ojson"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["folder"], "services/cart");
    assert_eq!(document["changed"], serde_json::json!(["projects.yaml"]));
    for file in document["created"].as_array().unwrap() {
        assert!(desk.path(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert!(desk.read("projects.yaml").contains("  cart:\n    build: {context: services/cart}\n"));
}

#[test]
fn the_pipeline_gets_the_build() {
    let pipeline = "include:\n  - component: $CI_SERVER_FQDN/platform/cmdr/gitlab@0.1.0\n    inputs:\n      \
                    projects: catalog\n      builds:\n        - {IMAGE: $CI_REGISTRY_IMAGE/catalog, CONTEXT: catalog}\n";
    let desk = Desk::new();
    let staging = "environments:\n  staging: {context: staging, domain: staging.example.com}\n";
    desk.write("projects.yaml", &format!("{WORKSPACE}{staging}"));
    desk.write(".gitlab-ci.yml", pipeline);
    desk.said(0, &["new", "quiet", "--template", "web", "--lang", "go", "--no-pipeline"]);
    assert_eq!(desk.read(".gitlab-ci.yml"), pipeline);
    let said = desk.said(0, &["new", "cart", "--template", "web", "--lang", "go"]);
    assert!(said.contains("change:\n  .gitlab-ci.yml\n  projects.yaml\n"), "{said}");
    assert!(said.contains("set `image: REGISTRY/cart` under `projects.cart`"), "{said}");
    let text = desk.read(".gitlab-ci.yml");
    assert!(text.contains("projects: catalog cart\n") && text.contains("/cart, CONTEXT: cart}\n"), "{text}");
}

#[test]
fn teams_have_their_own_templates() {
    let desk = Desk::new();
    desk.write("projects.yaml", &format!("{WORKSPACE}templates:\n  api: {{path: tools/templates/api}}\n"));
    desk.write(
        "tools/templates/api/template.yaml",
        "description: An API\ninclude: [base]\nquestions:\n  team: {ask: Which team}\n  tier: {ask: Tier, default: silver, choices: [gold, silver]}\n",
    );
    desk.write("tools/templates/api/entry.yaml", "values: {labels: {team: \"{{ team }}\", tier: {{ tier }}}}\n");
    desk.write("tools/templates/api/files/docs/{{ name }}.md", "of {{ team }} in {{ workspace }}\n");
    desk.write("tools/templates/shared/base/entry.yaml", "image: ghcr.io/stefanprodan/podinfo:6.9.2\n");
    let missing = desk.said(2, &["new", "orders", "--template", "api"]);
    assert!(missing.contains("--set team=VALUE is missing: Which team"), "{missing}");
    let wrong = desk.said(2, &["new", "orders", "--template", "api", "--set", "team=a", "--set", "tier=bronze"]);
    assert!(wrong.contains("--set tier=bronze is not a valid answer") && wrong.contains("gold, silver"), "{wrong}");
    desk.said(0, &["new", "orders", "--template", "api", "--set", "team=music"]);
    assert_eq!(desk.read("orders/docs/orders.md"), "of music in shop\n");
    assert!(desk.read("projects.yaml").contains("tier: silver"));
    desk.write("tools/templates/api/files/broken", "one\n{{ unknown }}\n");
    let broken = desk.said(2, &["new", "carts", "--template", "api", "--set", "team=music"]);
    assert!(broken.contains("tools/templates/api/files/broken:2: undefined value"), "{broken}");
    desk.write("tools/templates/api/template.yaml", "description: An API\nlanguge: [go]\n");
    let broken = desk.said(2, &["new", "carts", "--template", "api"]);
    assert!(broken.contains("tools/templates/api/template.yaml:2:1"), "{broken}");
}

/// The command that runs the tests of a project, and the program that shows whether the language is installed.
const TESTS: [(&str, &str, &[&str]); 4] = [
    ("go", "go", &["go", "test", "./..."]),
    ("python", "python3", &["python3", "-m", "unittest"]),
    ("node", "node", &["node", "--test"]),
    ("rust", "cargo", &["cargo", "test", "--quiet"]),
];

#[test]
#[ignore = "compiles programs, and needs a registry for those in Rust; make test-full runs it"]
fn created_projects_pass_their_own_tests() {
    let desk = Desk::new();
    for (language, program, command) in TESTS {
        if Command::new(program).arg("--help").output().is_err() {
            eprintln!("skipped: {program} is not installed");
            continue;
        }
        for template in TEMPLATES {
            let (name, start) = (format!("{template}-{language}"), Instant::now());
            desk.create(&name, template, language);
            let tested = Command::new(command[0])
                .args(&command[1..])
                .current_dir(desk.path(&name))
                // One folder for all: their dependencies are compiled once.
                .env("CARGO_TARGET_DIR", desk.path("home/target"))
                .env_remove("CARGO_PROFILE_DEV_DEBUG")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
            assert!(tested.status.success(), "{name}: {text}");
            assert!(!text.contains("warning:") && !text.contains("NO TESTS RAN"), "{name}: {text}");
            eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
        }
    }
}

/// A setting of the Go of this machine.
fn go_env(name: &str) -> String {
    let output = Command::new("go").args(["env", name]).output().expect("this test needs Go");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The image with Go that the Dockerfile names, from the Go of this machine.
fn provide_go_image(workspace: &TestWorkspace) {
    let base = format!("{}/library/busybox:1.36", rig("RIG_REGISTRY"));
    workspace.tool("docker", &["pull", "--quiet", &base]);
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(go_env("GOROOT")).arg(folder.path().join("go")).status();
    assert!(copied.unwrap().success());
    let certificates = "/etc/ssl/certs/ca-certificates.crt";
    let text = format!(
        "FROM {base}\nCOPY go /usr/local/go\nENV PATH=/usr/local/go/bin:$PATH\n\
         RUN mkdir -p /etc/ssl/certs && touch {certificates}\n"
    );
    fs::write(folder.path().join("Dockerfile"), text).unwrap();
    workspace.tool("docker", &["build", "--quiet", "--tag", "golang:1.26-alpine", &folder.path().to_string_lossy()]);
}

/// The seconds until a new project answers at its URL.
fn a_change_is_visible(workspace: &TestWorkspace) {
    let dev = workspace.start(&["dev", "cart"]);
    let file = workspace.root().join("cart/main.go");
    let shows = |text: &str| workspace.ask("cart", "/").is_ok_and(|answer| answer.body == format!("{text}\n"));
    // The first change is repeated until cmdr watches.
    let mut number = 0;
    until("cmdr dev watches", || {
        number += 1;
        write_answer(&file, &format!("first {number}"));
        thread::sleep(Duration::from_secs(5));
        workspace.ask("cart", "/").is_ok_and(|answer| answer.body.starts_with("first ")).then_some(())
    });
    until("the last of them is visible", || shows(&format!("first {number}")).then_some(()));
    let mut times: Vec<f64> = (0..5)
        .map(|number| {
            let (text, start) = (format!("change {number}"), Instant::now());
            write_answer(&file, &text);
            until("the change is visible", || shows(&text).then_some(()));
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    eprintln!("from a change to its answer with cmdr dev, Go compiled here: {times:.2?} s");
    tell_ratio("from a change to its answer, the median", times[times.len() / 2], 2.0);
    dev.signal("INT");
    dev.wait(PATIENCE).expect(0);
    until("what is deployed is restored", || shows("changed").then_some(()));
}

/// Changes what the generated program answers.
fn write_answer(file: &Path, text: &str) {
    let source = fs::read_to_string(file).unwrap();
    let line = source.lines().find(|line| line.contains("Fprint")).unwrap();
    let quoted = line.split('"').nth(1).unwrap();
    fs::write(file, source.replace(quoted, text)).unwrap();
}

/// Prints a time beside its limit, on which no test depends: the machine may be busy.
fn tell_ratio(what: &str, seconds: f64, limit: f64) {
    eprintln!("=== {what}: {seconds:.2} s of {limit} s ({:.2})", seconds / limit);
}

fn create_and_wait(workspace: &TestWorkspace, name: &str) -> f64 {
    let start = Instant::now();
    workspace.run(&["new", name, "--template", "web", "--lang", "go"]).expect(0);
    workspace.run(&["up", name]).expect(0);
    let answer = workspace.ask(name, "/").unwrap();
    assert_eq!((answer.status, answer.body), (200, format!("hello from {name}\n")));
    start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "creates clusters; make test-full runs it"]
fn from_nothing_to_an_answer_at_its_url() {
    let mut workspace = TestWorkspace::new("new", "");
    workspace.set_variable("GOCACHE", &go_env("GOCACHE"));
    let stages = Stages::default();
    stages.stage("a project answers at its URL", || {
        provide_go_image(&workspace);
        let seconds = create_and_wait(&workspace, "first");
        eprintln!("from nothing to an answer, with an empty cache: {seconds:.1} s");
    });
    stages.stage("with a warm cache", || {
        workspace.run(&["down", "--yes"]).expect(0);
        workspace.write_projects("");
        let seconds = create_and_wait(&workspace, "cart");
        tell_ratio("from nothing to an answer, with a warm cache", seconds, 60.0);
    });
    stages.stage("it ends at once when it is asked to", || {
        let start = Instant::now();
        workspace.kubectl(&["delete", "pod", "--selector", "app.kubernetes.io/name=cart", "--wait"]);
        eprintln!("the pod has ended after {:.1} s", start.elapsed().as_secs_f64());
        assert!(start.elapsed().as_secs_f64() < 20.0, "it was killed");
    });
    stages.stage("a changed source is built and answers", || {
        let file = workspace.root().join("cart/main.go");
        let text = fs::read_to_string(&file).unwrap().replace("hello from cart", "changed");
        fs::write(file, text).unwrap();
        let start = Instant::now();
        workspace.run(&["up", "cart", "--build"]).expect(0);
        assert_eq!(workspace.ask("cart", "/").unwrap().body, "changed\n");
        eprintln!("from a change to its answer: {:.1} s", start.elapsed().as_secs_f64());
    });
    stages.stage("cmdr dev makes a change visible", || a_change_is_visible(&workspace));
    stages.finish();
}
