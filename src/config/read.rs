//! Converts trees to a [`Workspace`]. Validation has already reported errors; invalid or missing values are skipped.

mod checks;
mod procedures;
pub(super) mod rollouts;

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;

use rollouts::{rollout, traffic};

use super::{
    format::{Format, duration},
    read_queues::{maintenance, queue},
    sources::{Document, Sources},
    tree::Cursor,
    universal::text::{self, Place},
};
use crate::domain::{
    Build, Bundle, Chart, ChartSource, Check, Dev, Environment, External, ImageKey, ImageReference, Name, OnFailure,
    Platform, PlatformOverride, PlatformRelease, Presence, Project, ProjectOverride, Promotion, Review, Route, Tls,
    ValuePath, Values, Verify, VerifyWhen, Workspace, Writer,
    build::{BuildMethod, BuildSecret, DockerBuild},
    cluster_networks::ClusterNetworks,
    dev::{DevRestart, SyncPath},
    exposed::{ExposedTarget, PublishedPort},
    freeze::{FreezeWindow, weekday},
    maintenance::MaintenanceSettings,
    pool::Subnet,
    project_template::TemplateSource,
    workspace::LOCAL,
};

pub(super) use procedures::is_reversible;

/// How long a review environment is kept after its last `up`, unless projects.yaml sets it.
const REVIEW_EXPIRES: Duration = Duration::from_hours(72);
/// How long a Job of `verify` may take, unless projects.yaml sets it.
const VERIFY_TIMEOUT: Duration = Duration::from_mins(5);

/// Returns the workspace, or `None` if its name is missing.
pub(super) fn workspace(sources: &Sources, folder: &Path) -> Option<Workspace> {
    let name = sources.find(&["name"]).and_then(name_of)?;
    let mut environments = by_name(sources, "environments", |document, entry| environment(document, entry, &name));
    let local = Name::new(LOCAL).ok()?;
    environments.entry(local.clone()).or_insert_with(|| unwritten_environment(local, &name));
    Some(Workspace {
        root: folder.to_owned(),
        environments,
        defaults: sources.find(&["defaults"]).map(|defaults| values_of(defaults, true)).unwrap_or_default(),
        platform: by_name(sources, "platform", |document, entry| Some(platform_release(document, entry))),
        projects: by_name(sources, "projects", |document, entry| project(sources, document, entry)),
        bundles: by_name(sources, "bundles", |_, entry| Some(bundle(entry))),
        procedures: by_name(sources, "procedures", |_, entry| Some(procedures::procedure(entry))),
        maintenance: sources.root().map(|root| maintenance(root, root.cursor())).unwrap_or_default(),
        templates: by_name(sources, "templates", template),
        name,
    })
}

fn by_name<T>(sources: &Sources, key: &str, read: impl Fn(&Document, Cursor<'_>) -> Option<T>) -> BTreeMap<Name, T> {
    let read_one =
        |(document, entry): (&Document, Cursor<'_>)| Some((Name::new(entry.key()).ok()?, read(document, entry)?));
    sources.entries(key).filter_map(read_one).collect()
}

fn unwritten_environment(name: Name, workspace: &Name) -> Environment {
    let local = name.as_str() == LOCAL;
    Environment {
        name,
        context: None,
        cluster_id: None,
        namespace: workspace.to_string(),
        domain: local.then(|| format!("{workspace}.localhost")),
        only: None,
        promote: None,
        freeze: BTreeMap::new(),
        review: None,
        copy: None,
        local_copy: None,
        platform: Platform::Cmdr,
        kubernetes: None,
        http_port: None,
        route_kind: None,
        https_port: None,
        maintenance: MaintenanceSettings::default(),
        traffic: None,
        networks: ClusterNetworks::default(),
        tls: None,
        exposed: BTreeMap::new(),
    }
}

fn environment(document: &Document, entry: Cursor<'_>, workspace: &Name) -> Option<Environment> {
    let unwritten = unwritten_environment(Name::new(entry.key()).ok()?, workspace);
    let port = |protocol: &str| entry.at(&["ports", protocol]).and_then(port_of);
    Some(Environment {
        context: text_at(entry, "context"),
        cluster_id: text_at(entry, "cluster-id"),
        namespace: text_at(entry, "namespace").unwrap_or(unwritten.namespace),
        domain: text_at(entry, "domain").or(unwritten.domain),
        only: text_at(entry, "only").map(|_| Writer::Ci),
        promote: entry.get("promote").and_then(promotion),
        freeze: named(entry, "freeze", freeze),
        review: entry.get("review").and_then(|value| review(value, workspace)),
        copy: None,
        local_copy: None,
        platform: text_at(entry, "platform").map_or(Platform::Cmdr, |_| Platform::External),
        kubernetes: text_at(entry, "kubernetes"),
        http_port: port("http"),
        route_kind: text_at(entry, "routes"),
        https_port: port("https"),
        maintenance: maintenance(document, entry),
        traffic: entry.get("traffic").and_then(traffic),
        networks: networks(entry),
        tls: entry.get("tls").and_then(tls),
        exposed: exposed(entry),
        name: unwritten.name,
    })
}

/// The networks of the local cluster.
pub(super) fn networks(entry: Cursor<'_>) -> ClusterNetworks {
    let valid = |text: &String| Format::Network.check(text).is_ok();
    let network = |key: &str| Subnet::parse(&text_at(entry, key).filter(valid)?).ok();
    let ClusterNetworks { pods, services } = ClusterNetworks::default();
    ClusterNetworks { pods: network("pods").unwrap_or(pods), services: network("services").unwrap_or(services) }
}

fn tls(value: Cursor<'_>) -> Option<Tls> {
    let is_namespaced = text_at(value, "kind").as_deref() == Some("Issuer");
    let issuer = text_at(value, "issuer").map(|name| Tls::Issuer { name, is_namespaced });
    let local = value.boolean().filter(|wanted| *wanted).map(|_| Tls::Local);
    local.or(issuer).or_else(|| text_at(value, "secret").map(Tls::Secret))
}

fn exposed(entry: Cursor<'_>) -> BTreeMap<PublishedPort, ExposedTarget> {
    let read = |one: Cursor<'_>| Some((PublishedPort::parse(one.key())?, ExposedTarget::parse(one.text()?)?));
    entry.get("expose").into_iter().flat_map(|map| map.entries()).filter_map(read).collect()
}

fn promotion(value: Cursor<'_>) -> Option<Promotion> {
    let soak = duration_at(value, "soak").unwrap_or_default();
    Some(Promotion { from: value.get("from").and_then(name_of)?, soak, scan: text_at(value, "scan") })
}

/// A freeze window; `None` if a part of it is invalid.
pub(super) fn freeze(value: Cursor<'_>) -> Option<FreezeWindow> {
    let moment = |key: &str| text_at(value, key).and_then(|text| text.parse().ok());
    let days = value.get("days").into_iter().flat_map(|days| days.items());
    Some(FreezeWindow {
        days: days.filter_map(|day| weekday(day.text()?)).collect(),
        from: moment("from"),
        until: moment("until"),
        zone: TimeZone::get(value.get("zone").and_then(|zone| zone.text()).unwrap_or("UTC")).ok()?,
    })
}

fn review(value: Cursor<'_>, workspace: &Name) -> Option<Review> {
    Some(Review {
        from: value.get("from").and_then(name_of)?,
        namespace: text_at(value, "namespace").unwrap_or_else(|| format!("{workspace}-{{slug}}")),
        expires: duration_at(value, "expires").unwrap_or(REVIEW_EXPIRES),
    })
}

fn platform_release(document: &Document, entry: Cursor<'_>) -> PlatformRelease {
    PlatformRelease {
        chart: entry.get("chart").and_then(|value| chart(document, value)),
        namespace: text_at(entry, "namespace"),
        needs: names_at(entry, "needs"),
        is_disabled: enabled_at(entry) == Some(false),
        values: values_of(entry, false),
        environments: named(entry, "environments", |value| Some(platform_override(document, value))),
    }
}

fn platform_override(document: &Document, value: Cursor<'_>) -> PlatformOverride {
    PlatformOverride {
        enabled: enabled_at(value),
        chart: value.get("chart").and_then(|value| chart(document, value)),
        values: values_of(value, false),
    }
}

fn project(sources: &Sources, document: &Document, entry: Cursor<'_>) -> Option<Project> {
    let local = sources.local().and_then(|local| local.cursor().at(&["projects", entry.key()]));
    let is_universal = entry.get("chart").is_none();
    Some(Project {
        name: Name::new(entry.key()).ok()?,
        presence: presence(entry),
        profiles: names_at(entry, "profiles"),
        image: image_of(entry),
        build: entry.get("build").and_then(|value| build(document, value)),
        dev: entry.get("dev").map(|value| dev(document, entry, value)),
        chart: match entry.get("chart") {
            Some(value) => chart(document, value)?,
            None => Chart { source: ChartSource::Universal, version: None },
        },
        image_key: entry.at(&["chart", "image"]).and_then(image_key),
        routes: routes(entry),
        check: entry.get("check").map(check),
        rollout: entry.get("rollout").and_then(rollout),
        needs: names_at(entry, "needs"),
        timeout: duration_at(entry, "timeout"),
        verify: named(entry, "verify", verify),
        queues: named(entry, "queues", queue),
        irreversible: entry.get("irreversible").and_then(|value| value.boolean()).unwrap_or_default(),
        values: values_of(entry, is_universal),
        external: None,
        environments: named(entry, "environments", |value| Some(project_override(document, value, is_universal))),
        local_values: local.map(|local| values_of(local, is_universal)).unwrap_or_default(),
        local_image: local.and_then(image_of),
    })
}

fn verify(value: Cursor<'_>) -> Option<Verify> {
    let words = value.get("command")?.items();
    Some(Verify {
        image: image_of(value),
        command: words.filter_map(|word| word.text().map(str::to_owned)).collect(),
        when: if text_at(value, "when").as_deref() == Some("before") { VerifyWhen::Before } else { VerifyWhen::After },
        timeout: duration_at(value, "timeout").unwrap_or(VERIFY_TIMEOUT),
    })
}

/// Whether a project is part of the environments that do not say otherwise.
pub(super) fn presence(project: Cursor<'_>) -> Presence {
    let is_optional = project.get("profiles").is_some() || enabled_at(project) == Some(false);
    if is_optional { Presence::Optional } else { Presence::Enabled }
}

/// What the override of an environment says about it.
pub(super) fn presence_there(over: Cursor<'_>) -> Option<Presence> {
    enabled_at(over).map(|enabled| if enabled { Presence::Enabled } else { Presence::Disabled })
}

fn enabled_at(value: Cursor<'_>) -> Option<bool> {
    value.get("enabled").and_then(|enabled| enabled.boolean())
}

fn project_override(document: &Document, value: Cursor<'_>, is_universal: bool) -> ProjectOverride {
    let has = |key: &str| value.get(key).is_some();
    ProjectOverride {
        presence: presence_there(value),
        chart: value.get("chart").and_then(|value| chart(document, value)),
        image_key: value.at(&["chart", "image"]).and_then(image_key),
        routes: (has("host") || has("routes")).then(|| routes(value)),
        check: value.get("check").map(check),
        rollout: value.get("rollout").and_then(rollout),
        needs: has("needs").then(|| names_at(value, "needs")),
        timeout: duration_at(value, "timeout"),
        verify: has("verify").then(|| named(value, "verify", verify)),
        values: values_of(value, is_universal && !has("chart")),
        image: image_of(value),
        external: value.get("external").and_then(|external| {
            Some(External { host: text_at(external, "host")?, port: external.get("port").and_then(port_of)? })
        }),
    }
}

/// Returns the routes of a project, or of its override, from the tree; `host` is the route `web`.
pub(super) fn routes(project: Cursor<'_>) -> BTreeMap<Name, Route> {
    let written = project.get("routes").into_iter().flat_map(|routes| routes.entries());
    let mut routes: BTreeMap<Name, Route> =
        written.filter_map(|value| Some((Name::new(value.key()).ok()?, route(value)))).collect();
    if let (Some(host), Ok(web)) = (text_at(project, "host"), Name::new("web")) {
        let path = "/".to_owned();
        routes.insert(web, Route { hosts: vec![host], path, port: None, is_checked: true, settings: Values::new() });
    }
    routes
}

/// The keys of a route that are values of the universal chart.
pub(super) const ROUTE_SETTINGS: [&str; 7] =
    ["kind", "match", "middlewares", "sticky", "weights", "gateway", "listener"];

fn route(value: Cursor<'_>) -> Route {
    let further = value.get("hosts").into_iter().flat_map(|hosts| hosts.items());
    let further = further.filter_map(|host| host.text().map(str::to_owned));
    let settings =
        ROUTE_SETTINGS.iter().filter_map(|key| Some(((*key).to_owned(), value.get(key)?.node.content.to_json())));
    Route {
        hosts: text_at(value, "host").into_iter().chain(further).collect(),
        path: text_at(value, "path").unwrap_or_else(|| "/".to_owned()),
        port: text_at(value, "port"),
        is_checked: value.get("check").and_then(|check| check.boolean()).unwrap_or(true),
        settings: settings.collect(),
    }
}

fn check(value: Cursor<'_>) -> Check {
    let status = value.get("status").and_then(|status| u16::try_from(status.integer()?).ok());
    Check { path: text_at(value, "path").unwrap_or_else(|| "/".to_owned()), status }
}

fn bundle(value: Cursor<'_>) -> Bundle {
    let on_failure = match text_at(value, "on-failure").as_deref() {
        Some("rollback") => OnFailure::Rollback,
        _ => OnFailure::default(),
    };
    Bundle { projects: names_at(value, "projects"), on_failure }
}

fn template(document: &Document, value: Cursor<'_>) -> Option<TemplateSource> {
    if let Some(path) = text_at(value, "path") {
        return Some(TemplateSource::Folder(join(&document.folder, &path)));
    }
    let folder = text_at(value, "folder").unwrap_or_default();
    Some(TemplateSource::Git { url: text_at(value, "git")?, reference: text_at(value, "ref")?, folder })
}

fn build(document: &Document, value: Cursor<'_>) -> Option<Build> {
    let context = text_at(value, "context").map(|context| join(&document.folder, &context));
    if let Some(command) = text_at(value, "command") {
        let context = context.unwrap_or_else(|| document.folder.clone());
        return Some(Build { context, method: BuildMethod::Command(command) });
    }
    let context = context?;
    let texts = |value: Option<Cursor<'_>>| -> Vec<String> {
        let items = value.into_iter().flat_map(|list| list.items());
        items.filter_map(|item| item.text().map(str::to_owned)).collect()
    };
    let entries = |key: &str| value.get(key).into_iter().flat_map(|map| map.entries());
    let args = entries("args").filter_map(|arg| Some((arg.key().to_owned(), arg.text()?.to_owned())));
    let secrets = entries("secrets").filter_map(|secret| {
        let source = match secret.text()?.strip_prefix('$') {
            Some(variable) => BuildSecret::Env(variable.to_owned()),
            None => BuildSecret::File(join(&document.folder, secret.text()?)),
        };
        Some((secret.key().to_owned(), source))
    });
    let method = BuildMethod::Docker(DockerBuild {
        dockerfile: text_at(value, "dockerfile").map(|dockerfile| join(&context, &dockerfile)),
        target: text_at(value, "target"),
        args: args.collect(),
        secrets: secrets.collect(),
        ssh: value.get("ssh").and_then(|ssh| ssh.boolean()).unwrap_or_default(),
        platforms: texts(value.get("platforms")),
        cache_from: texts(value.get("cache-from")),
        cache_to: texts(value.get("cache-to")),
    });
    Some(Build { context, method })
}

/// The folder that the paths of `dev.sync` are relative to: that of the build, as for `COPY`, or else that of the file.
pub(super) fn dev_folder(document: &Document, project: Cursor<'_>) -> PathBuf {
    let context = project.get("build").and_then(|build| text_at(build, "context"));
    context.map_or_else(|| document.folder.clone(), |context| join(&document.folder, &context))
}

fn dev(document: &Document, project: Cursor<'_>, value: Cursor<'_>) -> Dev {
    let folder = dev_folder(document, project);
    let sync =
        value.get("sync").into_iter().flat_map(|map| map.entries()).filter_map(|entry| {
            Some(SyncPath { source: join(&folder, entry.key()), target: clean_target(entry.text()?) })
        });
    let restart = value.get("restart");
    Dev {
        folder: folder.clone(),
        sync: sync.collect(),
        restart: match restart.and_then(|restart| restart.text()) {
            Some(command) => DevRestart::Command(command.to_owned()),
            None if restart.and_then(|restart| restart.boolean()) == Some(true) => DevRestart::Pods,
            None => DevRestart::No,
        },
        compile: text_at(value, "compile"),
        test: text_at(value, "test"),
    }
}

/// An absolute path without `//` and a `/` at its end.
fn clean_target(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect()
}

fn chart(document: &Document, value: Cursor<'_>) -> Option<Chart> {
    let source = match (text_at(value, "oci"), text_at(value, "repository"), text_at(value, "path")) {
        (Some(reference), None, None) => ChartSource::Oci(reference),
        (None, Some(url), None) => ChartSource::Repository { url, name: text_at(value, "name")? },
        (None, None, Some(path)) => ChartSource::Path(join(&document.folder, &path)),
        _ => return None,
    };
    Some(Chart { source, version: text_at(value, "version") })
}

/// The values of a chart of one's own that take the image, from its key `image`.
pub(super) fn image_key(value: Cursor<'_>) -> Option<ImageKey> {
    let path = |key: &str| ValuePath::parse(&text_at(value, key)?);
    if let Some(reference) = path("reference") {
        return Some(ImageKey::Reference(reference));
    }
    let repository = path("repository")?;
    Some(ImageKey::Parts { registry: path("registry"), repository, tag: path("tag"), digest: path("digest") })
}

/// `folder/relative` without `.` and `..`, so that each location has one path.
pub fn join(folder: &Path, relative: &str) -> PathBuf {
    let mut joined = folder.to_owned();
    for component in Path::new(relative).components() {
        match component {
            Component::ParentDir => _ = joined.pop(),
            Component::Normal(part) => joined.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    joined
}

/// Reads the map from names under `key`.
fn named<T>(value: Cursor<'_>, key: &str, read: impl Fn(Cursor<'_>) -> Option<T>) -> BTreeMap<Name, T> {
    let entries = value.get(key).into_iter().flat_map(|map| map.entries());
    entries.filter_map(|entry| Some((Name::new(entry.key()).ok()?, read(entry)?))).collect()
}

fn duration_at(value: Cursor<'_>, key: &str) -> Option<Duration> {
    value.get(key).and_then(|value| duration(value.text()?))
}

pub(super) fn text_at(value: Cursor<'_>, key: &str) -> Option<String> {
    value.get(key).and_then(|value| value.text()).map(str::to_owned)
}

fn name_of(value: Cursor<'_>) -> Option<Name> {
    value.text().and_then(|text| Name::new(text).ok())
}

fn names_at(value: Cursor<'_>, key: &str) -> Vec<Name> {
    value.get(key).into_iter().flat_map(|list| list.items()).filter_map(name_of).collect()
}

fn image_of(value: Cursor<'_>) -> Option<ImageReference> {
    value.get("image").and_then(|image| ImageReference::parse(image.text()?).ok())
}

fn port_of(value: Cursor<'_>) -> Option<u16> {
    value.integer().and_then(|port| u16::try_from(port).ok())
}

/// The Helm values under the key `values`, for the universal chart or for another one.
fn values_of(value: Cursor<'_>, is_universal: bool) -> Values {
    value.get("values").map(|values| text::values(values, Place::root(is_universal))).unwrap_or_default()
}
