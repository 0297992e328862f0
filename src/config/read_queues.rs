//! Converts the keys of maintenance and of queues.

use super::{
    read::{join, text_at},
    sources::Document,
    tree::Cursor,
};
use crate::domain::{
    Name,
    maintenance::MaintenanceSettings,
    queues::{Closure, Queue, QueueKind, QueueLogin},
};

pub(super) fn maintenance(document: &Document, holder: Cursor<'_>) -> MaintenanceSettings {
    let Some(value) = holder.get("maintenance") else { return MaintenanceSettings::default() };
    let texts = |key: &str| {
        let entries = value.get(key).into_iter().flat_map(|map| map.entries());
        entries.filter_map(|entry| entry.text().map(str::to_owned)).collect()
    };
    MaintenanceSettings {
        page: text_at(value, "page").map(|page| join(&document.folder, &page)),
        image: text_at(value, "image"),
        allow: texts("allow"),
        health: texts("health"),
    }
}

pub(super) fn queue(value: Cursor<'_>) -> Option<Queue> {
    let producers = value.get("producers").into_iter().flat_map(|map| map.entries()).filter_map(|producer| {
        let closure = if producer.text()? == "stop" { Closure::Stop } else { Closure::Maintenance };
        Some((Name::new(producer.key()).ok()?, closure))
    });
    let words = value.get("command").into_iter().flat_map(|list| list.items());
    Some(Queue {
        kind: QueueKind::parse(value.get("kind")?.text()?)?,
        at: text_at(value, "at").and_then(|at| Name::new(&at).ok()),
        queue: text_at(value, "queue").unwrap_or_else(|| value.key().to_owned()),
        vhost: text_at(value, "vhost").unwrap_or_else(|| "/".to_owned()),
        group: text_at(value, "group"),
        port: value.get("port").and_then(|port| u16::try_from(port.integer()?).ok()),
        query: text_at(value, "query"),
        path: text_at(value, "path"),
        value: text_at(value, "value"),
        command: words.filter_map(|word| word.text().map(str::to_owned)).collect(),
        login: value.get("login").and_then(login),
        producers: producers.collect(),
    })
}

fn login(value: Cursor<'_>) -> Option<QueueLogin> {
    let text = |key: &str| text_at(value, key);
    Some(QueueLogin { user: text("user")?, secret: text("secret")?, key: text("key")? })
}
