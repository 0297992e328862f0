//! Validates a tree against the tables: keys, types and formats. [`super::meaning`] validates references.

use super::{
    error::{ConfigError, choice, did_you_mean, listed, quoted},
    fields::{Shape, Table},
    format::Format,
    tree::{Content, Cursor},
};
use crate::domain::nearest::nearest_key;

/// Reports everything in `value` that does not match `shape`.
pub(super) fn check(value: Cursor<'_>, shape: &Shape, found: &mut Vec<ConfigError>) {
    match (shape, &value.node.content) {
        (Shape::Text(format) | Shape::BooleanOr(format) | Shape::TextOr(format, _), Content::Text(text)) => {
            check_text(value, *format, text, found);
        }
        (Shape::Integer(least, most), Content::Integer(number)) => {
            found.extend((!(least..=most).contains(&number)).then(|| out_of_range(value, shape)));
        }
        (Shape::Number(least, most), Content::Integer(_) | Content::Float(_)) => {
            let is_within = value.number().is_some_and(|number| (*least..=*most).contains(&number));
            found.extend((!is_within).then(|| out_of_range(value, shape)));
        }
        (Shape::Choice(words), Content::Text(text)) => {
            if !words.contains(&text.as_str()) {
                let message = format!("{} is {}", subject(value), quoted(text));
                let help = did_you_mean(text, words.iter().copied());
                let expected = format!("expected {}", shape.expected());
                found.push(ConfigError::error(value.location(), message, expected).with_help(help));
            }
        }
        (Shape::Table(table) | Shape::TextOr(_, table), Content::Map(_)) => check_table(value, table, found),
        (Shape::Named(format, each, special), Content::Map(_)) => {
            for entry in value.entries() {
                check_name(entry, *format, found);
                let own = special.iter().find(|(name, _)| *name == entry.key()).map(|(_, shape)| shape);
                check(entry, own.unwrap_or(each), found);
            }
        }
        (Shape::List(each), Content::List(items)) => {
            if items.is_empty() {
                let message = format!("{} is empty", subject(value));
                found.push(ConfigError::error(value.location(), message, "expected at least one item"));
            }
            value.items().for_each(|item| check(item, each, found));
        }
        (Shape::ListOrEmpty(each), Content::List(_)) => value.items().for_each(|item| check(item, each, found)),
        (Shape::Values, Content::Map(_)) | (Shape::Boolean | Shape::BooleanOr(_), Content::Bool(_)) => {}
        _ => found.push(wrong_type(value, shape)),
    }
}

fn out_of_range(value: Cursor<'_>, shape: &Shape) -> ConfigError {
    let message = format!("{} is {}", subject(value), value.location().text());
    ConfigError::error(value.location(), message, format!("expected {}", shape.expected()))
}

fn subject(value: Cursor<'_>) -> String {
    if value.key().is_empty() { "the value".to_owned() } else { quoted(value.key()) }
}

fn check_text(value: Cursor<'_>, format: Format, text: &str, found: &mut Vec<ConfigError>) {
    if let Err(misfit) = format.check(text) {
        let what = if text.is_empty() { subject(value) } else { quoted(text) };
        let help = misfit.instead.map(|instead| format!("did you mean `{instead}`?"));
        let expected = format!("expected {}", format.expected());
        found.push(ConfigError::error(value.location(), format!("{what} {}", misfit.why), expected).with_help(help));
    }
}

fn check_name(entry: Cursor<'_>, format: Format, found: &mut Vec<ConfigError>) {
    if let Err(misfit) = format.check(entry.key()) {
        let help = misfit.instead.map(|instead| format!("did you mean `{instead}`?"));
        let message = format!("{} {}", quoted(entry.key()), misfit.why);
        let expected = format!("expected {}", format.expected());
        found.push(ConfigError::error(entry.key_location(), message, expected).with_help(help));
    }
}

fn wrong_type(value: Cursor<'_>, shape: &Shape) -> ConfigError {
    let kind = value.node.content.kind();
    let message =
        if value.key().is_empty() { format!("the value is {kind}") } else { format!("{} is {kind}", subject(value)) };
    ConfigError::error(value.location(), message, format!("expected {}", shape.expected()))
        .with_help(help(value, shape))
}

/// Returns the edit that fixes a value of the wrong type, if there is one.
fn help(value: Cursor<'_>, shape: &Shape) -> Option<String> {
    let location = value.location();
    let written = location.text();
    match (shape, &value.node.content) {
        (Shape::Text(format), Content::Integer(_) | Content::Float(_) | Content::Bool(_)) => {
            quotes(*format, written, &value.node.content)
        }
        (Shape::Integer(..), Content::Text(text)) if text.parse::<i64>().is_ok() => {
            Some(format!("remove the quotes: {text}"))
        }
        (Shape::List(_) | Shape::ListOrEmpty(_), Content::Text(_)) => Some(format!("use a list: [{written}]")),
        (Shape::Table(_), Content::Null) if value.entry.is_none() => {
            Some("start with `version: 1` and `name: NAME`".to_owned())
        }
        (Shape::Table(_) | Shape::Named(..) | Shape::Values, Content::Null) => {
            Some("write `{}` for an empty map".to_owned())
        }
        (Shape::Named(..), Content::List(_)) => {
            Some("use a map with names, so that environments can override entries: `NAME: {...}`".to_owned())
        }
        _ => None,
    }
}

/// Returns the help for a value that YAML parses as a number or a boolean, where a string is expected.
fn quotes(format: Format, written: &str, content: &Content) -> Option<String> {
    let read_as = match content {
        Content::Float(number) if number.to_string() != written => {
            format!("; without quotes, YAML parses it as the number {number}")
        }
        _ => String::new(),
    };
    match format {
        Format::Duration if matches!(content, Content::Integer(number) if *number >= 0) => {
            Some(format!("add a unit: `{written}s` or `{written}m`"))
        }
        Format::Image if !matches!(content, Content::Bool(_)) => {
            Some(format!("a tag is not a full image reference: write `REPOSITORY:{written}`{read_as}"))
        }
        _ if format.check(written).is_ok() => Some(format!("add quotes: \"{written}\"{read_as}")),
        _ => None,
    }
}

fn check_table(value: Cursor<'_>, table: &'static Table, found: &mut Vec<ConfigError>) {
    // A misspelled key is not reported as missing, too.
    let mut meant: Vec<&str> = Vec::new();
    for entry in value.entries() {
        if let Some(field) = table.field(entry.key()) {
            check(entry, &field.shape, found);
        } else {
            meant.extend(nearest_key(entry.key(), table.keys()));
            found.push(unknown_key(entry, table));
        }
    }
    let is_there = |key: &str| value.get(key).is_some() || meant.contains(&key);
    for field in table.fields.iter().filter(|field| field.required && !is_there(field.key)) {
        let message = format!("{} has no `{}`", subject_of(value, table), field.key);
        let expected = format!("expected `{}`: {}", field.key, field.shape.expected());
        found.push(ConfigError::error(value.key_location(), message, expected));
    }
    if !table.any_of.is_empty() && !table.any_of.iter().any(|key| is_there(key)) {
        let keys = listed(table.any_of.iter().copied());
        let message = format!("{} has neither {}", subject_of(value, table), keys.replace(" or ", " nor "));
        found.push(ConfigError::error(value.key_location(), message, format!("expected {keys}")));
    }
    check_company(value, table, found);
}

/// Names a value by its key, or by what the table describes.
fn subject_of(value: Cursor<'_>, table: &Table) -> String {
    if value.key().is_empty() || value.key() == table.name { table.article.to_owned() } else { quoted(value.key()) }
}

fn unknown_key(entry: Cursor<'_>, table: &'static Table) -> ConfigError {
    let key = entry.key();
    let elsewhere = table.elsewhere.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, help)| (*help).to_owned());
    let help = elsewhere.or_else(|| did_you_mean(key, table.keys()));
    let message = format!("unknown key {} in {}", quoted(key), table.article);
    let expected = format!("expected {}", choice(key, table.keys()));
    ConfigError::error(entry.key_location(), message, expected).with_help(help)
}

/// Validates which keys can and cannot be combined.
fn check_company(value: Cursor<'_>, table: &'static Table, found: &mut Vec<ConfigError>) {
    for (one, other) in table.exclusive {
        if let (Some(first), Some(second)) = (value.get(one), value.get(other)) {
            let message = format!("`{one}` and `{other}` cannot be combined");
            let diagnostic =
                ConfigError::error(second.key_location(), message, format!("expected `{one}` or `{other}`"));
            found.push(diagnostic.with_other(first.key_location(), "conflicts with this key"));
        }
    }
    check_alternatives(value, table, found);
}

fn check_alternatives(value: Cursor<'_>, table: &'static Table, found: &mut Vec<ConfigError>) {
    if table.alternatives.is_empty() {
        return;
    }
    let known: Vec<&str> =
        value.entries().map(|entry| entry.key()).filter(|key| table.is_in_alternatives(key)).collect();
    let same = |set: &&[&str]| set.len() == known.len() && known.iter().all(|key| set.contains(key));
    if table.alternatives.iter().any(same) {
        return;
    }
    let are_single = table.alternatives.iter().all(|set| set.len() == 1);
    let sets = table.alternatives.iter().map(|set| format!("{{{}}}", set.join(", ")));
    let expected = if are_single {
        format!("expected exactly one of {}", listed(table.alternatives.iter().map(|set| set[0])))
    } else {
        format!("expected {}", sets.collect::<Vec<_>>().join(" or "))
    };
    let shared = |set: &&&[&str]| set.iter().filter(|key| known.contains(key)).count();
    let closest = table.alternatives.iter().find(|set| shared(set) == known.len() && !known.is_empty());
    let message = match closest {
        Some(set) => {
            let missing = set.iter().copied().filter(|key| !known.contains(key));
            format!("{} has no {}", table.article, listed(missing).replace(" or ", " and "))
        }
        None if known.is_empty() && are_single => format!("{} has none of the keys that it needs", table.article),
        None if known.is_empty() => format!("{} has no source", table.article),
        None => format!(
            "{} cannot be combined in {}",
            listed(known.iter().copied()).replace(" or ", " and "),
            table.article
        ),
    };
    found.push(ConfigError::error(value.key_location(), message, expected));
}
