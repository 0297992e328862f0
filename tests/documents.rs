//! What is written about cmdr, held against cmdr: generated pages, command lines, excerpts of projects.yaml, links.
//!
//! `UPDATE_SCHEMA=1 cargo test --test documents` writes what is generated.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, CommandFactory, Parser};
use cmdr::{
    adapters::user_configuration,
    cli::Cli,
    commands::{docs, schema::SCHEMAS},
    config,
    domain::{causes, ledger::LedgerFile, manual::llms_text, yaml},
    event::TimedEvent,
    settings::VARIABLES,
};
use serde_json::Value;

/// Keys that only a whole workspace has; an excerpt with none of them is taken for entries of `projects`.
const WORKSPACE_KEYS: [&str; 10] = [
    "version",
    "name",
    "include",
    "environments",
    "platform",
    "defaults",
    "projects",
    "bundles",
    "maintenance",
    "templates",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a generated file, or writes it when `UPDATE_SCHEMA` is set.
fn assert_generated(path: &str, wanted: &str) {
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(repository().join(path), wanted).unwrap();
    }
    let current = fs::read_to_string(repository().join(path)).unwrap_or_default();
    assert!(current == wanted, "{path} is stale: UPDATE_SCHEMA=1 cargo test --test documents writes it");
}

/// `text` with what stands between a pair of markers replaced.
fn filled(text: &str, name: &str, content: &str) -> String {
    let (marker, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let start = text.find(&marker).unwrap_or_else(|| panic!("no marker {marker}")) + marker.len();
    let stop = start + text[start..].find(&end).unwrap_or_else(|| panic!("no marker {end}"));
    format!("{}{content}{}", &text[..start], &text[stop..])
}

/// Every page: those of the first folder and those of `docs`.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "rig/README.md"]
        .map(str::to_owned)
        .to_vec();
    let docs = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.extend(docs.map(|path| format!("docs/{}", path.file_name().unwrap().to_string_lossy())));
    pages
}

/// The code blocks of a page with this word after the fence.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = read(page);
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(word) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            if word == language {
                found.push(block.join("\n") + "\n");
            }
        }
    }
    found
}

#[test]
fn the_command_line_is_documented() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = String::from(
        "# The command line\n\nMade from the program by `UPDATE_SCHEMA=1 cargo test --test documents`.\n\n",
    );
    let verbs: Vec<&Command> = command.get_subcommands().collect();
    page.push_str("| verb | what it does |\n|---|---|\n");
    for verb in &verbs {
        let name = verb.get_name();
        writeln!(page, "| [`cmdr {name}`](#cmdr-{name}) | {} |", about(verb)).unwrap();
    }
    page.push_str("\n## Global options\n\n");
    page.push_str(&arguments(
        command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")),
    ));
    for verb in verbs {
        page.push_str(&section("##", &format!("cmdr {}", verb.get_name()), verb));
        for below in verb.get_subcommands() {
            page.push_str(&section("###", &format!("cmdr {} {}", verb.get_name(), below.get_name()), below));
        }
    }
    let codes = command.get_after_help().unwrap().to_string();
    let codes = codes.trim_start_matches("Exit codes: ").trim_end_matches('.');
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for code in codes.split(", ") {
        let (number, meaning) = code.split_once(' ').unwrap();
        writeln!(page, "| {number} | {meaning} |").unwrap();
    }
    assert_generated("docs/cli.md", &page);
}

/// The section of a command: its purpose, its usage and its own options.
fn section(mark: &str, name: &str, verb: &Command) -> String {
    let usage = verb.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let mut text = format!("\n{mark} {name}\n\n{}.\n\n```\n{usage}\n```\n", about(verb));
    let own: Vec<&Arg> = verb.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help").collect();
    if !own.is_empty() {
        write!(text, "\n{}", arguments(own.into_iter())).unwrap();
    }
    text
}

#[test]
fn every_json_output_is_documented() {
    let page = read("docs/events.md");
    for file in fs::read_dir(repository().join("src/commands")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let path = if path.is_dir() { path.join("mod.rs") } else { path };
        let prints = fs::read_to_string(&path).unwrap().contains("OutputFormat::Json");
        assert!(!prints || page.contains(&format!("| `{name}")), "docs/events.md has no row for cmdr {name}");
    }
}

/// A row a service of `benches/charts`: the lines of its plain manifests, and of what each tool needs for the same.
#[test]
fn the_comparison_of_charts_is_documented() {
    let tools = ["manifest", "cmdr", "stakater", "bjw-s", "onechart"];
    let mut table = "| service | plain manifests | cmdr | stakater/application | bjw-s app-template | onechart |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    let mut rows: Vec<_> =
        fs::read_dir(repository().join("benches/charts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    rows.sort();
    assert!(rows.len() >= 10, "rows are missing");
    for row in rows {
        let input = |tool: &str| fs::read_to_string(row.join(format!("{tool}.yaml"))).ok();
        let lines = tools.map(|tool| input(tool).map(|text| text.lines().filter(|line| counts(line)).count()));
        let cmdr = lines[1].unwrap_or_else(|| panic!("{} has no cmdr.yaml", row.display()));
        assert!(lines.iter().flatten().all(|&other| other >= cmdr), "{}: another needs fewer lines", row.display());
        let manifest = input("manifest").unwrap();
        let about = manifest.lines().next().unwrap().trim_start_matches("# ");
        let cells = lines.map(|lines| lines.map_or_else(|| "–".to_owned(), |lines| lines.to_string()));
        writeln!(table, "| {about} | {} |", cells.join(" | ")).unwrap();
        assert_without_mistakes(&row.display().to_string(), &whole(&input("cmdr").unwrap()));
    }
    let page = "docs/chart.md";
    assert_generated(page, &filled(&read(page), "comparison", &table));
}

/// Whether a line says something: neither empty nor a comment.
fn counts(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn about(verb: &Command) -> String {
    verb.get_about().map(ToString::to_string).unwrap_or_default()
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut text = "| option | meaning |\n|---|---|\n".to_owned();
    for argument in arguments {
        let value = argument.get_num_args().is_some_and(|range| range.takes_values()).then(|| {
            let names = argument.get_value_names().map(|names| names.iter().map(ToString::to_string).collect());
            names.unwrap_or_else(|| vec![argument.get_id().as_str().to_uppercase()]).join(" ")
        });
        let short = argument.get_short().map(|short| format!("-{short}"));
        let long = argument.get_long().map(|long| format!("--{long}"));
        let mut name = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
        if let Some(value) = value {
            name = if name.is_empty() { value } else { format!("{name} {value}") };
        }
        let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> =
            argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !values.is_empty() && argument.get_num_args().is_some_and(|range| range.takes_values()) {
            write!(meaning, " ({})", values.join(", ")).unwrap();
        }
        writeln!(text, "| `{name}` | {meaning} |").unwrap();
    }
    text
}

#[test]
fn the_causes_are_documented() {
    let page = causes::page();
    assert!(page.lines().count() < 500, "docs/causes.md is too long");
    assert_generated("docs/causes.md", &page);
}

#[test]
fn the_variables_are_documented() {
    let mut table = "| variable | meaning |\n|---|---|\n".to_owned();
    for (name, meaning) in VARIABLES {
        writeln!(table, "| `{name}` | {meaning} |").unwrap();
    }
    let page = "docs/settings.md";
    assert_generated(page, &filled(&read(page), "variables", &table));
}

#[test]
fn the_index_for_language_models_is_generated() {
    let about = Cli::command().get_about().unwrap().to_string();
    let path = |topic: &str| if topic == "readme" { "../README.md".to_owned() } else { format!("{topic}.md") };
    assert_generated("docs/llms.txt", &llms_text(&about, &docs::pages(), path));
}

/// Every command that prints JSON has a published schema, whose name `docs/agents.md` lists.
#[test]
fn the_schemas_are_documented() {
    let mut table = "| schema | describes |\n|---|---|\n| `projects` | `projects.yaml` |\n".to_owned();
    for schema in SCHEMAS {
        writeln!(table, "| `{}` | {} |", schema.name, schema.about).unwrap();
        assert!((schema.schema)().as_object().is_some(), "{schema:?}");
    }
    let page = "docs/agents.md";
    assert_generated(page, &filled(&read(page), "schemas", &table));
}

#[test]
fn the_ledger_is_documented() {
    let schema = serde_json::to_value(schemars::schema_for!(LedgerFile)).unwrap();
    assert_generated("docs/ledger.schema.json", &format!("{schema:#}\n"));
}

#[test]
fn the_events_are_documented() {
    let schema = serde_json::to_value(schemars::schema_for!(TimedEvent)).unwrap();
    assert_generated("docs/events.schema.json", &format!("{schema:#}\n"));
    let page = "docs/events.md";
    assert_generated(page, &filled(&read(page), "events", &event_tables(&schema)));
}

fn event_tables(schema: &Value) -> String {
    let mut text = String::new();
    let of_all = schema["properties"].as_object().unwrap();
    for event in schema["oneOf"].as_array().unwrap() {
        let name = event["properties"]["event"]["const"].as_str().unwrap();
        let required = [&schema["required"], &event["required"]].map(|keys| keys.as_array().unwrap());
        let required: BTreeSet<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let keys: BTreeMap<&String, &Value> = event["properties"].as_object().unwrap().iter().chain(of_all).collect();
        write!(text, "### {name}\n\n{}\n\n", event["description"].as_str().unwrap()).unwrap();
        text.push_str("| key | type | meaning |\n|---|---|---|\n");
        for (key, of) in keys.into_iter().filter(|(key, _)| *key != "event") {
            let meaning = of["description"].as_str().unwrap_or_else(|| panic!("{name}.{key} is not documented"));
            let maybe = if required.contains(key.as_str()) { "" } else { ", may be missing" };
            writeln!(text, "| `{key}` | {}{maybe} | {meaning} |", type_name(of)).unwrap();
        }
        text.push('\n');
    }
    text
}

fn type_name(of: &Value) -> String {
    let reference = of["$ref"].as_str().or_else(|| of["anyOf"][0]["$ref"].as_str());
    if let Some(reference) = reference {
        return reference.rsplit('/').next().unwrap().to_lowercase();
    }
    let name = of["type"].as_str().or_else(|| of["type"][0].as_str()).unwrap_or("value");
    match name {
        "array" => format!("list of {}", type_name(&of["items"])),
        name => name.to_owned(),
    }
}

#[test]
fn events_match_their_schema() {
    let validator =
        jsonschema::validator_for(&serde_json::to_value(schemars::schema_for!(TimedEvent)).unwrap()).unwrap();
    for block in blocks("docs/events.md", "json") {
        for line in block.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let errors: Vec<String> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{line}");
        }
    }
}

/// Words as a shell divides them, as far as the pages need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn command_lines_of_the_pages_can_be_typed() {
    let makefile = read("Makefile");
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&page, "sh") {
            for line in block.lines() {
                let line =
                    line.trim_start_matches("$ ").split(" #").next().unwrap().split(" | ").next().unwrap().trim();
                let line = line.split(" > ").next().unwrap();
                if let Some(target) = line.strip_prefix("make ") {
                    let target = target.split(' ').next().unwrap();
                    assert!(makefile.contains(&format!("\n{target}:")), "{page}: no target {target}");
                    seen += 1;
                } else if line.split(' ').next() == Some("cmdr") {
                    if let Err(error) = Cli::try_parse_from(words(line)) {
                        assert!(!error.use_stderr(), "{page}: {line}\n{error}");
                    }
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} command lines were found");
}

#[test]
fn excerpts_of_projects_yaml_are_without_mistakes() {
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&page, "yaml") {
            assert_without_mistakes(&page, &whole(&block));
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} excerpts were found");
}

fn assert_without_mistakes(source: &str, workspace: &str) {
    let folder = surroundings();
    fs::write(folder.path().join(config::FILE), workspace).unwrap();
    match config::load(folder.path()) {
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(|warning| config::render(warning, false)).collect();
            assert_eq!(warnings, Vec::<String>::new(), "{source}:\n{workspace}");
        }
        Err(config::LoadError::Invalid(report)) => panic!("{source}:\n{}", report.render(false)),
        Err(error) => panic!("{source}: {error}"),
    }
}

/// The files that excerpts name.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("services/storefront/Dockerfile", "FROM scratch\n"),
        ("services/storefront/src/app.py", "pass\n"),
        ("services/storefront/config.yaml", "port: 8080\n"),
        ("teams/mail/projects.yaml", "projects: {}\n"),
        ("conf/app.yaml", "port: 8080\n"),
        ("conf/grafana/grafana.ini", "[server]\n"),
        ("pages/maintenance.html", "<h1>{{ project }}</h1>\n"),
        ("charts/mail/Chart.yaml", "name: mail\nversion: 1.0.0\n"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// An excerpt as a whole workspace.
fn whole(block: &str) -> String {
    let value: Value = yaml::read(block).unwrap_or_else(|error| panic!("{error}:\n{block}"));
    let has = |key: &str| value.get(key).is_some();
    let mut head = String::new();
    if !has("version") {
        head.push_str("version: 1\n");
    }
    if !has("name") {
        head.push_str("name: excerpt\n");
    }
    if value.is_null() || WORKSPACE_KEYS.iter().any(|key| has(key)) {
        return head + block;
    }
    let inner: String = block.lines().map(|line| format!("  {line}\n")).collect();
    format!("{head}projects:\n{inner}{}", stand_ins(&value))
}

/// Projects that others of the excerpt need, and that stand in another excerpt.
fn stand_ins(projects: &Value) -> String {
    let needs = projects.as_object().into_iter().flatten().filter_map(|(_, project)| project.get("needs"));
    let names = needs.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let absent: BTreeSet<&str> = names.filter(|name| projects.get(*name).is_none()).collect();
    absent.iter().map(|name| format!("  {name}: {{image: stand-in:1}}\n")).collect()
}

#[test]
fn the_excerpt_of_the_users_file_is_read() {
    let excerpts = blocks("docs/settings.md", "yaml config.yaml");
    assert_eq!(excerpts.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, &excerpts[0]).unwrap();
    let read = user_configuration::read(&file).unwrap();
    assert!(read.ca.is_some() && !read.mirrors.images.is_empty() && !read.mirrors.charts.is_empty());
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        let folder = Path::new(&page).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            if target.contains("://") {
                continue;
            }
            let path = if path.is_empty() { PathBuf::from(&page) } else { folder.join(path) };
            assert!(repository().join(&path).exists(), "{page}: no {target}");
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(repository().join(&path)).unwrap();
                assert!(anchors(&text).contains(anchor), "{page}: no {target}");
            }
        }
    }
}

/// The places of a page that can be linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#')).map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept: String = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect();
        kept.replace(' ', "-")
    });
    let ids = text.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    headings.chain(ids).collect()
}

#[test]
fn templates_are_workspaces() {
    let folder = repository().join("templates/workspace");
    let loaded = config::load(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_pages_name_no_machine() {
    for page in pages() {
        let text = read(&page);
        for word in ["/root/", "/home/", "/tmp/", "TODO", "FIXME"] {
            assert!(!text.contains(word), "{page} has {word}");
        }
    }
}
