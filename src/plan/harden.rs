//! The plan of `harden`, and the settings that it tries: from the strictest to those of the image.

use serde_json::{Map, Value, json};

use super::{Plan, ReleaseSpec, Step};
use crate::domain::container_behavior::ContainerBehavior;

/// The user of the profile `restricted`.
const DEFAULT_USER: u32 = 1000;
/// What images need that start as root and continue as another user.
pub const ROOT_CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
/// Opens ports below 1024.
const LOW_PORTS: &str = "NET_BIND_SERVICE";
/// A trial that cmdr could not delete ends after this time, in seconds.
const DEADLINE_SECONDS: u32 = 600;
/// The kinds of workloads that can be tried; a Job would do its work several times.
const TRIED_KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// A project to try.
#[derive(Debug, Clone, PartialEq)]
pub struct HardenSpec {
    pub release: ReleaseSpec,
    /// How long a trial may take until it is ready.
    pub timeout_seconds: u64,
}

/// Security settings to try, with the volumes that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The value of `security`; empty for the default.
    pub security: Map<String, Value>,
    /// Temporary volumes, as in the value `volumes`.
    pub volumes: Map<String, Value>,
}

/// Tries a project with stricter and stricter settings.
pub fn harden(spec: HardenSpec) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    plan.add(Step::Harden(Box::new(spec)), "cmdr harden", [connected]);
    plan
}

impl Candidate {
    fn new(security: Value, volumes: &Map<String, Value>) -> Self {
        let Value::Object(security) = security else { return Self::profile("image") };
        Self { security, volumes: volumes.clone() }
    }

    /// The settings of a profile, and nothing else.
    pub fn profile(name: &str) -> Self {
        Self { security: Map::from_iter([("profile".to_owned(), name.into())]), volumes: Map::new() }
    }

    fn with_capability(mut self, capability: &str) -> Self {
        let capabilities = self.security.entry("capabilities").or_insert_with(|| json!({}));
        capabilities[capability] = true.into();
        self
    }

    /// The same without one capability; `None` if it does not have it.
    pub fn without_capability(&self, capability: &str) -> Option<Self> {
        let mut fewer = self.clone();
        let capabilities = fewer.security.get_mut("capabilities")?.as_object_mut()?;
        capabilities.remove(capability)?;
        if capabilities.is_empty() {
            fewer.security.remove("capabilities");
        }
        Some(fewer)
    }

    /// The values that a project needs for it; empty if the defaults are enough.
    pub fn values(&self) -> Value {
        let parts = [("security", &self.security), ("volumes", &self.volumes)];
        let given = parts.into_iter().filter(|(_, part)| !part.is_empty());
        Value::Object(given.map(|(key, part)| (key.to_owned(), Value::Object(part.clone()))).collect())
    }

    /// The project's values with these settings.
    pub fn apply(&self, values: &Map<String, Value>) -> Map<String, Value> {
        let mut values = values.clone();
        values.insert("security".to_owned(), Value::Object(self.security.clone()));
        let volumes = values.entry("volumes").or_insert_with(|| json!({}));
        for (name, volume) in &self.volumes {
            volumes[name] = volume.clone();
        }
        values
    }
}

/// The settings to try for a container that does this with the profile `image`, the strictest first.
pub fn candidates(behavior: &ContainerBehavior) -> Vec<Candidate> {
    let volumes = volumes(behavior);
    let none = Map::new();
    let layouts = [(true, &volumes), (false, &none)];
    let mut found = Vec::new();
    for user in users(behavior) {
        for (read_only, volumes) in layouts {
            let mut security = Map::new();
            if user != DEFAULT_USER {
                security.insert("runAsUser".to_owned(), user.into());
            }
            if !read_only {
                security.insert("readOnlyRootFilesystem".to_owned(), false.into());
            }
            let candidate = Candidate::new(Value::Object(security), volumes);
            let with_ports = behavior.has_privileged_port().then(|| candidate.clone().with_capability(LOW_PORTS));
            found.extend([candidate].into_iter().chain(with_ports));
        }
    }
    for (read_only, volumes) in layouts {
        let mut security = json!({"runAsUser": 0, "runAsNonRoot": false});
        if !read_only {
            security["readOnlyRootFilesystem"] = false.into();
        }
        let ports = behavior.has_privileged_port().then_some(LOW_PORTS);
        let capabilities = ROOT_CAPABILITIES.into_iter().chain(ports);
        found.push(capabilities.fold(Candidate::new(security, volumes), Candidate::with_capability));
    }
    found.extend(["baseline", "image"].map(Candidate::profile));
    found
}

/// The users to try: the default one, with which a project needs no values, then those of its processes.
fn users(behavior: &ContainerBehavior) -> Vec<u32> {
    let others = behavior.users.iter().copied().filter(|user| *user != 0 && *user != DEFAULT_USER);
    std::iter::once(DEFAULT_USER).chain(others).collect()
}

/// A temporary volume at each folder that it writes to and where the image has no files: `/var/cache/nginx` becomes
/// `var-cache-nginx`.
fn volumes(behavior: &ContainerBehavior) -> Map<String, Value> {
    let own = behavior.written.iter().filter(|folder| !folder.is_shared && folder.path != "/");
    own.map(|folder| {
        let name: String =
            folder.path.to_lowercase().chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
        let name = name.trim_matches('-').chars().take(40).collect::<String>();
        (name.trim_matches('-').to_owned(), json!({"path": folder.path, "temporary": true}))
    })
    .collect()
}

/// The pod of a trial, from the rendered workload: no Service selects it, no volume of the project is in it, and its
/// containers start once. `None` if nothing in the manifest can be tried.
pub fn trial_pod(objects: &[Value], name: &str) -> Option<Value> {
    let kind = |object: &&Value| TRIED_KINDS.iter().any(|kind| object["kind"] == *kind);
    let workload = objects.iter().find(kind)?;
    let mut spec = workload["spec"]["template"]["spec"].clone();
    spec["restartPolicy"] = "Never".into();
    spec["activeDeadlineSeconds"] = DEADLINE_SECONDS.into();
    let claims = workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let claims: Vec<Value> = claims.map(|claim| json!({"name": claim["metadata"]["name"], "emptyDir": {}})).collect();
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    for volume in volumes.iter_mut().filter(|volume| volume.get("persistentVolumeClaim").is_some()) {
        *volume = json!({"name": volume["name"], "emptyDir": {}});
    }
    volumes.extend(claims);
    spec["volumes"] = volumes.into();
    for container in spec["containers"].as_array_mut()? {
        for port in container["ports"].as_array_mut().into_iter().flatten() {
            port.as_object_mut()?.remove("hostPort");
        }
    }
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> ContainerBehavior {
        ContainerBehavior::parse(
            "process 0\nprocess 101\nport 50\nwritten /var/cache/nginx\nwritten /run\nshared /etc/nginx",
        )
    }

    #[test]
    fn the_strictest_settings_come_first() {
        let all: Vec<Value> = candidates(&nginx()).iter().map(|it| it.values()["security"].clone()).collect();
        assert_eq!(all.len(), 12);
        assert_eq!(all[0], Value::Null, "the defaults, with volumes");
        assert_eq!(all[1], json!({"capabilities": {"NET_BIND_SERVICE": true}}));
        assert_eq!(all[4], json!({"runAsUser": 101}));
        assert_eq!(all[8]["capabilities"].as_object().map(Map::len), Some(6));
        assert_eq!(all[11], json!({"profile": "image"}));
        let volumes = candidates(&nginx())[0].values()["volumes"].clone();
        assert_eq!(
            volumes,
            json!({"var-cache-nginx": {"path": "/var/cache/nginx", "temporary": true},
                "run": {"path": "/run", "temporary": true}})
        );
    }

    #[test]
    fn the_default_user_comes_before_that_of_the_image() {
        let behavior = ContainerBehavior::parse("process 65532\nport 26AA");
        let all = candidates(&behavior);
        assert_eq!(all.len(), 8);
        assert_eq!(all[0].values(), json!({}));
        assert_eq!(all[2].values(), json!({"security": {"runAsUser": 65532}}));
    }

    #[test]
    fn a_capability_can_be_taken_away() {
        let with = Candidate::new(json!({}), &Map::new()).with_capability("CHOWN");
        assert_eq!(with.without_capability("CHOWN").unwrap().values(), json!({}));
        assert_eq!(with.without_capability("SETUID"), None);
    }

    #[test]
    fn a_trial_uses_no_volume_of_the_project() {
        let template = json!({"spec": {
            "containers": [{"name": "db", "ports": [{"containerPort": 5432, "hostPort": 5432}]}],
            "volumes": [{"name": "old", "persistentVolumeClaim": {"claimName": "old"}}],
        }});
        let claim = json!({"metadata": {"name": "data"}});
        let set = json!({"kind": "StatefulSet", "spec": {"template": template, "volumeClaimTemplates": [claim]}});
        let pod = trial_pod(&[json!({"kind": "Service"}), set], "db-trial").unwrap();
        let wanted = json!([{"name": "old", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]);
        assert_eq!(pod["spec"]["volumes"], wanted);
        assert_eq!(pod["spec"]["containers"][0]["ports"], json!([{"containerPort": 5432}]));
        assert_eq!(trial_pod(&[json!({"kind": "Job"})], "job"), None);
    }
}
