//! The Docker adapter against a real engine.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::Command,
};

use cmdr::{
    adapters::{
        credentials::Credentials,
        docker::{Docker, DockerLookup, Published, State, UploadFile},
    },
    domain::{ImageReference, mirror::ImageMirror, node_files::node_files, preflight::Engine},
};
use tokio_util::sync::CancellationToken;

/// An image with a shell that the rig builds.
const IMAGE: &str = "rig/base:bookworm";
/// A certificate; any works, because the mirror uses plain HTTP.
const CERTIFICATE: &str = "cat /etc/ssl/certs/ca-certificates.crt | sed '/END CERTIFICATE/q'";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the rig.
fn rig(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("this test needs {name}, which 'make test' sets"))
}

/// The engine that cmdr's settings find.
fn lookup() -> DockerLookup {
    let home = PathBuf::from(variable("HOME").unwrap_or_default());
    DockerLookup {
        host: variable("DOCKER_HOST"),
        context: variable("DOCKER_CONTEXT"),
        config_folder: variable("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from),
        home,
        runtime_folder: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        tls_verify: variable("DOCKER_TLS_VERIFY").is_some(),
        cert_path: variable("DOCKER_CERT_PATH").map(PathBuf::from),
    }
}

async fn docker() -> Docker {
    match Docker::connect(&lookup()).await {
        Ok(docker) => docker,
        Err(error) => panic!("this test needs a Docker engine, which 'make test' brings up: {error}"),
    }
}

/// Runs the docker CLI with the adapter's engine.
fn cli(docker: &Docker, args: &[&str]) -> String {
    let output = Command::new("docker").args(args).envs(docker.endpoint().environment()).output();
    let output = output.expect("the docker CLI is installed");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "docker {}: {error} ('make test' prepares what is needed)", args.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An object of the engine that is removed at the end, also when the test fails.
struct Guard<'a> {
    docker: &'a Docker,
    remove: Vec<String>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let environment = self.docker.endpoint().environment();
        let _ = Command::new("docker").args(&self.remove).envs(environment).output();
    }
}

fn guard<'a>(docker: &'a Docker, remove: &[&str]) -> Guard<'a> {
    Guard { docker, remove: remove.iter().map(|word| (*word).to_owned()).collect() }
}

/// A name that no other run of the tests uses at the same time.
fn unique(what: &str) -> String {
    format!("cmdr-test-{what}-{}", std::process::id())
}

#[tokio::test]
async fn the_engine_describes_itself() {
    let docker = docker().await;
    let engine = docker.info().await.unwrap();
    let Engine { version, memory_bytes, cpus, os_type, cgroup_version, .. } = &engine;
    assert_eq!(*version, cli(&docker, &["info", "--format", "{{.ServerVersion}}"]));
    assert_eq!(memory_bytes.to_string(), cli(&docker, &["info", "--format", "{{.MemTotal}}"]));
    assert_eq!(cpus.to_string(), cli(&docker, &["info", "--format", "{{.NCPU}}"]));
    assert_eq!((os_type.as_str(), cgroup_version.is_some()), ("linux", true));
    assert!(engine.virtual_machine || docker.free_disk_bytes(&engine).is_some_and(|bytes| bytes > 0));
}

#[tokio::test]
async fn a_network_is_made_once_as_kind_makes_it() {
    let docker = docker().await;
    let name = unique("network");
    let _guard = guard(&docker, &["network", "rm", &name]);
    assert_eq!(docker.network(&name).await.unwrap(), None);
    // In parallel: two clusters that are created at the same time must use one network.
    let (one, other) = tokio::join!(docker.ensure_network(&name), docker.ensure_network(&name));
    let again = docker.ensure_network(&name).await.unwrap();
    assert_eq!((one.unwrap(), other.unwrap()), (again.clone(), again.clone()));
    assert_eq!(cli(&docker, &["network", "ls", "-q", "--filter", &format!("name=^{name}$")]).lines().count(), 1);
    let masquerade = "{{index .Options \"com.docker.network.bridge.enable_ip_masquerade\"}} {{.Driver}}";
    assert_eq!(cli(&docker, &["network", "inspect", &name, "--format", masquerade]), "true bridge");
    let inside = |address: Ipv4Addr| u32::from(address) >> (32 - again.subnet.prefix);
    assert_eq!(inside(again.gateway), inside(again.subnet.address));
}

/// Creates a container with the labels of a kind node that runs `sleep`.
fn create_node(docker: &Docker, name: &str) {
    let cluster = format!("io.x-k8s.kind.cluster={name}");
    let labels = ["--label", &cluster, "--label", "io.x-k8s.kind.role=control-plane"];
    let places = ["--network", "kind", "--publish", "127.0.0.1::80/tcp", "--volume", "/data"];
    let create = ["create", "--name", name];
    let run = [IMAGE, "sleep", "300"];
    cli(docker, &[&create[..], &labels, &places, &run].concat());
}

#[tokio::test]
async fn a_node_is_seen_through_its_whole_life() {
    let docker = docker().await;
    docker.ensure_network("kind").await.unwrap();
    let name = unique("node");
    let _guard = guard(&docker, &["rm", "--force", "--volumes", &name]);
    create_node(&docker, &name);
    let node = || async { docker.node_containers().await.unwrap().into_iter().find(|node| node.cluster == name) };
    let state = || async { node().await.map(|node| node.state) };

    let created = node().await.unwrap();
    assert_eq!(
        (created.state, created.role.as_str(), created.image.as_str()),
        (State::Created, "control-plane", IMAGE)
    );
    assert_eq!((created.name.as_str(), created.address), (name.as_str(), None));

    docker.start(&name).await.unwrap();
    docker.start(&name).await.expect("a running container is left unchanged");
    let running = node().await.unwrap();
    assert_eq!(running.state, State::Running);
    let network = docker.network("kind").await.unwrap().unwrap();
    assert!(running.address.is_some_and(|address| address != network.gateway));
    let Published { address, port } = running.published[&80];
    assert_eq!(address, IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(format!("127.0.0.1:{port}"), cli(&docker, &["port", &name, "80/tcp"]));
    let volume = cli(&docker, &["inspect", &name, "--format", "{{(index .Mounts 0).Name}}"]);
    assert!(running.mounts.iter().any(|mount| mount.destination == "/data" && mount.source.contains(&volume)));

    let holder = format!("container {name} of the kind cluster {name}");
    assert_eq!(docker.port_holders().await.unwrap().get(&port), Some(&holder));

    docker.pause(&name).await.unwrap();
    assert_eq!(state().await, Some(State::Paused));
    docker.unpause(&name).await.unwrap();
    assert_eq!(state().await, Some(State::Running));

    // `sleep` as process 1 ignores SIGTERM, so the test does not wait for it.
    cli(&docker, &["kill", &name]);
    docker.stop(&name, 1).await.expect("a stopped container is left unchanged");
    let stopped = node().await.unwrap();
    assert_eq!((stopped.state, stopped.address), (State::Stopped, None));

    docker.remove(&name, true).await.unwrap();
    docker.remove(&name, true).await.expect("a missing container is no error");
    assert_eq!(state().await, None);
    assert_eq!(cli(&docker, &["volume", "ls", "-q", "--filter", &format!("name={volume}")]), "");
}

#[tokio::test]
async fn files_go_in_and_out_and_programs_run() {
    let docker = docker().await;
    let name = unique("files");
    let _guard = guard(&docker, &["rm", "--force", &name]);
    cli(&docker, &["run", "--detach", "--name", &name, IMAGE, "sleep", "300"]);
    let files = [
        UploadFile { path: "etc/containerd/certs.d/docker.io/hosts.toml", content: b"x = 1\n", mode: 0o644 },
        UploadFile { path: "root/secret", content: b"\0\xff", mode: 0o600 },
    ];
    docker.upload(&name, "/", &files).await.unwrap();
    assert_eq!(docker.read_file(&name, "/root/secret").await.unwrap(), b"\0\xff");
    let script = "cat /etc/containerd/certs.d/docker.io/hosts.toml; stat -c '%a %U' /root/secret >&2; exit 3";
    let output = docker.exec(&name, &["sh", "-c", script]).await.unwrap();
    assert_eq!((output.exit_code, output.stdout.as_str(), output.stderr.as_str()), (3, "x = 1\n", "600 root\n"));

    let absent = docker.read_file(&name, "/no/such/file").await.unwrap_err();
    assert!(absent.is_not_found(), "{absent}");
    assert!(docker.read_file(&name, "/etc").await.unwrap_err().to_string().ends_with("is not a regular file"));
    let program = docker.exec(&name, &["no-such-program"]).await;
    assert!(program.is_ok_and(|output| output.exit_code == 126 || output.exit_code == 127));
    let gone = docker.exec("no-such-container", &["true"]).await.unwrap_err();
    assert_eq!(gone.to_string(), "Docker could not run true in container no-such-container");
    assert_eq!(gone.problem().details, ["No such container: no-such-container"]);
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_explained() {
    let docker = docker().await;
    assert!(docker.has_image(IMAGE).await.unwrap(), "{IMAGE} is built by the rig, which 'make test' prepares");
    // No process listens on port 1: no registry receives a request.
    let image = ImageReference::parse("127.0.0.1:1/shop:1").unwrap();
    assert!(!docker.has_image(&image.to_string()).await.unwrap());
    let error = docker.pull_image(&image, None, |_| ()).await.unwrap_err().problem();
    assert_eq!(error.message, "cannot pull image 127.0.0.1:1/shop:1");
    assert!(error.details.concat().contains("connection refused"), "{error:?}");
}

#[tokio::test]
async fn a_private_image_is_pulled_with_the_login_of_a_helper() {
    use std::os::unix::fs::PermissionsExt;
    let docker = docker().await;
    let image = ImageReference::parse(&rig("RIG_PRIVATE_IMAGE")).unwrap();
    let _ = Command::new("docker").args(["rmi", &image.to_string()]).envs(docker.endpoint().environment()).output();
    let refused = docker.pull_image(&image, None, |_| ()).await.unwrap_err().problem();
    assert!(refused.details.concat().contains("no basic auth credentials"), "{refused:?}");

    let folder = tempfile::tempdir().unwrap();
    let helper = folder.path().join("docker-credential-rig");
    let (user, password) = (rig("RIG_PRIVATE_USER"), rig("RIG_PRIVATE_PASSWORD"));
    let answer =
        format!("#!/bin/sh\ncat > /dev/null\necho '{{\"Username\": \"{user}\", \"Secret\": \"{password}\"}}'\n");
    std::fs::write(&helper, answer).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"credsStore": "rig"}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let credentials = Credentials::read(folder.path()).unwrap().with_search_path(path);
    let found = credentials.for_registries(&[&image.registry], &CancellationToken::new()).await;
    assert_eq!(found.warnings, []);

    let mut last = None;
    docker.pull_image(&image, found.credentials.first(), |progress| last = Some(progress)).await.unwrap();
    assert!(docker.has_image(&image.to_string()).await.unwrap());
    // No layers are pushed if another image has them.
    assert!(last.is_some_and(|last| last.layers_done == last.layers_total), "{last:?}");
}

#[tokio::test]
async fn a_published_port_that_is_taken_is_reported_with_what_to_do() {
    let docker = docker().await;
    let name = unique("port");
    let _guard = guard(&docker, &["rm", "--force", &name]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let publish = format!("127.0.0.1:{}:80", listener.local_addr().unwrap().port());
    cli(&docker, &["create", "--name", &name, "--publish", &publish, IMAGE, "true"]);
    let error = docker.start(&name).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Docker could not start container {name}"));
    assert!(error.problem().help.is_some_and(|help| help.contains("stop the program that uses the port")), "{error}");
}

/// Runs only the containerd of the node image, which is much faster than a cluster.
async fn containerd(docker: &Docker, name: &str) {
    let image = rig("RIG_NODE_IMAGE");
    let run = ["run", "--detach", "--name", name, "--network", "kind", "--entrypoint", "containerd", &image];
    cli(docker, &run);
    for _ in 0..100 {
        let version = docker.exec(name, &["ctr", "version"]).await;
        if version.is_ok_and(|output| output.exit_code == 0) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("containerd did not start: {}", cli(docker, &["logs", name]));
}

#[tokio::test]
async fn a_nodes_containerd_takes_images_from_mirrors_with_and_without_a_ca() {
    let docker = docker().await;
    let gateway = docker.ensure_network("kind").await.unwrap().gateway;
    let name = unique("containerd");
    let _guard = guard(&docker, &["rm", "--force", "--volumes", &name]);
    containerd(&docker, &name).await;
    let mirror = format!("http://{}", rig("RIG_REGISTRY"));
    let port = rig("RIG_REGISTRY").rsplit(':').next().map(str::to_owned).unwrap();
    // Registries that a node cannot reach directly: Docker Hub, and one that does not exist.
    let redis = "docker.io/library/redis:7.0".to_owned();
    let absent = format!("registry.invalid:{port}/library/redis:7.0");
    let ca = cli(&docker, &["run", "--rm", IMAGE, "sh", "-c", CERTIFICATE]);
    for (host, image) in [("*", &redis), ("docker.io", &redis), (&format!("registry.invalid:{port}"), &absent)] {
        for ca in [None, Some(ca.as_str())] {
            docker.exec(&name, &["rm", "-rf", "/etc/containerd/certs.d"]).await.unwrap();
            let files = node_files(&[], &[ImageMirror::new(host, &mirror).unwrap()], ca, gateway);
            let uploads = files.iter().map(|file| UploadFile {
                path: file.path.trim_start_matches('/'),
                content: file.content.as_bytes(),
                mode: 0o644,
            });
            docker.upload(&name, "/", &uploads.collect::<Vec<_>>()).await.unwrap();
            let fetch = ["timeout", "20", "ctr", "content", "fetch", "--hosts-dir", "/etc/containerd/certs.d", image];
            let fetched = docker.exec(&name, &fetch).await.unwrap();
            assert_eq!(fetched.exit_code, 0, "{host} {image} {files:?}: {}", fetched.stderr);
        }
    }
}
