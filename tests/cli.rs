//! The program as it is met: its help and its answers to mistakes, as snapshots of exit code and both streams.
//!
//! `INSTA_UPDATE=always cargo test --test cli` rewrites the snapshots.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::CommandFactory;
use tempfile::TempDir;

#[path = "cli/copies.rs"]
mod copies;
#[path = "cli/data.rs"]
mod data;

/// A home of its own, an empty PATH, a fixed width, and nothing else of the surroundings.
struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// With a workspace of one project.
    fn with_workspace(text: &str) -> Self {
        let place = Self::new();
        fs::write(place.path().join("projects.yaml"), text).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn run(&self, words: &[&str]) -> Output {
        self.run_with(words, &[])
    }

    fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .args(words)
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", self.path())
            .env("COLUMNS", "100")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .envs(variables.iter().copied())
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// What a person sees: the exit code and both streams.
    fn shown(&self, words: &[&str]) -> String {
        self.shown_with(words, &[])
    }

    fn shown_with(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run_with(words, variables);
        let text = |bytes: &[u8]| text(bytes).replace(&self.path().display().to_string(), "HOME");
        format!(
            "$ cmdr {}\nexit code: {}\n--- stdout\n{}--- stderr\n{}",
            words.join(" "),
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

fn assert_reported(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"\d{8}T\d{6}\.\d{3}Z-(\w+)-\d+\.log", "TIME-$1-PROCESS.log");
    settings.add_filter(r"(linux|darwin)-(amd64|arm64)(\S*) \(SHA-256 [0-9a-f]{64}\)", "PLATFORM$3 (SHA-256 SUM)");
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), shown));
}

const LEAST: &str = "version: 1\nname: shop\nprojects:\n  catalog:\n    image: ghcr.io/stefanprodan/podinfo:6.9.2\n    values: {ports: {http: 9898}}\n";

#[test]
fn the_help_of_each_verb() {
    let place = Place::new();
    assert_reported("help", &place.shown(&["--help"]));
    for verb in cmdr::cli::Cli::command().get_subcommands() {
        assert_reported(&format!("help-{}", verb.get_name()), &place.shown(&[verb.get_name(), "--help"]));
    }
}

#[test]
fn causes_are_explained() {
    let place = Place::new();
    assert_reported("explain", &place.shown(&["explain", "C070"]));
    assert_reported("explain-json", &place.shown(&["explain", "image-not-found", "--output", "json"]));
    assert_reported("explain-unknown", &place.shown(&["explain", "image-not-fuond"]));
    let all = place.run(&["explain", "--output", "json"]);
    assert_eq!(String::from_utf8_lossy(&all.stdout).lines().count(), cmdr::domain::causes::all().count());
}

const PROCEDURE: &str = "procedures:
  move:
    description: Move the catalog
    reversible: true
    steps:
      - {name: down, scale: {catalog: 0}, undo: [{scale: {catalog: 1}}], timeout: 5m}
      - name: proof
        check: {page: {http: {url: \"https://catalog.example.com/readyz\"}, failures: 3}}
      - {name: ask, approve: Is it right?}
      - {name: there, env: second, deploy: {projects: [catalog], tag: \"2\"}, undo: []}
";

#[test]
fn procedures_are_shown_and_refused() {
    let environments = "environments:\n  staging: {context: s}\n  second: {context: t}\n";
    let place = Place::with_workspace(&format!("{LEAST}{environments}{PROCEDURE}"));
    assert_reported("procedure-list", &place.shown(&["procedure", "list"]));
    assert_reported("procedure-show", &place.shown(&["procedure", "show", "move"]));
    assert_reported("procedure-json", &place.shown(&["procedure", "show", "move", "--output", "json"]));
    assert_reported("procedure-unknown", &place.shown(&["procedure", "show", "mvoe"]));
    assert_reported("procedure-in-local", &place.shown(&["procedure", "start", "move"]));
    assert_reported("procedure-unknown-start", &place.shown(&["procedure", "start", "mvoe", "--env", "staging"]));
    let gate = ["--override", "nope", "--because", "x"];
    let words = [&["procedure", "continue", "move", "--env", "staging"], &gate[..]].concat();
    assert_reported("procedure-unknown-gate", &place.shown(&words));
}

#[test]
fn mistakes_on_the_command_line() {
    let place = Place::with_workspace(LEAST);
    assert_reported("no-verb", &place.shown(&[]));
    assert_reported("unknown-verb", &place.shown(&["upp"]));
    assert_reported("unknown-option", &place.shown(&["up", "--recrate"]));
    assert_reported("unknown-output", &place.shown(&["status", "--output", "yaml"]));
    assert_reported("unknown-environment", &place.shown(&["plan", "--env", "locl"]));
    assert_reported("unknown-project", &place.shown(&["up", "katalog"]));
    assert_reported("report-nowhere", &place.shown(&["up", "--timeline", "nowhere/up.html"]));
    assert_reported("unknown-project-left-out", &place.shown(&["up", "--without", "x"]));
    assert_reported("profile-where-there-is-none", &place.shown(&["up", "--profile", "nope"]));
    assert_reported("set-without-project", &place.shown(&["up", "--set", "replicas=2"]));
    assert_reported("set-without-value", &place.shown(&["up", "catalog", "--set", "replicas"]));
    assert_reported(
        "set-that-the-chart-refuses",
        &place.shown(&[
            "render",
            "catalog",
            "--set",
            "replica=2",
            "--set",
            "env.A=$(B)",
            "--set",
            "probes.readiness.port=1",
        ]),
    );
    assert_reported("render-without-project", &place.shown(&["render"]));
    assert_reported("named-and-left-out", &place.shown(&["up", "catalog", "--without", "catalog"]));
    assert_reported("set-the-image", &place.shown(&["up", "catalog", "--set", "image=shop:2"]));
    assert_reported("reports-of-a-status", &place.shown(&["status", "--junit", "junit.xml"]));
    assert_reported("folder-missing", &place.shown(&["-C", "nowhere", "up"]));
}

#[test]
fn mistakes_in_variables() {
    let place = Place::with_workspace(LEAST);
    let shown = |words: &[&str], name: &str, value: &str| place.shown_with(words, &[(name, value)]);
    assert_reported("configuration-missing", &shown(&["plan"], "CMDR_CONFIG", "nowhere.yaml"));
    assert_reported("log-of-no-module", &shown(&["plan"], "CMDR_LOG", "cmdr::adapters::hlem=debug"));
}

#[test]
fn a_cluster_that_does_not_respond_is_named() {
    let place = Place::with_workspace(&format!("{LEAST}environments: {{staging: {{context: stage}}}}\n"));
    let kubeconfig = "apiVersion: v1\nkind: Config\n\
                      clusters: [{name: stage, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                      contexts: [{name: stage, context: {cluster: stage, user: stage}}]\n\
                      users: [{name: stage, user: {token: x}}]\n";
    let file = place.path().join("kubeconfig");
    fs::write(&file, kubeconfig).unwrap();
    let output = place.run_with(&["env", "pin", "staging"], &[("KUBECONFIG", &file.to_string_lossy())]);
    let message = text(&output.stderr);
    assert!(message.contains("error: environment 'staging': cannot read namespace kube-system"), "{message}");
}

#[test]
fn mistakes_with_environments() {
    let environments = "environments:\n  staging: {context: stage, only: ci}\n  review: {review: {from: staging}}\n";
    let place = Place::with_workspace(&LEAST.replace("projects:", &format!("{environments}projects:")));
    assert_reported(
        "local-knows-no-ledger",
        &place.shown(&["up", "--export-ledger", "x", "--override", "soak", "--because", "y"]),
    );
    assert_reported("deploy-to-local", &place.shown(&["deploy", "catalog"]));
    assert_reported("deploy-from-a-laptop", &place.shown(&["deploy", "catalog", "--env", "staging"]));
    for marker in ["CI", "GITLAB_CI", "GITHUB_ACTIONS", "JENKINS_URL", "BUILDKITE", "CIRCLECI", "TF_BUILD"] {
        let output = place.run_with(&["deploy", "catalog", "--env", "staging"], &[(marker, "true")]);
        assert_ne!(output.status.code(), Some(10), "{marker}: a pipeline may write");
    }
    let output = place.run_with(&["deploy", "catalog", "--env", "staging"], &[("CI", "false")]);
    assert_eq!(output.status.code(), Some(10));
    assert_reported("deploy-unknown-projects", &place.shown(&["deploy", "katalog", "car=1", "--env", "staging"]));
    assert_reported(
        "plan-file-and-export",
        &place.shown(&["deploy", "catalog", "--env", "staging", "--plan-file", "x", "--export-ledger", "y"]),
    );
    assert_reported("deploy-with-two-tags", &place.shown(&["deploy", "catalog=1", "catalog=2", "--env", "staging"]));
    let up = |files: &[&str]| place.shown(&[&["up", "--env", "staging"], files].concat());
    assert_reported("a-file-that-cannot-be-written", &up(&["--export-ledger", "nowhere/ledger.json"]));
    assert_reported("one-file-for-two-options", &up(&["--export-ledger", "a.json", "--junit", "a.json"]));
    let gates = ["--override", "soak", "--override", "hold", "--override", "scan", "--because", "x"];
    let restart = [&["restart", "catalog", "--env", "staging"], &gates[..]].concat();
    assert_reported("restart-overrides-another-gate", &place.shown(&restart));
    assert_reported("restart-unknown-projects", &place.shown(&["restart", "katalog", "car"]));
    assert_reported("deploy-with-a-bad-tag", &place.shown(&["deploy", "catalog=a b", "--env", "staging"]));
    assert_reported(
        "override-without-reason",
        &place.shown(&["deploy", "catalog", "--env", "staging", "--override", "soak"]),
    );
    assert_reported("up-unknown-projects", &place.shown(&["up", "katalog", "--env", "staging", "--dry-run"]));
    assert_reported("promote-to-what-takes-nothing", &place.shown(&["promote", "--to", "staging"]));
    assert_reported("promote-to-nowhere", &place.shown(&["promote", "--to", "production-*"]));
    assert_reported("review-without-slug", &place.shown(&["up", "--env", "review"]));
    assert_reported("no-kubeconfig", &place.shown(&["history", "--env", "staging"]));
}

#[test]
fn values_of_the_command_line_are_checked_as_those_of_the_file() {
    let place = Place::with_workspace("version: 1\nname: tunes\nprojects: {worker: {image: 'a/b:1'}}\n");
    let set = ["schedule=0 3 * * *", "resources.limits.memory=1G1", "autoscaling.min=3", "autoscaling.max=2"];
    let options = set.iter().flat_map(|option| ["--set", option]);
    let command: Vec<&str> = ["plan", "worker", "--offline"].into_iter().chain(options).collect();
    assert_reported("set-invalid-values", &place.shown(&command));
}

#[test]
fn identity_prints_what_a_cloud_must_trust() {
    let values =
        "    values: {aws: {role: 'arn:aws:iam::123456789012:role/shop'}, gcp: {account: shop@tunes.example}}\n";
    let place = Place::with_workspace(&format!(
        "version: 1\nname: tunes\nprojects:\n  shop:\n    image: a/b:1\n{values}  worker: {{image: 'a/b:1'}}\n"
    ));
    let issuer = ["--issuer", "https://oidc.example/id/7"];
    assert_reported("identity", &place.shown(&[&["identity", "shop"], &issuer[..]].concat()));
    assert_reported("identity-of-nobody", &place.shown(&[&["identity", "worker"], &issuer[..]].concat()));
    assert_reported("identity-unknown", &place.shown(&["identity", "shopp"]));
    assert_reported("identity-issuer", &place.shown(&["identity", "shop", "--issuer", "foo"]));
}

#[test]
fn trust_changes_nothing_without_an_answer() {
    let place = Place::new();
    let nothing = place.run(&["trust", "--remove"]);
    assert!(nothing.status.success() && text(&nothing.stderr).contains("nothing to remove"));
    let printed = place.run(&["trust", "--print"]);
    let file = text(&printed.stdout);
    assert!(fs::read_to_string(file.trim_end()).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let refused = place.run(&["trust"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was changed") || said.contains("no store of trusted certificates"), "{said}");
}

#[test]
fn tags_and_versions_that_do_not_fit() {
    let environments = "environments:\n  staging: {context: stage}\nprojects:\n  search: {chart: {path: chart}}\n";
    let place = Place::with_workspace(&LEAST.replace("projects:\n", environments));
    fs::create_dir(place.path().join("chart")).unwrap();
    fs::write(place.path().join("chart/Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 1.0.0\n").unwrap();
    let staging = |words: &[&str]| place.shown(&[words, &["--env", "staging"]].concat());
    let versions = ["--app-version", "2", "--chart-version", "1.0.0"];
    assert_reported("versions-that-do-not-fit", &staging(&[&["deploy", "search", "catalog"], &versions[..]].concat()));
    assert_reported("up-with-a-tagged-name", &staging(&["up", "catalog=2"]));
    assert_reported("up-with-a-tag-in-local", &place.shown(&["up", "--tag", "catalog=2"]));
    assert_reported("up-with-a-tag-without-tag", &staging(&["up", "--tag", "catalog"]));
    assert_reported("up-with-a-tag-of-another", &staging(&["up", "search", "--tag", "catalog=2"]));
    assert_reported("up-with-a-tag-of-nothing", &staging(&["up", "--tag", "katalog=2"]));
    assert_reported("plan-with-a-tag-in-local", &place.shown(&["plan", "catalog=2"]));
    assert_reported("plan-with-a-tag-and-repair", &staging(&["plan", "catalog=2", "--repair", "--without", "search"]));
    assert_reported("plan-with-an-override", &staging(&["plan", "--override", "soak"]));
}

#[test]
fn names_that_an_environment_does_not_have() {
    let text = "environments:\n  local: {}\n  staging: {context: stage}\nprojects:\n  mail: {image: mail:1, profiles: \
                [debug], environments: {staging: {enabled: false}}}\n  cart: {image: cart:1, environments: {local: {enabled: \
                false}}}\nbundles:\n  extra: {projects: [mail]}\n";
    let place = Place::with_workspace(&format!("version: 1\nname: shop\n{text}"));
    assert_reported("profile-unknown", &place.shown(&["up", "--profile", "debugg"]));
    assert_reported("profile-and-project", &place.shown(&["up", "mail", "--profile", "debug"]));
    assert_reported("project-disabled", &place.shown(&["up", "cart"]));
    assert_reported("deploy-disabled", &place.shown(&["deploy", "mail=2", "--env", "staging"]));
    assert_reported("bundle-disabled", &place.shown(&["deploy", "extra", "--env", "staging"]));
}

#[test]
fn values_of_the_platform_are_checked() {
    let place = failing();
    let chart = place.path().join("chart");
    let schema = r#"{"additionalProperties": false, "properties": {"replicas": {"type": "integer"}}}"#;
    fs::create_dir(place.path().join("strict")).unwrap();
    fs::copy(chart.join("Chart.yaml"), place.path().join("strict/Chart.yaml")).unwrap();
    fs::write(place.path().join("strict/values.schema.json"), schema).unwrap();
    let file = place.path().join("projects.yaml");
    let extra = "platform:\n  extra:\n    chart: {path: strict}\n    values: {replcas: 1}\n    environments:\n      local: \
                 {values: {replicas: two}}\n  ";
    let text = fs::read_to_string(&file).unwrap().replace("platform: {", extra);
    let text = text.replace("{path: chart}}, traefik", "{path: chart}}\n  traefik");
    fs::write(&file, text.replace("{path: chart}}}", "{path: chart}}")).unwrap();
    assert_reported("values-of-the-platform", &place.shown(&["render", "extra"]));
}

#[test]
fn colours_in_gitlab_and_where_they_are_asked_for() {
    let place = Place::new();
    let is_painted = |words: &[&str], variables: &[(&str, &str)]| {
        let output = place.run_with(&[&["-C", "nowhere", "up"], words].concat(), variables);
        String::from_utf8_lossy(&output.stderr).contains("\u{1b}[1;31merror:")
    };
    assert!(is_painted(&[], &[("GITLAB_CI", "true")]));
    assert!(!is_painted(&[], &[("GITLAB_CI", "true"), ("NO_COLOR", "1")]));
    assert!(!is_painted(&["--color", "never"], &[("GITLAB_CI", "true")]));
    assert!(is_painted(&["--color", "always"], &[]));
    assert!(!is_painted(&[], &[]));
}

#[test]
fn a_folder_without_a_workspace() {
    assert_reported("no-workspace", &Place::new().shown(&["up"]));
}

#[test]
fn a_file_without_content_inside_another_workspace() {
    let place = Place::with_workspace(LEAST);
    fs::create_dir(place.path().join("own")).unwrap();
    fs::write(place.path().join("own/projects.yaml"), "").unwrap();
    assert_reported("empty-file-below-a-workspace", &place.shown(&["-C", "own", "up"]));
}

#[test]
fn a_workspace_with_mistakes() {
    let text = LEAST.replace("image:", "imagge:");
    assert_reported("workspace-with-mistakes", &Place::with_workspace(&text).shown(&["up"]));
}

#[test]
fn what_is_missing_on_the_machine() {
    assert_reported("no-helm", &Place::with_workspace(LEAST).shown(&["up"]));
}

/// A helm that shows its input and its variables only to cmdr.
const FAKE_HELM: &str =
    "#!/bin/sh\ncase \"$1\" in\nversion) echo v4.0.0;;\n*) /bin/cat; echo $CANARY >&2; exit 7;;\nesac\n";

/// A workspace with a secret in its values, and a helm that fails to render it.
fn failing() -> Place {
    use std::os::unix::fs::PermissionsExt;
    let chart = "platform: {metallb: {chart: {path: chart}}, traefik: {chart: {path: chart}}}\nprojects:";
    let text = LEAST.replace("{http: 9898}", "{http: 9898}, env: {PASSWORD: canary}").replace("projects:", chart);
    let place = Place::with_workspace(&text);
    fs::create_dir(place.path().join("chart")).unwrap();
    fs::write(place.path().join("chart/Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 1.0.0\n").unwrap();
    let helm = place.path().join("helm");
    fs::write(&helm, FAKE_HELM).unwrap();
    fs::set_permissions(&helm, fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn logs(place: &Place) -> Vec<PathBuf> {
    let folder = place.path().join(".local/state/cmdr/logs");
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_that_fails_names_its_log() {
    let place = failing();
    let output = place.run_with(&["render", "catalog"], &[("CANARY", "canary")]);
    let [log] = logs(&place).try_into().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().last().unwrap(), format!("log: {}", log.display()));
    let written = fs::read_to_string(&log).unwrap();
    assert!(written.contains("helm version --template {{.Version}} exit=0 seconds="), "{written}");
    assert!(written.contains("helm template catalog") && written.contains("exit=7 seconds="), "{written}");
    assert!(!written.contains("canary") && !written.contains('\u{1b}'), "{written}");
    let is_dated = |line: &str| line.starts_with("20") && line.contains("Z ");
    assert!(written.lines().all(is_dated), "{written}");
}

#[test]
fn twenty_logs_are_kept_and_their_folder_is_optional() {
    let place = failing();
    for _ in 0..22 {
        place.run(&["render", "catalog"]);
    }
    assert_eq!(logs(&place).len(), 20);
    fs::write(place.path().join("state"), "").unwrap();
    let state = place.path().join("state").display().to_string();
    let output = place.run_with(&["render", "catalog"], &[("CMDR_STATE", &state)]);
    assert_eq!((output.status.code(), text(&output.stderr).contains("log: ")), (Some(1), false));
}

#[test]
fn the_log_is_printed_where_it_is_asked_for() {
    let place = failing();
    let printed = |words: &[&str], variables: &[(&str, &str)]| {
        let output = place.run_with(&[&["render", "catalog"], words].concat(), variables);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        text(&output.stderr)
    };
    assert!(!printed(&["-v"], &[]).contains("DEBUG"));
    let verbose = printed(&["-vv"], &[]);
    assert!(verbose.contains("DEBUG cmdr::adapters::helm: helm template catalog"), "{verbose}");
    assert!(!verbose.contains("canary"), "{verbose}");
    assert!(
        printed(&[], &[("CMDR_LOG", "cmdr::adapters::helm=trace")]).contains("TRACE cmdr::adapters::helm: started")
    );
    assert!(!printed(&["-vv"], &[("CMDR_LOG", "off")]).contains("DEBUG"));
    let output = place.run_with(&["render", "catalog"], &[("CMDR_LOG", "loud")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("CMDR_LOG: 'loud' is not a valid filter"));
}

#[test]
fn a_report_for_a_bug_report_has_no_secrets() {
    let place = failing();
    place.run(&["render", "catalog"]);
    let output = place.run(&["doctor", "--report", "report.tar.gz"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("wrote the report report.tar.gz"), "{printed}");
    let packed = fs::File::open(place.path().join("report.tar.gz")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().strip_prefix("cmdr-report").unwrap().display().to_string();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
        assert!(!content.contains("canary"), "{name}: {content}");
        assert!(printed.contains(&format!("  {name}\n")), "{name}: {printed}");
        names.push(name);
    }
    assert_eq!(names[..4], ["versions.txt", "findings.json", "cluster.json", "workspace/projects.yaml"]);
    assert!(names[4].starts_with("logs/") && names[4].contains("-doctor-") && names[5].contains("-render-"));
    assert_reported("report-exists", &place.shown(&["doctor", "--report", "report.tar.gz"]));
}

#[test]
fn variables_that_cannot_be_understood() {
    let place = Place::with_workspace(LEAST);
    fs::create_dir_all(place.path().join(".config/cmdr")).unwrap();
    fs::write(place.path().join(".config/cmdr/config.yaml"), "mirror: {}\n").unwrap();
    assert_reported("unknown-key-of-the-user", &place.shown(&["up"]));
}

#[test]
fn a_workspace_is_begun_once_and_works() {
    let place = Place::new();
    assert_reported("init", &place.shown(&["init", "My Shop"]));
    let folder = place.path().join("My Shop");
    let loaded = cmdr::config::load(&folder).unwrap();
    assert_eq!((loaded.workspace.name.as_str(), loaded.warnings.len()), ("my-shop", 0));
    assert!(folder.join("projects.schema.json").is_file());
    let before = fs::read_to_string(folder.join("projects.yaml")).unwrap();
    assert_reported("init-again", &place.shown(&["init", "My Shop", "--name", "other"]));
    assert_eq!(fs::read_to_string(folder.join("projects.yaml")).unwrap(), before);
    assert_reported("init-bad-name", &place.shown(&["init", "other", "--name", "My_Shop"]));
    assert_reported("init-no-name", &place.shown(&["init", "123"]));
    assert_reported("init-dry", &place.shown(&["init", "dry", "--dry-run"]));
    assert!(!place.path().join("dry").exists());
}
