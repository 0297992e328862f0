//! `service: {of: reviews}`: several workloads behind the Service of one project.

use serde_json::{Value, json};

use super::ResolvedProject;

/// The project whose Service a project is behind.
pub(super) fn owner(project: &ResolvedProject) -> Option<&str> {
    project.values.get("service")?.get("of")?.as_str()
}

/// Marks each project behind whose Service there are others, so that its Service selects their pods, too.
pub(super) fn mark_owners(projects: &mut [ResolvedProject]) {
    let owners: Vec<String> = projects.iter().filter_map(owner).map(str::to_owned).collect();
    for project in projects.iter_mut().filter(|project| owners.iter().any(|owner| owner == project.name.as_str())) {
        if !project.is_on_universal_chart() {
            continue;
        }
        let service = project.values.entry("service").or_insert_with(|| json!({}));
        if let Value::Object(service) = service {
            service.insert("shared".to_owned(), json!(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Chart, ChartSource, Name};

    #[test]
    fn the_owner_of_a_shared_service_is_told() {
        let project = |name: &str, values: Value| {
            let chart = Chart { source: ChartSource::Universal, version: None };
            ResolvedProject::bare(Name::new(name).unwrap(), chart, values.as_object().unwrap().clone())
        };
        let mut projects = [
            project("reviews", json!({"service": {"type": "NodePort"}})),
            project("reviews-v2", json!({"service": {"of": "reviews"}})),
            project("ratings", json!({})),
        ];
        mark_owners(&mut projects);
        assert_eq!(projects[0].values["service"], json!({"type": "NodePort", "shared": true}));
        assert_eq!(projects[1].values["service"], json!({"of": "reviews"}));
        assert!(projects[2].values.is_empty());
    }
}
