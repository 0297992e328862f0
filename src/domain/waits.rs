//! The key `waitFor` of the universal chart: what must respond before the containers of a project start.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ResolvedProject, Values, external::first_service_port};

/// The key of the values.
pub(crate) const KEY: &str = "waitFor";
/// The image of the init containers, if none is written. It has sh, nc and wget.
const IMAGE: &str = "docker.io/library/busybox:1.36";

/// Writes the address of every project that others wait for, and the image. An entry of `false` is removed. A project
/// without ports stays `true`, which is a mistake.
pub(super) fn resolve_waits(projects: &mut [ResolvedProject]) {
    let ports: BTreeMap<String, u16> =
        projects.iter().filter_map(|project| Some((project.name.to_string(), first_service_port(project)?))).collect();
    for project in projects.iter_mut().filter(|project| project.is_on_universal_chart()) {
        let Some(waits) = project.values.get_mut(KEY).and_then(Value::as_object_mut) else { continue };
        waits.retain(|_, wait| *wait != Value::Bool(false));
        waits.iter_mut().for_each(|(name, wait)| complete(name, wait, &ports));
    }
}

fn complete(name: &str, wait: &mut Value, ports: &BTreeMap<String, u16>) {
    if let (Value::Bool(true), Some(port)) = (&*wait, ports.get(name)) {
        *wait = json!({"tcp": format!("{name}:{port}")});
    }
    if let Some(fields) = wait.as_object_mut() {
        fields.entry("image").or_insert_with(|| json!(IMAGE));
    }
}

/// The names that are waited for, and are not a project with ports.
pub(crate) fn unknown(values: &Values) -> impl Iterator<Item = &str> {
    let waits = values.get(KEY).and_then(Value::as_object).into_iter().flatten();
    waits.filter(|(_, wait)| **wait == Value::Bool(true)).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Chart, ChartSource, Name};

    fn project(name: &str, values: &Value) -> ResolvedProject {
        let chart = Chart { source: ChartSource::Universal, version: None };
        ResolvedProject::bare(Name::new(name).unwrap(), chart, values.as_object().unwrap().clone())
    }

    #[test]
    fn the_address_of_a_project_is_that_of_its_first_port() {
        let waits = json!({"waitFor": {"postgres": true, "api": true, "worker": true, "redis": false,
            "other": {"http": "http://other/", "image": "busybox:1"}}});
        let mut projects = [
            project("shop", &waits),
            project("postgres", &json!({"ports": {"postgres": 5432}})),
            project("api", &json!({"ports": {"http": 8080, "admin": 1}})),
            project("worker", &json!({})),
        ];
        resolve_waits(&mut projects);
        let expected = json!({
            "postgres": {"tcp": "postgres:5432", "image": IMAGE}, "api": {"tcp": "api:80", "image": IMAGE},
            "worker": true, "other": {"http": "http://other/", "image": "busybox:1"},
        });
        assert_eq!(projects[0].values[KEY], expected);
        assert_eq!(unknown(&projects[0].values).collect::<Vec<_>>(), ["worker"]);
    }
}
