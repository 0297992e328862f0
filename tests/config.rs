//! `projects.yaml`: the corpus of valid and invalid files, the schema, the documentation, and damaged files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "config/mutations.rs"]
mod mutations;
#[path = "config/platform.rs"]
mod platform;
#[path = "config/values.rs"]
mod values;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use cmdr::{
    config::{self, LoadError, Loaded, reference, schema},
    domain::{self, Environment, ImageReference, ResolvedProject, ports::Pair},
};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The cases of one kind, by name, in a folder where no workspace is above them.
struct Cases {
    folders: Vec<(String, PathBuf)>,
    _place: TempDir,
}

fn cases(kind: &str) -> Cases {
    let place = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/config").join(kind), place.path());
    let mut folders: Vec<(String, PathBuf)> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    folders.sort();
    Cases { folders, _place: place }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(repository().join("tests/config/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// Compares a generated file, or writes it when `UPDATE_SCHEMA` is set.
fn assert_generated(path: &str, wanted: &str) {
    let path = repository().join(path);
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let current = fs::read_to_string(&path).unwrap_or_default();
    assert!(current == wanted, "{} is stale: UPDATE_SCHEMA=1 cargo test --test config writes it", path.display());
}

#[test]
fn invalid_files_are_answered_with_every_mistake() {
    let cases = cases("invalid");
    assert!(cases.folders.len() >= 30);
    for (name, folder) in &cases.folders {
        let LoadError::Invalid(report) = config::load(folder).expect_err(name) else { panic!("{name} is not invalid") };
        snapshots().bind(|| insta::assert_snapshot!(format!("invalid-{name}"), report.render(false)));
    }
}

#[test]
fn valid_files_are_resolved_for_each_environment() {
    for (name, folder) in &cases("valid").folders {
        let loaded = config::load(folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut settings = snapshots();
        settings.add_filter(&regex_of(folder), "FOLDER");
        settings.bind(|| insta::assert_snapshot!(format!("valid-{name}"), summary(&loaded)));
    }
}

fn regex_of(folder: &Path) -> String {
    folder.to_string_lossy().replace('.', "\\.").replace('+', "\\+")
}

/// What verbs get to see of a workspace.
fn summary(loaded: &Loaded) -> String {
    let mut parts = Vec::new();
    for environment in loaded.workspace.environments.values() {
        parts.push(format!("{environment:#?}"));
        parts.extend(
            domain::resolve(&loaded.workspace, environment).iter().map(|project| described(project, environment)),
        );
    }
    parts.push(format!("platform: {:#?}", loaded.workspace.platform));
    parts.push(format!("bundles: {:#?}", loaded.workspace.bundles));
    if !loaded.workspace.procedures.is_empty() {
        parts.push(format!("procedures: {:#?}", loaded.workspace.procedures));
    }
    if !loaded.workspace.templates.is_empty() {
        parts.push(format!("templates: {:#?}", loaded.workspace.templates));
    }
    parts.extend(loaded.warnings.iter().map(|warning| config::render(warning, false)));
    parts.join("\n\n")
}

fn described(project: &ResolvedProject, environment: &Environment) -> String {
    let standard = domain::ports::STANDARD;
    let (http, https) = (environment.http_port, environment.https_port);
    let ports = Pair { http: http.unwrap_or(standard.http), https: https.unwrap_or(standard.https) };
    let urls = project.routes.iter().flat_map(|route| route.urls(ports));
    let routes: Vec<String> =
        urls.map(|url| format!("{} asked at {}", url.shown, url.checked.as_deref().unwrap_or("nothing"))).collect();
    [
        format!("{} in {}", project.name, environment.name),
        format!("  image: {:?}", project.image.as_ref().map(ToString::to_string)),
        format!("  build: {:?}", project.build),
        format!("  chart: {:?}", project.chart),
        format!("  routes: {routes:?}"),
        format!("  needs: {:?}", project.needs),
        format!("  external: {:?}", project.external),
        format!("  optional: {} {:?}", project.is_optional, project.profiles),
        format!("  timeout: {:?}, verify: {:?}", project.timeout, project.verify.keys().collect::<Vec<_>>()),
        format!("  values: {}", serde_json::to_string(&project.values).unwrap()),
    ]
    .join("\n")
}

#[test]
fn the_universal_chart_accepts_the_values_of_valid_files() {
    let schema = fs::read_to_string(repository().join("charts/service/values.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    for (name, folder) in &cases("valid").folders {
        let loaded = config::load(folder).unwrap();
        for environment in loaded.workspace.environments.values() {
            for mut project in domain::resolve(&loaded.workspace, environment) {
                if project.is_on_universal_chart() {
                    project.use_image(ImageReference::parse("built:1").unwrap());
                    let origin = config::ValueOrigin { sources: &loaded.sources, environment, set: None };
                    let schema = config::ValuesSchema::new(&schema);
                    let holder = config::ValuesHolder::Project(&project.name);
                    let found = config::check_values(origin, holder, &project.values, &schema);
                    let found: Vec<String> = found.iter().map(|one| config::render(one, false)).collect();
                    assert_eq!(found, Vec::<String>::new(), "{name}");
                }
            }
        }
    }
}

#[test]
fn the_schema_in_the_repository_is_current() {
    let schema = schema::json_schema();
    assert!(schema.len() < 500_000, "editors load the schema for each file: it has {} bytes", schema.len());
    assert_generated("projects.schema.json", &schema);
}

#[test]
fn the_documentation_has_every_key() {
    for page in reference::pages() {
        let path = format!("docs/{page}");
        let text = fs::read_to_string(repository().join(&path)).unwrap();
        let wanted = reference::filled(page, &text);
        let wanted = wanted.unwrap_or_else(|table| panic!("{path} has no markers for {table}"));
        assert_generated(&path, &wanted);
        for table in reference::tables_of(page) {
            let place = format!("<a id=\"{}\"></a>", table.name);
            assert!(text.contains(&place), "{path} has no place to link to for {}", table.name);
        }
    }
}

#[test]
fn the_schema_accepts_what_cmdr_accepts() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    for (name, folder) in &cases("valid").folders {
        let errors: Vec<String> = validator.iter_errors(&yaml(folder)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    }
}

/// Mistakes that a schema cannot see: what names and paths mean, files beside the first one, and what is no YAML at all.
const BEYOND_THE_SCHEMA: &[&str] = &[
    "aliases-billion-laughs",
    "all-mistakes-of-all-files",
    "anchored-values-once",
    "chart-not-found",
    "complex-key",
    "duplicate-key",
    "image-beside-chart",
    "image-under-values",
    "freeze-windows",
    "included-file-says-too-much",
    "keys-of-other-kinds",
    "named-parts",
    "needs-disabled",
    "needs-in-a-circle",
    "needs-itself",
    "needs-on-nothing",
    "dashboards",
    "long-names",
    "networks-overlap",
    "one-file-is-no-yaml",
    "probe-ports",
    "rollouts-of-others",
    "procedure-circle",
    "promote-in-a-circle",
    "references",
    "route-collision-across-files",
    "route-without-domain",
    "procedures-of-projects",
    "same-project-in-two-files",
    "syntax-colon-in-text",
    "syntax-tab",
    "syntax-unclosed-bracket",
    "syntax-unclosed-quote",
    "syntax-unknown-anchor",
    "tag-unknown",
    "tag-numeric",
    "two-documents",
    "two-projects-on-one-route",
    "unknown-environment",
    "variables",
    "include-matches-nothing",
];

#[test]
fn the_schema_refuses_the_mistakes_it_can_express() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    for (name, folder) in &cases("invalid").folders {
        if !BEYOND_THE_SCHEMA.contains(&name.as_str()) {
            assert!(!validator.is_valid(&yaml(folder)), "{name} is accepted");
        }
    }
}

/// An editor must not mark values that the chart accepts.
#[test]
fn the_schema_accepts_the_values_of_the_chart() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    for entry in fs::read_dir(repository().join("tests/golden")).unwrap() {
        let folder = entry.unwrap().path();
        let text = fs::read_to_string(folder.join("values.yaml")).unwrap();
        let mut values: serde_json::Value = domain::yaml::read(&text).unwrap();
        let image = values.as_object_mut().unwrap().remove("image");
        let project = serde_json::json!({"image": image, "values": values});
        let file = serde_json::json!({"version": 1, "name": "tunes", "projects": {"shop": project}});
        let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", folder.display());
    }
    let sample = yaml(&repository());
    assert!(validator.is_valid(&sample), "the sample");
}

/// As an editor reads it.
fn yaml(folder: &Path) -> serde_json::Value {
    let text = fs::read_to_string(folder.join(config::FILE)).unwrap();
    domain::yaml::read(&text).unwrap()
}
