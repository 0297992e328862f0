//! Workloads that a rollout does not wait for, and changes that the cluster rejects although the account has permission.

use std::fs;

use super::common::{Output, Stages, TestWorkspace};

/// Workloads with their own conditions of completion.
const CHART: &str = r#"
{{- range $name, $strategy := dict "on-delete" (dict "type" "OnDelete") "partial" (dict "type" "RollingUpdate" "rollingUpdate" (dict "partition" 1)) }}
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ $name }}}
spec:
  serviceName: {{ $name }}
  replicas: 2
  podManagementPolicy: Parallel
  updateStrategy: {{ toJson $strategy }}
  selector: {matchLabels: {app: {{ $name }}}}
  template: {{- include "pod" (dict "name" $name "version" $.Values.version) | nindent 4 }}
---
{{- end }}
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  updateStrategy: {type: OnDelete}
  selector: {matchLabels: {app: everywhere}}
  template: {{- include "pod" (dict "name" "everywhere" "version" $.Values.version) | nindent 4 }}
---
apiVersion: batch/v1
kind: Job
metadata: {name: "brief-{{ .Values.version }}"}
spec:
  ttlSecondsAfterFinished: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "docker.io/library/redis:7.0", command: ["true"]}]
{{- define "pod" }}
metadata: {labels: {app: {{ .name }}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: c, image: "docker.io/library/redis:7.0", command: [sleep, infinity], env: [{name: VERSION, value: {{ .version }}}]}
{{- end }}
"#;

/// Projects with immutable fields.
const LASTING: &str = r"
  kinds: {chart: {path: charts/kinds}, values: {version: one}}
  grows:
    image: docker.io/library/redis:7.0
    values: {volumes: {data: {path: /grows, size: 1Gi}}}
  keeps:
    image: docker.io/library/redis:7.0
    values: {kind: StatefulSet, volumes: {data: {path: /keeps, size: 1Gi}}}
  large:
    image: docker.io/library/redis:7.0
    values: {files: {/etc/large: small}}
";

/// A change, its reversal, and the reason why it is rejected.
const REJECTED: &[(&str, &str, &str, &str)] = &[
    (
        "{path: /grows, size: 1Gi}",
        "{path: /grows, size: 2Gi}",
        "✗ grows  the storage of an existing volume cannot grow",
        "delete PersistentVolumeClaim 'grows-data'",
    ),
    (
        "data: {path: /keeps, size: 1Gi}",
        "data: {path: /keeps, size: 1Gi}, more: {path: /more, size: 1Gi}",
        "✗ keeps  volumes, selector and service name of an existing StatefulSet cannot be changed",
        "kubectl delete statefulset keeps --cascade=orphan",
    ),
];

/// A hook that Helm waits for, and a Service that no load balancer serves.
const HOOK: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: "{{ .Release.Name }}-migrate", annotations: {helm.sh/hook: pre-install}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "docker.io/library/{{ .Values.image }}", command: [sh, -c, "sleep 3; echo no such schema; exit 7"]}]
"#;
const BALANCED: &str = r"
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, loadBalancerClass: nobody.test/none, ports: [{port: 1}]}
";
const WAITING: &str = r"
  hooked: {chart: {path: charts/hooked}, values: {image: 'redis:7.0'}}
  unpulled: {chart: {path: charts/hooked}, values: {image: 'no-such-image:1.0'}}
  balanced: {chart: {path: charts/balanced}, timeout: 5s}
";

pub(crate) fn write_chart(workspace: &TestWorkspace, name: &str, template: &str) {
    let folder = workspace.root().join("charts").join(name);
    fs::create_dir_all(folder.join("templates")).unwrap();
    fs::write(folder.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n")).unwrap();
    fs::write(folder.join("templates/all.yaml"), template).unwrap();
}

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    write_chart(workspace, "kinds", CHART);
    stages.stage("pods that an update strategy keeps are reported, and a deleted Job is complete", || kinds(workspace));
    stages.stage("a change of an immutable field is rejected with its cause", || rejected(workspace));
    stages.stage("an exceeded quota is reported, also for pods of a StatefulSet", || quota(workspace));
}

fn kinds(workspace: &TestWorkspace) {
    workspace.replace("projects:", &format!("projects:{LASTING}"));
    workspace.run(&["up", "kinds", "grows", "keeps", "large"]).expect(0);
    assert_eq!(workspace.kubectl(&["get", "jobs", "--selector", "!app.kubernetes.io/name", "--output", "name"]), "");
    workspace.replace("{version: one}", "{version: two}");
    let again = workspace.run(&["up", "kinds"]).expect(0);
    for kept in ["on-delete-0, on-delete-1", "partial-0\n", "everywhere-"] {
        assert!(again.stderr.contains(&format!("pods keep the previous revision: {kept}")), "{}", again.stderr);
    }
    again.expect_said("delete them to update them").expect_said("lower 'partition'");
    workspace.run(&["plan", "--exit-code"]).expect(0);
}

/// Adds projects whose hooks and Services fail.
pub(crate) fn add_waiting(workspace: &TestWorkspace) {
    for (name, template) in [("hooked", HOOK), ("balanced", BALANCED)] {
        write_chart(workspace, name, template);
    }
    workspace.replace("projects:", &format!("projects:{WAITING}"));
}

/// Hooks and Services without an address are reported with their causes.
pub(crate) fn expect_waiting(output: &Output) {
    for text in [
        "✗ hooked  helm hook Job/hooked-migrate: the job failed: the container exits: exit code 7",
        "no such schema",
        "✗ unpulled  helm hook Job/unpulled-migrate: image not found",
        "✗ balanced  the cluster has no load balancer that assigns an address to service balanced",
    ] {
        assert!(output.stderr.contains(text), "{text}\n{}", output.stderr);
    }
    // Helm itself waits for 5 minutes.
    assert!(output.seconds < 90.0, "{} s", output.seconds);
}

pub(crate) fn remove_waiting(workspace: &TestWorkspace) {
    workspace.replace(WAITING, "\n");
    workspace.run(&["status", "--prune", "--yes"]).expect(0);
    // Helm keeps the Jobs of hooks.
    workspace.kubectl(&["delete", "jobs", "hooked-migrate", "unpulled-migrate"]);
}

fn rejected(workspace: &TestWorkspace) {
    let large = format!("{{/etc/large: {}}}", "x".repeat(1_200_000));
    workspace.replace("{/etc/large: small}", &large);
    for (good, bad, ..) in REJECTED {
        workspace.replace(good, bad);
    }
    let output = workspace.run(&["up", "grows", "keeps", "large"]).expect(1);
    let output = output.expect_said("✗ large  ConfigMap 'large-files' is larger than 1 MiB");
    for (_, _, cause, help) in REJECTED {
        assert!(output.stderr.contains(cause) && output.stderr.contains(help), "{cause}\n{}", output.stderr);
    }
    workspace.replace(&large, "{/etc/large: small}");
    for (good, bad, ..) in REJECTED {
        workspace.replace(bad, good);
    }
    workspace.run(&["up", "grows", "keeps", "large"]).expect(0);
}

fn quota(workspace: &TestWorkspace) {
    workspace.kubectl(&["create", "quota", "few", "--hard=pods=1"]);
    let crowded = "\n  crowded: {image: 'docker.io/library/redis:7.0', values: {kind: StatefulSet}}";
    workspace.replace("projects:", &format!("projects:{crowded}"));
    let output = workspace.run(&["up", "crowded"]).expect(1);
    workspace.kubectl(&["delete", "quota", "few"]);
    output.expect_said("✗ crowded  the quota of the namespace is exceeded").expect_said("raise the quota");
    workspace.replace(crowded, "");
}
