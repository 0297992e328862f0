//! Reads what brokers answer.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::{
    nearest::nearest,
    query::Expression,
    queues::{Queue, QueueContent},
};

/// A number of messages, as the last line of an output.
pub(super) fn number(output: &str) -> Result<QueueContent, String> {
    let line = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let ready = line.parse::<u64>().map_err(|_| match line {
        "" => "no number was printed".to_owned(),
        line => format!("not a number: {line}"),
    })?;
    Ok(QueueContent { ready, ..QueueContent::default() })
}

/// `rabbitmqctl list_queues --formatter json`
pub(super) fn rabbitmq_list(name: &str, output: &str) -> Result<QueueContent, String> {
    let start = output.find('[').unwrap_or_default();
    let list: Vec<Value> = serde_json::from_str(&output[start..]).map_err(|error| unreadable(&error))?;
    let names = || list.iter().filter_map(|queue| queue["name"].as_str());
    let found = list.iter().find(|queue| queue["name"] == name).ok_or_else(|| absent("queue", name, names()))?;
    rabbitmq(found)
}

/// `/api/queues/VHOST/QUEUE`
pub(super) fn rabbitmq_queue(name: &str, body: &[u8]) -> Result<QueueContent, String> {
    let queue: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    // Before the first statistics, a queue has no numbers.
    rabbitmq(&queue).map_err(|reason| format!("{name}: {reason}"))
}

fn rabbitmq(queue: &Value) -> Result<QueueContent, String> {
    let count = |key: &str| queue[key].as_u64().ok_or_else(|| format!("RabbitMQ reports no '{key}'"));
    let (ready, unacknowledged) = (count("messages_ready")?, count("messages_unacknowledged")?);
    Ok(QueueContent { ready, unacknowledged, consumers: queue["consumers"].as_u64() })
}

/// `kafka-consumer-groups.sh --describe`: a table whose first line names the columns.
pub(super) fn kafka(topic: &str, output: &str) -> Result<QueueContent, String> {
    let mut lines = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.find(|line| line.contains(&"LAG")).ok_or_else(|| match output.lines().last() {
        Some(line) => format!("no lag was reported: {}", line.trim()),
        None => "no lag was reported".to_owned(),
    })?;
    let column = |name: &str| head.iter().position(|it| *it == name);
    let rows: Vec<Vec<&str>> = lines.filter(|line| line.len() >= head.len().saturating_sub(2)).collect();
    let cell = |row: &[&str], name: &str| Some((*row.get(column(name)?)?).to_owned());
    let of_topic = |row: &&Vec<&str>| cell(row, "TOPIC").is_some_and(|it| it == topic);
    let own: Vec<&Vec<&str>> = rows.iter().filter(of_topic).collect();
    if own.is_empty() {
        let topics: BTreeSet<String> = rows.iter().filter_map(|row| cell(row, "TOPIC")).collect();
        return Err(absent("topic", topic, topics.iter().map(String::as_str)));
    }
    let (mut ready, mut consumers) = (0_u64, BTreeSet::new());
    for row in own {
        // Without a committed offset, the whole partition is left.
        let lag = cell(row, "LAG").filter(|lag| lag != "-").or_else(|| cell(row, "LOG-END-OFFSET"));
        ready += lag.as_deref().unwrap_or_default().parse::<u64>().map_err(|_| "its lag is not known".to_owned())?;
        consumers.extend(cell(row, "CONSUMER-ID").filter(|consumer| consumer != "-"));
    }
    Ok(QueueContent { ready, unacknowledged: 0, consumers: Some(consumers.len() as u64) })
}

/// `XINFO GROUPS`: names and values in turn, one per line.
pub(super) fn redis_group(group: &str, output: &str) -> Result<QueueContent, String> {
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let mut groups: Vec<Vec<(&str, &str)>> = Vec::new();
    for pair in lines.chunks(2) {
        let [key, value] = pair else { return Err(format!("not a list of groups: {output}")) };
        if *key == "name" {
            groups.push(Vec::new());
        }
        groups.last_mut().ok_or_else(|| format!("not a list of groups: {output}"))?.push((key, value));
    }
    let value = |found: &[(&str, &str)], key: &str| {
        found.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let name = |found: &Vec<(&str, &str)>| found.first().map(|(_, name)| (*name).to_owned()).unwrap_or_default();
    let names: Vec<String> = groups.iter().map(name).collect();
    let found = groups.iter().find(|found| name(found) == group);
    let found = found.ok_or_else(|| absent("group", group, names.iter().map(String::as_str)))?;
    Ok(QueueContent {
        ready: value(found, "lag").ok_or("Redis does not know the lag of the group (version 7 reports it)")?,
        unacknowledged: value(found, "pending").ok_or("Redis reports no pending messages")?,
        consumers: value(found, "consumers"),
    })
}

/// `/jsz?consumers=true`
pub(super) fn nats(queue: &Queue, body: &[u8]) -> Result<QueueContent, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let items = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let streams: Vec<Value> =
        items(&body, "account_details").iter().flat_map(|account| items(account, "stream_detail")).collect();
    let named = |list: &[Value], kind: &str, name: &str| {
        let names = list.iter().filter_map(|it| it["name"].as_str());
        list.iter().find(|it| it["name"] == name).cloned().ok_or_else(|| absent(kind, name, names))
    };
    let stream = named(&streams, "stream", &queue.queue)?;
    let consumer = named(&items(&stream, "consumer_detail"), "consumer", queue.group.as_deref().unwrap_or_default())?;
    let count = |key: &str| consumer[key].as_u64().ok_or_else(|| format!("NATS reports no '{key}'"));
    let (ready, unacknowledged) = (count("num_pending")?, count("num_ack_pending")?);
    Ok(QueueContent { ready, unacknowledged, consumers: None })
}

/// A number in a JSON document.
pub(super) fn document(queue: &Queue, body: &[u8]) -> Result<QueueContent, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let value = queue.value.as_deref().unwrap_or_default();
    let found = if value.starts_with('/') {
        let found = body.pointer(value).ok_or_else(|| format!("the document has no value at {value}"))?;
        found.as_u64().ok_or_else(|| format!("not a number: {found}"))?
    } else {
        let parsed = Expression::parse(value).map_err(|errors| {
            errors.into_iter().next().map_or_else(|| "invalid expression".to_owned(), |error| error.message)
        })?;
        parsed.number(&body)?
    };
    Ok(QueueContent { ready: found, ..QueueContent::default() })
}

/// Why a program has failed: the line that says so, or the last one. `psql` prints where the error is after it.
pub(super) fn reason(errors: &str, output: &str) -> String {
    let lines: Vec<&str> =
        output.lines().chain(errors.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_error = |line: &&&str| line.to_lowercase().split_once("error:").is_some_and(|(_, text)| !text.is_empty());
    lines.iter().find(is_error).or(lines.last()).copied().unwrap_or_default().to_owned()
}

/// A part of a path, with all other characters than letters and digits encoded.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn unreadable(error: &serde_json::Error) -> String {
    format!("the answer is not valid JSON: {error}")
}

fn absent<'a>(kind: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!(": did you mean '{near}'?"),
        None if names.is_empty() => String::new(),
        None => format!(", only {}", names.iter().take(8).copied().collect::<Vec<_>>().join(", ")),
    };
    format!("the broker has no {kind} '{name}'{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::queues::QueueKind;
    use std::collections::BTreeMap;

    fn content(ready: u64, unacknowledged: u64, consumers: Option<u64>) -> QueueContent {
        QueueContent { ready, unacknowledged, consumers }
    }

    fn queue(name: &str, group: &str, value: &str) -> Queue {
        Queue {
            kind: QueueKind::Nats,
            at: None,
            queue: name.to_owned(),
            vhost: "/".to_owned(),
            group: Some(group.to_owned()),
            port: None,
            query: None,
            path: None,
            value: Some(value.to_owned()),
            command: Vec::new(),
            login: None,
            producers: BTreeMap::new(),
        }
    }

    #[test]
    fn rabbitmq_lists_its_queues() {
        let output = "[\n{\"name\":\"orders\",\"messages_ready\":12,\"messages_unacknowledged\":3,\"consumers\":2}\n]";
        assert_eq!(rabbitmq_list("orders", output), Ok(content(12, 3, Some(2))));
        assert_eq!(
            rabbitmq_list("order", output).unwrap_err(),
            "the broker has no queue 'order': did you mean 'orders'?"
        );
        assert_eq!(encoded("/"), "%2F");
        assert!(rabbitmq_queue("orders", br#"{"name": "orders"}"#).is_err(), "no statistics are not an empty queue");
    }

    #[test]
    fn the_reason_of_a_program_is_the_line_with_its_error() {
        let psql = "ERROR:  relation \"jobs\" does not exist\nLINE 1: select count(*) from jobs\n                   ^";
        assert_eq!(reason(psql, ""), "ERROR:  relation \"jobs\" does not exist");
        assert_eq!(reason("Error:\n{:badrpc, :nodedown}\n", ""), "{:badrpc, :nodedown}");
        assert_eq!(reason("", "no such option\n"), "no such option");
    }

    #[test]
    fn the_lag_of_kafka_is_that_of_all_partitions() {
        let output = "\nGROUP  TOPIC   PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST  CLIENT-ID\n\
                      work   orders  0          10              12              2    c-1          /1    c\n\
                      work   orders  1          -               5               -    -            -     -\n\
                      work   other   0          1               9               8    c-1          /1    c\n";
        assert_eq!(kafka("orders", output), Ok(content(7, 0, Some(1))));
        assert!(kafka("ordrs", output).unwrap_err().contains("did you mean 'orders'?"));
        assert!(
            kafka("orders", "Error: Consumer group 'work' does not exist.").unwrap_err().contains("does not exist")
        );
    }

    #[test]
    fn redis_reports_lists_and_groups_of_streams() {
        assert_eq!(number("7\n"), Ok(content(7, 0, None)));
        assert_eq!(number("WRONGTYPE Operation").unwrap_err(), "not a number: WRONGTYPE Operation");
        let output = "name\nwork\nconsumers\n1\npending\n2\nlast-delivered-id\n1-0\nentries-read\n4\nlag\n3";
        assert_eq!(redis_group("work", output), Ok(content(3, 2, Some(1))));
        assert!(redis_group("wrk", output).unwrap_err().contains("did you mean 'work'?"));
        assert!(redis_group("work", "name\nwork\npending\n0\nlag\n").is_err(), "an unknown lag is not 0");
    }

    #[test]
    fn nats_reports_pending_and_unacknowledged_messages() {
        let body = br#"{"account_details": [{"stream_detail": [{"name": "ORDERS", "consumer_detail": [
            {"name": "work", "num_pending": 4, "num_ack_pending": 1}]}]}]}"#;
        assert_eq!(nats(&queue("ORDERS", "work", ""), body), Ok(content(4, 1, None)));
        assert!(nats(&queue("ORDER", "work", ""), body).unwrap_err().contains("did you mean 'ORDERS'?"));
        assert!(nats(&queue("ORDERS", "wok", ""), body).is_err());
    }

    #[test]
    fn a_document_is_read_by_pointer_or_expression() {
        let body = br#"{"jobs": {"waiting": 4, "running": 2}}"#;
        assert_eq!(document(&queue("a", "b", "/jobs/waiting"), body), Ok(content(4, 0, None)));
        assert_eq!(document(&queue("a", "b", "body.jobs.waiting + body.jobs.running"), body), Ok(content(6, 0, None)));
        assert!(document(&queue("a", "b", "/jobs/wait"), body).is_err());
        assert!(document(&queue("a", "b", "body.jobs.wait"), body).is_err());
    }
}
