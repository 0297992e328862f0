//! Detects image tags in Helm values that are numbers: Helm templates would drop a zero (`1.10`) or change the digits
//! (`20260101`).

use crate::config::{
    error::{ConfigError, quoted},
    sources::Sources,
    tree::{Content, Cursor},
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let shared = ["projects", "platform"].into_iter().flat_map(|key| sources.entries(key)).map(|(_, entry)| entry);
    let local = sources.local().and_then(|local| local.cursor().get("projects"));
    let local = local.into_iter().flat_map(|projects| projects.entries());
    for holder in shared.chain(local).chain(sources.find(&["defaults"])) {
        let environments = holder.get("environments").into_iter().flat_map(|map| map.entries());
        for values in environments.chain([holder]).filter_map(|holder| holder.get("values")) {
            check_below(values, found);
        }
    }
}

fn check_below(value: Cursor<'_>, found: &mut Vec<ConfigError>) {
    for below in value.entries().chain(value.items()) {
        let is_number = matches!(below.node.content, Content::Integer(_) | Content::Float(_));
        if is_number && is_tag(below.key()) {
            let location = below.location();
            let help = format!("add quotes: \"{}\"", location.text());
            let message = format!("{} is a number", quoted(below.key()));
            found.push(ConfigError::error(location, message, "expected a tag as a string").with_help(help));
        }
        check_below(below, found);
    }
}

/// `tag` and `imageTag`, but not `stage`.
fn is_tag(key: &str) -> bool {
    key == "tag" || key.ends_with("Tag")
}
