//! Files from disk on a real cluster that cmdr does not own: applied beside the release, changed, rolled back, and
//! restored from an exported ledger.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use common::{Output, Stages, TestWorkspace, cloud::Cloud, until};
use serde_json::Value;

const PROJECTS: &str = "
environments:
  staging: {context: CONTEXT, namespace: tunes, platform: external}
defaults:
  values: {grace: 1, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  reader:
    image: docker.io/library/redis:7.0
    values:
      command: [sleep, infinity]
      dashboard: conf/overview.json
      files:
        /etc/reader: {from: conf/reader}
        /usr/local/bin/hello: {from: conf/hello.sh}
        /etc/reader/one.conf: {from: conf/replaced.conf}
      sidecars: {beside: {command: [sleep, infinity], files: {/etc/beside.conf: {from: conf/replaced.conf}}}}
";
/// The most bytes of one file.
const MEBIBYTE: usize = 1 << 20;

struct Reader {
    workspace: TestWorkspace,
    cloud: Cloud,
}

impl Reader {
    fn new() -> Self {
        let workspace = TestWorkspace::new("files", "projects: {}\n");
        let cloud = Cloud::start(&workspace, &["files"]).pop().unwrap();
        let reader = Self { workspace, cloud };
        for (file, content) in
            [("reader/sub/folder/text", "first\n"), ("reader/one.conf", "one\n"), ("replaced.conf", "two\n")]
        {
            reader.write(file, content.as_bytes());
        }
        reader.write("overview.json", br#"{"title": "First", "legend": "{{instance}}"}"#);
        reader.write("hello.sh", b"#!/bin/sh\necho hello\n");
        fs::set_permissions(reader.conf("hello.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        for part in [1u8, 2] {
            // Not compressible, and not text.
            let content = (0..MEBIBYTE).map(|at| u8::try_from(at * at * usize::from(part) / 7 % 251).unwrap());
            let content: Vec<u8> = content.collect();
            reader.write(&format!("reader/large-{part}"), &content);
        }
        reader.workspace.write_projects(&PROJECTS.replace("CONTEXT", &reader.cloud.context()));
        reader
    }

    fn conf(&self, file: &str) -> PathBuf {
        self.workspace.root().join("conf").join(file)
    }

    fn write(&self, file: &str, content: &[u8]) {
        let path = self.conf(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn run(&self, words: &str) -> Output {
        self.workspace.run(&words.split(' ').collect::<Vec<_>>())
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.cloud.kubectl(&self.workspace, &[&["-n", "tunes"], args].concat())
    }

    /// What a command prints in the container.
    fn inside(&self, command: &[&str]) -> String {
        self.kubectl(&[&["exec", "deploy/reader", "--"], command].concat())
    }

    /// The names of the ConfigMaps with files, in order.
    fn config_maps(&self) -> Vec<String> {
        let selector =
            ["get", "configmaps", "-l", "cmdr.dev/purpose=files", "-o", "jsonpath={.items[*].metadata.name}"];
        let mut names: Vec<String> = self.kubectl(&selector).split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The names of the pods that run.
    fn pods(&self) -> String {
        self.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"])
    }

    fn two_mebibytes_arrive(&self) {
        let rendered = self.run("render reader --env staging").expect(0).stdout;
        assert!(rendered.contains("kind: ConfigMap") && rendered.contains("immutable: true"), "{rendered}");
        self.run("up --env staging").expect(0);
        let sums = self.inside(&["sh", "-c", "cd /etc/reader && sha256sum large-1 large-2 sub/folder/text"]);
        let expected = self.workspace.tool(
            "sh",
            &["-c", &format!("cd {} && sha256sum large-1 large-2 sub/folder/text", self.conf("reader").display())],
        );
        assert_eq!(sums.trim(), expected.trim());
        assert_eq!(self.inside(&["hello"]).trim(), "hello", "an executable file stays executable");
        let beside = ["exec", "deploy/reader", "-c", "beside", "--", "cat", "/etc/beside.conf"];
        assert_eq!(self.kubectl(&beside).trim(), "two", "a sidecar has files of its own");
        assert_eq!(self.inside(&["cat", "/etc/reader/one.conf"]).trim(), "two", "a file replaces that of a folder");
        assert_eq!(self.config_maps().len(), 3);
        let release =
            self.kubectl(&["get", "secret", "sh.helm.release.v1.reader.v1", "-o", "jsonpath={.data.release}"]);
        assert!(release.len() < 100_000, "the release has {} bytes", release.len());
        self.run("plan --env staging --exit-code").expect(0);
    }

    fn a_changed_file_restarts_the_pods(&self) {
        let pods = self.pods();
        self.write("reader/sub/folder/text", b"second\n");
        self.run("plan --env staging --exit-code").expect(3).expect_said("files differ: /etc/reader/sub/folder/text");
        self.run("up --env staging").expect(0);
        until("the first pod is gone", || (!self.pods().contains(&pods)).then_some(()));
        assert_eq!(self.inside(&["cat", "/etc/reader/sub/folder/text"]).trim(), "second");
    }

    /// What Grafana's sidecar finds: the content of the dashboard.
    fn dashboard(&self) -> String {
        let select = ["get", "configmaps", "-l", "grafana_dashboard=1", "-o"];
        self.kubectl(&[&select[..], &["jsonpath={.items[*].data['reader-overview\\.json']}"]].concat())
    }

    fn a_dashboard_follows_its_file(&self) {
        let (pods, first) = (self.pods(), self.dashboard());
        assert_eq!(first, r#"{"legend":"{{instance}}","title":"First"}"#);
        self.write("overview.json", br#"{"title": "Second"}"#);
        self.run("plan --env staging --exit-code").expect(3).expect_said("extraObjects.dashboard");
        self.run("up --env staging").expect(0);
        assert_eq!(self.dashboard(), r#"{"title":"Second"}"#);
        self.run("rollback reader --env staging").expect(0);
        assert_eq!((self.dashboard(), self.pods()), (first, pods), "without a restart");
        self.run("unhold reader --env staging").expect(0);
    }

    fn a_deleted_config_map_is_drift(&self) {
        let maps = self.config_maps();
        let used = self.kubectl(&["get", "deployment", "reader", "-o", "json"]);
        let used = maps.iter().find(|name| used.contains(name.as_str())).unwrap();
        self.kubectl(&["delete", "configmap", used]);
        self.run("status --env staging").expect_said(&format!("ConfigMap/{used}"));
        self.run("up --env staging --repair").expect(0);
        assert_eq!(self.config_maps(), maps);
    }

    fn a_rollback_restores_the_files(&self) {
        self.run("rollback reader --env staging").expect(0);
        assert_eq!(self.inside(&["cat", "/etc/reader/sub/folder/text"]).trim(), "first");
        self.run("unhold reader --env staging").expect(0);
    }

    fn a_lost_environment_is_rebuilt_with_its_files(&self) {
        let file = self.workspace.root().join("ledger.json").to_string_lossy().into_owned();
        self.write("reader/sub/folder/text", b"third\n");
        self.run(&format!("up --env staging --export-ledger {file}")).expect(0);
        let ledger: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(ledger["files"].as_object().map(serde_json::Map::len), Some(3));
        self.write("reader/sub/folder/text", b"not deployed\n");
        self.kubectl(&["delete", "namespace", "tunes"]);
        let changed = fs::read_to_string(&file).unwrap().replacen("dGhpcmQK", "Zm91cnRoCg==", 1);
        let forged = self.workspace.root().join("forged.json").to_string_lossy().into_owned();
        fs::write(&forged, changed).unwrap();
        self.run(&format!("up --env staging --from-ledger {forged}")).expect(2).expect_said("the file was changed");
        self.run(&format!("up --env staging --from-ledger {file}")).expect(0);
        assert_eq!(self.inside(&["cat", "/etc/reader/sub/folder/text"]).trim(), "third");
    }

    fn the_ledger_keeps_the_files_of_a_removed_project(&self) {
        // As an interrupted run leaves it: no revision and no record refers to it.
        self.kubectl(&["create", "configmap", "reader-files-left"]);
        let labels = ["cmdr.dev/purpose=files", "cmdr.dev/project=reader"];
        self.kubectl(&[&["label", "configmap", "reader-files-left"], &labels[..]].concat());
        self.workspace
            .write_projects(&PROJECTS.replace("CONTEXT", &self.cloud.context()).replace("  reader:", "  other:"));
        self.run("status --env staging --prune --yes").expect(0);
        let records = self.kubectl(&["get", "secrets", "-l", "cmdr.dev/purpose=record", "-o", "name"]);
        // The ledger keeps the history of a removed project, and so its files.
        assert!(!records.is_empty());
        let maps = self.config_maps();
        assert!(maps.len() == 3 && !maps.contains(&"reader-files-left".to_owned()), "{maps:?}");
    }
}

#[test]
#[ignore = "slow: a cluster of its own"]
fn files_from_disk_reach_the_pods_and_return() {
    let reader = Reader::new();
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Reader)| stages.stage(name, || stage(&reader));
    stage("files of 2 MiB arrive", Reader::two_mebibytes_arrive);
    stage("a dashboard follows its file and a rollback", Reader::a_dashboard_follows_its_file);
    stage("a changed file restarts the pods", Reader::a_changed_file_restarts_the_pods);
    stage("a deleted ConfigMap is drift", Reader::a_deleted_config_map_is_drift);
    stage("a rollback restores the files", Reader::a_rollback_restores_the_files);
    stage("a lost environment is rebuilt with its files", Reader::a_lost_environment_is_rebuilt_with_its_files);
    stage("the ledger keeps the files of a removed project", Reader::the_ledger_keeps_the_files_of_a_removed_project);
    stages.finish();
}
