//! `monitor`: how Prometheus finds the metrics of a project.

use serde_json::{Value, json};

use super::{ChartSource, ResolvedProject, Workspace};

/// The charts that install Prometheus' operator, whose kind `ServiceMonitor` is.
const OPERATORS: [&str; 2] = ["kube-prometheus-stack", "prometheus-operator"];

/// Sets `monitor.kind` of each project that names none.
pub(super) fn choose_kinds(workspace: &Workspace, projects: &mut [ResolvedProject]) {
    let kind = if has_operator(workspace) { "ServiceMonitor" } else { "annotations" };
    for project in projects.iter_mut().filter(|project| project.is_on_universal_chart()) {
        if let Some(Value::Object(monitor)) = project.values.get_mut("monitor") {
            monitor.entry("kind").or_insert_with(|| json!(kind));
        }
    }
}

/// Whether the workspace installs Prometheus' operator.
pub(crate) fn has_operator(workspace: &Workspace) -> bool {
    let charts = workspace.platform.values().filter_map(|release| Some(&release.chart.as_ref()?.source));
    let mut names = charts.filter_map(|source| match source {
        ChartSource::Oci(reference) => reference.rsplit('/').next(),
        ChartSource::Repository { name, .. } => Some(name.as_str()),
        ChartSource::Path(path) => path.file_name()?.to_str(),
        ChartSource::Universal => None,
    });
    names.any(|name| OPERATORS.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{Chart, Name, PlatformRelease, Values};

    #[test]
    fn the_operator_under_platform_decides_unless_the_project_does() {
        let kinds = |platform: BTreeMap<Name, PlatformRelease>| {
            let project = |monitor: Value| {
                let chart = Chart { source: ChartSource::Universal, version: None };
                let values = Values::from_iter([("monitor".to_owned(), monitor)]);
                ResolvedProject::bare(Name::new("shop").unwrap(), chart, values)
            };
            let own = json!({"path": "/metrics", "kind": "annotations"});
            let mut projects = [project(json!({"path": "/metrics"})), project(own)];
            let workspace = Workspace {
                maintenance: crate::domain::maintenance::MaintenanceSettings::default(),
                name: Name::new("tunes").unwrap(),
                root: std::path::PathBuf::new(),
                environments: BTreeMap::new(),
                defaults: Values::new(),
                platform,
                projects: BTreeMap::new(),
                bundles: BTreeMap::new(),
                procedures: BTreeMap::new(),
                templates: BTreeMap::new(),
            };
            choose_kinds(&workspace, &mut projects);
            projects.map(|project| project.values["monitor"]["kind"].clone())
        };
        let source = ChartSource::Oci("ghcr.io/prometheus-community/charts/kube-prometheus-stack".to_owned());
        let chart = Some(Chart { source, version: Some("79.0.0".to_owned()) });
        let release = PlatformRelease { chart, ..PlatformRelease::default() };
        let platform = BTreeMap::from([(Name::new("monitoring").unwrap(), release)]);
        assert_eq!(kinds(platform), ["ServiceMonitor", "annotations"]);
        assert_eq!(kinds(BTreeMap::new()), ["annotations", "annotations"]);
    }
}
