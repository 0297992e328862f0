//! Formats of the strings in `projects.yaml`.

use std::{path::Path, time::Duration};

use super::tables::value_formats;

use crate::domain::{
    ImageReference, InvalidName, Name, ValuePath,
    check::{PrometheusAddress, parse_latency, parse_percent},
    exposed::{ExposedTarget, PublishedPort},
    freeze::Moment,
    name,
    pool::Subnet,
    resolve::OWN_DOMAIN,
    rollout::parse_weight,
    slug,
};

/// The format of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Any non-empty string.
    Any,
    /// The name of an environment, a bundle, a route or a workspace.
    Name,
    /// The name of a project, which is that of its Helm release.
    Release,
    /// A Kubernetes namespace.
    Label,
    /// A port by its name.
    PortName,
    /// A port on 127.0.0.1: `5432` or `5353/udp`.
    PublishedPort,
    /// A project, and perhaps one of its ports: `postgres:metrics`.
    ExposedTarget,
    Image,
    Duration,
    /// The path of a URL.
    UrlPath,
    /// A path relative to the folder of the file.
    FilePath,
    /// A pattern of paths below the workspace folder.
    Pattern,
    /// A domain: `staging.example.com`.
    Domain,
    /// The host of a route: a single label or a full domain.
    Host,
    /// `ghcr.io/org/chart`, without a scheme.
    OciReference,
    /// The URL of a chart repository.
    RepositoryUrl,
    KubernetesVersion,
    /// An IPv4 network of a cluster.
    Network,
    /// Any network, or one address.
    AnyNetwork,
    /// A time of day or a date.
    Moment,
    TimeZone,
    /// A namespace with `{slug}` as placeholder for the merge request.
    Slug,
    /// A path in Helm values, in the notation of `--set`: `image.tag`.
    ValuePath,
    /// A Git repository that git can fetch.
    GitUrl,
    /// A tag, or a full commit hash.
    GitReference,
    /// The name of a variable in a template.
    Variable,
    /// A URL by HTTP or HTTPS.
    WebUrl,
    /// A share: `0.5%`.
    Percent,
    /// A short duration: `250ms`.
    Latency,
    /// Where Prometheus is: a URL, or a project with perhaps a port.
    PrometheusAddress,
    /// An object of a cluster: `deployment/shop`.
    ObjectName,
    /// A share of the requests: `25%`.
    Share,
    /// The name of an HTTP header or a cookie.
    HttpToken,
}

/// Why a string does not match its [`Format`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub why: String,
    /// A valid string to suggest.
    pub instead: Option<String>,
}

impl Format {
    /// Describes the expected string in messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Any => "a string",
            Self::Name => "a name of at most 40 lowercase letters, digits and `-`, starting with a letter",
            Self::Release => "a name of at most 53 lowercase letters, digits and `-`, starting with a letter",
            Self::Label => "a name of at most 63 lowercase letters, digits and `-`",
            Self::PortName => "the name of a port from `ports` in `values`",
            Self::PublishedPort => "a port such as `5432`, or `5353/udp`",
            Self::ExposedTarget => "a project, or a project and its port, such as `postgres:metrics`",
            Self::Image => "an image reference as a string, such as `ghcr.io/org/shop:1.2.3`",
            Self::Duration => "a duration such as `90s`, `30m`, `2h` or `3d`",
            Self::UrlPath => "a URL path that starts with `/`",
            Self::FilePath => "the path of a file or folder",
            Self::Pattern => "a path pattern below this folder, such as `teams/*/projects.yaml`",
            Self::Domain => "a domain such as `staging.example.com`",
            Self::Host => "a host such as `shop`, a full domain such as `shop.example.com`, or \"@\"",
            Self::OciReference => "a chart in an OCI registry, such as `ghcr.io/org/charts/shop`",
            Self::RepositoryUrl => "the URL of a chart repository, such as `https://charts.example.com`",
            Self::KubernetesVersion => "a Kubernetes version as a string, such as \"1.34\" or \"1.34.2\"",
            Self::Network => "an IPv4 network from /12 to /24, such as `10.200.0.0/16`",
            Self::AnyNetwork => "a network such as `203.0.113.0/24`, or an address",
            Self::Moment => "a time such as \"18:00\", or a date such as 2026-12-20",
            Self::TimeZone => "a time zone such as `Europe/Berlin`",
            Self::Slug => "a namespace that contains `{slug}`, such as `review-{slug}`",
            Self::ValuePath => "the path of a value in the chart's values, such as `image.tag`",
            Self::GitUrl => "a Git URL, such as `https://git.example.com/org/templates.git` or `git@HOST:PATH`",
            Self::GitReference => "a tag such as `v1.2.0`, or a full commit hash",
            Self::Variable => "a name of lowercase letters, digits and `_`, starting with a letter",
            Self::WebUrl => "a URL such as `https://shop.example.com/healthz`",
            Self::Percent => "a share from 0% to 100%, such as `0.5%`",
            Self::Latency => "a duration such as `250ms` or `2s`",
            Self::PrometheusAddress => "a URL, or a project such as `prometheus` or `prometheus:9090`",
            Self::ObjectName => "a kind and a name, such as `deployment/shop`",
            Self::Share => "a share from `0%` to `100%`",
            Self::HttpToken => "a name of letters, digits, `-` and `_`",
        }
    }

    /// The format as a regular expression for editors; validation can be stricter.
    pub fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Any | Self::AnyNetwork | Self::TimeZone | Self::ValuePath => None,
            Self::Name => Some("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"),
            Self::Release => Some("^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$"),
            Self::Label => Some("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
            Self::PortName => Some("^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$"),
            Self::PublishedPort => Some("^[1-9][0-9]{0,4}(/udp)?$"),
            Self::ExposedTarget => Some("^[a-z]([a-z0-9-]{0,51}[a-z0-9])?(:[a-z0-9-]{1,15})?$"),
            Self::Image => Some(
                "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*\
                 (:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-fA-F]{64})?$",
            ),
            Self::Duration => Some("^[0-9]{1,6}[smhd]$"),
            Self::UrlPath => Some("^/[^?#\\s]*$"),
            Self::FilePath | Self::Pattern => Some("^[^/]"),
            Self::Domain => Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"),
            Self::Host => Some("^(@|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)$"),
            Self::OciReference => Some("^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$"),
            Self::RepositoryUrl => Some("^https?://"),
            Self::KubernetesVersion => Some("^1\\.[0-9]{1,3}(\\.[0-9]{1,3})?$"),
            Self::Network => Some("^[0-9]{1,3}(\\.[0-9]{1,3}){3}/(1[2-9]|2[0-4])$"),
            Self::Moment => Some("^([0-9]{2}:[0-9]{2}|[0-9]{4}-[0-9]{2}-[0-9]{2})$"),
            Self::Slug => Some("^[a-z0-9-]*\\{slug\\}[a-z0-9-]*$"),
            Self::GitUrl => Some("^[A-Za-z0-9/.~][^\\s]*$"),
            Self::GitReference => Some("^[A-Za-z0-9][A-Za-z0-9._/+-]*$"),
            Self::Variable => Some("^[a-z][a-z0-9_]*$"),
            Self::WebUrl => Some("^https?://[^\\s]+$"),
            Self::Percent => Some("^[0-9]+(\\.[0-9]+)?%$"),
            Self::Latency => Some("^[0-9]+(\\.[0-9]+)?m?s$"),
            Self::PrometheusAddress => Some("^[a-z]"),
            Self::ObjectName => Some("^[A-Za-z][A-Za-z0-9.-]*/[a-z0-9][a-z0-9.:-]*$"),
            Self::Share => Some("^([0-9]{1,2}|100)%$"),
            Self::HttpToken => Some("^[A-Za-z0-9_-]+$"),
        }
    }

    pub(super) fn check(self, text: &str) -> Result<(), Misfit> {
        if text.is_empty() {
            return Err(Misfit { why: "is empty".to_owned(), instead: None });
        }
        match self {
            Self::Any => Ok(()),
            Self::ValuePath => fits(ValuePath::parse(text).is_some(), "is not a valid path of a value", || None),
            Self::Name => Name::short(text).map(drop).map_err(|wrong| unnamed(text, wrong)),
            Self::Release => Name::new(text).map(drop).map_err(|wrong| unnamed(text, wrong)),
            Self::Image => ImageReference::parse(text)
                .map(drop)
                .map_err(|wrong| Misfit { why: format!("is not a valid image reference: {wrong}"), instead: None }),
            Self::Label => fits(is_label(text), "is not a valid name", || label_like(text)),
            Self::PortName => fits(is_port_name(text), "is not a valid port name", || None),
            Self::PublishedPort => {
                fits(PublishedPort::parse(text).is_some(), "is not a valid port", || port_like(text))
            }
            Self::ExposedTarget => fits(ExposedTarget::parse(text).is_some(), "is not a project or its port", || None),
            Self::Duration => fits(duration(text).is_some(), "is not a valid duration", || None),
            Self::UrlPath => fits(is_url_path(text), "is not a valid URL path", || url_path_like(text)),
            Self::FilePath => fits(!Path::new(text).is_absolute(), "is an absolute path", || None),
            Self::Pattern => fits(is_inside_workspace(text), "points outside the workspace", || None),
            Self::Host if text == OWN_DOMAIN => Ok(()),
            Self::Domain | Self::Host => {
                fits(text.split('.').all(is_label), "is not a valid domain", || domain_like(text))
            }
            Self::OciReference => {
                let instead = || text.strip_prefix("oci://").map(str::to_owned);
                fits(is_oci_reference(text), "is not a valid OCI chart reference", instead)
            }
            Self::RepositoryUrl => fits(is_web_url(text), "is not a valid chart repository URL", || None),
            Self::KubernetesVersion => fits(is_kubernetes_version(text), "is not a valid Kubernetes version", || {
                text.strip_prefix('v').map(str::to_owned)
            }),
            Self::Network => fits(is_network(text), "is not a valid network", || network_like(text)),
            Self::AnyNetwork => fits(is_any_network(text), "is not a valid network", || None),
            Self::Moment => fits(text.parse::<Moment>().is_ok(), "is not a valid time or date", || None),
            Self::TimeZone => fits(jiff::tz::TimeZone::get(text).is_ok(), "is not a valid time zone", || None),
            Self::Slug => fits(is_slug(text), "is not a valid namespace with `{slug}`", || slug_like(text)),
            _ => self.check_part(text),
        }
    }

    /// Checks the parts of templates, rollouts and checks.
    fn check_part(self, text: &str) -> Result<(), Misfit> {
        match self {
            Self::Share => fits(parse_weight(text).is_some(), "is not a valid share", || None),
            Self::HttpToken => fits(is_http_token(text), "is not a valid name", || None),
            Self::GitUrl => fits(is_git_url(text), "is not a valid Git URL", || None),
            Self::GitReference => fits(is_git_reference(text), "is not a valid tag or commit", || None),
            Self::WebUrl => fits(is_web_url(text), "is not a valid URL", || Some(format!("https://{text}"))),
            Self::Percent => fits(parse_percent(text).is_some(), "is not a valid share", || None),
            Self::Latency => fits(parse_latency(text).is_some(), "is not a valid duration", || None),
            Self::PrometheusAddress => {
                fits(PrometheusAddress::parse(text).is_some(), "is neither a URL nor a project", || None)
            }
            Self::ObjectName => fits(is_object_name(text), "is not a valid object", || None),
            _ => fits(is_variable(text), "is not a valid name", || None),
        }
    }
}

fn is_object_name(text: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(|it| it.is_ascii_alphanumeric() || ".:-".contains(it));
    text.split_once('/').is_some_and(|(kind, name)| is_part(kind) && is_part(name))
}

fn is_http_token(text: &str) -> bool {
    text.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_'))
}

fn is_web_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Whether git takes the text for a repository, and for nothing else: no option, and no program to run.
fn is_git_url(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_alphanumeric() || "/.~".contains(first));
    starts && !text.contains("::") && !text.contains(char::is_whitespace)
}

fn is_git_reference(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._/+-".contains(letter);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.chars().all(allowed) && !text.contains("..")
}

fn is_variable(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.chars().all(allowed)
}

/// Why a text is not a name.
fn unnamed(text: &str, wrong: InvalidName) -> Misfit {
    let length = text.chars().count();
    let why = if length > wrong.longest {
        format!("has {length} characters, {} too many", length - wrong.longest)
    } else {
        "is not a valid name".to_owned()
    };
    Misfit { why, instead: wrong.suggestion }
}

fn fits(good: bool, why: &str, instead: impl FnOnce() -> Option<String>) -> Result<(), Misfit> {
    if good { Ok(()) } else { Err(Misfit { why: why.to_owned(), instead: instead() }) }
}

/// Parses a duration such as `90s`, `30m`, `2h` or `3d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, seconds) = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))?;
    let digits = (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse().ok().map(|count: u64| Duration::from_secs(count * seconds)) } else { None }
}

/// Whether `text` is a label by RFC 1123.
pub(super) fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

fn label_like(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Some(lower.trim_matches('-').to_owned()).filter(|label| is_label(label))
}

fn is_port_name(text: &str) -> bool {
    is_label(text) && text.len() <= 15 && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn port_like(text: &str) -> Option<String> {
    text.strip_suffix("/tcp").map(str::to_owned)
}

fn is_url_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['?', '#', ' '])
}

fn url_path_like(text: &str) -> Option<String> {
    Some(format!("/{text}")).filter(|path| !path.contains(['?', '#', ' ', ':']))
}

/// Kubernetes accepts no larger network for Services, and kind gives a node a /24 of the network for Pods.
fn is_network(text: &str) -> bool {
    Subnet::parse(text).is_ok_and(|subnet| (12..=24).contains(&subnet.prefix) && subnet.trimmed() == subnet)
}

fn is_any_network(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || value_formats::is_network(text)
}

fn network_like(text: &str) -> Option<String> {
    Some(Subnet::parse(text).ok()?.trimmed().to_string()).filter(|network| is_network(network))
}

fn is_inside_workspace(text: &str) -> bool {
    !Path::new(text).is_absolute() && !text.split('/').any(|part| part == "..")
}

fn is_slug(text: &str) -> bool {
    text.matches("{slug}").count() == 1 && is_label(&text.replace("{slug}", &"a".repeat(slug::LONGEST)))
}

fn slug_like(text: &str) -> Option<String> {
    label_like(text).map(|name| format!("{name}-{{slug}}"))
}

/// Suggests a domain, also from a URL, which is a common mistake.
fn domain_like(text: &str) -> Option<String> {
    let without_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = without_scheme.split(['/', ':']).next().unwrap_or_default();
    let parts: Option<Vec<String>> = host.trim_matches(['.', '*']).split('.').map(label_like).collect();
    parts.map(|parts| parts.join("."))
}

fn is_oci_reference(text: &str) -> bool {
    !text.contains("://")
        && text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
        && ImageReference::parse(text).is_ok_and(|image| image.tag.is_none() && image.digest.is_none())
}

fn is_kubernetes_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    (2..=3).contains(&parts.len()) && parts[0] == "1" && parts.iter().all(number)
}

const _: () = assert!(
    name::SHORT == 40 && name::LONGEST == 53,
    "Format::Name and Format::Release have these numbers in their texts and patterns"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn instead(format: Format, text: &str) -> Option<String> {
        format.check(text).unwrap_err().instead
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!(
            (seconds("90s"), seconds("30m"), seconds("2h"), seconds("3d")),
            (Some(90), Some(1800), Some(7200), Some(259_200))
        );
        for wrong in ["30", "m", "1h30m", "-1s", "1.5h", "30 m", "9999999d", "+1s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hosts_and_domains() {
        for good in ["shop", "shop.example.com", "1.example", "@"] {
            assert_eq!(Format::Host.check(good), Ok(()));
        }
        assert_eq!(instead(Format::Domain, "https://Shop.example.com/x"), Some("shop.example.com".to_owned()));
        assert_eq!(instead(Format::Host, "my_shop"), Some("my-shop".to_owned()));
        assert!(Format::Host.check("a..b").is_err());
    }

    #[test]
    fn git_urls_and_references_are_no_options() {
        for good in ["https://git.example.com/a/b.git", "git@git.example.com:a/b", "ssh://git@host/a", "../templates"] {
            assert_eq!(Format::GitUrl.check(good), Ok(()), "{good}");
        }
        for wrong in ["--upload-pack=x", "ext::sh -c x", "a b"] {
            assert!(Format::GitUrl.check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Format::GitReference.check("v1.2.0"), Ok(()));
        assert!(Format::GitReference.check("-x").is_err());
        assert!(Format::GitReference.check("a..b").is_err());
        assert!(Format::Variable.check("Team").is_err());
    }

    #[test]
    fn charts() {
        assert_eq!(Format::OciReference.check("ghcr.io/org/charts/shop"), Ok(()));
        assert_eq!(instead(Format::OciReference, "oci://ghcr.io/org/shop"), Some("ghcr.io/org/shop".to_owned()));
        assert!(Format::OciReference.check("ghcr.io/org/shop:1.0").is_err());
        assert!(Format::RepositoryUrl.check("charts.example.com").is_err());
    }

    #[test]
    fn versions_paths_and_patterns() {
        assert_eq!(Format::KubernetesVersion.check("1.34.2"), Ok(()));
        assert_eq!(Format::Network.check("10.200.0.0/16"), Ok(()));
        assert_eq!(instead(Format::Network, "10.200.1.0/16"), Some("10.200.0.0/16".to_owned()));
        assert_eq!(instead(Format::Network, "10.200.0.0/30"), None);
        assert_eq!(instead(Format::KubernetesVersion, "v1.34"), Some("1.34".to_owned()));
        assert_eq!(instead(Format::UrlPath, "readyz"), Some("/readyz".to_owned()));
        assert!(Format::Pattern.check("../other/projects.yaml").is_err());
        assert!(Format::Pattern.check("/etc/*").is_err());
        assert!(Format::FilePath.check("/srv/shop").is_err());
    }
}
