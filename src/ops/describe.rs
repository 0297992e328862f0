//! From a workspace to the desired state of its environment: charts fetched, values checked, releases complete.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{
        helm::{FetchedChart, Helm},
        kind::configuration::NODE_PORTS,
    },
    domain::{
        Chart, ImageReference, Values,
        image::digests_by_name,
        local_registry::registries_of,
        platform::{ResolvedPlatform, resolve_platform},
        ports::Pair,
        record::{Record, RecordedChart},
        resolve::{ResolvedProject, RouteUrl},
        values,
    },
    error::CommandError,
    ops::{
        certificates,
        charts::fetch_and_check,
        copies, exposed, externals,
        files::ProjectFiles,
        options::UpRequest,
        secrets::{SopsSecrets, external_secrets},
        selection::Selection,
        session::Session,
    },
    plan::{
        CheckSpec, DeployPolicy, NamespaceSpec, Refresh, ReleaseSpec,
        up::{Described, DescribedProject, LOAD_BALANCER, PlatformOrder},
    },
};

/// How long a rollout may go without progress, unless a project sets `timeout`.
const TIMEOUT_SECONDS: u64 = 120;

/// How long a project's rollout may go without progress: its own timeout, or the default.
pub(crate) fn timeout_seconds(written: Option<std::time::Duration>) -> u64 {
    written.map_or(TIMEOUT_SECONDS, |timeout| timeout.as_secs().max(1))
}

/// Describes the desired state of the environment as it is written: [`pin`](super::tags::pin) resolves the tags in it.
/// `ports` are those of its URLs.
///
/// # Errors
/// When a chart cannot be fetched, values are invalid, or secret files are missing: all problems of one kind at once.
pub async fn describe(
    session: &Session,
    helm: &Helm,
    selection: &Selection,
    options: &UpRequest,
    ports: Pair,
) -> Result<Described, CommandError> {
    let platform = selection.platform_releases(session);
    let charts = fetch_and_check(session, helm, selection, &platform).await?;
    let all: Vec<ResolvedProject> = selection.projects.iter().chain(&selection.externals).cloned().collect();
    let secrets = SopsSecrets::read(session, &all)?;
    let files = ProjectFiles::read(session, &selection.projects)?;
    let mounted = |project| files.mounted(secrets.with_checksums(project));
    let chosen: Vec<ResolvedProject> = selection.projects.iter().map(mounted).collect();
    let mut projects: Vec<DescribedProject> =
        chosen.iter().map(|project| describe_project(session, selection, project, &charts, ports)).collect();
    files.add_to(&mut projects, selection);
    let in_namespace = all.iter().flat_map(|project| secrets.of_namespace(project)).collect();
    let registries = chosen.iter().flat_map(|project| hosts_of(&project.chart, &project.values, &charts)).collect();
    let (name, copy) = (session.environment.namespace.clone(), copies::mark(session));
    let own = NamespaceSpec { name, registries, secrets: in_namespace, privileged: false, copy, secrets_from: None };
    let of_platform = platform.iter().map(|release| (release, hosts_of(&release.chart, &release.values, &charts)));
    let namespaces = namespaces(of_platform, own);
    Ok(Described {
        workspace: session.workspace().to_string(),
        policy: policy(session, options),
        image_hosts: namespaces.iter().flat_map(|it| it.registries.iter().cloned()).collect(),
        namespaces,
        platform: platform.iter().map(|release| platform_spec(selection, release, &charts)).collect(),
        order: PlatformOrder::new(&platform),
        projects,
        externals: externals::described(session, &selection.externals),
        address_pool: session.environment.is_local() && platform.iter().any(|release| release.name == LOAD_BALANCER),
        local_node: session.environment.is_local(),
        is_copy: session.environment.local_copy.is_some(),
        data_from: None,
        forwarder: exposed::forwarder(session),
        certificate: certificates::wanted(session, &platform)?,
        registry: Vec::new(),
        builds: Vec::new(),
        later: BTreeSet::new(),
    })
}

/// How all releases are deployed. In the local environment, manual changes are always reverted.
fn policy(session: &Session, options: &UpRequest) -> DeployPolicy {
    DeployPolicy {
        refresh: if options.refresh { Refresh::ByPods } else { Refresh::No },
        adopt: options.adopt,
        repair: options.repair || session.environment.is_local(),
    }
}

/// The registries of the images in values merged over the chart's defaults.
fn hosts_of(chart: &Chart, own: &Values, charts: &BTreeMap<Chart, FetchedChart>) -> BTreeSet<String> {
    match charts.get(chart) {
        Some(fetched) => registries_of(&values::merged([&fetched.values, own])),
        None => registries_of(own),
    }
}

/// The platform of the environment, before its charts are fetched.
pub(crate) fn platform_releases(session: &Session) -> Vec<ResolvedPlatform> {
    let node_ports = session.environment.is_local().then_some(NODE_PORTS);
    resolve_platform(&session.loaded.workspace, &session.environment, node_ports)
}

/// The names of all releases of the platform.
pub(crate) fn platform_names(session: &Session) -> BTreeSet<String> {
    platform_releases(session).into_iter().map(|release| release.name).collect()
}

/// The namespaces of the environment's releases.
pub(crate) fn namespaces_of(session: &Session) -> Vec<String> {
    let platform = platform_releases(session).into_iter().map(|release| release.namespace);
    let all: BTreeSet<String> = platform.chain([session.environment.namespace.clone()]).collect();
    all.into_iter().collect()
}

fn platform_spec(
    selection: &Selection,
    release: &ResolvedPlatform,
    charts: &BTreeMap<Chart, FetchedChart>,
) -> ReleaseSpec {
    if let Some((content, chart)) = selection.contents.get(&release.key()) {
        return release_spec(&release.name, &release.namespace, chart, content.clone());
    }
    let chart = &charts[&release.chart];
    let content = content_of(&release.chart, chart, None, &release.values);
    release_spec(&release.name, &release.namespace, chart, content)
}

fn describe_project(
    session: &Session,
    selection: &Selection,
    project: &ResolvedProject,
    charts: &BTreeMap<Chart, FetchedChart>,
    ports: Pair,
) -> DescribedProject {
    let given = selection.contents.get(project.name.as_str());
    let own_chart = || selection.charts.get(&project.name).unwrap_or_else(|| &charts[&project.chart]);
    let chart = given.map_or_else(own_chart, |(_, chart)| chart);
    let version = project.image.as_ref().map(ImageReference::version);
    let mut written = content_of(&project.chart, chart, version, &project.values);
    written.images = digests_by_name(project.images());
    let fingerprint = written.id().to_string();
    let content = given.map_or(written, |(content, _)| content.clone());
    let namespace = &session.environment.namespace;
    let mut release = release_spec(project.name.as_str(), namespace, chart, content);
    release.fingerprint = fingerprint;
    release.universal = project.is_on_universal_chart();
    release.image.clone_from(&project.image);
    release.timeout_seconds = timeout_seconds(project.timeout);
    let urls = project.routes.iter().flat_map(|route| route.urls(ports).map(|url| (route.check_status, url)));
    let urls: Vec<_> = urls.collect();
    let check = |(status, url): &(Option<u16>, RouteUrl)| {
        let (project, shown_url) = (project.name.clone(), url.shown.clone());
        Some(CheckSpec { project, url: url.checked.clone()?, shown_url, status: *status })
    };
    let checks = urls.iter().filter_map(check).collect();
    DescribedProject {
        name: project.name.clone(),
        needs: project.needs.clone(),
        release,
        external_secrets: external_secrets(project, namespace),
        checks,
        urls: urls.into_iter().map(|(_, url)| url.shown).collect(),
        verifications: Vec::new(),
        rollout: None,
    }
}

/// The content of a release. The default version is the chart's app version.
fn content_of(source: &Chart, chart: &FetchedChart, version: Option<String>, values: &Values) -> Record {
    let of_chart = || chart.app_version.clone().unwrap_or_else(|| chart.version.clone());
    Record {
        chart: RecordedChart {
            name: chart.name.clone(),
            version: chart.version.clone(),
            digest: chart.digest.clone(),
            source: (&source.source).into(),
        },
        version: version.unwrap_or_else(of_chart),
        images: BTreeMap::new(),
        values: values.clone(),
    }
}

fn release_spec(name: &str, namespace: &str, chart: &FetchedChart, content: Record) -> ReleaseSpec {
    ReleaseSpec {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        chart: chart.path.clone(),
        universal: false,
        definitions: chart.definitions.with_values(&values::merged([&chart.values, &content.values])),
        record: content.id(),
        fingerprint: content.id().to_string(),
        content,
        files: Vec::new(),
        image: None,
        timeout_seconds: TIMEOUT_SECONDS,
        rollout_of: None,
    }
}

/// The namespaces of platform releases with the registries of their images, and the one of projects with its registries
/// and Secrets.
fn namespaces<'a>(
    platform: impl Iterator<Item = (&'a ResolvedPlatform, BTreeSet<String>)>,
    own: NamespaceSpec,
) -> Vec<NamespaceSpec> {
    let mut namespaces: Vec<NamespaceSpec> = Vec::new();
    for (release, registries) in platform {
        match namespaces.iter_mut().find(|known| known.name == release.namespace) {
            Some(known) => {
                known.privileged |= release.is_privileged;
                known.registries.extend(registries);
            }
            None => namespaces.push(NamespaceSpec {
                name: release.namespace.clone(),
                registries,
                secrets: Vec::new(),
                privileged: release.is_privileged,
                copy: None,
                secrets_from: None,
            }),
        }
    }
    namespaces.push(own);
    namespaces
}
