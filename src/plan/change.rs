//! Determines the change that a release needs, from its desired and its observed state.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{DeployPolicy, Developed, Refresh, ReleaseSpec};
use crate::domain::{
    Digest, ImageReference, ImagesIn, Problem, RecordId, Values,
    disk_files::{changed_files, without_file_maps},
    image::digests_by_name,
    labels,
    record::Record,
    values::differing_keys,
};

/// The maximum number of keys, objects or fields that a reason lists.
const KEYS_SHOWN: usize = 3;

/// The observed state of a Helm release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedRelease {
    pub revision: u32,
    /// Helm's status: `deployed`, `failed`, `pending-install`, ...
    pub status: String,
    /// The labels of the release, including those of Helm.
    pub labels: BTreeMap<String, String>,
    /// The values that were passed to Helm.
    pub values: Values,
    /// Objects that Helm rendered and that are missing: `Deployment/shop`.
    pub missing: Vec<String>,
    /// Fields that Helm rendered and that were changed manually: `Deployment/shop spec.replicas (kubectl)`.
    pub drifted: Vec<String>,
    /// Why its manifest and values cannot be read; what they contain is unknown then.
    pub unreadable: Option<String>,
    /// Jobs that have exhausted their retries.
    pub failed_jobs: Vec<String>,
    /// The digests of the images that its pods run.
    pub digests: BTreeSet<Digest>,
    /// The rollout of every workload is complete.
    pub ready: bool,
    /// Since when its workloads have been healthy without interruption, if the cluster reports it.
    pub healthy_since: Option<Timestamp>,
    /// What `cmdr dev` has changed.
    pub developed: Option<Developed>,
}

impl ObservedRelease {
    pub fn belongs_to(&self, workspace: &str) -> bool {
        self.labels.get(labels::WORKSPACE).is_some_and(|owner| owner == workspace)
    }

    /// Returns the record that it was deployed from.
    pub fn record(&self) -> Option<RecordId> {
        self.labels.get(labels::RECORD).map(|record| record.as_str().into())
    }

    /// Whether its pods run every image of this content.
    fn runs(&self, content: &Record) -> bool {
        !content.images.is_empty() && content.images.values().all(|digest| self.digests.contains(digest))
    }

    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }
}

impl ReleaseSpec {
    /// Keeps the digests that an earlier refresh resolved for tags that are unchanged: the node may have an older image
    /// for a tag. They are used if the release changes for another reason.
    pub fn keep_digests(&mut self, found: &ObservedRelease) {
        let found = ImagesIn(&found.values);
        let images =
            ImagesIn(&mut self.content.values).replace(|container, written| kept(written?, found.of(container)?));
        if images.is_empty() {
            return;
        }
        self.image = ImagesIn(&self.content.values).main().or(self.image.take());
        self.content.images.extend(digests_by_name(images));
        self.record = self.content.id();
    }
}

/// Returns the found image with its digest, if the written image is the same image with only a tag.
fn kept(written: &ImageReference, found: ImageReference) -> Option<ImageReference> {
    let named = |image: &ImageReference| {
        let tag = image.tag.clone().unwrap_or_else(|| "latest".to_owned());
        (image.registry.clone(), image.repository.clone(), tag)
    };
    (written.digest.is_none() && found.digest.is_some() && named(written) == named(&found)).then_some(found)
}

/// The change that a release needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It matches the desired state.
    Unchanged,
    /// It matches the desired state, but its rollout has not finished.
    Await,
    Install,
    /// With the reason.
    Upgrade(String),
    /// It has manual changes, which are not reverted; with the list of them.
    Drifted(String),
    /// This revision matches the desired state, but these Jobs failed and can be retried.
    Retry(u32, Vec<String>),
    /// An interrupted run left this revision unfinished.
    Heal(u32),
    /// It is managed by another tool.
    Refused(Box<Problem>),
}

/// Compares a release with its observed state. `holder` is the other tool that manages an object with the same name.
pub fn observe_change(
    spec: &ReleaseSpec,
    policy: DeployPolicy,
    observed: Option<&ObservedRelease>,
    holder: Option<&str>,
    workspace: &str,
) -> Change {
    if let Some(holder) = holder.filter(|_| !policy.adopt) {
        return Change::Refused(Box::new(foreign(spec, holder)));
    }
    let Some(release) = observed else { return Change::Install };
    if !release.belongs_to(workspace) && !policy.adopt {
        let holder = match release.labels.get(labels::WORKSPACE) {
            Some(other) => format!("workspace '{other}'"),
            None => "Helm outside of cmdr".to_owned(),
        };
        return Change::Refused(Box::new(foreign(spec, &holder)));
    }
    if release.is_pending() {
        return Change::Heal(release.revision);
    }
    if release.status != "deployed" {
        return Change::Upgrade(format!("revision {} has status {}", release.revision, release.status));
    }
    if release.unreadable.is_some() {
        return Change::Upgrade("its stored release cannot be read".to_owned());
    }
    let is_as_written = release.labels.get(labels::FINGERPRINT) == Some(&spec.fingerprint)
        && match policy.refresh {
            Refresh::No => true,
            Refresh::ByRecord => false,
            Refresh::ByPods => release.runs(&spec.content),
        };
    if !is_as_written && release.record().as_ref() != Some(&spec.record) {
        return Change::Upgrade(difference(spec, release));
    }
    if let Some(drift) = drift(release) {
        return if policy.repair { Change::Upgrade(drift) } else { Change::Drifted(drift) };
    }
    if !release.failed_jobs.is_empty() {
        return Change::Retry(release.revision, release.failed_jobs.clone());
    }
    if release.ready { Change::Unchanged } else { Change::Await }
}

/// Describes the manual changes to a release.
fn drift(release: &ObservedRelease) -> Option<String> {
    described([("missing from the cluster", &release.missing), ("changed manually", &release.drifted)])
}

/// Returns what there is of each kind of things; `None` if there is nothing.
fn described(kinds: [(&str, &[String]); 2]) -> Option<String> {
    let kinds = kinds.into_iter().filter(|(_, things)| !things.is_empty());
    let parts: Vec<String> = kinds.map(|(what, things)| format!("{what}: {}", shortened(things))).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn shortened(things: &[String]) -> String {
    match things {
        shown if shown.len() <= KEYS_SHOWN => shown.join(", "),
        shown => format!("{} and {} more", shown[..KEYS_SHOWN].join(", "), shown.len() - KEYS_SHOWN),
    }
}

fn foreign(spec: &ReleaseSpec, holder: &str) -> Problem {
    Problem::new(format!("'{}' in namespace '{}' is managed by {holder}", spec.name, spec.namespace))
        .help("rename the project, or take over the release with --adopt")
}

fn difference(spec: &ReleaseSpec, release: &ObservedRelease) -> String {
    let differs = |label: &str, wanted: &str| {
        let found = release.labels.get(label).map_or("none", String::as_str);
        (found != labels::value(wanted)).then(|| (found.to_owned(), wanted.to_owned()))
    };
    if let Some((found, wanted)) = differs(labels::CHART, &spec.content.chart.label()) {
        return format!("chart {found} -> {wanted}");
    }
    if let Some((found, wanted)) = differs(labels::VERSION, &spec.content.version) {
        return format!("version {found} -> {wanted}");
    }
    let (found, wanted) = (&release.values, &spec.content.values);
    let keys = differing_keys(&without_file_maps(found), &without_file_maps(wanted));
    let files = changed_files(found, wanted);
    described([("files differ", &files), ("values differ", &keys)]).unwrap_or_else(|| "chart files differ".to_owned())
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::record::tests::record;

    pub fn spec(name: &str) -> ReleaseSpec {
        ReleaseSpec {
            name: name.to_owned(),
            namespace: "tunes".to_owned(),
            chart: "/charts/service".into(),
            universal: false,
            definitions: BTreeMap::new(),
            content: record("{}"),
            files: Vec::new(),
            record: "r1".into(),
            fingerprint: "w1".to_owned(),
            image: None,
            timeout_seconds: 120,
            rollout_of: None,
        }
    }

    pub fn found() -> ObservedRelease {
        let labels = [
            (labels::WORKSPACE, "tunes"),
            (labels::RECORD, "r1"),
            (labels::CHART, "service-1.0.0"),
            (labels::VERSION, "1"),
        ];
        ObservedRelease {
            revision: 3,
            status: "deployed".to_owned(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            values: Values::new(),
            missing: Vec::new(),
            drifted: Vec::new(),
            unreadable: None,
            failed_jobs: Vec::new(),
            digests: BTreeSet::new(),
            ready: true,
            healthy_since: None,
            developed: None,
        }
    }

    /// The policy of `local`.
    pub const LOCAL: DeployPolicy = DeployPolicy { refresh: Refresh::No, adopt: false, repair: true };

    fn change(spec: &ReleaseSpec, observed: &ObservedRelease) -> Change {
        changed(spec, LOCAL, observed)
    }

    fn changed(spec: &ReleaseSpec, policy: DeployPolicy, observed: &ObservedRelease) -> Change {
        observe_change(spec, policy, Some(observed), None, "tunes")
    }

    #[test]
    fn what_is_as_described_stays() {
        assert_eq!(change(&spec("shop"), &found()), Change::Unchanged);
        assert_eq!(change(&spec("shop"), &ObservedRelease { ready: false, ..found() }), Change::Await);
        assert_eq!(observe_change(&spec("shop"), LOCAL, None, None, "tunes"), Change::Install);
    }

    #[test]
    fn a_difference_is_named() {
        let wanted = |chart: &str, version: &str| {
            let mut wanted = ReleaseSpec { record: "r2".into(), ..spec("shop") };
            (wanted.content.chart.version, wanted.content.version) = (chart.to_owned(), version.to_owned());
            wanted
        };
        let reason = |spec: ReleaseSpec| match change(&spec, &found()) {
            Change::Upgrade(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(wanted("1.1.0", "1")), "chart service-1.0.0 -> service-1.1.0");
        assert_eq!(reason(wanted("1.0.0", "2")), "version 1 -> 2");
        assert_eq!(reason(wanted("1.0.0", "1")), "chart files differ");
        let with = |values: serde_json::Value| {
            let mut wanted = wanted("1.0.0", "1");
            wanted.content.values = values.as_object().cloned().unwrap_or_default();
            wanted
        };
        assert_eq!(reason(with(json!({"env": {"A": "1"}}))), "values differ: env.A");
        let many = with(json!({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}));
        assert_eq!(reason(many), "values differ: a, b, c and 2 more");
    }

    #[test]
    fn what_tags_stand_for_counts_when_it_was_looked_up() {
        let moved = ReleaseSpec { record: "r2".into(), ..spec("shop") };
        let mut observed = found();
        observed.labels.insert(labels::FINGERPRINT.to_owned(), "w1".to_owned());
        assert_eq!(change(&moved, &observed), Change::Unchanged);
        let by = |refresh: Refresh| DeployPolicy { refresh, ..LOCAL };
        assert!(matches!(changed(&moved, by(Refresh::ByRecord), &observed), Change::Upgrade(_)));
        let mut looked_up = moved.clone();
        looked_up.content.images.insert("redis:7".to_owned(), Digest::of(b"a"));
        let running = ObservedRelease { digests: BTreeSet::from([Digest::of(b"a")]), ..observed.clone() };
        let by_pods = changed(&looked_up, by(Refresh::ByPods), &running);
        assert_eq!(by_pods, Change::Unchanged, "its pods run the digest of the tag");
        let by_record = changed(&looked_up, by(Refresh::ByRecord), &running);
        assert!(matches!(by_record, Change::Upgrade(_)), "a given record has other values");
        let rewritten = ReleaseSpec { fingerprint: "w2".to_owned(), ..moved };
        assert!(matches!(change(&rewritten, &observed), Change::Upgrade(_)));
        let same = ReleaseSpec { fingerprint: "w2".to_owned(), ..spec("shop") };
        assert_eq!(
            changed(&same, by(Refresh::ByRecord), &observed),
            Change::Unchanged,
            "the same content is unchanged, whatever its fingerprint"
        );
    }

    #[test]
    fn a_digest_stays_until_the_next_refresh() {
        let digest = Digest::of(b"redis");
        let with = |image: &str| {
            let mut spec = spec("shop");
            spec.image = ImageReference::parse(image).ok();
            spec.content.values.insert("image".to_owned(), image.into());
            let beside = image.replace("redis", "nginx");
            spec.content.values.insert("sidecars".to_owned(), serde_json::json!({"beside": {"image": beside}}));
            spec
        };
        let pinned = format!("docker.io/library/redis:7@{digest}");
        let refreshed = ObservedRelease { values: with(&pinned).content.values, ..found() };
        let mut same = with("docker.io/library/redis:7");
        same.keep_digests(&refreshed);
        assert_eq!(same.content.values["image"], pinned.as_str());
        assert_eq!(same.content.values, refreshed.values, "the sidecar's too");
        assert_eq!(same.content.images["docker.io/library/redis:7"], digest);
        assert_eq!((&same.record, same.fingerprint.as_str()), (&same.content.id(), "w1"));
        for other in [refreshed.clone(), found()] {
            let mut changed = with("docker.io/library/redis:8");
            changed.keep_digests(&other);
            assert_eq!(changed, with("docker.io/library/redis:8"));
        }
    }

    #[test]
    fn broken_releases_are_repaired() {
        let gone = ObservedRelease { missing: vec!["Deployment/shop".to_owned()], ..found() };
        assert_eq!(
            change(&spec("shop"), &gone),
            Change::Upgrade("missing from the cluster: Deployment/shop".to_owned())
        );
        let over = ObservedRelease { failed_jobs: vec!["shop-1".to_owned()], ready: false, ..found() };
        assert_eq!(change(&spec("shop"), &over), Change::Retry(3, vec!["shop-1".to_owned()]));
        let pending = ObservedRelease { status: "pending-upgrade".to_owned(), ..found() };
        assert_eq!(change(&spec("shop"), &pending), Change::Heal(3));
        let unreadable = ObservedRelease { unreadable: Some("no payload".to_owned()), ..found() };
        let reason = "its stored release cannot be read".to_owned();
        assert_eq!(change(&spec("shop"), &unreadable), Change::Upgrade(reason));
        let failed = ObservedRelease { status: "failed".to_owned(), ..found() };
        assert_eq!(change(&spec("shop"), &failed), Change::Upgrade("revision 3 has status failed".to_owned()));
    }

    #[test]
    fn manual_changes_are_reverted_or_reported() {
        let scaled = "Deployment/shop spec.replicas (kubectl)".to_owned();
        let by_hand = ObservedRelease { drifted: vec![scaled], missing: vec!["Service/shop".to_owned()], ..found() };
        let shown = "missing from the cluster: Service/shop; changed manually: Deployment/shop spec.replicas (kubectl)";
        assert_eq!(change(&spec("shop"), &by_hand), Change::Upgrade(shown.to_owned()));
        let careful = DeployPolicy { repair: false, ..LOCAL };
        assert_eq!(changed(&spec("shop"), careful, &by_hand), Change::Drifted(shown.to_owned()));
        let wanted = ReleaseSpec { record: "r2".into(), ..spec("shop") };
        assert!(
            matches!(changed(&wanted, careful, &by_hand), Change::Upgrade(reason) if reason == "chart files differ")
        );
    }

    #[test]
    fn what_others_manage_is_refused_unless_adopted() {
        let by_hand = ObservedRelease { labels: BTreeMap::new(), ..found() };
        assert!(matches!(change(&spec("shop"), &by_hand), Change::Refused(_)));
        let held = observe_change(&spec("shop"), LOCAL, None, Some("Argo CD"), "tunes");
        assert!(matches!(held, Change::Refused(problem) if problem.message.ends_with("is managed by Argo CD")));
        let adopting = DeployPolicy { adopt: true, ..LOCAL };
        assert_eq!(
            observe_change(&spec("shop"), adopting, Some(&by_hand), Some("Argo CD"), "tunes"),
            Change::Upgrade("chart none -> service-1.0.0".to_owned())
        );
    }
}
