//! How cmdr reads, fetches and renders charts that are not the universal one: with helm, without a cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use wiremock::ResponseTemplate;

use super::server::{Server, file};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n";

/// A workspace with its own home and cache.
struct Place(TempDir);

impl Place {
    fn new(projects: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("projects.yaml", &format!("version: 1\nname: own\n{projects}"));
        place
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    /// A chart of one template; `more` is added to its Chart.yaml.
    fn chart(&self, folder: &str, template: &str, more: &str) {
        let name = folder.rsplit('/').next().unwrap();
        self.write(&format!("{folder}/Chart.yaml"), &format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n{more}"));
        self.write(&format!("{folder}/templates/all.yaml"), template);
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let helm = PathBuf::from(super::helm().get_program());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", helm.parent().unwrap())
            .env("HOME", self.0.path())
            .env("CMDR_CACHE", self.cache())
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .current_dir(self.0.path());
        command
    }

    fn cmdr(&self, words: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_cmdr")).args(words).output().unwrap()
    }

    /// Runs cmdr, which must succeed, and returns its standard output.
    #[track_caller]
    fn shown(&self, words: &[&str]) -> String {
        let output = self.cmdr(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs cmdr, which must end with this exit code, and returns its standard error.
    #[track_caller]
    fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.cmdr(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// A release as `plan` describes it.
    #[track_caller]
    fn planned(&self, name: &str) -> Value {
        let plan: Value = serde_json::from_str(&self.shown(&["plan", "--offline", "--output", "json"])).unwrap();
        let releases = plan["releases"].as_array().unwrap();
        releases.iter().find(|release| release["name"] == name).unwrap_or_else(|| panic!("no {name} in {plan}")).clone()
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    /// The entries of the cache of charts.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache().join("charts")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A chart repository that requires a login: user `u`, password `p`. Everything else gets 401.
fn private_repository(folder: PathBuf) -> Server {
    Server::start(move |request| {
        let is_known = request.headers.get("authorization").is_some_and(|sent| sent == "Basic dTpw");
        if is_known { file(&folder, request) } else { ResponseTemplate::new(401) }
    })
}

#[test]
fn a_dependency_by_file_needs_no_charts_folder() {
    let place = Place::new("projects: {app: {chart: {path: charts/app}}}\n");
    let dependency = "dependencies: [{name: common, version: ^0.1.0, repository: \"file://../common\"}]\n";
    place.chart("charts/app", CONFIG, dependency);
    place.chart("charts/common", &CONFIG.replace("one", "of-common"), "");
    let manifest = place.shown(&["render", "app"]);
    assert!(manifest.contains("name: of-common") && manifest.contains("name: one"), "{manifest}");
    assert!(!place.0.path().join("charts/app/charts").exists(), "the workspace is not changed");
    let before = place.planned("app")["record"].clone();
    assert_eq!(place.planned("app")["record"], before);
    place.chart("charts/common", &CONFIG.replace("one", "changed"), "");
    assert_ne!(place.planned("app")["record"], before, "a change of the dependency is a change of the chart");
    assert!(place.shown(&["render", "app"]).contains("name: changed"));
    place.chart("charts/app", CONFIG, &dependency.replace("^0.1.0", "^2.0.0"));
    let wrong = place.refused(&["render", "app"], 1);
    assert!(wrong.contains("dependency 'common' ^2.0.0: wrong version"), "{wrong}");
    place.chart("charts/app", CONFIG, &dependency.replace("../common", "../comon"));
    let missing = place.refused(&["render", "app"], 1);
    assert!(
        missing.contains("lacks its dependencies: common") && missing.contains("helm dependency build"),
        "{missing}"
    );
}

#[test]
fn what_helmignore_excludes_is_no_part_of_the_chart() {
    let place = Place::new("projects: {app: {chart: {path: charts/app}}}\n");
    place.chart("charts/app", CONFIG, "");
    place.write("charts/app/.helmignore", "docs/\n");
    let before = place.planned("app")["record"].clone();
    place.write("charts/app/docs/large", "changed");
    assert_eq!(place.planned("app")["record"], before);
    place.write("charts/app/other", "changed");
    assert_ne!(place.planned("app")["record"], before);
}

#[test]
fn references_of_a_schema_are_followed_or_named() {
    let place = Place::new("projects: {app: {chart: {path: charts/app}, values: {a: 1, b: 2}}}\n");
    place.chart("charts/app", CONFIG, "");
    let remote = "https://schemas.example.test/a.json";
    let schema = format!("{{\"properties\": {{\"a\": {{\"$ref\": \"{remote}\"}}, \"b\": {{\"$ref\": \"b.json\"}}}}}}");
    place.write("charts/app/values.schema.json", &schema);
    place.write("charts/app/b.json", "{\"type\": \"integer\"}");
    let output = place.cmdr(&["render", "app"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let warning = format!("warning: values.schema.json of the chart app-0.1.0 refers to {remote}");
    assert!(text(&output.stderr).contains(&warning), "{}", text(&output.stderr));
    place.write("charts/app/b.json", "{\"type\": \"string\"}");
    assert!(place.refused(&["render", "app"], 2).contains("expected a string"));
}

#[test]
fn only_charts_that_are_asked_about_are_fetched() {
    let elsewhere = "oci://127.0.0.1:9/charts";
    let place = Place::new(&format!(
        "projects:\n  web: {{image: a/b:1, values: {{ports: {{http: 80}}}}}}\n  \
         far: {{chart: {{oci: {}/far, version: 1.0.0}}}}\n  near: {{image: a/b:1, needs: [far]}}\n",
        elsewhere.trim_start_matches("oci://")
    ));
    assert!(place.shown(&["render", "web"]).contains("kind: Deployment"));
    assert!(place.shown(&["render", "near"]).contains("kind: Deployment"), "what it needs is not rendered");
    place.refused(&["render", "far"], 1);
    assert!(place.refused(&["render", "wep"], 2).contains("did you mean 'web'?"));
    assert!(place.refused(&["render", "traefik", "--set", "a=1"], 2).contains("'traefik' is not a project"));

    let plan = place.cmdr(&["plan", "--offline"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    assert!(
        text(&plan.stdout).contains("install web") && !text(&plan.stdout).contains("far"),
        "{}",
        text(&plan.stdout)
    );
    let not_checked = format!("not checked: far, whose chart is not in the cache: {elsewhere}/far 1.0.0");
    for said in [not_checked.as_str(), "not checked: metallb", "not checked: traefik"] {
        assert!(text(&plan.stderr).contains(said), "{}", text(&plan.stderr));
    }
    assert_eq!(place.cached().len(), 1, "the universal chart, and nothing of a failed download: {:?}", place.cached());
}

#[test]
fn a_project_whose_image_a_deployment_chooses_does_not_block_the_offline_plan() {
    let place = Place::new(
        "environments: {staging: {context: staging, domain: s.test, platform: external}}\nprojects:\n  \
         app: {build: {context: .}, values: {ports: {http: 80}}}\n  web: {image: 'a/b:1', needs: [app]}\n",
    );
    let plan = place.cmdr(&["plan", "--offline", "--env", "staging"]);
    let (shown, said) = (text(&plan.stdout), text(&plan.stderr));
    assert!(plan.status.success() && shown.contains("install web") && !shown.contains("app"), "{shown}{said}");
    assert!(said.contains("not planned: app, which has no image in projects.yaml"), "{said}");
}

#[test]
fn objects_that_cmdr_applies_itself_are_rendered_too() {
    let place = Place::new(
        "environments: {staging: {context: staging, domain: s.test}}\nprojects:\n  shop:\n    image: 'a/b:1'\n    \
         verify: {smoke: {command: [./smoke]}}\n    \
         values: {secrets: {db: {external: {store: vault, data: {password: shop/db}}}}}\n  \
         postgres: {image: 'a/b:1', values: {ports: {sql: 5432}}, environments: {staging: {external: {host: 10.0.0.7, port: 5432}}}}\n",
    );
    let rendered = place.shown(&["render", "shop", "--env", "staging"]);
    for part in ["kind: ExternalSecret", "name: shop-db", "name: shop-verify-smoke"] {
        assert!(rendered.contains(part), "{part} in {rendered}");
    }
    assert!(!place.shown(&["render", "shop"]).contains("shop-verify-smoke"), "nothing is verified locally");
    let external = place.shown(&["render", "postgres", "--env", "staging"]);
    assert!(external.contains("kind: EndpointSlice") && external.contains("10.0.0.7"), "{external}");
}

#[test]
fn a_misspelled_key_without_a_value_is_a_mistake_of_any_chart() {
    let place = Place::new("projects: {own: {chart: {path: charts/own}, values: {replcas: }}}\n");
    place.chart("charts/own", CONFIG, "");
    let schema = r#"{"type": "object", "additionalProperties": false, "properties": {"replicas": {}, "global": {}}}"#;
    place.write("charts/own/values.schema.json", schema);
    let mistake = place.refused(&["render", "own"], 2);
    assert!(mistake.contains("did you mean `replicas`?"), "{mistake}");
}

#[test]
fn a_mistake_is_reported_before_a_download() {
    let place = Place::new(
        "projects:\n  web: {image: a/b:1, values: {prots: {http: 80}}}\n  \
         far: {chart: {oci: 127.0.0.1:9/far, version: 1.0.0}}\n",
    );
    for words in [&["render", "web"][..], &["plan", "--offline"]] {
        let mistake = place.refused(words, 2);
        assert!(mistake.contains("prots") && mistake.contains("did you mean"), "{mistake}");
    }
}

#[test]
fn a_repository_with_a_password_is_read_with_the_login_of_helm() {
    let place = Place::new("");
    place.chart("packed/c", CONFIG, "");
    let folder = place.0.path().join("packed");
    let packed =
        Command::new(super::helm().get_program()).args(["package", "c"]).current_dir(&folder).output().unwrap();
    assert!(packed.status.success());
    let indexed = Command::new(super::helm().get_program()).args(["repo", "index", "."]).current_dir(&folder).output();
    assert!(indexed.unwrap().status.success());
    let repository = private_repository(folder);
    let url = repository.url();
    let projects = format!("projects: {{c: {{chart: {{repository: \"{url}/\", name: c, version: 0.1.0}}}}}}\n");
    place.write("projects.yaml", &format!("version: 1\nname: own\n{projects}"));

    let refused = place.refused(&["render", "c"], 1);
    assert!(refused.contains("the chart repository requires a login"), "{refused}");
    assert!(refused.contains("401 Unauthorized") && refused.contains("help: add it to Helm"), "{refused}");
    let known = |password: &str| {
        let entry = format!("- {{name: of-the-user, url: \"{url}\", username: u, password: {password}}}");
        place.write(".config/helm/repositories.yaml", &format!("apiVersion: \"\"\nrepositories:\n{entry}\n"));
    };
    known("wrong");
    let refused = place.refused(&["render", "c"], 1);
    assert!(refused.contains("the chart repository requires a login") && refused.contains("401"), "{refused}");
    assert!(place.cached().is_empty(), "{:?}", place.cached());
    known("p");
    assert!(place.shown(&["render", "c"]).contains("name: one"));
    assert_eq!(place.cached().len(), 1, "{:?}", place.cached());
}

#[test]
fn the_cache_is_shown_and_cleaned_up() {
    let place = Place::new("projects: {web: {image: a/b:1}}\n");
    let folder = place.cache().display().to_string();
    assert_eq!(place.shown(&["cache", "dir"]).trim_end(), folder);
    place.shown(&["render", "web"]);
    let size: Value = serde_json::from_str(&place.shown(&["cache", "size", "--output", "json"])).unwrap();
    assert_eq!((&size["folder"], &size["parts"][0]["entries"]), (&folder.into(), &1.into()), "{size}");
    assert!(size["bytes"].as_u64().unwrap() > 10_000, "{size}");
    place.shown(&["cache", "prune"]);
    place.shown(&["cache", "prune", "--all", "--dry-run"]);
    assert_eq!(place.cached().len(), 1);
    place.shown(&["cache", "prune", "--all"]);
    assert_eq!(place.cached().len(), 0);
    assert!(place.shown(&["render", "web"]).contains("kind: Deployment"), "it is written again");
}
