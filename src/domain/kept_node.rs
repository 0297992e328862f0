//! Kept nodes: when the next cluster of a workspace may start from the node that was made before.

use jiff::{SignedDuration, Timestamp};

use super::{digest::Digest, snapshot::Snapshot};

/// The format of kept nodes. Increase it with each change after which an older copy must not be used.
const FORMAT: &str = "1";
/// How long a kept node is used. The certificates in it are valid for a year, so those of a cluster that starts from it
/// are valid for at least eleven months.
const USED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The number of hexadecimal digits of a key.
const DIGITS: usize = 12;

/// What goes into a node when it is made.
#[derive(Debug, Clone, Copy)]
pub struct NodeOrigin<'a> {
    /// The ID of the node image.
    pub image_id: &'a str,
    /// The version of kind.
    pub kind: &'a str,
    /// kind's configuration, without what each start chooses again.
    pub configuration: &'a str,
    /// The variables of the node.
    pub variables: &'a [(&'static str, String)],
    /// The names and contents of the files that kubeadm reads.
    pub files: &'a [(&'static str, &'static str)],
}

/// Returns the key of a kept node: nodes with the same key are interchangeable.
pub fn key(origin: &NodeOrigin<'_>) -> String {
    let NodeOrigin { image_id, kind, configuration, variables, files } = origin;
    let content = serde_json::json!([FORMAT, image_id, kind, configuration, variables, files]);
    Digest::of(content.to_string().as_bytes()).hex()[..DIGITS].to_owned()
}

/// Returns whether a kept node is too old, or is from the future: then the clock was wrong when its certificates were
/// issued.
pub fn is_outdated(kept: &Snapshot, now: Timestamp) -> bool {
    let age = now.duration_since(kept.created);
    age.is_negative() || age > USED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> NodeOrigin<'static> {
        NodeOrigin { image_id: "sha256:1", kind: "0.30.0", configuration: "{}", variables: &[], files: &[("a", "b")] }
    }

    #[test]
    fn a_key_changes_with_everything_that_goes_into_a_node() {
        let own = key(&origin());
        assert_eq!((own.len(), &own), (DIGITS, &key(&origin())));
        let proxy = [("HTTP_PROXY", "http://proxy".to_owned())];
        let others = [
            NodeOrigin { image_id: "sha256:2", ..origin() },
            NodeOrigin { kind: "0.31.0", ..origin() },
            NodeOrigin { configuration: "{\"kind\": 1}", ..origin() },
            NodeOrigin { variables: &proxy, ..origin() },
            NodeOrigin { files: &[("a", "c")], ..origin() },
        ];
        assert!(others.iter().all(|other| key(other) != own));
    }

    #[test]
    fn a_kept_node_is_used_for_a_month() {
        let kept = Snapshot { created: "2026-11-01T00:00:00Z".parse().unwrap(), ..Snapshot::default() };
        let is_outdated_at = |now: &str| is_outdated(&kept, now.parse().unwrap());
        assert!(!is_outdated_at("2026-11-01T00:00:00Z") && !is_outdated_at("2026-11-30T23:59:59Z"));
        assert!(is_outdated_at("2026-12-01T00:00:01Z"));
        assert!(is_outdated_at("2026-10-31T23:59:59Z"), "the clock was wrong");
    }
}
