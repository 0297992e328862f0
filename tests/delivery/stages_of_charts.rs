//! The stage about a chart that asks the cluster.

use std::fs;

use super::walk::Walk;

/// Its image is in a `ConfigMap` of the cluster, and it needs an API that only the cluster has.
const TEMPLATE: &str = r#"
{{- if not (.Capabilities.APIVersions.Has "example.test/v1") }}{{ fail "the API is missing" }}{{ end }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: asks}
spec:
  selector: {matchLabels: {app: asks}}
  template:
    metadata: {labels: {app: asks}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: asks
          image: {{ lookup "v1" "ConfigMap" .Release.Namespace "choice" | dig "data" "image" "docker.io/library/none:1" }}
          command: [sleep, infinity]
"#;
/// A chart with a kind that the cluster does not have yet.
const TOO_EARLY: &str = "{apiVersion: example.test/v9, kind: Later, metadata: {name: later}}";
const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

impl Walk {
    pub(crate) fn charts_ask_the_cluster(&self) {
        let root = self.workspace.root();
        let chart = root.join("charts/asks");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: asks\nversion: 0.1.0\n").unwrap();
        fs::write(chart.join("templates/all.yaml"), TEMPLATE).unwrap();
        let definition = root.join("definition.yaml");
        fs::write(&definition, DEFINITION).unwrap();
        let kubectl = |words: &[&str]| self.staging.kubectl(&self.workspace, &[&["-n", "tunes"], words].concat());
        kubectl(&["create", "--filename", &definition.to_string_lossy()]);
        let image = "docker.io/library/redis:7.0";
        kubectl(&["create", "configmap", "choice", "--from-literal", &format!("image={image}")]);
        let project = "projects:\n  asks: {chart: {path: charts/asks}}\n";
        self.workspace.replace("projects:\n", project);
        self.run("up asks --env staging").expect(0);
        assert_eq!(self.image(&self.staging, "asks"), image);
        self.run("plan asks --env staging --exit-code").expect(0);

        fs::write(chart.join("templates/all.yaml"), TOO_EARLY).unwrap();
        let early = self.run("plan asks --env staging").expect(0);
        early.expect_said("warning: asks was rendered without the cluster").expect_said("Later");
        self.workspace.replace(project, "projects:\n");
        self.run("status --prune --yes --env staging").expect(0);
        kubectl(&["delete", "configmap", "choice"]);
        kubectl(&["delete", "--filename", &definition.to_string_lossy()]);
    }
}
