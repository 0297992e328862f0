//! Projects without routes, such as consumers of queues: the new version gets a share of the replicas.

use serde_json::Value;

use super::ALL;
use crate::domain::{Values, objects::has_routes};

/// The number of replicas that two versions share; `None` if requests are split at routes, or there is nothing to share.
pub fn shared_replicas(values: &Values) -> Option<u32> {
    let is_scaled = values.get("autoscaling").is_some_and(|scaling| !scaling.is_null());
    let replicas = values.get("replicas").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
    replicas.filter(|replicas| *replicas > 1 && !is_scaled && !has_routes(values))
}

/// Returns how many of the replicas run the new version: at least one of each version, unless it has no share.
pub fn next_replicas(all: u32, weight: u8) -> u32 {
    let share = (all * u32::from(weight) + 50) / u32::from(ALL);
    match weight {
        0 => 0,
        ALL => all,
        _ => share.clamp(1, all - 1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_version_with_a_share_has_a_replica() {
        assert_eq!([0, 5, 25, 50, 99, 100].map(|weight| next_replicas(4, weight)), [0, 1, 1, 2, 3, 4]);
        assert_eq!([5, 50, 100].map(|weight| next_replicas(2, weight)), [1, 1, 2]);
    }

    #[test]
    fn only_fixed_replicas_without_routes_are_shared() {
        let shared = |value: Value| shared_replicas(value.as_object().unwrap());
        assert_eq!(shared(json!({"replicas": 4})), Some(4));
        assert_eq!(shared(json!({"replicas": 1})), None);
        assert_eq!(shared(json!({"replicas": 4, "autoscaling": {"max": 9}})), None);
        assert_eq!(shared(json!({"replicas": 4, "routes": {"web": {"host": "a"}}})), None);
    }
}
