//! Stages that count calls and downloads, and stages that revert manual changes.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    common::{Output, tell},
    walk::{Walk, changes, finished},
};

/// How often a run may list Secrets or pods. The workspace has 9 projects: a list for each of them exceeds it. A broken
/// watch lists again.
const LISTS: u64 = 8;
/// The requests of a run without changes, and those that one change adds.
const MOST_UNCHANGED: u64 = 40;
const MOST_OF_A_CHANGE: u64 = 26;

impl Walk {
    pub(crate) fn a_second_up_is_cheap(&self) {
        self.a_second_up_calls_no_helm();
        self.runs_send_few_requests();
    }

    fn a_second_up_calls_no_helm(&self) {
        self.forget_helm_calls();
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.helm_calls(), [""; 0], "nothing has changed");
        self.workspace.run(&["up", "--refresh"]).expect(0);
        let calls = self.helm_calls();
        let others: Vec<&String> = calls.iter().filter(|call| !call.starts_with("upgrade --install report ")).collect();
        assert_eq!(others, [""; 0], "no tag has moved; of a CronJob no pod tells");
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.helm_calls(), calls, "resolved digests are kept");
        for (old, new) in [("0 0 1 1 *", "0 0 2 1 *"), ("0 0 2 1 *", "0 0 1 1 *")] {
            self.forget_helm_calls();
            self.workspace.replace(old, new);
            self.workspace.run(&["up"]).expect(0);
            let calls = self.helm_calls();
            assert_eq!(calls.len(), 1, "one changed project is one call of helm: {calls:?}");
            assert!(calls[0].starts_with("upgrade --install report "), "{calls:?}");
        }
    }

    fn runs_send_few_requests(&self) {
        let unchanged = requests_are_few(&self.workspace.run(&["up", "--output", "json"]).expect(0));
        self.workspace.replace("0 0 1 1 *", "0 0 3 1 *");
        let changed = requests_are_few(&self.workspace.run(&["up", "--output", "json"]).expect(0));
        assert!(unchanged <= MOST_UNCHANGED, "{unchanged} requests for nothing");
        assert!(changed <= unchanged + MOST_OF_A_CHANGE, "{changed} requests for one change, {unchanged} for none");
        self.workspace.replace("0 0 3 1 *", "0 0 1 1 *");
        self.workspace.run(&["up"]).expect(0);
    }

    pub(crate) fn charts_are_fetched_once(&self) {
        let pulls = self.helm_calls().into_iter().filter(|call| call.starts_with("pull"));
        let mut charts: Vec<String> = pulls.collect();
        let all = charts.len();
        charts.sort();
        charts.dedup();
        assert!(all > 0 && charts.len() == all, "each chart is pulled once: {charts:?}");
    }

    pub(crate) fn volumes_are_there_before_their_pods(&self) {
        for project in ["postgres", "cache"] {
            let claim = self.workspace.objects(&["get", "pvc", &format!("data-{project}-0")]);
            let volume = format!("{}-data-{project}-0", self.workspace.name);
            assert_eq!(claim["spec"]["volumeName"], volume.as_str());
            let volume = self.workspace.objects(&["get", "pv", &volume]);
            assert_eq!(volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"], "rancher.io/local-path");
        }
        let helpers = self.workspace.objects(&["get", "events", "--namespace", "local-path-storage"]);
        assert!(!helpers.to_string().contains("helper-pod-create"), "the node's own provisioner had nothing to do");
    }

    pub(crate) fn manual_changes_are_reverted(&self) {
        let kubectl = |args: &[&str]| drop(self.workspace.kubectl(args));
        kubectl(&["scale", "deployment", "site", "--replicas", "3"]);
        kubectl(&["set", "env", "deployment/front", "PODINFO_UI_MESSAGE=by-hand"]);
        kubectl(&["set", "env", "deployment/front", "PODINFO_BACKEND_URL-"]);
        kubectl(&["label", "service", "catalog", "app.kubernetes.io/instance-"]);
        // A field that no chart rendered is not drift.
        kubectl(&["annotate", "deployment", "worker", "example.com/note=mine"]);
        let plan = self.workspace.run(&["plan", "--exit-code"]).expect(3).stdout;
        for shown in [
            "Deployment/site spec.replicas (kubectl)",
            "spec.template.spec.containers[front].env[PODINFO_UI_MESSAGE].value (kubectl-set)",
            "spec.template.spec.containers[front].env[PODINFO_BACKEND_URL] (removed)",
            "Service/catalog metadata.labels.app.kubernetes.io/instance (removed)",
        ] {
            assert!(plan.contains(shown), "{shown}\n{plan}");
        }
        self.workspace.run(&["status", "--exit-code"]).expect(3).expect_said("changed manually");
        let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
        let mut changed = changes(&up);
        changed.sort();
        assert_eq!(changed, ["upgrade catalog", "upgrade front", "upgrade site"]);
        assert_eq!(self.workspace.objects(&["get", "deployment", "site"])["spec"]["replicas"], 2);
        self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
        kubectl(&["annotate", "deployment", "worker", "example.com/note-"]);
    }

    /// Puts a helm first on the PATH that logs each call except `helm version`.
    pub(crate) fn count_helm_calls(&mut self) {
        let folder = self.workspace.root().with_file_name("counting");
        fs::create_dir(&folder).unwrap();
        let helm = self.workspace.tool("sh", &["-c", "command -v helm"]);
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = version ] || echo \"$*\" >>'{}'\nexec '{helm}' \"$@\"\n",
            self.helm_log().display()
        );
        fs::write(folder.join("helm"), script).unwrap();
        fs::set_permissions(folder.join("helm"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.display(), self.workspace.variable("PATH"));
        self.workspace.set_variable("PATH", &path);
    }

    fn helm_log(&self) -> PathBuf {
        self.workspace.root().with_file_name("helm-calls")
    }

    fn forget_helm_calls(&self) {
        fs::write(self.helm_log(), "").unwrap();
    }

    /// The arguments of helm's calls, without connection options.
    fn helm_calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.helm_log()).unwrap_or_default();
        let without_connection = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let start = if words.first() == Some(&"--kubeconfig") { 2 } else { 0 };
            words[start..].join(" ")
        };
        log.lines().map(without_connection).collect()
    }
}

/// Checks that a run has listed releases and pods only a few times. Returns the number of its requests.
#[track_caller]
pub(crate) fn requests_are_few(run: &Output) -> u64 {
    let counts: BTreeMap<String, u64> = serde_json::from_value(finished(run)["api_requests"].clone()).unwrap();
    tell(&format!("requests to the Kubernetes API: {counts:?}"));
    for (name, count) in &counts {
        let is_limited = matches!(name.as_str(), "list secrets" | "list pods" | "watch pods");
        assert!(!is_limited || *count <= LISTS, "{name} {count} times: {counts:?}");
    }
    assert!(counts.contains_key("list secrets"), "{counts:?}");
    counts.values().sum()
}
