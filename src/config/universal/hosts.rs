//! Hosts in variables that almost are projects: a misspelled name is found by the program only, as an unknown host.

use super::{Mistake, containers::containers, references::Provided};
use crate::{
    config::error::quoted,
    domain::{ResolvedProject, causes::network::HOST_MISSPELLED},
};

/// Variables whose value is a host, by the end of their name.
const HOSTS: [&str; 5] = ["HOST", "HOSTNAME", "SERVER", "ADDR", "ADDRESS"];
/// How many letters may differ; short names are often alike.
const EDITS: usize = 2;
const SHORTEST: usize = 4;

/// Returns a mistake for each host in a variable that is not a project but almost the name of one.
pub(super) fn misspelled(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let mut found = Vec::new();
    for container in containers(&project.values) {
        let keys: &[&str] = if container.is_main { &["env", "config"] } else { &["env"] };
        for (key, (variable, value)) in
            keys.iter().flat_map(|key| container.entries(key).map(move |entry| (*key, entry)))
        {
            let Some(text) = value.as_str() else { continue };
            let near = hosts(variable, text)
                .into_iter()
                .find_map(|host| Some((host, nearest(host, provided.service_names())?)));
            let Some((host, near)) = near else { continue };
            let variable_text = quoted(variable);
            // The whole value, because it is what the message shows.
            let meant = text.replacen(host, near, 1);
            let values = [("name", host), ("variable", variable_text.as_str()), ("nearest", meant.as_str())];
            let problem = HOST_MISSPELLED.problem(&values);
            let expected = "expected the name of a project or of another Service".to_owned();
            found.push(
                Mistake::new(container.path(&[key, variable]), problem.headline(), expected).with_help(problem.help),
            );
        }
    }
    found
}

/// The hosts of one label in a value: those of URLs, of `HOST:PORT`, and the whole value of a variable for a host.
fn hosts<'a>(variable: &str, text: &'a str) -> Vec<&'a str> {
    let is_host_variable = HOSTS.iter().any(|end| variable.to_ascii_uppercase().ends_with(end));
    let split = |c: char| c.is_whitespace() || ",;\"'".contains(c);
    let found = text.split(split).filter_map(|word| match word.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next(),
        None if is_host_variable || has_port(word) => Some(word),
        None => None,
    });
    let labels = found
        .map(|host| host.rsplit_once('@').map_or(host, |(_, host)| host))
        .map(|host| host.split(':').next().unwrap_or_default());
    labels.filter(|host| is_label(host)).collect()
}

fn has_port(word: &str) -> bool {
    word.split_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_label(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && host.starts_with(|c: char| c.is_ascii_lowercase())
}

/// The project that a name almost is. `redis-master` is a Service of `redis`, and not misspelled.
fn nearest<'a>(host: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let extends = |name: &str| {
        host.strip_prefix(name)
            .or_else(|| name.strip_prefix(host))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if host.len() < SHORTEST || host == "localhost" || known.clone().any(extends) {
        return None;
    }
    let distance = |name: &&str| strsim::osa_distance(host, name);
    let near = known.filter(|name| name.len() >= SHORTEST).min_by_key(distance)?;
    let most = if host.len() < 2 * SHORTEST { 1 } else { EDITS };
    (distance(&near) <= most).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_urls_and_in_variables_for_hosts() {
        let of = |variable: &str, text: &'static str| hosts(variable, text);
        assert_eq!(of("DATABASE_URL", "postgres://shop:x@postgers:5432/shop?sslmode=disable"), ["postgers"]);
        assert_eq!(of("REDIS_HOST", "rediss"), ["rediss"]);
        assert_eq!(of("PEERS", "catalog:8080,catalgo:8080"), ["catalog", "catalgo"]);
        assert_eq!(of("LEVEL", "debug"), Vec::<&str>::new());
        assert_eq!(of("API", "https://api.example.com/x"), Vec::<&str>::new());
        assert_eq!(of("TIME", "12:30"), Vec::<&str>::new());
    }

    #[test]
    fn a_misspelled_host_in_a_variable_is_a_warning_with_a_cause() {
        let folder = tempfile::tempdir().unwrap();
        let project = |name: &str, values: &str| format!("  {name}: {{image: 'x:1', values: {{{values}}}}}\n");
        let text = format!(
            "version: 1\nname: tunes\nprojects:\n{}{}",
            project("postgres", "ports: {db: 5432}"),
            project("shop", "env: {DATABASE_URL: 'postgres://postgers:5432/shop'}")
        );
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let loaded = crate::config::load(folder.path()).unwrap();
        let shown: Vec<String> = loaded.warnings.iter().map(|warning| crate::config::render(warning, false)).collect();
        let shown = shown.concat();
        assert!(shown.contains("(C140)") && shown.contains("did you mean `postgres://postgres:5432/shop`?"), "{shown}");
    }

    #[test]
    fn only_what_is_almost_a_project_is_misspelled() {
        let known = ["postgres", "redis", "catalog", "api"];
        assert_eq!(nearest("postgers", known.into_iter()), Some("postgres"));
        assert_eq!(nearest("catalgo", known.into_iter()), Some("catalog"));
        assert_eq!(nearest("postgres-rw", known.into_iter()), None);
        assert_eq!(nearest("redis", known.into_iter()), None);
        assert_eq!(nearest("apo", known.into_iter()), None);
        assert_eq!(nearest("mailserver", known.into_iter()), None);
    }
}
