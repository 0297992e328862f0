//! A cluster that several workspaces use.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use super::common::{Stages, TestWorkspace};

/// The cluster of a workspace, on which other workspaces have environments with `context: kind-NAME`.
#[derive(Debug, Clone)]
pub(crate) struct SharedCluster {
    name: String,
    kubeconfig: PathBuf,
    pub http_port: u16,
}

/// A project for whose sake a cluster has the whole platform.
const FRONT: &str = r"
projects:
  front: {image: ghcr.io/stefanprodan/podinfo:6.9.2, host: front, values: {ports: {http: 9898}}}
";

/// Starts a cluster for other workspaces.
pub(crate) fn start_cluster(name: &str, stages: &Stages) -> TestWorkspace {
    let owner = TestWorkspace::new(name, FRONT);
    super::start(&owner, stages);
    owner
}

impl SharedCluster {
    pub(crate) fn of(workspace: &TestWorkspace) -> Self {
        let (name, kubeconfig) = (workspace.name.clone(), workspace.kubeconfig());
        Self { name, kubeconfig, http_port: workspace.http_port() }
    }

    /// A workspace with environments on this cluster.
    pub(crate) fn workspace(&self, name: &str, projects: &str) -> TestWorkspace {
        let workspace = TestWorkspace::new(name, &projects.replace("kind-NAME", &format!("kind-{}", self.name)));
        for file in [workspace.user_kubeconfig(), workspace.kubeconfig()] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::copy(&self.kubeconfig, file).unwrap();
        }
        workspace
    }
}

/// Requests a path of a host with further headers, each with its line end. Returns the head, in lower case, and the body.
pub(crate) fn exchange(port: u16, host: &str, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}
