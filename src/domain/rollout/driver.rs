//! The key `traffic` of an environment: a CronJob in the environment continues detached rollouts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The name of the CronJob, and of the ConfigMap that it reads.
pub const DRIVER: &str = "cmdr-traffic";
/// The ServiceAccount of the runs, unless projects.yaml names another: that of templates/rbac/deployer.yaml.
pub const DRIVER_ACCOUNT: &str = "cmdr-deployer";
/// The folder of the container with all that cmdr reads and writes.
const FOLDER: &str = "/cmdr";
/// Where the kubelet mounts the token of a pod.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The user in the container: any but root.
const USER: u32 = 65532;

/// The key `traffic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficDriver {
    /// The image with cmdr and Helm.
    pub image: String,
    /// The ServiceAccount of the runs; `None`: [`DRIVER_ACCOUNT`].
    pub account: Option<String>,
}

/// What the runs of a driver need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverSpec {
    pub driver: TrafficDriver,
    pub environment: String,
    pub context: String,
    pub namespace: String,
    /// The files of the workspace: the text of each path.
    pub files: BTreeMap<String, String>,
    /// The variables by which a run knows the pipeline for which it acts.
    pub variables: BTreeMap<String, String>,
}

impl TrafficDriver {
    pub fn account(&self) -> &str {
        self.account.as_deref().unwrap_or(DRIVER_ACCOUNT)
    }
}

impl DriverSpec {
    /// The objects, in the order in which they are written.
    pub fn objects(&self) -> [Value; 2] {
        [self.config_map(), self.cron_job()]
    }

    /// The files as entries with names that a ConfigMap accepts.
    fn entries(&self) -> impl Iterator<Item = (String, &str, &str)> {
        self.files
            .iter()
            .enumerate()
            .map(|(index, (path, text))| (format!("file-{index}"), path.as_str(), text.as_str()))
    }

    fn config_map(&self) -> Value {
        let mut data: BTreeMap<String, &str> = self.entries().map(|(key, _, text)| (key, text)).collect();
        let kubeconfig = self.kubeconfig().to_string();
        data.insert("kubeconfig".to_owned(), &kubeconfig);
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": DRIVER}, "data": data})
    }

    /// A kubeconfig without a secret: it names the file with the pod's own token.
    fn kubeconfig(&self) -> Value {
        let Self { context, namespace, .. } = self;
        let server = json!({
            "server": "https://kubernetes.default.svc", "certificate-authority": format!("{TOKEN}/ca.crt"),
        });
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{"name": "own", "cluster": server}],
            "users": [{"name": "own", "user": {"tokenFile": format!("{TOKEN}/token")}}],
            "contexts": [{"name": context, "context": {"cluster": "own", "user": "own", "namespace": namespace}}],
        })
    }

    fn cron_job(&self) -> Value {
        let labels = json!({"app.kubernetes.io/name": DRIVER});
        let files = self.entries().map(|(key, path, _)| json!({"key": key, "path": format!("workspace/{path}")}));
        let files: Vec<Value> = files.chain([json!({"key": "kubeconfig", "path": "kubeconfig"})]).collect();
        let pod = json!({
            "serviceAccountName": self.driver.account(),
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self.container()],
            "volumes": [
                {"name": "read", "configMap": {"name": DRIVER, "items": files}},
                {"name": "written", "emptyDir": {}},
            ],
        });
        let job = json!({
            "backoffLimit": 0, "ttlSecondsAfterFinished": 3600,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        });
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": DRIVER},
            "spec": {
                "schedule": "* * * * *", "concurrencyPolicy": "Forbid", "suspend": false, "startingDeadlineSeconds": 60,
                "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 3, "jobTemplate": {"spec": job},
            },
        })
    }

    fn container(&self) -> Value {
        let written = |name: &str| format!("{FOLDER}/written/{name}");
        let own = [
            ("KUBECONFIG", format!("{FOLDER}/read/kubeconfig")),
            ("HOME", written("home")),
            ("CMDR_STATE", written("state")),
            ("CMDR_CACHE", written("cache")),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let variables: Vec<Value> =
            own.chain(self.variables.clone()).map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({
            "name": "cmdr",
            "image": self.driver.image,
            "command": ["cmdr", "traffic", "continue", "--detach", "--env", self.environment],
            "workingDir": format!("{FOLDER}/read/workspace"),
            "env": variables,
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "read", "mountPath": format!("{FOLDER}/read"), "readOnly": true},
                {"name": "written", "mountPath": format!("{FOLDER}/written")},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_read_the_workspace_and_use_the_token_of_their_pod() {
        let files = [("projects.yaml", "version: 1"), ("teams/a/projects.yaml", "projects: {}")];
        let spec = DriverSpec {
            driver: TrafficDriver { image: "registry.example.com/cmdr:1".to_owned(), account: None },
            environment: "production".to_owned(),
            context: "prod".to_owned(),
            namespace: "tunes".to_owned(),
            files: files.map(|(path, text)| (path.to_owned(), text.to_owned())).into(),
            variables: BTreeMap::from([("GITLAB_CI".to_owned(), "true".to_owned())]),
        };
        let [config, job] = spec.objects();
        assert_eq!(config["data"]["file-1"], "projects: {}");
        let kubeconfig: Value = serde_json::from_str(config["data"]["kubeconfig"].as_str().unwrap()).unwrap();
        assert_eq!(kubeconfig["contexts"][0]["name"], "prod");
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], DRIVER_ACCOUNT);
        assert_eq!(pod["volumes"][0]["configMap"]["items"][1]["path"], "workspace/teams/a/projects.yaml");
        let container = &pod["containers"][0];
        let command = ["cmdr", "traffic", "continue", "--detach", "--env", "production"];
        assert_eq!(container["command"], json!(command));
        assert!(container["env"].as_array().unwrap().contains(&json!({"name": "GITLAB_CI", "value": "true"})));
    }
}
