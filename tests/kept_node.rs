//! Kept nodes on a real cluster: the next cluster starts from the node that was made before, and a copy that cannot be
//! used costs only time.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::time::Duration;

use common::{Stages, TestWorkspace, until};

/// One project without a platform, so that most of the time is the cluster's.
const PROJECTS: &str = "
environments: {local: {}}

platform: {metallb: {enabled: false}, traefik: {enabled: false}}

projects:
  site: {image: ghcr.io/stefanprodan/podinfo:6.9.2, values: {ports: {http: 9898}}}
";
/// What `up` says of a cluster that started from the kept node.
const FROM_KEPT: &str = "from the kept node";
/// The address of a container on the network of kind, as a template of Docker.
const ADDRESS: &str = "{{(index .NetworkSettings.Networks \"kind\").IPAddress}}";

#[test]
fn a_node_that_was_made_once_is_not_made_again() {
    let place = Place::new("kept");
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Place)| stages.stage(name, || stage(&place));
    stage("up keeps the node", Place::the_node_is_kept);
    stage("the next cluster starts from it, at another address", Place::starts_at_another_address);
    stage("cache prune removes it", Place::is_shown_and_removed);
    stages.finish();
}

#[test]
#[ignore = "takes several minutes: each stage creates clusters"]
fn a_copy_that_cannot_be_used_costs_only_time() {
    let place = Place::new("torn");
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Place)| stages.stage(name, || stage(&place));
    stage("a killed copy is not used", Place::a_killed_copy_is_not_used);
    stage("a killed start is repeated", Place::a_killed_start_is_repeated);
    stage("an interrupted start leaves nothing", Place::an_interrupted_start_leaves_nothing);
    stage("a truncated copy is replaced", Place::a_truncated_copy_is_replaced);
    stage("a copy that does not come up is replaced", Place::a_broken_copy_is_replaced);
    stage("a full disk costs only the copy", Place::a_full_disk_costs_only_the_copy);
    stage("a copy of another version is not used", Place::a_copy_of_another_version_is_not_used);
    stage("another configuration makes another node", Place::another_configuration_is_another_node);
    stage("two workspaces have their own", Place::two_workspaces_have_their_own);
    stages.finish();
}

struct Place {
    workspace: TestWorkspace,
}

impl Place {
    fn new(name: &str) -> Self {
        Self { workspace: TestWorkspace::new(name, PROJECTS) }
    }

    fn the_node_is_kept(&self) {
        self.workspace.run(&["up"]).expect(0);
        assert_eq!(self.kept().len(), 2, "an image and a volume: {:?}", self.kept());
        assert_eq!(self.of_node("{{.State.Status}}"), "running");
        self.expect_own_images();
        assert_eq!(self.identity(), self.uid(), "the first cluster needs no identity of its own");
    }

    fn starts_at_another_address(&self) {
        let (uid, images) = (self.uid(), self.images());
        assert!(images.contains("podinfo"), "{images}");
        let address = self.address();
        let before = self.kept();
        self.workspace.run(&["down", "--yes"]).expect(0).expect_said("its new node");
        let squatters = self.take_address(&address);
        let up = self.workspace.run(&["up"]);
        self.docker(
            &[&["rm", "--force"], squatters.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat(),
        );
        up.expect(0).expect_said(FROM_KEPT);
        assert_ne!(self.address(), address);
        assert_eq!(self.kept(), before, "it stays for the cluster after this one");
        self.expect_own_images();
        assert!(self.images().contains("podinfo"), "no image is lost");
        // Two clusters from one node have the same UID, and are two clusters.
        assert_eq!(self.uid(), uid);
        assert!(self.identity().starts_with(&format!("{uid}.")), "{}", self.identity());
        self.expect_address(&self.address());
        assert_eq!(self.workspace.run(&["plan", "--exit-code"]).code, 0);
    }

    /// Starts containers until one has this address, and returns their names.
    fn take_address(&self, address: &str) -> Vec<String> {
        let mut names = Vec::new();
        for number in 0..20 {
            let name = format!("{}-squatter-{number}", self.workspace.name);
            let options = ["--detach", "--name", &name, "--network", "kind", "--entrypoint", "sleep"];
            self.docker(&[&["run"], &options[..], &[&common::rig("CMDR_NODE_IMAGE"), "600"]].concat());
            let taken = self.docker(&["inspect", "--format", ADDRESS, &name]);
            names.push(name);
            if taken == address {
                return names;
            }
        }
        panic!("no container got the address {address}");
    }

    /// The API answers at the node's address with a certificate for it, and the cluster knows no other one.
    fn expect_address(&self, address: &str) {
        let ask = format!("curl -sS --cacert /etc/kubernetes/pki/ca.crt https://{address}:6443/livez");
        assert_eq!(self.docker(&["exec", &self.node(), "sh", "-c", &ask]), "ok");
        let shown = "jsonpath={.items[0].status.addresses[0].address}";
        assert_eq!(self.workspace.kubectl(&["get", "nodes", "-o", shown]), address);
        let endpoints = ["get", "endpointslices", "-n", "default", "kubernetes", "-o", "jsonpath={..addresses[*]}"];
        until("the Service of the API to have only this address", || {
            (self.workspace.kubectl(&endpoints) == address).then_some(())
        });
    }

    fn is_shown_and_removed(&self) {
        let shown = |words: &[&str]| {
            let shown = self.workspace.run(&[words, &["--output", "json"]].concat()).expect(0).json();
            let parts = shown["parts"].as_array().unwrap().clone();
            let kept = parts.into_iter().find(|part| part["content"] == "kept nodes").unwrap();
            (kept["entries"].as_u64().unwrap(), kept["bytes"].as_u64().unwrap())
        };
        let (entries, bytes) = shown(&["cache", "size"]);
        assert!(entries == 1 && bytes > 1_000_000, "{entries}, {bytes}");
        assert_eq!(shown(&["cache", "prune"]), (0, 0), "it is new");
        assert_eq!(shown(&["cache", "prune", "--all", "--dry-run"]), (1, bytes));
        assert_eq!(self.kept().len(), 2);
        assert_eq!(shown(&["cache", "prune", "--all"]), (1, bytes));
        assert_eq!(self.kept(), Vec::<String>::new());
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    fn a_killed_copy_is_not_used(&self) {
        let up = self.workspace.start(&["up"]);
        self.await_node("running");
        self.await_node("paused");
        up.signal("KILL");
        up.wait(Duration::from_mins(1));
        let left = self.kept();
        assert!(left.iter().all(|name| !name.contains('/')), "there is no image: {left:?}");
        self.workspace.run(&["up"]).expect(0).expect_said("start");
        assert_eq!(self.of_node("{{.State.Status}}"), "running");
        self.again_by_kind();
        self.again();
    }

    fn a_killed_start_is_repeated(&self) {
        self.workspace.run(&["down", "--yes"]).expect(0);
        let up = self.workspace.start(&["up"]);
        self.await_node("running");
        up.signal("KILL");
        up.wait(Duration::from_mins(1));
        self.workspace.run(&["up"]).expect(0).expect_said(FROM_KEPT);
        self.expect_own_images();
    }

    fn an_interrupted_start_leaves_nothing(&self) {
        self.workspace.run(&["down", "--yes"]).expect(0);
        let up = self.workspace.start(&["up"]);
        until("the node to be created", || {
            self.workspace.try_tool("docker", &["inspect", "--format", "{{.Id}}", &self.node()]).map(drop)
        });
        up.signal("INT");
        up.wait(Duration::from_mins(1)).expect(130);
        let containers = self.docker(&["ps", "--all", "--format", "{{.Names}}"]);
        assert!(!containers.contains(&self.workspace.name), "{containers}");
        assert_eq!(self.kept().len(), 2, "the kept node is not to blame");
    }

    fn a_truncated_copy_is_replaced(&self) {
        let before = self.image();
        self.damage("truncate --size 1000 \"$file\"");
        self.again_by_kind().expect_said("files are missing or have another size");
        assert_ne!(self.image(), before);
        self.again();
    }

    /// The size of its files is right, and their content is not.
    fn a_broken_copy_is_replaced(&self) {
        let before = self.image();
        self.damage("dd if=/dev/urandom of=\"$file\" bs=4096 count=200 conv=notrunc");
        self.again_by_kind().expect_said("the kept node did not start, and is removed");
        assert_ne!(self.image(), before);
        self.again();
    }

    /// The volume of the copy is a file system of its own, which is smaller than the node's data.
    fn a_full_disk_costs_only_the_copy(&self) {
        let volume = self.volume();
        self.docker(&["image", "rm", &self.image_name()]);
        self.docker(&["volume", "rm", &volume]);
        let small = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m"];
        self.docker(&[&["volume", "create"], &small[..], &[&volume]].concat());
        // Docker mounts it only while a container uses it.
        let (user, mount) = (format!("{}-user", self.workspace.name), format!("{volume}:/full"));
        let options = ["--detach", "--name", &user, "--volume", &mount, "--entrypoint", "sleep"];
        self.docker(&[&["run"], &options[..], &[&common::rig("CMDR_NODE_IMAGE"), "600"]].concat());
        let up = self.workspace.run(&["up", "--recreate", "--yes"]);
        self.docker(&["rm", "--force", &user]);
        self.docker(&["volume", "rm", &volume]);
        up.expect(0).expect_said("the node cannot be kept for the next cluster").expect_said("No space left on device");
        assert_eq!(self.of_node("{{.State.Status}}"), "running");
        assert_eq!(self.kept(), Vec::<String>::new());
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
        self.again_by_kind();
        self.again();
    }

    /// The format of the copy is a part of its key.
    fn a_copy_of_another_version_is_not_used(&self) {
        let image = self.image_name();
        let (repository, key) = image.split_once(':').unwrap();
        let other = format!("{repository}:0123456789ab");
        let container = format!("{}-other", self.workspace.name);
        self.docker(&["create", "--name", &container, &image]);
        self.docker(&["commit", "--change", "LABEL cmdr/kept-node=0123456789ab", &container, &other]);
        self.docker(&["rm", &container]);
        self.docker(&["image", "rm", &image]);
        self.again_by_kind();
        assert!(self.kept().iter().all(|name| name.contains(key)), "{:?}", self.kept());
        self.again();
    }

    fn another_configuration_is_another_node(&self) {
        let before = self.kept();
        self.workspace.replace("{local: {}}", "{local: {pods: 10.246.0.0/16}}");
        self.again_by_kind();
        assert!(self.kept().len() == 2 && self.kept().iter().all(|name| !before.contains(name)), "{:?}", self.kept());
        self.again();
        let pods = self.workspace.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].spec.podCIDR}"]);
        assert!(pods.starts_with("10.246."), "{pods}");
    }

    fn two_workspaces_have_their_own(&self) {
        let other = Self::new("torn-too");
        other.workspace.run(&["up"]).expect(0);
        self.again();
        other.again();
        assert_eq!((self.kept().len(), other.kept().len()), (2, 2));
        assert_ne!(self.address(), other.address());
        assert_ne!(self.identity(), other.identity());
    }

    /// Deletes the cluster and starts it again from the kept node.
    fn again(&self) {
        self.workspace.run(&["up", "--recreate", "--yes"]).expect(0).expect_said(FROM_KEPT);
        self.expect_own_images();
    }

    /// Deletes the cluster and creates it again, without the kept node.
    fn again_by_kind(&self) -> common::Output {
        let up = self.workspace.run(&["up", "--recreate", "--yes"]).expect(0);
        assert!(!up.said().contains(FROM_KEPT), "{}", up.said());
        assert_eq!(self.kept().len(), 2, "its node is kept: {:?}", self.kept());
        up
    }

    /// Changes each log of etcd in the kept node.
    fn damage(&self, command: &str) {
        let volume = self.volume();
        let script = format!("for file in $(find /kept -name '*.wal'); do {command}; done");
        let mount = format!("{volume}:/kept");
        let image = common::rig("CMDR_NODE_IMAGE");
        self.docker(&["run", "--rm", "--volume", &mount, "--entrypoint", "sh", &image, "-c", &script]);
    }

    fn node(&self) -> String {
        format!("{}-control-plane", self.workspace.name)
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        self.workspace.tool("docker", args)
    }

    #[track_caller]
    fn of_node(&self, format: &str) -> String {
        self.docker(&["inspect", "--format", format, &self.node()])
    }

    fn await_node(&self, state: &str) {
        until(&format!("the node to be {state}"), || {
            let found = ["inspect", "--format", "{{.State.Status}}", &self.node()];
            self.workspace.try_tool("docker", &found).filter(|found| found == state).map(drop)
        });
    }

    fn address(&self) -> String {
        self.of_node(ADDRESS)
    }

    /// The names of the image, with a slash, and of the volume of the kept node.
    fn kept(&self) -> Vec<String> {
        let label = format!("label=cmdr/workspace={}", self.workspace.name);
        let kept = "label=cmdr/kept-node";
        let filters = ["--filter", &label, "--filter", kept];
        let images = self.docker(&[&["images", "--format", "{{.Repository}}:{{.Tag}}"], &filters[..]].concat());
        let volumes = self.docker(&[&["volume", "ls", "--quiet"], &filters[..]].concat());
        // The image of a node that started from it has the same labels.
        let is_own = |line: &&str| line.starts_with("cmdr-kept-node");
        images.lines().chain(volumes.lines()).filter(is_own).map(str::to_owned).collect()
    }

    fn image_name(&self) -> String {
        self.kept().into_iter().find(|name| name.contains('/')).unwrap()
    }

    fn volume(&self) -> String {
        self.kept().into_iter().find(|name| !name.contains('/')).unwrap()
    }

    /// The ID of the image of the kept node.
    fn image(&self) -> String {
        self.docker(&["image", "inspect", "--format", "{{.Id}}", &self.image_name()])
    }

    /// The images that the node has.
    fn images(&self) -> String {
        self.docker(&["exec", &self.node(), "ctr", "--namespace", "k8s.io", "images", "ls", "--quiet"])
    }

    /// The node has its images in the volume that outlives it, and none in the volume that does not.
    fn expect_own_images(&self) {
        let mounts = self.of_node("{{range .Mounts}}{{.Source}}={{.Destination}} {{end}}");
        let store = format!("/cmdr-images.{}/_data=/var/lib/containerd", self.workspace.name);
        assert!(mounts.split_whitespace().any(|mount| mount.ends_with(&store)), "{mounts}");
    }

    fn system(&self, path: &str) -> String {
        self.workspace.kubectl(&["get", "namespace", "kube-system", "-o", &format!("jsonpath={path}")])
    }

    fn uid(&self) -> String {
        self.system("{.metadata.uid}")
    }

    fn identity(&self) -> String {
        let written = self.system(r"{.metadata.annotations.cmdr\.dev/cluster-id}");
        if written.is_empty() { self.uid() } else { written }
    }
}
