//! Claims for volumes that a chart renders. Helm deletes them together with their release, unless they are marked.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    adapters::cluster::{
        Cluster, ClusterError,
        releases::{
            objects::read_objects,
            stored::{encode, payload},
        },
    },
    domain::{ReleaseKey, yaml},
};

/// Helm does not delete an object with this annotation and value. It reads them from the stored release.
const POLICY: (&str, &str) = ("helm.sh/resource-policy", "keep");

impl Cluster {
    /// Marks the claims of a release, so that Helm keeps them when it uninstalls the release. Returns their names.
    ///
    /// # Errors
    /// If the API does not respond, or the stored release cannot be read.
    pub async fn keep_claims(&self, release: &ReleaseKey) -> Result<Vec<String>, ClusterError> {
        let ReleaseKey { namespace, name } = release;
        let secrets: Api<Secret> = self.namespaced(namespace);
        let own = ListParams::default().labels(&format!("owner=helm,name={name}"));
        let revisions = secrets.list(&own).await.map_err(ClusterError::asking(format!("read release {name}")))?;
        // Helm uninstalls what the newest revision contains.
        let Some(mut newest) = revisions.items.into_iter().max_by_key(revision) else { return Ok(Vec::new()) };
        let mut stored: Value = payload(&newest)?;
        let (manifest, names) = with_kept_claims(stored["manifest"].as_str().unwrap_or_default())?;
        if let Some(manifest) = manifest {
            stored["manifest"] = manifest.into();
            newest.data.get_or_insert_default().insert("release".to_owned(), ByteString(encode(&stored)));
            let key = newest.metadata.name.clone().unwrap_or_default();
            let written = secrets.replace(&key, &PostParams::default(), &newest).await;
            written.map_err(ClusterError::asking(format!("mark the volumes of release {name} as kept")))?;
        }
        Ok(names)
    }
}

fn revision(secret: &Secret) -> u32 {
    let labels = secret.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("version")?.parse().ok()).unwrap_or_default()
}

/// Returns the names of the claims in a manifest, and the manifest with all of them marked, if any was not.
fn with_kept_claims(manifest: &str) -> Result<(Option<String>, Vec<String>), ClusterError> {
    let mut objects = read_objects(manifest)?;
    let (mut names, mut is_changed) = (Vec::new(), false);
    for claim in objects.iter_mut().filter(|object| object["kind"] == "PersistentVolumeClaim") {
        names.extend(claim["metadata"]["name"].as_str().map(str::to_owned));
        let annotations = &mut claim["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        if annotations[POLICY.0] != POLICY.1 {
            annotations[POLICY.0] = POLICY.1.into();
            is_changed = true;
        }
    }
    let written = || objects.iter().map(|object| format!("---\n{}", yaml::write(object))).collect::<String>();
    Ok((is_changed.then(written), names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_claims_are_marked() {
        let manifest = "---\n# Source: a/b.yaml\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n\
                        ---\napiVersion: v1\nkind: List\nitems: [{kind: PersistentVolumeClaim, metadata: {name: more}}]\n\
                        ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: \"0644\"}\n";
        let (changed, names) = with_kept_claims(manifest).unwrap();
        assert_eq!(names, ["data", "more"]);
        let changed = changed.unwrap();
        let objects = read_objects(&changed).unwrap();
        let policies: Vec<&Value> = objects.iter().map(|object| &object["metadata"]["annotations"][POLICY.0]).collect();
        assert_eq!(policies, [&Value::from("keep"), &"keep".into(), &Value::Null]);
        assert_eq!(objects[2]["data"]["a"], "0644");
        assert_eq!(with_kept_claims(&changed).unwrap(), (None, names));
    }

    #[test]
    fn a_release_without_claims_stays_as_it_is() {
        assert_eq!(with_kept_claims("kind: ConfigMap\n").unwrap(), (None, Vec::new()));
    }
}
