//! `cmdr logs` against an API server in this process, which streams logs as a real one does, and as a real one does only
//! sometimes: connections that end early, files that are rotated, floods.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "logs/api.rs"]
mod api;

use std::{fs, io::Read, process::Stdio, thread, time::Duration};

use api::{FakeApi, FakeContainer, Part};
use serde_json::Value;

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

fn printed(api: &FakeApi, args: &[&str]) -> Vec<String> {
    let output = api.cmdr(&[&["logs"], args].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lines(&output.stdout)
}

fn refused(api: &FakeApi, args: &[&str], code: i32) -> String {
    let output = api.cmdr(&[&["logs"], args].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn at(millisecond: u32) -> String {
    format!("2026-01-02T03:04:{:02}.{:03}000000Z", millisecond / 1000, millisecond % 1000)
}

/// Two projects whose lines alternate.
fn two_projects() -> FakeApi {
    let shop = ["INFO ready", r#"{"level":"error","msg":"payment failed","order":7}"#, "  at Cart.add", "done"];
    let shop = (0..).zip(shop).map(|(number, line)| format!("{} {line}", at(number * 20)));
    let cart = (0..).zip(["WARN slow", "plain"]).map(|(number, line)| format!("{} {line}", at(number * 20 + 10)));
    FakeApi::start(vec![FakeContainer::ended("shop", shop.collect()), FakeContainer::ended("cart", cart.collect())])
}

#[test]
fn logs_are_merged_by_time_and_each_container_is_asked_once() {
    let api = two_projects();
    let wanted = [
        "shop | INFO ready",
        "cart | WARN slow",
        "shop | ERROR payment failed order=7",
        "cart | plain",
        "shop |   at Cart.add",
        "shop | done",
    ];
    assert_eq!(printed(&api, &[]), wanted);
    let requests = api.requests("/log");
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("tailLines=200")), "{requests:?}");
    assert_eq!(api.requests("/pods?").len(), 1);
}

#[test]
fn lines_are_chosen_by_level_and_by_a_regular_expression() {
    let api = two_projects();
    assert_eq!(printed(&api, &["shop", "--level", "error"]), ["ERROR payment failed order=7", "  at Cart.add"]);
    assert_eq!(
        printed(&api, &["--search", "order=.|slow"]),
        ["cart | WARN slow", "shop | ERROR payment failed order=7"]
    );
    assert_eq!(printed(&api, &["cart", "--raw"]), ["WARN slow", "plain"]);
    assert!(api.requests("/log").iter().take(1).all(|request| !request.contains("tailLines")), "a filter reads all");
    printed(&api, &["cart", "--tail", "7", "--since", "2h"]);
    let last = api.requests("/log").pop().unwrap();
    assert!(last.contains("tailLines=7") && last.contains("sinceTime="), "{last}");
}

#[test]
fn only_the_newest_lines_of_all_containers_are_printed_with_a_limit() {
    let api = two_projects();
    let output = api.cmdr(&["logs", "--limit", "2"]).output().unwrap();
    assert_eq!(lines(&output.stdout), ["shop |   at Cart.add", "shop | done"]);
    assert!(lines(&output.stderr).concat().contains("4 older lines are left out"), "{output:?}");
    let output = api.cmdr(&["logs", "--limit", "5", "--search", "a", "--output", "json"]).output().unwrap();
    let messages: Vec<Value> = lines(&output.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(messages.len() <= 5 && output.stderr.is_empty(), "{output:?}");
    refused(&api, &["--limit", "0"], 2);
    let output = api.cmdr(&["logs", "--search", "no such text"]).output().unwrap();
    assert_eq!(lines(&output.stderr), ["no line of these logs matches"]);
}

#[test]
fn objects_are_the_same_with_and_without_follow() {
    let api = two_projects();
    let all: Vec<Value> =
        printed(&api, &["--output", "json"]).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 6);
    assert_eq!(all[2]["message"], "payment failed");
    assert_eq!(all[2]["fields"]["order"], 7);
    assert_eq!((&all[2]["level"], &all[2]["project"]), (&Value::from("error"), &Value::from("shop")));
    let mut follow = api.cmdr(&["logs", "--follow", "--output", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = follow.stdout.take().unwrap();
    thread::sleep(Duration::from_secs(2));
    api::interrupt(&follow);
    assert_eq!(follow.wait().unwrap().code(), Some(130));
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    let followed: Vec<Value> = lines(&text).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(followed, all);
}

#[test]
fn mistakes_are_reported_with_a_remedy() {
    let api = two_projects();
    let wrong = refused(&api, &["shp", "crt"], 2);
    assert!(wrong.contains("did you mean 'shop'?") && wrong.contains("did you mean 'cart'?"), "{wrong}");
    let wrong = refused(&api, &["--since", "yesterday", "--search", "(", "--raw", "--output", "json"], 2);
    for text in ["--since: 'yesterday'", "--search: '('", "unclosed group", "--raw has no effect"] {
        assert!(wrong.contains(text), "no '{text}' in {wrong}");
    }
    let wrong = refused(&api, &["shop", "--previous"], 1);
    assert!(wrong.contains("no container of 'shop' has been restarted in 'staging'"), "{wrong}");
    let wrong = refused(&api, &["shop", "--container", "proxy"], 1);
    assert!(wrong.contains("'shop' has no container 'proxy' with a log"), "{wrong}");
}

/// A stream that ends while its container runs, as after the rotation of its file or a restart of the API server, is read
/// on: without a gap, and without repetition.
#[test]
fn a_log_that_ends_early_is_read_on() {
    let line = |number: u32| format!("{} line {number}", at(600 + number / 3));
    let parts = vec![
        Part::Lines((0..100).map(line).collect()),
        Part::CloseAndRepeat { from: 40 },
        Part::Lines((100..200).map(line).collect()),
        Part::Break { from: 150 },
        Part::Lines((200..300).map(line).collect()),
        Part::Stay,
    ];
    let api = FakeApi::start(vec![FakeContainer::running("shop", parts)]);
    let mut follow = api.cmdr(&["logs", "shop", "--follow", "--raw"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = follow.stdout.take().unwrap();
    api.wait_for_requests("/log", 3);
    thread::sleep(Duration::from_secs(1));
    api::interrupt(&follow);
    follow.wait().unwrap();
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    let wanted: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    assert_eq!(lines(&text), wanted);
    let last = api.requests("/log").pop().unwrap();
    assert!(last.contains("sinceTime=2026-01-02T03%3A04%3A00Z"), "only whole seconds, rounded down: {last}");
}

#[test]
fn long_lines_and_bytes_that_are_not_text_are_printed() {
    let mut long = format!("{} ", at(0)).into_bytes();
    long.extend(vec![b'x'; 3 << 20]);
    let mut strange = format!("{} caf", at(1)).into_bytes();
    strange.extend([0xff, 0x1b]);
    strange.extend(b"[2J!");
    let api = FakeApi::start(vec![FakeContainer::bytes("shop", &[long, strange])]);
    let output = printed(&api, &["shop"]);
    assert_eq!(output[1], "caf\u{fffd}!");
    assert!(output[0].len() < 140_000 && output[0].ends_with(" more bytes)"), "{}", &output[0][output[0].len() - 40..]);
}

/// 50 projects with 5,000 lines a second in all: less than one processor and 100 MB.
#[test]
#[ignore = "takes a quarter of a minute, and both processors; make test-full runs it"]
fn a_flood_of_lines_needs_little() {
    let containers = (0..50).map(|number| FakeContainer::running(&format!("p{number:02}"), vec![Part::Flood(100)]));
    let api = FakeApi::start(containers.collect());
    let target = fs::File::create(api.folder().join("output")).unwrap();
    let mut follow = api.cmdr(&["logs", "--follow"]).stdout(target).spawn().unwrap();
    api.wait_for_requests("/log", 50);
    thread::sleep(Duration::from_secs(2));
    let before = (api::processor_seconds(&follow), api::size(&api.folder().join("output")));
    thread::sleep(Duration::from_secs(10));
    let after = (api::processor_seconds(&follow), api::size(&api.folder().join("output")));
    let peak = api::peak_memory(&follow);
    api::interrupt(&follow);
    follow.wait().unwrap();
    let (cores, bytes) = ((after.0 - before.0) / 10.0, after.1 - before.1);
    let text = fs::read_to_string(api.folder().join("output")).unwrap();
    let lines = text.lines().count() as u64 * bytes / after.1 / 10;
    println!("{lines} lines a second: {cores:.2} cores, {} MB", peak / 1024);
    assert!(lines > 4_500, "{lines} lines a second arrived");
    assert!(cores < 1.0, "{cores} cores");
    assert!(peak < 100 * 1024, "{peak} kB");
    assert_eq!(api.requests("/log").len(), 50);
}
