//! Which images are in use, and which of them can change under the same name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    RunningImage, UnpinnedImage, WhyUnpinned, container_statuses, containers, is_owned, is_pod, items, name, namespace,
    pod_template, project, text,
};
use crate::domain::ImageReference;

/// Tags that are meant to move to the next version.
const MOVING: [&str; 12] =
    ["latest", "stable", "main", "master", "edge", "nightly", "dev", "develop", "rolling", "current", "lts", "canary"];

/// Image, tag and digest.
type Version = (String, Option<String>, Option<String>);

#[derive(Default)]
struct Use {
    pods: usize,
    projects: BTreeSet<String>,
}

/// Returns every version of each image that a pod uses, or that a workload without pods would use.
pub fn images(objects: &[Value]) -> Vec<RunningImage> {
    let mut found: BTreeMap<Version, Use> = BTreeMap::new();
    for pod in objects.iter().filter(|object| is_pod(object) && is_active(object)) {
        let used = containers(&pod["spec"]).map(|container| (container, digest_of(pod, container)));
        // A debug container stays in the pod after its end, also if its image was not found.
        let used = used.filter(|(container, _)| !is_ended_debug_container(pod, container));
        let versions: BTreeSet<Version> = used.map(|(container, digest)| version(container, digest)).collect();
        for version in versions {
            let used = found.entry(version).or_default();
            used.pods += 1;
            used.projects.insert(project(pod));
        }
    }
    let described = objects.iter().filter(|object| !is_owned(object)).filter_map(|it| Some((it, pod_template(it)?)));
    for (workload, template) in described {
        let owner = project(workload);
        for container in containers(template) {
            let version = version(container, digest_of_last_run(objects, &owner, container));
            let runs = found.iter().any(|((image, tag, _), used)| {
                (image, tag) == (&version.0, &version.1) && used.projects.contains(&owner)
            });
            if !runs {
                found.entry(version).or_default().projects.insert(owner.clone());
            }
        }
    }
    let row = |((image, tag, digest), used): (Version, Use)| RunningImage {
        image,
        tag,
        digest,
        pods: used.pods,
        projects: used.projects.into_iter().collect(),
    };
    found.into_iter().map(row).collect()
}

/// Returns the images without a digest, first those whose tag moves.
pub fn unpinned(objects: &[Value]) -> Vec<UnpinnedImage> {
    let holders = objects.iter().filter(|object| !is_owned(object));
    let holders = holders.filter_map(|it| Some((it, if is_pod(it) { &it["spec"] } else { pod_template(it)? })));
    let mut found: Vec<UnpinnedImage> = holders
        .flat_map(|(workload, spec)| {
            containers(spec).filter_map(|container| {
                let image = text(container, "image");
                Some(UnpinnedImage {
                    project: project(workload),
                    namespace: namespace(workload),
                    workload: format!("{}/{}", text(workload, "kind"), name(workload)),
                    container: text(container, "name").to_owned(),
                    image: image.to_owned(),
                    reason: why_unpinned(image)?,
                })
            })
        })
        .collect();
    found.sort_by(|one, other| {
        let key = |it: &UnpinnedImage| (it.reason, it.project.clone(), it.container.clone());
        key(one).cmp(&key(other))
    });
    found
}

/// Pods that have ended do not use their image any more.
fn is_active(pod: &Value) -> bool {
    !matches!(text(&pod["status"], "phase"), "Succeeded" | "Failed")
}

fn is_ended_debug_container(pod: &Value, container: &Value) -> bool {
    let is_own = |other: &&Value| other["name"] == container["name"];
    let runs = |status: &Value| status["state"].get("running").is_some();
    let is_debug = items(&pod["spec"]["ephemeralContainers"]).any(|other| is_own(&other));
    is_debug && !items(&pod["status"]["ephemeralContainerStatuses"]).find(is_own).is_some_and(runs)
}

/// The digest that a container runs.
fn digest_of(pod: &Value, container: &Value) -> Option<String> {
    let status = container_statuses(pod).find(|status| text(status, "name") == text(container, "name"))?;
    text(status, "imageID").rsplit_once('@').map(|(_, digest)| digest.to_owned())
}

/// The digest that a container of a Job ran before it ended.
fn digest_of_last_run(objects: &[Value], owner: &str, container: &Value) -> Option<String> {
    let has_it = |pod: &&Value| {
        containers(&pod["spec"]).any(|other| ["name", "image"].iter().all(|key| other[key] == container[key]))
    };
    let ended = objects.iter().filter(|object| is_pod(object) && !is_active(object) && project(object) == owner);
    ended.filter(has_it).find_map(|pod| digest_of(pod, container))
}

fn version(container: &Value, running: Option<String>) -> Version {
    let written = text(container, "image");
    let Ok(image) = ImageReference::parse(written) else { return (written.to_owned(), None, running) };
    let tag = match (&image.tag, &image.digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag.clone(),
    };
    let digest = running.or_else(|| image.digest.as_ref().map(ToString::to_string));
    (format!("{}/{}", image.registry, image.repository), tag, digest)
}

fn why_unpinned(image: &str) -> Option<WhyUnpinned> {
    let image = ImageReference::parse(image).ok()?;
    match (&image.digest, &image.tag) {
        (Some(_), _) => None,
        (None, None) => Some(WhyUnpinned::NoTag),
        (None, Some(tag)) if moves(tag) => Some(WhyUnpinned::MovingTag),
        (None, Some(_)) => Some(WhyUnpinned::NoDigest),
    }
}

/// Whether a tag is a word for the newest version, or a version of only one or two numbers: `7`, `v7.0`, `15-alpine`.
fn moves(tag: &str) -> bool {
    let version = tag.split('-').next().unwrap_or_default();
    if MOVING.contains(&tag) || MOVING.contains(&version) {
        return true;
    }
    let numbers: Vec<&str> = version.trim_start_matches('v').split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.len() < 5 && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.len() < 3 && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(owner: &str, image: &str, digest: &str, phase: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": format!("{owner}-1"), "namespace": "tunes",
                "labels": {"app.kubernetes.io/instance": owner}, "ownerReferences": [{"name": owner}]},
            "spec": {"containers": [{"name": "main", "image": image}]},
            "status": {"phase": phase, "containerStatuses": [
                {"name": "main", "imageID": format!("docker.io/library/x@sha256:{digest}")}]}})
    }

    fn cron_job(owner: &str, image: &str) -> Value {
        json!({"kind": "CronJob", "metadata": {"name": owner, "labels": {"app.kubernetes.io/instance": owner}},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}}})
    }

    #[test]
    fn the_pods_of_another_chart_belong_to_its_release() {
        let mut radio = pod("radio-podinfo", "podinfo:6", "aa", "Running");
        radio["metadata"]["labels"] = json!({"app.kubernetes.io/name": "radio-podinfo"});
        let workload = json!({"kind": "Deployment", "metadata": {"name": "radio-podinfo", "namespace": "tunes",
                "annotations": {"meta.helm.sh/release-name": "radio"}},
            "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "radio-podinfo"}},
                "template": {"spec": {"containers": [{"name": "main", "image": "podinfo:6"}]}}}});
        let found = crate::domain::query::Question::Images.answer(&[radio, workload]).unwrap();
        let found = serde_json::to_value(found).unwrap();
        assert_eq!(
            (&found[0]["projects"], &found[0]["pods"], found.as_array().unwrap().len()),
            (&json!(["radio"]), &json!(1), 1)
        );
    }

    #[test]
    fn one_row_for_each_version_with_all_its_projects() {
        let objects = [
            pod("shop", "redis:7", "aa", "Running"),
            pod("cart", "docker.io/library/redis:7", "aa", "Running"),
            pod("old", "redis:7", "bb", "Running"),
            pod("gone", "redis:6", "cc", "Succeeded"),
            pod("weekly", "redis:7", "aa", "Succeeded"),
            cron_job("weekly", "redis:7"),
            cron_job("nightly", "mysql:5.7.1"),
        ];
        let shown: Vec<String> = images(&objects)
            .into_iter()
            .map(|it| format!("{} {:?} {:?} {} {}", it.image, it.tag, it.digest, it.pods, it.projects.join(",")))
            .collect();
        assert_eq!(
            shown,
            [
                r#"docker.io/library/mysql Some("5.7.1") None 0 nightly"#,
                r#"docker.io/library/redis Some("7") Some("sha256:aa") 2 cart,shop,weekly"#,
                r#"docker.io/library/redis Some("7") Some("sha256:bb") 1 old"#,
            ]
        );
    }

    #[test]
    fn a_debug_container_counts_only_if_it_runs() {
        let mut shop = pod("shop", "redis:7", "aa", "Running");
        shop["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "busybox:none"}]);
        shop["status"]["ephemeralContainerStatuses"] = json!([{"name": "debug", "imageID": ""}]);
        assert_eq!(images(std::slice::from_ref(&shop)).len(), 1);
        shop["status"]["ephemeralContainerStatuses"][0]["imageID"] = json!("docker.io/library/busybox@sha256:cc");
        shop["status"]["ephemeralContainerStatuses"][0]["state"] = json!({"running": {}});
        assert_eq!(images(std::slice::from_ref(&shop)).len(), 2);
        shop["status"]["ephemeralContainerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 0}});
        assert_eq!(images(&[shop]).len(), 1);
    }

    #[test]
    fn tags_that_move_come_first() {
        let pinned = format!("redis@sha256:{}", "a".repeat(64));
        let jobs =
            ["a:1.2.3", "b:7.0", "c", "d:latest", "e:15-alpine", "f:20260102", "g:2.9.1-alpine", pinned.as_str()];
        let jobs: Vec<Value> = jobs.iter().map(|image| cron_job(&format!("job-{}", &image[..1]), image)).collect();
        let found: Vec<(String, WhyUnpinned)> = unpinned(&jobs).into_iter().map(|it| (it.image, it.reason)).collect();
        let of = |image: &str, reason| (image.to_owned(), reason);
        assert_eq!(
            found,
            [
                of("c", WhyUnpinned::NoTag),
                of("b:7.0", WhyUnpinned::MovingTag),
                of("d:latest", WhyUnpinned::MovingTag),
                of("e:15-alpine", WhyUnpinned::MovingTag),
                of("a:1.2.3", WhyUnpinned::NoDigest),
                of("f:20260102", WhyUnpinned::NoDigest),
                of("g:2.9.1-alpine", WhyUnpinned::NoDigest),
            ]
        );
    }
}
