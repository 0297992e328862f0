//! Clusters that cmdr does not own, selected by a context like those of a cloud: plain kind clusters of one node or
//! more.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use cmdr::domain::{mirror::ImageMirror, node_files::node_files};

use super::{PATIENCE, Running, TestWorkspace, rig, tell};

/// A plain kind cluster, deleted on drop.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub name: String,
    kubeconfig: PathBuf,
    path: String,
    docker_host: String,
}

impl Cloud {
    /// Creates clusters in parallel, each with its context `kind-NAME` in the workspace's own kubeconfig.
    pub(crate) fn start(workspace: &TestWorkspace, names: &[&str]) -> Vec<Self> {
        Self::start_during(workspace, names, || ())
    }

    /// As [`Cloud::start`]; `prepare` runs while the clusters are created.
    pub(crate) fn start_during(workspace: &TestWorkspace, names: &[&str], prepare: impl FnOnce()) -> Vec<Self> {
        let clouds: Vec<Self> = names.iter().map(|name| Self::new(workspace, name)).collect();
        tell(&format!("making the clusters {}", names.join(" and ")));
        let begun: Vec<Running> = clouds.iter().map(|cloud| cloud.begin(workspace)).collect();
        prepare();
        for running in begun {
            running.wait(PATIENCE).expect(0);
        }
        clouds
    }

    fn new(workspace: &TestWorkspace, name: &str) -> Self {
        Self {
            name: format!("{name}-{}", std::process::id()),
            kubeconfig: workspace.user_kubeconfig(),
            path: workspace.variable("PATH").to_owned(),
            docker_host: workspace.variable("DOCKER_HOST").to_owned(),
        }
    }

    pub(crate) fn context(&self) -> String {
        format!("kind-{}", self.name)
    }

    /// Creates a cluster of several nodes, all of which run pods, each in a zone of its own (`zone-0`, `zone-1`, ...).
    pub(crate) fn with_nodes(workspace: &TestWorkspace, name: &str, nodes: usize) -> Self {
        let cloud = Self::new(workspace, name);
        tell(&format!("making the cluster {name} of {nodes} nodes"));
        cloud.begin_nodes(workspace, nodes).wait(PATIENCE).expect(0);
        cloud.connect_nodes(workspace);
        cloud
    }

    /// Gives each node its own network of pods and the routes to those of the others: the rig's node image has the
    /// static network of one node, and kind's own has kindnetd for this.
    fn connect_nodes(&self, workspace: &TestWorkspace) {
        let nodes = self.objects(workspace, &["get", "nodes"]);
        let networks: Vec<(&str, &str, &str)> = nodes["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                let mut addresses = node["status"]["addresses"].as_array().unwrap().iter();
                let address = addresses.find(|one| one["type"] == "InternalIP").unwrap();
                (
                    node["metadata"]["name"].as_str().unwrap(),
                    node["spec"]["podCIDR"].as_str().unwrap(),
                    address["address"].as_str().unwrap(),
                )
            })
            .collect();
        for (node, pods, _) in &networks {
            let configuration = "/etc/cni/net.d/10-kindnet.conflist";
            let subnet = format!("s#\"subnet\":\"[^\"]*\"#\"subnet\":\"{pods}\"#");
            workspace.tool("docker", &["exec", node, "sed", "-i", &subnet, configuration]);
            for (_, other, gateway) in networks.iter().filter(|(other, ..)| other != node) {
                workspace.tool("docker", &["exec", node, "ip", "route", "replace", other, "via", gateway]);
            }
        }
    }

    /// Creates the cluster.
    pub(crate) fn create(&self, workspace: &TestWorkspace) {
        self.begin(workspace).wait(PATIENCE).expect(0);
    }

    /// Starts to create the cluster; its node uses the image mirrors of the tests' environment.
    fn begin(&self, workspace: &TestWorkspace) -> Running {
        self.begin_nodes(workspace, 1)
    }

    fn begin_nodes(&self, workspace: &TestWorkspace, nodes: usize) -> Running {
        let folder = workspace.root().parent().unwrap().join("clouds");
        fs::create_dir_all(&folder).unwrap();
        let _ = workspace.command("docker").args(["network", "create", "kind"]).output();
        let gateways = ["network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{println .Gateway}}{{end}}"];
        let gateways = workspace.tool("docker", &gateways);
        let gateway = gateways.lines().find_map(|line| line.trim().parse().ok()).expect("the network has a gateway");
        let mirrors = ImageMirror::parse_list(workspace.variable("CMDR_IMAGE_MIRRORS")).unwrap();
        let certs = folder.join(&self.name);
        for file in node_files(&[], &mirrors, None, gateway) {
            let path = certs.join(file.path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.content).unwrap();
        }
        let certs = certs.join("etc/containerd/certs.d");
        fs::create_dir_all(&certs).unwrap();
        let configuration = configuration(nodes, &certs);
        let file = folder.join(format!("{}.yaml", self.name));
        fs::write(&file, configuration).unwrap();
        let (image, kubeconfig) = (rig("CMDR_NODE_IMAGE"), self.kubeconfig.to_string_lossy().into_owned());
        let config = file.to_string_lossy().into_owned();
        let create = ["create", "cluster", "--name", &self.name, "--image", &image, "--config", &config];
        let mut kind = workspace.command("kind");
        Running::start(kind.args(create).args(["--kubeconfig", &kubeconfig, "--wait", "120s"]))
    }

    /// Runs kubectl on this cluster.
    #[track_caller]
    pub(crate) fn kubectl(&self, workspace: &TestWorkspace, args: &[&str]) -> String {
        workspace.tool("kubectl", &[&self.kubectl_target().each_ref().map(String::as_str)[..], args].concat())
    }

    /// kubectl on this cluster, until the test ends it.
    pub(crate) fn start_kubectl(&self, workspace: &TestWorkspace, args: &[&str]) -> Running {
        Running::start(workspace.command("kubectl").args(self.kubectl_target()).args(args))
    }

    fn kubectl_target(&self) -> [String; 4] {
        let kubeconfig = self.kubeconfig.to_string_lossy().into_owned();
        ["--kubeconfig".to_owned(), kubeconfig, "--context".to_owned(), self.context()]
    }

    /// Runs kubectl and returns its output as JSON.
    #[track_caller]
    pub(crate) fn objects(&self, workspace: &TestWorkspace, args: &[&str]) -> serde_json::Value {
        let answer = self.kubectl(workspace, &[args, &["--output", "json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("kubectl {}: {error}", args.join(" ")))
    }

    /// Runs helm on this cluster.
    #[track_caller]
    pub(crate) fn helm(&self, workspace: &TestWorkspace, args: &[&str]) -> String {
        let kubeconfig = self.kubeconfig.to_string_lossy().into_owned();
        let context = self.context();
        workspace.tool("helm", &[args, &["--kubeconfig", &kubeconfig, "--kube-context", &context]].concat())
    }

    /// Deletes the cluster, to simulate its loss.
    pub(crate) fn delete(&self) {
        let mut delete = std::process::Command::new("kind");
        delete.env("PATH", &self.path).env("DOCKER_HOST", &self.docker_host);
        let kubeconfig = self.kubeconfig.to_string_lossy().into_owned();
        delete.args(["delete", "cluster", "--name", &self.name, "--kubeconfig", &kubeconfig]);
        let _ = Running::start(&mut delete).wait(Duration::from_mins(1));
    }
}

/// kind's configuration of a cluster whose nodes all run pods; `certs` says where they find images.
fn configuration(nodes: usize, certs: &Path) -> String {
    let mut text = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\ncontainerdConfigPatches:\n- |-\n  \
                    [plugins.\"io.containerd.grpc.v1.cri\".registry]\n    config_path = \"/etc/containerd/certs.d\"\n\
                    nodes:\n"
        .to_owned();
    for number in 0..nodes {
        let role = if number == 0 { "control-plane" } else { "worker" };
        let _ = write!(
            text,
            "- role: {role}\n  labels: {{topology.kubernetes.io/zone: zone-{number}}}\n  \
             extraMounts: [{{hostPath: {}, containerPath: /etc/containerd/certs.d}}]\n",
            certs.display()
        );
        // kind itself removes the taint of an only node, and fails without it.
        if number == 0 && nodes > 1 {
            text += "  kubeadmConfigPatches:\n  - |\n    kind: InitConfiguration\n    nodeRegistration: {taints: []}\n";
        }
    }
    text
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.delete();
    }
}
