//! The workspace of the stages, and functions that observe its cluster.

use std::{collections::BTreeMap, fs};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{
    PROJECTS,
    common::{Output, TestWorkspace, projects::POSTGRES, request, rig, until},
};

/// The workspace, and what later stages need from earlier ones.
pub(crate) struct Walk {
    pub workspace: TestWorkspace,
}

/// A pod's identity, which changes with a restart.
pub(crate) type Pods = BTreeMap<String, (String, u64)>;

impl Walk {
    pub(crate) fn new() -> Self {
        let private = rig("RIG_PRIVATE_IMAGE");
        let projects = [PROJECTS, POSTGRES].concat().replace("PRIVATE_IMAGE", &private);
        let workspace = TestWorkspace::new("platform", &projects);
        let login = BASE64.encode(format!("{}:{}", rig("RIG_PRIVATE_USER"), rig("RIG_PRIVATE_PASSWORD")));
        let config = json!({"auths": {(rig("RIG_PRIVATE_REGISTRY")): {"auth": login}}});
        fs::write(workspace.docker_config().join("config.json"), config.to_string()).unwrap();
        let disk = workspace.root().join("conf/worker");
        fs::create_dir_all(&disk).unwrap();
        fs::write(disk.join("text"), " unchanged").unwrap();
        workspace.tool("git", &["init", "--quiet"]);
        let mut walk = Self { workspace };
        walk.count_helm_calls();
        walk.commit("first");
        walk
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        self.workspace.tool("git", &["add", "--all"]);
        self.workspace.tool("git", &[&identity[..], &["commit", "--quiet", "--allow-empty", "-m", message]].concat());
        self.workspace.tool("git", &["rev-parse", "HEAD"])
    }

    pub(crate) fn up(&self) -> Output {
        self.workspace.run(&["up"]).expect(0)
    }

    /// The revision of each release, by namespace and name.
    pub(crate) fn revisions(&self) -> BTreeMap<String, String> {
        let list: Value = serde_json::from_str(&self.workspace.helm(&["ls", "-A", "-o", "json"])).unwrap();
        let text = |release: &Value, key: &str| release[key].as_str().unwrap_or_default().to_owned();
        let releases = list.as_array().unwrap().iter();
        releases.map(|it| (format!("{}/{}", text(it, "namespace"), text(it, "name")), text(it, "revision"))).collect()
    }

    /// Every pod of the cluster with its uid and restarts, except those of one project and those that are terminating.
    pub(crate) fn pods_except(&self, project: &str) -> Pods {
        let pods = self.workspace.objects(&["get", "pods", "--all-namespaces"]);
        let pods = pods["items"].as_array().unwrap().iter();
        let pods = pods.filter(|pod| is_staying(pod));
        let others = pods.filter(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] != project);
        others.map(identity).collect()
    }

    pub(crate) fn pods_of(&self, project: &str) -> Pods {
        let selector = format!("app.kubernetes.io/name={project}");
        let pods = self.workspace.objects(&["get", "pods", "--selector", &selector]);
        pods["items"].as_array().unwrap().iter().filter(|pod| is_staying(pod)).map(identity).collect()
    }

    /// The number of a project's pods, including those that are terminating.
    pub(crate) fn count_pods(&self, project: &str) -> usize {
        let selector = format!("app.kubernetes.io/name={project}");
        self.workspace.objects(&["get", "pods", "--selector", &selector])["items"].as_array().map_or(0, Vec::len)
    }

    /// Runs something that may change only one project, and must replace its pods.
    #[track_caller]
    pub(crate) fn touches_only(&self, project: &str, act: impl FnOnce()) {
        let (revisions, others, own) = (self.revisions(), self.pods_except(project), self.pods_of(project));
        act();
        let now = self.revisions();
        let key = format!("{}/{project}", self.workspace.name);
        let changed: Vec<&String> =
            now.iter().filter(|(name, now)| revisions.get(*name) != Some(now)).map(|(name, _)| name).collect();
        assert_eq!(changed, [&key], "only {project} gets a new revision");
        assert_eq!(self.pods_except(project), others, "no other pod is touched");
        until("its old pods to go", || self.pods_of(project).keys().all(|pod| !own.contains_key(pod)).then_some(()));
    }

    /// Runs something that must not change anything.
    #[track_caller]
    pub(crate) fn touches_nothing(&self, act: impl FnOnce()) {
        let before = (self.revisions(), self.pods_except(""));
        act();
        assert_eq!((self.revisions(), self.pods_except("")), before);
    }

    pub(crate) fn password(&self) -> String {
        let stored = self.workspace.kubectl(&["get", "secret", "postgres-db", "-o", "jsonpath={.data.password}"]);
        let password = String::from_utf8(BASE64.decode(stored).unwrap()).unwrap();
        assert!(password.len() >= 16, "a password of {} characters", password.len());
        password
    }

    pub(crate) fn sql(&self, command: &str) -> String {
        self.workspace.kubectl(&["exec", "postgres-0", "--", "psql", "-U", "postgres", "-Atc", command])
    }
}

pub(crate) fn is_staying(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn identity(pod: &Value) -> (String, (String, u64)) {
    let containers = ["containerStatuses", "initContainerStatuses"];
    let statuses = containers.iter().filter_map(|key| pod["status"][key].as_array()).flatten();
    let restarts = statuses.filter_map(|status| status["restartCount"].as_u64()).sum();
    let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
    (format!("{}/{}", text("namespace"), text("name")), (text("uid"), restarts))
}

/// The last event of a run with `--output json`.
#[track_caller]
pub(crate) fn finished(run: &Output) -> Value {
    let last = run.events().pop().unwrap_or_default();
    assert_eq!(last["event"], "run-finished", "{last}");
    last
}

/// The changes of a run with `--output json`: `upgrade front`.
pub(crate) fn changes(up: &Output) -> Vec<String> {
    let events = up.events();
    let started = events.iter().filter(|event| event["event"] == "step-started");
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let all = started.map(|event| (text(event, "action"), text(event, "subject")));
    let changing = all.filter(|(action, _)| action != "check" && action != "connect");
    changing
        .filter(|(_, subject)| !subject.starts_with("namespace "))
        .map(|(action, subject)| format!("{action} {subject}"))
        .collect()
}

/// The HTTP status of a URL as cmdr prints it.
#[track_caller]
pub(crate) fn answer(url: &str) -> u16 {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not a URL: '{url}'"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host.split_once(':').map_or((host, 80), |(host, port)| (host, port.parse().unwrap()));
    request(port, "GET", host, &format!("/{path}"), "").unwrap().status
}
