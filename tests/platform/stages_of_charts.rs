//! Charts of the user's own, with objects that the universal chart never renders.

use std::fs;

use super::walk::Walk;

/// A list with a name, a key that is rendered twice, a claim, and a custom resource with an irregular plural.
const SHAPES: &str = "
apiVersion: v1
kind: List
metadata: {name: all}
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: shapes, labels: {app: a, app: b}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: shapes-data}
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: example.test/v1
kind: Shape
metadata: {name: one}
spec: {a: '1'}
";

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: figures.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Shape, plural: figures, singular: shape}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {a: {type: string}}}}
";

const PROJECT: &str = "projects:\n  shapes: {chart: {path: charts/shapes}}\n";

/// An unreadable release of another tool.
const BROKEN: [&str; 6] =
    ["create", "secret", "generic", "broken", "--type=helm.sh/release.v1", "--from-literal=release=garbage"];

impl Walk {
    /// Writes the chart; its subchart has the definition.
    fn write_chart(&self, version: &str, template: &str, definition: &str) {
        let folder = self.workspace.root().join("charts/shapes");
        for (file, text) in [
            ("Chart.yaml", format!("apiVersion: v2\nname: shapes\nversion: {version}\n").as_str()),
            ("templates/all.yaml", template),
            ("charts/below/Chart.yaml", "apiVersion: v2\nname: below\nversion: 0.1.0\n"),
            ("charts/below/crds/shape.yaml", definition),
        ] {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    pub(crate) fn every_shape_is_read(&self) {
        self.write_chart("0.1.0", SHAPES, DEFINITION);
        self.workspace.replace("projects:\n", PROJECT);
        self.workspace.run(&["up", "shapes"]).expect(0);
        self.workspace.run(&["plan", "--exit-code"]).expect(0).expect_said("nothing to do");
        self.workspace.kubectl(&["delete", "figures.example.test", "one"]);
        self.workspace.run(&["status"]).expect(0).expect_said("missing from the cluster: Shape/one");
        self.workspace.run(&["up", "shapes"]).expect(0);
        self.workspace.kubectl(&["get", "figures.example.test", "one"]);
    }

    pub(crate) fn definitions_are_upgraded(&self) {
        let (a, both) = ("{a: {type: string}}", "{a: {type: string}, b: {type: string}}");
        self.write_chart("0.2.0", &SHAPES.replace("{a: '1'}", "{a: '1', b: '2'}"), &DEFINITION.replace(a, both));
        let plan = self.workspace.run(&["plan"]).expect(0);
        plan.expect_said("apply CRDs of shapes").expect_said("figures.example.test");
        self.workspace.run(&["up", "shapes"]).expect(0);
        let stored = self.workspace.kubectl(&["get", "figures.example.test", "one", "--output", "jsonpath={.spec.b}"]);
        assert_eq!(stored, "2");
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    pub(crate) fn an_unreadable_release_hides_nothing(&self) {
        let namespace = ["--namespace", "default"];
        self.workspace.kubectl(&[&BROKEN[..], &namespace].concat());
        let label = ["label", "secret", "broken", "owner=helm", "name=broken", "status=deployed", "version=1"];
        self.workspace.kubectl(&[&label[..], &namespace].concat());
        let warning = "warning: cannot read the release 'broken' in the namespace 'default'";
        for words in [&["status", "--exit-code"][..], &["plan", "--exit-code"], &["up", "shapes"]] {
            self.workspace.run(words).expect(0).expect_said(warning);
        }
        self.workspace.run(&["restart", "worker"]).expect(0);
        self.workspace.kubectl(&[&["delete", "secret", "broken"][..], &namespace].concat());
    }

    pub(crate) fn claims_survive_their_release(&self) {
        let identity = ["get", "persistentvolumeclaim", "shapes-data", "--output", "jsonpath={.metadata.uid}"];
        let claim = self.workspace.kubectl(&identity);
        self.workspace.replace(PROJECT, "projects:\n");
        let pruned = self.workspace.run(&["status", "--prune", "--yes", "-v"]).expect(0);
        pruned.expect_said("volumes are kept: shapes-data");
        assert_eq!(self.workspace.try_kubectl(&["get", "configmap", "shapes"]), None);
        assert_eq!(self.workspace.kubectl(&identity), claim);
        self.workspace.replace("projects:\n", PROJECT);
        self.workspace.run(&["up", "shapes"]).expect(0);
        assert_eq!(self.workspace.kubectl(&identity), claim, "it is used again");
        self.workspace.replace(PROJECT, "projects:\n");
        self.workspace.run(&["status", "--prune", "--yes"]).expect(0);
        self.workspace.kubectl(&["delete", "persistentvolumeclaim", "shapes-data"]);
        self.workspace.kubectl(&["delete", "customresourcedefinition", "figures.example.test"]);
    }
}
