//! The map of modules in `src/lib.rs`, held against the source: edges, printing, the environment, IO, sizes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cmdr::domain::causes::{self, CauseSource};

/// Longer files hold more than one thing.
const MOST_LINES: usize = 500;

/// The limits of a function, which clippy enforces: its lines, its arguments, and how many of them are `bool`.
const FUNCTION_LIMITS: [(&str, usize); 3] =
    [("too-many-lines-threshold", 40), ("too-many-arguments-threshold", 5), ("max-fn-params-bools", 1)];
/// The lints that read these limits; none is silenced in `src`.
const FUNCTION_LINTS: [&str; 3] = ["too_many_lines", "too_many_arguments", "fn_params_excessive_bools"];

/// What no map may ever allow, whatever it says.
const NEVER: [(&str, &str); 10] = [
    ("ops", "cli"),
    ("ops", "commands"),
    ("adapters", "plan"),
    ("adapters", "engine"),
    ("adapters", "ui"),
    ("adapters", "event"),
    ("engine", "ui"),
    ("engine", "adapters"),
    ("ui", "engine"),
    ("ui", "adapters"),
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file: its path below the repository, the modules it is in, and its code without comments and texts.
struct Source {
    path: String,
    module: Vec<String>,
    code: String,
    lines: usize,
}

impl Source {
    fn top(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut open = vec![repository().join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned()
}

fn sources() -> Vec<Source> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let shown = shown(&path);
        let inner = shown.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let module = match inner {
            "lib" | "main" => Vec::new(),
            inner => inner.split('/').map(str::to_owned).collect(),
        };
        Source { path: shown, module, code: code_of(&text), lines: text.lines().count() }
    };
    files("src", "rs").into_iter().map(read).collect()
}

/// Rust without comments and without what is in quotes, so that words in them are not taken for code.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            quoted(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').unwrap() + 2
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// The length of the text in quotes that `rest` begins with.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The top-level names that code in `module` reaches: `crate::a`, `crate::{a, b::{..}}`, and `super::` past the top.
fn reached(module: &[String], code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        names.extend(first_names(&code[at + "crate::".len()..]));
    }
    let climb = "super::".repeat(module.len());
    for (at, _) in code.match_indices(&climb).filter(|_| !module.is_empty()) {
        names.extend(first_names(&code[at + climb.len()..]));
    }
    names
}

/// The first name of a path, or of each path in a group.
fn first_names(path: &str) -> Vec<String> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let name = |text: &str| text.trim_start().chars().take_while(|letter| is_name(*letter)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[begin..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// The table in the documentation of `src/lib.rs`: module -> what it may use.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let rows: Vec<(String, String)> = rows
        .map(|row| {
            let (module, rest) = row.split_once("`]").unwrap();
            let uses = rest.trim_end().trim_end_matches('|').rsplit('|').next().unwrap();
            (module.to_owned(), uses.trim().to_owned())
        })
        .collect();
    let all: BTreeSet<String> = rows.iter().map(|(module, _)| module.clone()).collect();
    let list_of =
        |list: &str| list.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect::<BTreeSet<String>>();
    let uses = |text: &str| match text {
        "-" => BTreeSet::new(),
        "all" => all.clone(),
        all_but if all_but.starts_with("all but ") => {
            let except = list_of(all_but.trim_start_matches("all but "));
            all.difference(&except).cloned().collect()
        }
        list => list_of(list),
    };
    rows.iter().map(|(module, text)| (module.clone(), uses(text))).collect()
}

fn assert_none(problems: &[String], what: &str) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

#[test]
fn the_map_has_every_module_and_no_other() {
    let code = code_of(&fs::read_to_string(repository().join("src/lib.rs")).unwrap());
    let declared: BTreeSet<String> =
        code.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    let mapped: BTreeSet<String> = map().into_keys().collect();
    assert_eq!(mapped, declared, "the table in src/lib.rs names other modules than the code below it");
    for (module, uses) in map() {
        let unknown: Vec<&String> = uses.difference(&mapped).collect();
        assert!(unknown.is_empty(), "{module} may use what is no module: {unknown:?}");
    }
}

#[test]
fn modules_use_what_the_map_allows() {
    let map = map();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(module) = source.top() else { continue };
        for used in reached(&source.module, &source.code) {
            if map.contains_key(&used) && used != module && !map[module].contains(&used) {
                wrong.push(format!("{}: {module} uses {used}", source.path));
            }
        }
    }
    assert_none(&wrong, "edges that the map in src/lib.rs does not have");
}

#[test]
fn the_map_contains_no_unused_dependency() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        if let Some(module) = source.top() {
            used.entry(module.to_owned()).or_default().extend(reached(&source.module, &source.code));
        }
    }
    let mut idle = Vec::new();
    for (module, uses) in map().into_iter().filter(|(module, _)| !["commands", "ops"].contains(&module.as_str())) {
        idle.extend(uses.difference(&used[&module]).map(|unused| format!("{module} -> {unused}")));
    }
    assert_none(&idle, "edges of the map in src/lib.rs that are used no more");
}

#[test]
fn the_map_keeps_apart_what_must_be_apart() {
    let map = map();
    for (module, other) in NEVER {
        assert!(!map[module].contains(other), "{module} must never use {other}");
    }
    assert!(map["domain"].is_empty(), "domain uses nothing");
    let (mut done, mut before) = (BTreeSet::new(), usize::MAX);
    while done.len() != before {
        before = done.len();
        let free = |uses: &BTreeSet<String>, own: &String| uses.iter().all(|used| used == own || done.contains(used));
        let next: Vec<String> = map.iter().filter(|(own, uses)| free(uses, own)).map(|(own, _)| own.clone()).collect();
        done.extend(next);
    }
    let circle: Vec<&String> = map.keys().filter(|module| !done.contains(*module)).collect();
    assert!(circle.is_empty(), "modules that use each other in a circle: {circle:?}");
}

/// Fails when one of `words` stands in code outside of the files that may have it.
fn assert_only(words: &[&str], may: impl Fn(&str) -> bool, what: &str) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !may(&source.path)) {
        for (number, line) in source.code.lines().enumerate() {
            wrong.extend(
                words
                    .iter()
                    .filter(|word| has_word(line, word))
                    .map(|word| format!("{}: {word} ({})", source.path, number + 1)),
            );
        }
    }
    assert_none(&wrong, what);
}

/// Whether `word` stands in the line and is not the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_'))
}

#[test]
fn only_the_ui_prints_and_only_the_top_ends_the_process() {
    let may = |path: &str| path.starts_with("src/ui/") || path == "src/main.rs";
    assert_only(
        &["println!", "eprintln!", "print!", "eprint!", "dbg!", "anstream::"],
        may,
        "printing outside of src/ui",
    );
    let may = |path: &str| path == "src/lib.rs" || path == "src/main.rs";
    assert_only(&["process::exit(", "process::abort("], may, "the process is ended outside of src/lib.rs");
}

#[test]
fn only_settings_read_the_environment() {
    let reads =
        ["var", "var_os", "vars", "vars_os", "args", "args_os", "current_dir", "home_dir", "temp_dir", "set_var"];
    let words: Vec<String> = reads.iter().map(|read| format!("env::{read}(")).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.push("option_env!");
    assert_only(&words, |path| path == "src/settings.rs", "the environment is read outside of src/settings.rs");
}

#[test]
fn domain_and_plan_do_no_io() {
    let may = |path: &str| {
        !["src/domain/", "src/plan/", "src/event.rs", "src/cli/"].iter().any(|pure| path.starts_with(pure))
    };
    let io = [
        "fs::",
        "tokio::fs",
        "tokio::net",
        "tokio::process",
        "process::Command",
        "TcpStream",
        "TcpListener",
        "File::",
        "SystemTime::now",
        "Instant::now",
    ];
    assert_only(&io, may, "IO where there is none to be");
}

#[test]
fn files_stay_short() {
    let mut long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > MOST_LINES)
        .map(|source| format!("{}: {}", source.path, source.lines))
        .collect();
    for (folder, extension) in [("tests", "rs"), ("rig", "sh"), ("tools", "py"), ("tools", "sh"), ("docs", "md")] {
        for path in files(folder, extension).iter().filter(|path| !path.ends_with("docs/cli.md")) {
            let lines = fs::read_to_string(path).unwrap().lines().count();
            if lines > MOST_LINES {
                long.push(format!("{}: {lines}", shown(path)));
            }
        }
    }
    assert_none(&long, "files of more than 500 lines");
}

#[test]
fn functions_stay_short() {
    let clippy = fs::read_to_string(repository().join("clippy.toml")).unwrap();
    for (key, limit) in FUNCTION_LIMITS {
        let line = format!("{key} = {limit}");
        assert!(clippy.lines().any(|written| written == line), "clippy.toml does not contain '{line}'");
    }
    let manifest = repository().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\npedantic = { level = \"warn\""), "the lints of functions are pedantic ones of clippy");
    let mut silenced = Vec::new();
    for path in files("src", "rs").into_iter().chain([manifest]) {
        let text = fs::read_to_string(&path).unwrap();
        let lints = FUNCTION_LINTS.iter().filter(|lint| text.contains(**lint));
        silenced.extend(lints.map(|lint| format!("{}: {lint}", shown(&path))));
    }
    assert_none(&silenced, "limits of functions that are silenced");
}

/// The types that a source file declares. Associated types and those of tests are indented.
fn declared_types(code: &str) -> Vec<String> {
    let declared = |line: &str| {
        let line = line.strip_prefix("pub").map_or(line, |rest| rest.split_once(' ').map_or(rest, |(_, rest)| rest));
        let (keyword, rest) = line.split_once(' ')?;
        let name: String = rest.chars().take_while(|it| it.is_alphanumeric()).collect();
        ["struct", "enum", "trait", "type"].contains(&keyword).then_some(name)
    };
    code.lines().filter_map(declared).collect()
}

#[test]
fn each_type_name_is_unique() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in declared_types(&source.code) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    let shared = places.iter().filter(|(_, places)| places.len() > 1);
    let problems: Vec<String> = shared.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    assert_none(&problems, "type names that stand twice");
}

#[test]
fn this_test_sees_what_it_should() {
    let plan = ["plan".to_owned(), "up".to_owned()];
    let seen = |code: &str| reached(&plan, &code_of(code)).into_iter().collect::<Vec<_>>();
    assert_eq!(seen("use crate::{ui::{self, Mode}, engine, domain::Name};"), ["domain", "engine", "ui"]);
    assert_eq!(seen("fn f() { crate::adapters::http::get() } // crate::ui"), ["adapters"]);
    assert_eq!(seen("use super::super::engine::run; use super::graph;"), ["engine"]);
    assert_eq!(seen("let text = \"crate::ui \\\" crate::cli\"; let quote = '\"'; crate::event;"), ["event"]);
    assert!(has_word("    print!(x)", "print!") && !has_word("sprint!(x)", "print!"));
    assert_eq!(declared_types("pub(crate) struct One<T> {\ntype Two = u8;\n    type Output = u8;"), ["One", "Two"]);
}

/// What a cause is met by: the functions of tests that name its code, `file::function`. The catalogue itself does not
/// count, and neither do the pictures of `explain`.
fn tests_by_code() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let own = |path: &&PathBuf| !shown(path).starts_with("src/domain/causes/") && !path.ends_with("architecture.rs");
    for path in files("src", "rs").iter().chain(&files("tests", "rs")).filter(own) {
        let text = fs::read_to_string(path).unwrap();
        let is_test_file = shown(path).starts_with("tests/") || path.ends_with("tests.rs");
        let tests = if is_test_file { text.as_str() } else { text.split_once("#[cfg(test)]").unwrap_or_default().1 };
        let mut function = String::new();
        for line in tests.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
            if let Some((_, name)) = line.split_once("fn ").or_else(|| line.split_once("const ")) {
                name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().clone_into(&mut function);
            }
            for code in codes_in(line) {
                found.entry(code).or_default().insert(format!("{}::{function}", shown(path)));
            }
        }
    }
    found
}

/// The codes in the texts of a line: `"C014"`, `"... (C014)"`.
fn codes_in(line: &str) -> Vec<String> {
    let starts = line.match_indices(['"', '(']).map(|(at, _)| &line[at + 1..]);
    let code = |rest: &str| {
        let code = rest.get(..4)?;
        let is_code = code.starts_with('C') && code[1..].bytes().all(|digit| digit.is_ascii_digit());
        (is_code && rest[4..].starts_with(['"', ')'])).then(|| code.to_owned())
    };
    starts.filter_map(code).collect()
}

/// A cause that is found in a text is met by its example in the catalogue. What cmdr detects itself is met by a test
/// of the code that detects it.
#[test]
fn each_cause_that_cmdr_detects_itself_is_met_in_a_test() {
    let tests = tests_by_code();
    let is_own = |source: &CauseSource| matches!(source, CauseSource::Run | CauseSource::Environment);
    let own = causes::all().filter(|cause| cause.sources.iter().any(is_own));
    let missing: Vec<&str> = own.map(|cause| cause.code).filter(|code| !tests.contains_key(*code)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "no test expects these codes");
    let known: BTreeSet<&str> = causes::all().map(|cause| cause.code).collect();
    let unknown: Vec<_> = tests.iter().filter(|(code, _)| !known.contains(code.as_str())).collect();
    assert!(unknown.is_empty(), "tests expect codes that do not exist: {unknown:?}");
}
