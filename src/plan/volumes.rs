//! The volumes of StatefulSets on a local node, created before their pods need them.
//!
//! The provisioner of the node starts late, and creates volumes one after the other, with a pod for each. Databases,
//! which other projects wait for, would start last.

use super::ReleaseSpec;
use crate::domain::volume::ACCESS_MODE;

/// A volume for a claim that does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    pub namespace: String,
    /// The name of the claim, as the StatefulSet will create it.
    pub claim: String,
    /// A Kubernetes quantity: `1Gi`.
    pub size: String,
    pub access_mode: String,
}

/// Returns the volumes that the pods of a release of the universal chart will claim from the default StorageClass.
pub fn volumes_of(release: &ReleaseSpec) -> Vec<VolumeSpec> {
    let values = &release.content.values;
    let is_stateful = release.image.is_some() && values.get("kind").is_some_and(|kind| kind == "StatefulSet");
    let volumes = values.get("volumes").and_then(|volumes| volumes.as_object()).filter(|_| is_stateful);
    let replicas = values.get("replicas").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let mut specs = Vec::new();
    for (name, volume) in volumes.into_iter().flatten() {
        let text = |key: &str| volume.get(key).and_then(|text| text.as_str());
        let is_temporary = volume.get("temporary").is_some_and(|it| it == true);
        let Some(size) = text("size").filter(|_| !is_temporary && text("storageClass").is_none()) else { continue };
        specs.extend((0..replicas).map(|ordinal| VolumeSpec {
            namespace: release.namespace.clone(),
            claim: format!("{name}-{}-{ordinal}", release.name),
            size: size.to_owned(),
            access_mode: text("accessMode").unwrap_or(ACCESS_MODE).to_owned(),
        }));
    }
    specs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{domain::ImageReference, plan::change::tests::spec};

    fn claims(values: &serde_json::Value) -> Vec<String> {
        let mut release = spec("redis");
        release.image = ImageReference::parse("redis:7.0").ok();
        release.content.values = values.as_object().cloned().unwrap_or_default();
        volumes_of(&release).into_iter().map(|volume| format!("{} {}", volume.claim, volume.size)).collect()
    }

    #[test]
    fn what_a_stateful_set_will_claim_is_known() {
        let volumes = json!({
            "data": {"path": "/data", "size": "1Gi"}, "run": {"temporary": true, "size": "1Mi"}, "gone": null,
            "fast": {"size": "1Gi", "storageClass": "ssd"}, "settings": {"config": "settings"},
        });
        let set = |replicas: u64| json!({"kind": "StatefulSet", "volumes": volumes.clone(), "replicas": replicas});
        assert_eq!(claims(&set(1)), ["data-redis-0 1Gi"]);
        assert_eq!(claims(&set(2)), ["data-redis-0 1Gi", "data-redis-1 1Gi"]);
        assert!(claims(&json!({"volumes": volumes})).is_empty());
    }

    #[test]
    fn a_chart_of_its_own_names_its_claims_itself() {
        let mut release = spec("redis");
        release.content.values =
            json!({"kind": "StatefulSet", "volumes": {"data": {"size": "1Gi"}}}).as_object().cloned().unwrap();
        assert!(volumes_of(&release).is_empty());
    }
}
