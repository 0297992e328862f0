//! What `cmdr dev` changes of a workload, and how it is restored. The workload itself carries this state as an
//! annotation, so that any later run can restore it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ImageReference, labels};

/// The names of the volumes that cmdr adds begin with this.
const VOLUME: &str = "cmdr-dev-";
/// The lists of containers in a pod template.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The annotation of a workload that `cmdr dev` has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DevState {
    /// Who changed it: `process 4711`.
    pub holder: String,
    /// The deployed image of each container that runs the project's image.
    pub images: BTreeMap<String, String>,
    /// Where the volumes with synced files are mounted.
    pub mounts: Vec<String>,
}

/// What the containers of a project are to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DevVersion {
    /// `None`: the deployed image.
    pub image: Option<String>,
    pub volumes: Vec<DevVolume>,
}

/// A folder or file of the node with synced content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevVolume {
    pub node_path: String,
    pub target: String,
    pub is_file: bool,
}

impl DevState {
    /// Returns the state that an object carries; `None` if it is unchanged.
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        serde_json::from_str(annotations.get(labels::DEV)?).ok()
    }

    /// Returns the state of a workload that is about to change: its containers with the project's image, or else the
    /// main one. `None` if it has no container.
    pub fn begin(workload: &Value, project: &str, image: Option<&ImageReference>, holder: &str) -> Option<Self> {
        let all: Vec<(&str, &str)> = containers(workload).collect();
        let is_own = |text: &str| {
            let found = ImageReference::parse(text).ok();
            found
                .zip(image)
                .is_some_and(|(found, own)| found.registry == own.registry && found.repository == own.repository)
        };
        let mut own: Vec<(&str, &str)> = all.iter().copied().filter(|(_, image)| is_own(image)).collect();
        if own.is_empty() {
            let main = all.iter().find(|(name, _)| *name == project).or_else(|| all.first());
            own.extend(main);
        }
        let images: BTreeMap<String, String> =
            own.into_iter().map(|(name, image)| (name.to_owned(), image.to_owned())).collect();
        (!images.is_empty()).then(|| Self { holder: holder.to_owned(), images, mounts: Vec::new() })
    }

    /// Returns the image that the containers ran when they were deployed.
    pub fn deployed_image(&self) -> Option<&str> {
        self.images.values().next().map(String::as_str)
    }

    /// Returns the strategic merge patch that makes a workload run `version`, whatever it was changed to before.
    pub fn change(&mut self, workload: &Value, version: &DevVersion) -> Value {
        let wanted: Vec<String> = version.volumes.iter().map(|volume| volume.target.clone()).collect();
        let before = std::mem::replace(&mut self.mounts, wanted);
        let unwanted: Vec<&String> = before.iter().filter(|path| !self.mounts.contains(path)).collect();
        let number = |(number, volume): (usize, &DevVolume)| (volume.volume(number), volume.mount(number));
        let (mut volumes, mut mounts): (Vec<Value>, Vec<Value>) =
            version.volumes.iter().enumerate().map(number).unzip();
        volumes.extend((volumes.len()..before.len()).map(without_volume).collect::<Vec<Value>>());
        mounts.extend(unwanted.into_iter().map(|path| without_mount(path)));
        let container = |name: &str, deployed: &str| {
            let image = version.image.as_deref().unwrap_or(deployed);
            json!({"name": name, "image": image, "volumeMounts": mounts})
        };
        self.patch(workload, volumes, container, Some(&json!(self).to_string()))
    }

    /// Returns the strategic merge patch that restores what was deployed.
    pub fn restore(&self, workload: &Value) -> Value {
        let volumes = (0..self.mounts.len()).map(without_volume).collect();
        let mounts: Vec<Value> = self.mounts.iter().map(|path| without_mount(path)).collect();
        let container = |name: &str, deployed: &str| json!({"name": name, "image": deployed, "volumeMounts": mounts});
        self.patch(workload, volumes, container, None)
    }

    /// A mount of the chart at the place of a synced folder, which would be replaced.
    pub fn occupied<'a>(&self, workload: &Value, version: &'a DevVersion) -> Option<&'a str> {
        let is_taken = |target: &str| {
            let mounts = specs(workload).filter(|(_, container)| self.images.contains_key(name_of(container)));
            mounts.flat_map(|(_, container)| list(container, "volumeMounts")).any(|mount| {
                let own = mount["name"].as_str().is_some_and(|name| name.starts_with(VOLUME));
                !own && mount["mountPath"].as_str().map(|path| path.trim_end_matches('/')) == Some(target)
            })
        };
        version.volumes.iter().map(|volume| volume.target.as_str()).find(|target| is_taken(target))
    }

    fn patch(
        &self,
        workload: &Value,
        volumes: Vec<Value>,
        container: impl Fn(&str, &str) -> Value,
        annotation: Option<&str>,
    ) -> Value {
        let mut spec = json!({});
        if !volumes.is_empty() {
            spec["volumes"] = Value::Array(volumes);
        }
        for key in LISTS {
            let own = specs(workload).filter(|(list, _)| *list == key).filter_map(|(_, it)| {
                let name = name_of(it);
                Some(container(name, self.images.get(name)?))
            });
            let own: Vec<Value> = own.collect();
            if !own.is_empty() {
                spec[key] = Value::Array(own);
            }
        }
        json!({"metadata": {"annotations": {labels::DEV: annotation}}, "spec": {"template": {"spec": spec}}})
    }
}

impl DevVolume {
    fn volume(&self, number: usize) -> Value {
        let kind = if self.is_file { "File" } else { "Directory" };
        json!({"name": volume_name(number), "hostPath": {"path": self.node_path, "type": kind}})
    }

    fn mount(&self, number: usize) -> Value {
        json!({"name": volume_name(number), "mountPath": self.target})
    }
}

fn without_volume(number: usize) -> Value {
    json!({"name": volume_name(number), "$patch": "delete"})
}

fn without_mount(path: &str) -> Value {
    json!({"mountPath": path, "$patch": "delete"})
}

fn volume_name(number: usize) -> String {
    format!("{VOLUME}{number}")
}

/// The user that the containers of a workload run as, if the template says so: `1000:1000`.
pub fn user_of(workload: &Value, state: &DevState) -> Option<String> {
    let pod = workload.pointer("/spec/template/spec")?;
    let (_, container) = specs(workload).find(|(_, it)| state.images.contains_key(name_of(it)))?;
    let setting = |key: &str| {
        let own = |holder: &Value| holder.pointer(&format!("/securityContext/{key}")).and_then(Value::as_u64);
        own(container).or_else(|| own(pod))
    };
    let user = setting("runAsUser")?;
    Some(format!("{user}:{}", setting("runAsGroup").unwrap_or(user)))
}

fn specs(workload: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let pod = workload.pointer("/spec/template/spec");
    LISTS.into_iter().flat_map(move |key| {
        pod.and_then(|pod| pod.get(key)).and_then(Value::as_array).into_iter().flatten().map(move |it| (key, it))
    })
}

fn containers(workload: &Value) -> impl Iterator<Item = (&str, &str)> {
    specs(workload).filter_map(|(_, container)| Some((name_of(container), container["image"].as_str()?)))
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

fn list<'a>(holder: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    holder.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Value {
        json!({"spec": {"template": {"spec": {
            "securityContext": {"runAsUser": 1000},
            "initContainers": [{"name": "migrate", "image": "localhost:5001/tunes/shop:1@sha256:abc"}],
            "containers": [
                {"name": "proxy", "image": "docker.io/library/nginx:1.22"},
                {"name": "shop", "image": "localhost:5001/tunes/shop:1", "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"}, {"name": "cmdr-dev-0", "mountPath": "/app/src"}]},
            ],
        }}}})
    }

    fn version() -> DevVersion {
        let volume = DevVolume { node_path: "/n/0".to_owned(), target: "/app/src".to_owned(), is_file: false };
        DevVersion { image: Some("localhost:5001/tunes/shop:2".to_owned()), volumes: vec![volume] }
    }

    #[test]
    fn what_was_changed_is_restored_from_the_annotation() {
        let image = ImageReference::parse("localhost:5001/tunes/shop:7").unwrap();
        let mut state = DevState::begin(&workload(), "shop", Some(&image), "process 1").unwrap();
        assert_eq!(state.images.keys().collect::<Vec<_>>(), ["shop"], "a digest that is none is not an image");
        let patch = state.change(&workload(), &version());
        let spec = &patch["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], "localhost:5001/tunes/shop:2");
        assert_eq!(spec["volumes"][0]["hostPath"]["path"], "/n/0");
        let annotation = patch["metadata"]["annotations"][labels::DEV].as_str().unwrap().to_owned();
        let read = DevState::of(&BTreeMap::from([(labels::DEV.to_owned(), annotation)])).unwrap();
        assert_eq!(read, state);
        let mut later = read.clone();
        let patch = later.change(&workload(), &DevVersion::default());
        let spec = &patch["spec"]["template"]["spec"];
        assert_eq!(spec["volumes"], json!([{"name": "cmdr-dev-0", "$patch": "delete"}]), "no longer synced");
        assert_eq!(later.mounts, Vec::<String>::new());
        let back = read.restore(&workload());
        assert_eq!(back["metadata"]["annotations"][labels::DEV], Value::Null);
        let spec = &back["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], "localhost:5001/tunes/shop:1");
        assert_eq!(spec["containers"][0]["volumeMounts"], json!([{"mountPath": "/app/src", "$patch": "delete"}]));
        assert_eq!(spec["volumes"], json!([{"name": "cmdr-dev-0", "$patch": "delete"}]));
    }

    #[test]
    fn without_a_known_image_the_main_container_is_meant() {
        let state = DevState::begin(&workload(), "shop", None, "x").unwrap();
        assert_eq!(state.images.keys().collect::<Vec<_>>(), ["shop"]);
        let state = DevState::begin(&workload(), "other", None, "x").unwrap();
        assert_eq!(state.images.keys().collect::<Vec<_>>(), ["proxy"]);
        assert_eq!(DevState::begin(&json!({}), "shop", None, "x"), None);
    }

    #[test]
    fn a_mount_of_the_chart_is_not_replaced() {
        let state = DevState::begin(&workload(), "shop", None, "x").unwrap();
        assert_eq!(state.occupied(&workload(), &version()), None, "the mount is cmdr's own");
        let mut other = version();
        other.volumes[0].target = "/tmp".to_owned();
        assert_eq!(state.occupied(&workload(), &other), Some("/tmp"));
        assert_eq!(user_of(&workload(), &state).as_deref(), Some("1000:1000"));
    }
}
