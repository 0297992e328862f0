//! Validates that queues have the keys of their kind, that their names exist, and that producers form no circle.

use super::circles::{CycleText, Graph};
use crate::{
    config::{
        error::{ConfigError, did_you_mean, listed, quoted},
        sources::{Document, Sources},
        tree::Cursor,
    },
    domain::query::Expression,
};

/// The keys of each kind: those that it requires, and further ones.
const KEYS: [(&str, &[&str], &[&str]); 7] = [
    ("rabbitmq", &["at"], &["queue", "vhost", "port", "login"]),
    ("kafka", &["at", "group"], &["queue", "port"]),
    ("redis", &["at"], &["queue", "group", "port"]),
    ("nats", &["at", "group"], &["queue", "port"]),
    ("sql", &["at", "query"], &[]),
    ("http", &["at", "path", "value"], &["port"]),
    ("command", &["command"], &[]),
];
const OF_ALL: [&str; 2] = ["kind", "producers"];

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let names = sources.names("projects");
    let mut producers = Graph::default();
    for (_, project) in sources.entries("projects") {
        for queue in project.get("queues").into_iter().flat_map(|queues| queues.entries()) {
            check_keys(queue, found);
            found.extend(queue.get("at").and_then(|at| unknown(at, at.text()?, &names)));
            for producer in queue.get("producers").into_iter().flat_map(|map| map.entries()) {
                found.extend(unknown(producer, producer.key(), &names));
                producers.edge(project.key(), Some(producer.key()), producer.key_location());
            }
        }
    }
    let text = CycleText {
        verb: "consumes from",
        message: "cycle of producers",
        expected: "expected producers without a cycle",
        help: None,
    };
    producers.report(&text, found);
    check_pages(sources, found);
}

fn check_keys(queue: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some(kind) = queue.get("kind").and_then(|kind| kind.text()) else { return };
    let Some((_, required, further)) = KEYS.iter().find(|(name, ..)| *name == kind) else { return };
    for key in required.iter().filter(|key| queue.get(key).is_none()) {
        let message = format!("a queue of the kind {} requires {}", quoted(kind), quoted(key));
        found.push(ConfigError::error(queue.key_location(), message, format!("expected `{key}` in this queue")));
    }
    let is_known = |key: &str| [&OF_ALL[..], required, further].concat().contains(&key);
    for entry in queue.entries().filter(|entry| !is_known(entry.key())) {
        let message = format!("{} has no effect on a queue of the kind {}", quoted(entry.key()), quoted(kind));
        let expected = format!("expected {}", listed([&OF_ALL[..], required, further].concat()));
        found.push(ConfigError::error(entry.key_location(), message, expected));
    }
    found.extend(queue.get("value").and_then(wrong_value));
}

/// What does not start as a JSON pointer is an expression.
fn wrong_value(value: Cursor<'_>) -> Option<ConfigError> {
    let text = value.text().filter(|text| !text.starts_with('/'))?;
    let error = Expression::parse(text).err()?.into_iter().next()?;
    let message = format!("{} is not a valid expression: {}", quoted(text), error.message);
    Some(ConfigError::error(value.location(), message, format!("expected {}", error.expected)))
}

fn unknown(place: Cursor<'_>, name: &str, names: &[&str]) -> Option<ConfigError> {
    if names.contains(&name) {
        return None;
    }
    let message = format!("unknown project {}", quoted(name));
    let location = if place.key() == name { place.key_location() } else { place.location() };
    let error = ConfigError::error(location, message, "expected the name of a project");
    Some(error.with_help(did_you_mean(name, names.iter().copied())))
}

fn check_pages(sources: &Sources, found: &mut Vec<ConfigError>) {
    let environments = sources.entries("environments");
    let roots = sources.root().map(|root| (root, root.cursor())).into_iter();
    for (document, holder) in environments.chain(roots) {
        found.extend(holder.at(&["maintenance", "page"]).and_then(|page| missing_page(document, page)));
    }
}

fn missing_page(document: &Document, page: Cursor<'_>) -> Option<ConfigError> {
    let path = page.text().filter(|path| !path.starts_with('/'))?;
    if document.folder.join(path).is_file() {
        return None;
    }
    let message = format!("file {} does not exist", quoted(path));
    let error = ConfigError::error(page.location(), message, "expected an HTML file, relative to this file");
    Some(error.with_help(super::neighbour(&document.folder, path)))
}
