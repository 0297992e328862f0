//! Secrets and ConfigMaps that values name: whether something provides them, with this key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Mistake,
    aliases::aliases,
    containers::{containers, entries},
    waits::waited,
};
use crate::{
    config::error::{choice, quoted},
    domain::{
        ResolvedProject,
        nearest::nearest_key,
        project_secret::{SecretSource, project_secrets},
    },
};

/// A value that names a Secret or a ConfigMap.
struct Reference<'a> {
    /// The path of the map with the name, from the values on.
    path: Vec<String>,
    name: &'a str,
    key: Option<&'a str>,
}

impl Reference<'_> {
    fn path_of(&self, key: &str) -> Vec<String> {
        self.path.iter().cloned().chain([key.to_owned()]).collect()
    }
}

/// Returns the references under `kind`, which is `secret` or `config`.
fn references<'a>(project: &'a ResolvedProject, kind: &str) -> Vec<Reference<'a>> {
    let values = &project.values;
    let containers = containers(values);
    let variables = containers.iter().flat_map(|container| {
        ["env", "envFrom"].into_iter().flat_map(move |key| {
            container.entries(key).map(move |(name, source)| (container.path(&[key, name]), source))
        })
    });
    let mounted = ["secretFiles", "volumes"].into_iter().flat_map(|key| {
        entries(values.get(key)).map(move |(name, source)| (vec![key.to_owned(), name.to_owned()], source))
    });
    let is_required = |source: &Value| source.get("optional") != Some(&Value::Bool(true));
    let all = variables.chain(mounted).filter(|(_, source)| is_required(source));
    let named = all.filter_map(|(path, source)| {
        let text = |key: &str| source.get(key).and_then(Value::as_str);
        Some(Reference { path, name: text(kind)?, key: text("key") })
    });
    named.collect()
}

/// A port of a project.
#[derive(Debug)]
pub(super) struct OpenPort {
    pub(super) name: String,
    /// The port that clients of the Service use.
    pub(super) service: u64,
    /// The port that the program listens on.
    pub(super) target: u64,
    pub(super) is_tcp: bool,
}

impl OpenPort {
    pub(super) fn read(name: &str, port: &Value) -> Option<Self> {
        let target = port.as_u64().or_else(|| port.get("port")?.as_u64())?;
        let service = port.get("service").and_then(Value::as_u64);
        let service = service.unwrap_or(if name == "http" { 80 } else { target });
        let is_tcp = port.get("protocol").and_then(Value::as_str).is_none_or(|protocol| protocol == "TCP");
        Some(Self { name: name.to_owned(), service, target, is_tcp })
    }
}

/// The Secrets and ConfigMaps that an environment's projects provide.
#[derive(Debug, Default)]
pub struct Provided {
    /// The keys of each Secret, by its name in the cluster; `None` if only its source knows them.
    secrets: BTreeMap<String, Option<Vec<String>>>,
    /// The names of Secrets in the cluster, by the name within their project.
    short_names: BTreeMap<String, String>,
    /// Secrets that exist already, according to the workspace.
    existing: BTreeSet<String>,
    /// The keys of each project's ConfigMap, by the project.
    configured: BTreeMap<String, Vec<String>>,
    config_maps: BTreeSet<String>,
    /// The projects of the universal chart.
    projects: BTreeSet<String>,
    /// The ports of each project of the universal chart.
    ports: BTreeMap<String, Vec<OpenPort>>,
    /// The projects that are behind the Service of another one.
    shared: BTreeSet<String>,
    /// The projects that each project needs or waits for, and whether it waits.
    precedents: BTreeMap<String, BTreeMap<String, bool>>,
    /// The names of Services and the project of each: its own name, and its aliases.
    services: BTreeSet<(String, String)>,
}

impl Provided {
    /// The names of all projects.
    pub(super) fn projects(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|(name, project)| name == project).map(|(name, _)| name.as_str())
    }

    pub fn by(projects: &[ResolvedProject]) -> Self {
        let mut provided = Self::default();
        for project in projects {
            let needs = project.needs.iter().map(|need| (need.to_string(), false));
            let precedents = needs.chain(waited(project).map(|(_, other)| (other.to_owned(), true))).collect();
            provided.precedents.insert(project.name.to_string(), precedents);
            let all = aliases(&project.values).chain([project.name.as_str()]);
            provided.services.extend(all.map(|name| (name.to_owned(), project.name.to_string())));
        }
        for project in projects.iter().filter(|project| project.is_on_universal_chart()) {
            for secret in project_secrets(project) {
                provided.short_names.insert(secret.short_name, secret.name.clone());
                provided.secrets.insert(secret.name, keys(&secret.source));
            }
            let declared = entries(project.values.get("secrets"));
            let existing = declared.filter_map(|(_, secret)| secret.get("existing")?.as_str());
            provided.existing.extend(existing.map(str::to_owned));
            let keys: Vec<String> = entries(project.values.get("config")).map(|(key, _)| key.to_owned()).collect();
            if !keys.is_empty() {
                provided.configured.insert(project.name.to_string(), keys);
            }
            provided.config_maps.extend(config_maps(project));
            provided.projects.insert(project.name.to_string());
            let ports = entries(project.values.get("ports")).filter_map(|(name, port)| OpenPort::read(name, port));
            provided.ports.insert(project.name.to_string(), ports.collect());
            if project.values.get("service").is_some_and(|service| service.get("of").is_some_and(Value::is_string)) {
                provided.shared.insert(project.name.to_string());
            }
        }
        provided
    }

    /// The ports of a project of the universal chart.
    pub(super) fn ports(&self, project: &str) -> impl Iterator<Item = &OpenPort> {
        self.ports.get(project).into_iter().flatten()
    }

    /// The projects that a project needs or waits for.
    pub(super) fn precedents(&self, project: &str) -> impl Iterator<Item = &str> {
        self.precedents.get(project).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Whether a project waits for another one.
    pub(super) fn waits(&self, project: &str, other: &str) -> bool {
        self.precedents.get(project).is_some_and(|precedents| precedents.get(other) == Some(&true))
    }

    /// Whether a project is behind the Service of another one.
    pub(super) fn is_shared(&self, project: &str) -> bool {
        self.shared.contains(project)
    }

    /// The names of all projects.
    pub(super) fn project_names(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|(name, project)| name == project).map(|(name, _)| name.as_str())
    }

    /// The names of all Services: those of projects, and their aliases.
    pub(super) fn service_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.services.iter().map(|(name, _)| name.as_str())
    }

    /// The projects that a Service name refers to.
    pub(super) fn service_owners(&self, name: &str) -> impl Iterator<Item = &str> {
        self.services.iter().filter(move |(own, _)| own == name).map(|(_, project)| project.as_str())
    }
}

/// The keys of a Secret, as far as `projects.yaml` shows them.
fn keys(source: &SecretSource) -> Option<Vec<String>> {
    match source {
        SecretSource::Generate { key } => Some(vec![key.clone()]),
        SecretSource::External(external) => Some(external.data.keys().cloned().collect()),
        SecretSource::Sops { .. } => None,
    }
}

/// Returns a mistake for each reference to a key that a Secret or a ConfigMap of the workspace does not have, and for
/// each name that is almost one of the workspace's.
pub(super) fn check(project: &ResolvedProject, known: &Provided) -> Vec<Mistake> {
    let own: BTreeSet<&str> = entries(project.values.get("secrets")).map(|(name, _)| name).collect();
    let mut found = Vec::new();
    for reference in references(project, "secret") {
        let is_own = own.contains(reference.name);
        let name = if is_own { format!("{}-{}", project.name, reference.name) } else { reference.name.to_owned() };
        match known.secrets.get(&name) {
            Some(keys) => found.extend(unknown_key("Secret", &name, keys.as_deref(), &reference)),
            // It exists already, and nothing here shows its keys.
            None if is_own => (),
            None => found.extend(almost(project, &reference, known)),
        }
    }
    for reference in references(project, "config") {
        let keys = known.configured.get(reference.name).map(Vec::as_slice);
        found.extend(unknown_key("ConfigMap", reference.name, keys, &reference));
        found.extend(without_content(&reference, known));
    }
    found
}

fn unknown_key(kind: &str, name: &str, keys: Option<&[String]>, reference: &Reference<'_>) -> Option<Mistake> {
    let (keys, key) = (keys?, reference.key?);
    if keys.iter().any(|known| known == key) {
        return None;
    }
    let known = || keys.iter().map(String::as_str);
    let message = format!("the {kind} {} has no key {}", quoted(name), quoted(key));
    let mistake = Mistake::new(reference.path_of("key"), message, format!("expected {}", choice(key, known())));
    Some(mistake.with_nearest(key, known()))
}

/// A Secret that nothing defines, but whose name is almost that of one of the workspace.
fn almost(project: &ResolvedProject, reference: &Reference<'_>, known: &Provided) -> Option<Mistake> {
    let name = reference.name;
    if known.existing.contains(name) {
        return None;
    }
    let own = entries(project.values.get("secrets")).map(|(short_name, _)| short_name);
    let of_others = known.short_names.get(name).map(String::as_str);
    let meant = of_others.or_else(|| nearest_key(name, own.chain(known.secrets.keys().map(String::as_str))))?;
    let message = format!("the Secret {} is not defined in this workspace", quoted(name));
    let expected = format!("expected a name from `secrets`, or a Secret such as {}", quoted(meant));
    let help = format!("did you mean `{meant}`? For another Secret, add it to `secrets`: `NAME: {{existing: {name}}}`");
    Some(Mistake::new(reference.path_of("secret"), message, expected).with_help(Some(help)))
}

/// Returns a mistake for each `ConfigMap` that nothing defines, but whose name is almost that of one of the workspace.
/// Another tool may create it.
pub(super) fn almost_config_maps(project: &ResolvedProject, known: &Provided) -> Vec<Mistake> {
    let mistake = |reference: Reference<'_>| {
        let name = reference.name;
        let own = known.config_maps.iter().map(String::as_str);
        let meant = nearest_key(name, own).filter(|meant| *meant != name)?;
        let message = format!("the ConfigMap {} is not defined in this workspace", quoted(name));
        let expected = "expected a ConfigMap of a project, or one that another tool creates".to_owned();
        Some(Mistake::new(reference.path_of("config"), message, expected).with_nearest(name, [meant]))
    };
    let unknown = references(project, "config").into_iter().filter(|it| !known.config_maps.contains(it.name));
    unknown.filter_map(mistake).collect()
}

/// A `ConfigMap` with the name that a project's own would have, but the project has none.
fn without_content(reference: &Reference<'_>, known: &Provided) -> Option<Mistake> {
    let name = reference.name;
    if known.config_maps.contains(name) {
        return None;
    }
    let of_files = name.strip_suffix("-files").filter(|project| known.projects.contains(*project));
    let of_config = Some(name).filter(|project| known.projects.contains(*project));
    let (project, key) = of_config.map(|project| (project, "config")).or(of_files.map(|project| (project, "files")))?;
    let message = format!("the ConfigMap {} does not exist: {} has no `{key}`", quoted(name), quoted(project));
    let expected = "expected a ConfigMap that a project or another tool creates".to_owned();
    let help = format!("add `{key}` to the values of {}", quoted(project));
    Some(Mistake::new(reference.path_of("config"), message, expected).with_help(Some(help)))
}

/// The ConfigMaps that the universal chart, or cmdr for an external project, creates.
fn config_maps(project: &ResolvedProject) -> Vec<String> {
    let has = |key: &str| entries(project.values.get(key)).next().is_some();
    let own = has("config").then(|| project.name.to_string());
    // Files from disk are in ConfigMaps with other names.
    let has_files = entries(project.values.get("files")).any(|(_, content)| content.is_string());
    let files = (has_files && project.external.is_none()).then(|| format!("{}-files", project.name));
    let extra = entries(project.values.get("extraObjects"));
    let extra = extra.filter(|(_, object)| object.get("kind").is_some_and(|kind| kind == "ConfigMap"));
    let extra = extra.map(|(name, object)| {
        let written = object.pointer("/metadata/name").and_then(Value::as_str);
        written.map_or_else(|| format!("{}-{name}", project.name), str::to_owned)
    });
    own.into_iter().chain(files).chain(extra).collect()
}
