//! Formats of values that Kubernetes checks when an object is created: names, labels, quantities, paths, schedules.
//!
//! `values.schema.json` of the universal chart names them with `format`, and [`kubernetes`](super::kubernetes) names
//! them for the fields of Kubernetes' own types.

use std::{net::IpAddr, str::FromStr, sync::LazyLock};

use serde_json::{Value, json};

use crate::{
    config::format::{Format, is_label},
    domain::{cron, labels, nearest::nearest_key, quantity},
};

/// A format of strings in values.
#[derive(Debug)]
pub(in crate::config) struct ValueFormat {
    /// The word in the schema.
    pub name: &'static str,
    /// The expected string, in messages.
    pub expected: &'static str,
    pub is_valid: fn(&str) -> bool,
    /// Returns the valid string that was meant.
    suggest: fn(&str) -> Option<String>,
}

impl ValueFormat {
    /// Returns the format with this name.
    pub(in crate::config) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|format| format.name == name)
    }

    /// Returns the valid string that was probably meant.
    pub(in crate::config) fn nearest(&self, wrong: &str) -> Option<String> {
        (self.suggest)(wrong)
    }
}

const fn format(name: &'static str, expected: &'static str, is_valid: fn(&str) -> bool) -> ValueFormat {
    ValueFormat { name, expected, is_valid, suggest: |_| None }
}

/// Fields of a pod that can be the value of a variable.
const POD_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Maps of a pod whose entries can be the value of a variable.
const POD_MAPS: [&str; 2] = ["metadata.labels", "metadata.annotations"];
/// Resources of a container without a domain.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Resources of a container that can be the value of a variable.
const CONTAINER_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];

/// All formats.
pub(in crate::config) static ALL: [ValueFormat; 22] = [
    format("annotation-key", "a key such as `example.com/team`: letters, digits, `-`, `_` and `.`", |text| {
        is_qualified(&text.to_ascii_lowercase())
    }),
    format("cidr", "a network such as `203.0.113.0/24`", is_network),
    ValueFormat {
        suggest: |wrong| nearest_of(wrong, &CONTAINER_RESOURCES),
        ..format("container-resource", "a resource such as `limits.memory`", |text| {
            text.split_once('.').is_some_and(|(kind, name)| ["limits", "requests"].contains(&kind) && is_resource(name))
        })
    },
    format("dns-label", "a name of at most 63 lowercase letters, digits and `-`", is_label),
    format("dns-subdomain", "a name of lowercase letters, digits, `-` and `.`", is_subdomain),
    format("host-and-port", "a host and a port, such as `postgres:5432`", |text| {
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|it| it > 0))
    }),
    format("http-header", "the name of an HTTP header", is_header),
    format("ip-address", "an IP address", |text| text.parse::<IpAddr>().is_ok()),
    format("label-key", "a key such as `example.com/team`: letters, digits, `-`, `_` and `.`", is_qualified),
    format(
        "label-value",
        "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        |text| text.len() <= labels::LONGEST_VALUE && labels::value(text) == text,
    ),
    format("mount-path", "an absolute path below `/`, without `:`", |text| {
        text.starts_with('/') && !text.contains(':') && !text.trim_matches('/').is_empty()
    }),
    format("percentage", "a number, or a percentage from 0% to 100%", |text| {
        text.strip_suffix('%').is_some_and(|number| is_digits(number) && number.parse::<u8>().is_ok_and(|it| it <= 100))
    }),
    ValueFormat {
        suggest: |wrong| nearest_of(wrong, &POD_FIELDS),
        ..format("pod-field", "a field such as `metadata.name` or `metadata.labels['KEY']`", is_pod_field)
    },
    format("port-name", "a name of at most 15 lowercase letters, digits and single `-`, with a letter", is_port_name),
    ValueFormat {
        suggest: quantity::with_known_unit,
        ..format("quantity", "a quantity such as `100m`, `0.5`, `128Mi` or `2Gi`", |text| {
            quantity::parse_memory_bytes(text).is_ok()
        })
    },
    ValueFormat {
        suggest: |wrong| nearest_of(wrong, &RESOURCES),
        ..format(
            "resource",
            "`cpu`, `memory`, `ephemeral-storage` or a resource such as `example.com/gpu`",
            is_resource,
        )
    },
    format("route-path", "a path that starts with `/`, without backticks", |text| {
        text.starts_with('/') && !text.contains('`')
    }),
    format("route-regex", "a regular expression without look-around, back-references and backticks", is_route_regex),
    format("schedule", "five fields (minute, hour, day, month, weekday) such as `*/5 * * * *`, or `@daily`", |text| {
        cron::is_schedule(text)
    }),
    format("sub-path", "a relative path without `..`", |text| {
        !text.starts_with('/') && !text.split('/').any(|part| part == "..")
    }),
    format("time-zone", "a time zone such as `Europe/Berlin`", |text| Format::TimeZone.check(text).is_ok()),
    format("url", "a URL such as `http://postgres:8080/healthz`", is_url),
];

fn nearest_of(wrong: &str, known: &[&str]) -> Option<String> {
    nearest_key(wrong, known.iter().copied()).map(str::to_owned)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Labels of RFC 1123, joined by dots; at most 253 characters.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// A name with an optional domain before it: `example.com/team`.
fn is_qualified(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    !name.is_empty()
        && name.len() <= labels::LONGEST_VALUE
        && labels::value(name) == name
        && domain.is_none_or(is_subdomain)
}

fn is_resource(text: &str) -> bool {
    let is_bare = !text.contains('/');
    is_qualified(text) && (!is_bare || RESOURCES.contains(&text) || text.starts_with("hugepages-"))
}

fn is_pod_field(text: &str) -> bool {
    let key = |map: &str| text.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
    POD_FIELDS.contains(&text) || POD_MAPS.iter().filter_map(|map| key(map)).any(|key| !key.is_empty())
}

fn is_port_name(text: &str) -> bool {
    text.len() <= 15 && is_label(text) && !text.contains("--") && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

pub(in crate::config) fn is_network(text: &str) -> bool {
    let longest = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    text.split_once('/').is_some_and(|(address, prefix)| {
        let address = IpAddr::from_str(address);
        is_digits(prefix) && address.is_ok_and(|it| prefix.parse::<u8>().is_ok_and(|length| length <= longest(it)))
    })
}

/// A token by RFC 9110.
fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_url(text: &str) -> bool {
    let scheme = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    text.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty())) && scheme.is_some()
}

/// Traefik and the Gateway's implementations use Go's expressions; a rule of Traefik is written between backticks.
fn is_route_regex(text: &str) -> bool {
    const UNKNOWN_TO_GO: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];
    let is_back_reference = |pair: &[u8]| pair[0] == b'\\' && (b'1'..=b'9').contains(&pair[1]);
    let is_refused = text.contains('`')
        || UNKNOWN_TO_GO.iter().any(|part| text.contains(part))
        || text.as_bytes().windows(2).any(is_back_reference);
    !is_refused && REGEX.as_ref().is_none_or(|regex| regex.is_valid(&Value::from(text)))
}

/// The validator's own check of expressions.
static REGEX: LazyLock<Option<jsonschema::Validator>> =
    LazyLock::new(|| jsonschema::options().should_validate_formats(true).build(&json!({"format": "regex"})).ok());

#[cfg(test)]
mod tests {
    use super::*;

    fn is(name: &str, text: &str) -> bool {
        (ValueFormat::named(name).unwrap().is_valid)(text)
    }

    /// For each format: valid strings, and invalid ones.
    const SAMPLES: [(&str, &[&str], &[&str]); 22] = [
        ("annotation-key", &["Example.com/Team", "a"], &["", "a b", "/a", "a/b/c"]),
        ("cidr", &["203.0.113.0/24", "::/0"], &["everywhere", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8"]),
        ("container-resource", &["limits.memory", "requests.example.com/gpu"], &["memory", "limits.ram"]),
        ("dns-label", &["shop", "1"], &["Shop", "-a", "a.b"]),
        ("dns-subdomain", &["shop.tls", "a"], &["Shop", "a..b", "a_b"]),
        ("host-and-port", &["postgres:5432", "[::1]:80"], &["postgres", "postgres:0", "postgres:99999", ":80"]),
        ("http-header", &["X-Token"], &["X Token", ""]),
        ("ip-address", &["10.0.0.1", "::1"], &["10.0.0", "host"]),
        ("label-key", &["example.com/team", "Team_1"], &["Example.com/team", "-a", "a/", ""]),
        ("label-value", &["", "1.2_a-b"], &["a b", "-a", "a/b"]),
        ("mount-path", &["/etc/app", "/a/"], &["/", "//", "etc", "/a:b"]),
        ("percentage", &["0%", "100%"], &["101%", "50", "%", "+5%"]),
        (
            "pod-field",
            &["status.podIP", "metadata.labels['a/b']"],
            &["status.podIp", "metadata.labels", "metadata.labels['']"],
        ),
        ("port-name", &["http", "h2"], &["a--b", "80", "much-too-long-name"]),
        ("quantity", &["100m", "1Gi", "2", "1e3"], &["1G1", "10x", "-1", ""]),
        ("resource", &["cpu", "example.com/gpu", "hugepages-2Mi"], &["cpus", "memry"]),
        ("route-path", &["/", "/a b"], &["a", "/a`b"]),
        ("route-regex", &["/api/v[0-9]+"], &["/api/(", "/a`b", "/(?!admin)", r"/(a)\1"]),
        ("schedule", &["*/5 * * * *", "@daily"], &["every day", "a b c d e"]),
        ("sub-path", &["a/b"], &["/a", "a/../b"]),
        ("time-zone", &["Europe/Berlin"], &["Europe/Berln"]),
        ("url", &["http://a:80/x", "https://a"], &["a", "http://", "ftp://a", "http://a b"]),
    ];

    #[test]
    fn each_format_accepts_what_kubernetes_accepts() {
        assert_eq!(ALL.iter().map(|it| it.name).collect::<Vec<_>>(), SAMPLES.map(|(name, ..)| name));
        for (name, valid, invalid) in SAMPLES {
            assert_eq!(valid.iter().copied().find(|text| !is(name, text)), None, "{name}");
            assert_eq!(invalid.iter().copied().find(|text| is(name, text)), None, "{name}");
        }
    }

    #[test]
    fn a_misspelled_word_has_a_suggestion() {
        let nearest = |name: &str, text: &str| ValueFormat::named(name).unwrap().nearest(text);
        assert_eq!(nearest("resource", "memroy").as_deref(), Some("memory"));
        assert_eq!(nearest("pod-field", "status.podIp").as_deref(), Some("status.podIP"));
        assert_eq!(nearest("quantity", "64MB").as_deref(), Some("64M"));
        assert_eq!(nearest("quantity", "1G1"), None);
    }
}
