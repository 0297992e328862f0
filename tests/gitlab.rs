//! The CI/CD component of `templates/gitlab`: its jobs, its inputs, and the command lines in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser;
use cmdr::{cli::Cli, domain::yaml};
use serde_json::{Map, Value};

/// The keywords of GitLab's that jobs use here; any other is a slip.
const JOB_KEYS: [&str; 20] = [
    "after_script",
    "allow_failure",
    "artifacts",
    "before_script",
    "dependencies",
    "environment",
    "extends",
    "id_tokens",
    "image",
    "interruptible",
    "needs",
    "parallel",
    "resource_group",
    "retry",
    "rules",
    "script",
    "services",
    "stage",
    "timeout",
    "variables",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text() -> String {
    fs::read_to_string(repository().join("templates/gitlab/template.yml")).unwrap()
}

/// The head with the inputs, and the jobs.
fn component() -> (Value, Value) {
    let documents = yaml::read_documents(&text()).unwrap();
    let [head, jobs] = <[Value; 2]>::try_from(documents).unwrap();
    (head, jobs)
}

/// Each job with what it takes over from `extends`.
fn jobs() -> Vec<(String, Map<String, Value>)> {
    let (_, jobs) = component();
    let whole = |job: &Value| {
        let mut whole = job.as_object().unwrap().clone();
        if let Some(base) = job.get("extends").and_then(Value::as_str) {
            let base = jobs.get(base).unwrap_or_else(|| panic!("nothing is named {base}")).as_object().unwrap();
            for (key, value) in base {
                whole.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        whole
    };
    let named = jobs.as_object().unwrap().iter().map(|(name, job)| (name.clone(), whole(job)));
    named.filter(|(name, _)| !name.starts_with('.')).collect()
}

/// Every text of a job's scripts.
fn scripts(job: &Map<String, Value>) -> Vec<String> {
    let of = |key: &str| job.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let all = ["before_script", "script", "after_script"].into_iter().flat_map(of);
    all.map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_job_has_the_keys_that_gitlab_needs() {
    let jobs = jobs();
    let names: BTreeSet<&str> = jobs.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["cmdr-build", "cmdr-deploy", "cmdr-promote", "cmdr-review", "cmdr-review-end", "cmdr-rollback", "cmdr-unhold"];
    assert_eq!(names, BTreeSet::from(expected));
    for (name, job) in &jobs {
        for key in ["stage", "script", "rules", "image"] {
            assert!(job.contains_key(key), "{name} has no {key}");
        }
        for (key, _) in job {
            assert!(JOB_KEYS.contains(&key.as_str()), "{name} has {key}");
        }
        if name != "cmdr-build" {
            assert_eq!(
                job["retry"]["exit_codes"],
                Value::from(vec![75]),
                "{name}: only what changed nothing is retried"
            );
            assert!(job.contains_key("resource_group") && job.contains_key("environment"), "{name}");
        }
    }
}

#[test]
fn inputs_are_declared_and_used() {
    let (head, _) = component();
    let inputs = head["spec"]["inputs"].as_object().unwrap();
    let declared: BTreeSet<&str> = inputs.keys().map(String::as_str).collect();
    let text = text();
    let used: BTreeSet<&str> =
        text.split("$[[ inputs.").skip(1).map(|rest| rest.split(" ]]").next().unwrap()).collect();
    assert_eq!(declared, used);
    let needed: Vec<&str> =
        inputs.iter().filter(|(_, input)| input.get("default").is_none()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(needed, ["image", "projects"], "the least that a user must say");
}

/// The option `--tag` for each project, as a shell writes it.
const TAGS: &str = r#"$(printf -- "--tag %s=$CI_COMMIT_SHA " catalog)"#;

/// A command line as a shell divides it, with inputs and variables filled in.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("$[[ inputs.lock-timeout ]]", "10m").replace("$[[ inputs.projects ]]", "catalog");
    let line = line.replace(r#"${CMDR_RECORD:+--record "$CMDR_RECORD"}"#, "--record 0123456789abcdef0123");
    let line = line.replace(r#"${CMDR_BECAUSE:+--because "$CMDR_BECAUSE"}"#, r#"--because "a reason""#);
    let line = line.replace(TAGS, "--tag catalog=0123456789abcdef");
    let mut line = line.replace("${CMDR_PROJECTS:-catalog}", "catalog");
    while let Some((start, rest)) = line.split_once("$[[ inputs.") {
        let (name, rest) = rest.split_once(" ]]").unwrap();
        line = format!("{start}{name}{rest}");
    }
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

#[test]
fn command_lines_can_be_typed() {
    let mut seen = 0;
    for (name, job) in jobs() {
        for script in scripts(&job) {
            for command in script.split("; ").filter_map(|part| part.find("cmdr ").map(|at| &part[at..])) {
                let command = command.trim_end();
                let cli =
                    Cli::try_parse_from(words(command)).unwrap_or_else(|error| panic!("{name}: {command}\n{error}"));
                let reports = &job["artifacts"]["reports"];
                for (file, report) in [(cli.global.reports.junit, "junit"), (cli.global.reports.dotenv, "dotenv")] {
                    let wanted = Path::new(reports[report].as_str().unwrap());
                    assert!(file.is_none_or(|file| file == wanted), "{name}: {report}");
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 10, "each job but the build has its verb, and four tell what runs when they fail");
}

#[test]
fn a_review_runs_the_build_of_its_merge_request() {
    let jobs = jobs();
    let (_, review) = jobs.iter().find(|(name, _)| name == "cmdr-review").unwrap();
    let script = scripts(review).join("\n");
    let tags = TAGS.replace(" catalog)", " $[[ inputs.projects ]])");
    assert!(script.contains(&tags), "{script}");
    let line = format!("echo {}", TAGS.replace(" catalog)", " catalog storefront)"));
    let shell = Command::new("sh").args(["-c", &line]).env("CI_COMMIT_SHA", "12ab").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout), "--tag catalog=12ab --tag storefront=12ab\n");
}
