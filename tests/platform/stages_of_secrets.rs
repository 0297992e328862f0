//! Stages about secrets from SOPS files and from stores outside of the cluster.

use std::{fs, os::unix::fs::symlink, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use super::{
    common::{Running, until},
    walk::{Walk, changes},
    watchers::{Watch, files_below, payload},
};

/// Must not appear in any output. Because of its length, its base64 form always starts with the same characters.
const CANARY: &str = "canary-in-the-mine";
/// Relative to the workspace's root.
const FILE: &str = "secrets/api.enc.yaml";
const SOPS: &str = "      grace: 1
      secrets: {api: {sops: secrets/api.enc.yaml}}
      env: {TOKEN: {secret: api, key: TOKEN}}
";
const SCHEDULE: &str = "schedule: \"0 0 1 1 *\"";
const EXTERNAL: &str = "schedule: \"0 0 1 1 *\", env: {MAIL: {secret: mail, key: PASSWORD}},
      secrets: {mail: {external: {store: vault, kind: ClusterSecretStore, data: {PASSWORD: tunes/mail#password}}}}";

/// A minimal definition of the kind, because External Secrets is not available to these tests. The stage acts as the
/// operator; tested are cmdr's requests to the API and how it handles the responses.
const KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: externalsecrets.external-secrets.io}
spec:
  group: external-secrets.io
  scope: Namespaced
  names: {kind: ExternalSecret, plural: externalsecrets, singular: externalsecret}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

impl Walk {
    pub(crate) fn secrets_from_sops_reach_pods(&self) {
        self.workspace.replace("      grace: 1\n", SOPS);
        self.workspace.run(&["plan"]).expect(2).expect_said("the file `secrets/api.enc.yaml` was not found");
        let public = self.make_age_key(&self.age_keys());
        self.encrypt(&public, &format!("TOKEN: {CANARY}-1\nPORT: 5432\n"));
        let plan = self.workspace.run(&["plan", "--output", "json"]).expect(0).stdout;
        assert!(plan.contains("SOPS secret does not exist yet: worker-api"), "{plan}");

        let password = self.password();
        let watches = [CANARY, &password].map(Watch::start);
        self.touches_only("worker", || {
            self.workspace.run(&["up", "--output", "json", "--verbose"]).expect(0);
        });
        for (helms, leaks) in watches.map(Watch::end) {
            assert!(helms > 0, "no helm process was seen");
            assert!(leaks.is_empty(), "{} processes had one among their arguments", leaks.len());
        }
        assert_eq!(self.password(), password, "a secret is generated once");
        self.pod_knows("TOKEN", &format!("{CANARY}-1"));

        // Unchanged files are not decrypted: the key is no longer needed.
        let aside = self.age_keys().with_extension("aside");
        fs::rename(self.age_keys(), &aside).unwrap();
        self.touches_nothing(|| {
            let up = self.workspace.run(&["up", "--output", "json"]).expect(0);
            assert_eq!(changes(&up), [""; 0]);
        });
        fs::rename(aside, self.age_keys()).unwrap();
        // Pods of another project that reads the Secret are replaced too.
        let other = ["render", "report", "--set", "env.TOKEN.secret=worker-api", "--set", "env.TOKEN.key=TOKEN"];
        self.workspace.run(&other).expect(0).expect_said("checksum/secrets");
    }

    pub(crate) fn changed_secrets_restart_their_pods(&self) {
        let public = self.workspace.tool("age-keygen", &["-y", &self.age_keys().to_string_lossy()]);
        self.encrypt(&public, &format!("TOKEN: {CANARY}-2\nPORT: 5432\n"));
        let plan = self.workspace.run(&["plan", "--exit-code"]).expect(3);
        plan.expect_said("SOPS secret has changed: worker-api").expect_said("upgrade worker");
        // This run has the key in a variable of sops.
        let aside = self.age_keys().with_extension("aside");
        fs::rename(self.age_keys(), &aside).unwrap();
        self.touches_only("worker", || {
            self.run_with(&["up"], "SOPS_AGE_KEY_FILE", &aside.to_string_lossy()).expect(0);
        });
        fs::rename(aside, self.age_keys()).unwrap();
        self.pod_knows("TOKEN", &format!("{CANARY}-2"));
        self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
    }

    pub(crate) fn what_sops_refuses_is_reported(&self) {
        let (file, whole) = (self.workspace.root().join(FILE), fs::read_to_string(self.secret_file()).unwrap());
        let public = self.workspace.tool("age-keygen", &["-y", &self.age_keys().to_string_lossy()]);
        self.touches_nothing(|| {
            let refused = |said: &str| drop(self.workspace.run(&["up"]).expect(1).expect_said(said));
            fs::write(&file, whole.replacen("data:", "data:AAAA", 1)).unwrap();
            refused("sops cannot read the file");
            fs::write(&file, format!("TOKEN: {CANARY}-plain\n")).unwrap();
            refused("sops encrypt --in-place secrets/api.enc.yaml");
            self.encrypt(&public, &format!("db: {{PASSWORD: {CANARY}-nested}}\n"));
            refused("key 'db' is not a string, number or boolean");
            fs::write(&file, format!("{whole}\n# changed\n")).unwrap();
            let aside = self.age_keys().with_extension("aside");
            fs::rename(self.age_keys(), &aside).unwrap();
            self.make_age_key(&self.age_keys());
            refused("sops has no key for the file");
            fs::rename(aside, self.age_keys()).unwrap();
            let without_sops = self.run_with(&["up"], "PATH", &self.path_without_sops().to_string_lossy());
            without_sops.expect(1).expect_said("'sops' is not installed").expect_said("install sops");
        });
        let doctor = self.run_with(&["doctor"], "PATH", &self.path_without_sops().to_string_lossy());
        doctor.expect_said("! sops: sops is not installed");
        assert!(self.workspace.run(&["doctor"]).stdout.contains("sops: sops 3."));
        fs::write(&file, whole).unwrap();
    }

    pub(crate) fn external_secrets_are_awaited(&self) {
        self.workspace.replace(SCHEDULE, EXTERNAL);
        let unknown = self
            .workspace
            .run(&["up"])
            .expect(1)
            .expect_said("the kind ExternalSecret (external-secrets.io/v1) is not installed");
        unknown.expect_said("install External Secrets");
        let kind = self.workspace.root().join("../kind.yaml");
        fs::write(&kind, KIND).unwrap();
        self.workspace.kubectl(&["apply", "--filename", &kind.to_string_lossy()]);
        let established = "jsonpath={.status.conditions[?(@.type=='Established')].status}";
        let ask = ["get", "crd/externalsecrets.external-secrets.io", "--output", established];
        until("the kind to be established", || {
            self.workspace.try_kubectl(&ask).filter(|shown| shown == "True").map(drop)
        });

        let up = self.workspace.start(&["up"]);
        until("the ExternalSecret", || {
            let found = self.workspace.try_kubectl(&["get", "externalsecrets", "--output", "name"]);
            found.filter(|names| names.contains("report-mail")).map(drop)
        });
        let asked = self.workspace.objects(&["get", "externalsecret", "report-mail"])["spec"].clone();
        assert_eq!(asked["secretStoreRef"], json!({"name": "vault", "kind": "ClusterSecretStore"}));
        assert_eq!(asked["data"][0]["remoteRef"], json!({"key": "tunes/mail", "property": "password"}));
        self.answer_as_operator("False", "the store has no key tunes/mail");
        let refused = up.wait(Duration::from_mins(1)).expect(1);
        refused.expect_said("cannot create secret report-mail: the store has no key tunes/mail");

        self.workspace.run(&["plan"]).expect(0).expect_said("it is not ready");
        let value = format!("--from-literal=PASSWORD={CANARY}-mail");
        self.workspace.kubectl(&["create", "secret", "generic", "report-mail", &value]);
        let up = self.workspace.start(&["up"]);
        self.answer_as_operator("True", "");
        up.wait(Duration::from_mins(2)).expect(0);
        let report = self.workspace.objects(&["get", "cronjob", "report"]).to_string();
        assert!(report.contains(r#""secretKeyRef":{"key":"PASSWORD","name":"report-mail"}"#), "{report}");
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    /// Searches all output and all files of cmdr from the previous stages.
    pub(crate) fn canaries_are_nowhere(&self) {
        for words in [&["render", "worker"][..], &["plan", "--output", "json"], &["status", "--output", "json"]] {
            self.workspace.run(words).expect(0);
        }
        self.workspace.run(&["up", "--output", "json", "--verbose"]).expect(0);
        let encoded = BASE64.encode(CANARY);
        let is_clean = |text: &str| !text.contains(CANARY) && !text.contains(&encoded);
        for said in self.workspace.transcript() {
            assert!(is_clean(&said), "cmdr printed it");
        }
        let secrets = self.workspace.objects(&["get", "secrets", "--all-namespaces", "--selector", "owner=helm"]);
        let payloads = secrets["items"].as_array().unwrap().iter();
        let payloads: Vec<String> = payloads.map(|it| payload(it["data"]["release"].as_str().unwrap())).collect();
        assert!(payloads.iter().any(|payload| payload.contains(FILE)), "the file's path is in a release");
        assert!(payloads.iter().all(|payload| is_clean(payload)), "in a release of Helm's");
        let kept = ["CMDR_STATE", "CMDR_CACHE", "HOME"].map(|folder| files_below(self.workspace.variable(folder)));
        assert!(kept.iter().take(2).all(|files| !files.is_empty()), "cmdr keeps something");
        for file in kept.into_iter().flatten() {
            assert!(is_clean(&String::from_utf8_lossy(&fs::read(&file).unwrap())), "in {}", file.display());
        }
    }

    /// The default folder of sops for age keys.
    fn age_keys(&self) -> PathBuf {
        PathBuf::from(self.workspace.variable("HOME")).join(".config/sops/age/keys.txt")
    }

    fn secret_file(&self) -> PathBuf {
        self.workspace.root().join(FILE)
    }

    /// Creates a key pair and returns the public key.
    fn make_age_key(&self, file: &std::path::Path) -> String {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let file = file.to_string_lossy();
        self.workspace.tool("age-keygen", &["-o", &file]);
        self.workspace.tool("age-keygen", &["-y", &file])
    }

    fn encrypt(&self, public: &str, plain: &str) {
        let plain_file = self.workspace.root().join("../plain.yaml");
        fs::write(&plain_file, plain).unwrap();
        let encrypted = self.workspace.tool("sops", &["encrypt", "--age", public, &plain_file.to_string_lossy()]);
        fs::remove_file(plain_file).unwrap();
        assert!(!encrypted.contains(CANARY));
        fs::create_dir_all(self.secret_file().parent().unwrap()).unwrap();
        fs::write(self.secret_file(), encrypted).unwrap();
    }

    /// Compares without printing the values.
    #[track_caller]
    fn pod_knows(&self, variable: &str, value: &str) {
        let print = format!("printf %s \"${variable}\"");
        let found = self.workspace.kubectl(&["exec", "deployment/worker", "--", "sh", "-c", &print]);
        assert!(found == value, "{variable} of the pod is another one");
    }

    /// Runs cmdr with one more environment variable.
    #[track_caller]
    fn run_with(&self, words: &[&str], variable: &str, value: &str) -> super::common::Output {
        let output = Running::start(self.workspace.cmdr(words).env(variable, value)).wait(Duration::from_mins(1));
        assert!(!output.said().contains(CANARY), "cmdr printed it");
        output
    }

    /// A folder with the programs that cmdr starts, except sops.
    fn path_without_sops(&self) -> PathBuf {
        let folder = self.workspace.root().join("../without-sops");
        if fs::create_dir(&folder).is_ok() {
            for program in ["docker", "kind", "helm", "git"] {
                let found = std::env::split_paths(self.workspace.variable("PATH")).map(|path| path.join(program));
                let found = found.into_iter().find(|file| file.is_file());
                symlink(found.unwrap_or_else(|| panic!("{program} is on PATH")), folder.join(program)).unwrap();
            }
        }
        folder
    }

    fn answer_as_operator(&self, status: &str, message: &str) {
        let found = self.workspace.objects(&["get", "externalsecret", "report-mail"]);
        let synced = format!("{}-0123", found["metadata"]["generation"]);
        let conditions = json!([{"type": "Ready", "status": status, "message": message}]);
        let patch = json!({"status": {"conditions": conditions, "syncedResourceVersion": synced}}).to_string();
        let words =
            ["patch", "externalsecret", "report-mail", "--subresource=status", "--type=merge", "--patch", &patch];
        self.workspace.kubectl(&words);
    }
}
