use std::fmt::Write;

use super::*;

fn facts() -> Facts {
    let found = |name, version: &str| FoundTool {
        name,
        version: ToolVersion::Found(Version::parse(version).unwrap()),
        program: name.into(),
    };
    Facts {
        engine: Ok(Engine {
            version: "28.2.2".to_owned(),
            memory_bytes: 8 << 30,
            cpus: 4,
            rootless: false,
            virtual_machine: false,
            os_type: "linux".to_owned(),
            operating_system: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            cgroup_version: Some(2),
            cgroup_driver: "systemd".to_owned(),
            root_folder: "/var/lib/docker".to_owned(),
        }),
        requested: Requested { memory_bytes: 1 << 30, cpu_millis: 500 },
        free_disk_bytes: Some(50 << 30),
        inotify: Some(Inotify { watches: 524_288, instances: 512 }),
        ports: vec![(80, PortState::Free), (443, PortState::Free)],
        resolver: ResolverResult::Loopback,
        tools: vec![found("docker", "28.2.2"), found("kind", "0.30.0"), found("helm", "4.0.0")],
        kubernetes: Some("1.34.2".to_owned()),
        networks: ClusterNetworks::default(),
        docker_network: Some(Subnet::parse("172.18.0.0/16").unwrap()),
        routes: vec![route("172.18.0.0/16", "br-1"), route("192.168.1.0/24", "eth0")],
        operating_system: "linux".to_owned(),
    }
}

fn route(subnet: &str, interface: &str) -> MachineRoute {
    MachineRoute { subnet: Subnet::parse(subnet).unwrap(), interface: interface.to_owned() }
}

#[test]
fn networks_that_hide_hosts_are_reported() {
    let text = problems(|facts| facts.routes.push(route("10.244.0.0/24", "tun0")));
    assert!(
        text.contains("the network of Pods, 10.244.0.0/16, overlaps with the route 10.244.0.0/24 (tun0)"),
        "{text}"
    );
    assert!(text.contains("environments.local.pods"), "{text}");
    let text = problems(|facts| facts.routes.push(route("172.16.0.0/12", "tun0")));
    assert!(text.contains("Docker's network 'kind', 172.18.0.0/16, overlaps"), "{text}");
}

/// The findings that are not ok, one per line.
fn problems(change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = facts();
    change(&mut facts);
    let bad = check(&facts).into_iter().filter(|finding| finding.status != Status::Ok);
    bad.fold(String::new(), |mut text, finding| {
        let Finding { check, status, what, why, help, .. } = finding;
        let _ = writeln!(text, "{check} {status}: {what}; {why}; {help}");
        text
    })
}

fn engine(change: impl FnOnce(&mut Engine)) -> impl FnOnce(&mut Facts) {
    |facts| change(facts.engine.as_mut().unwrap())
}

fn tool(name: &'static str, version: ToolVersion) -> impl FnOnce(&mut Facts) {
    move |facts| facts.tools = vec![FoundTool { name, version, program: name.into() }]
}

#[test]
fn a_good_machine_has_no_problems() {
    assert_eq!(problems(|_| ()), "");
    assert!(check(&facts()).len() >= 10);
}

#[test]
fn an_absent_engine_is_explained_and_ends_the_checks_on_it() {
    let absent = EngineAbsent { why: "connection refused".to_owned(), help: "start Docker".to_owned() };
    let text = problems(|facts| facts.engine = Err(absent));
    insta::assert_snapshot!(text, @"docker failure: no response from a Docker engine; connection refused; start Docker");
}

#[test]
fn the_engine_must_do() {
    insta::assert_snapshot!(problems(engine(|engine| engine.os_type = "windows".to_owned())), @"docker failure: Docker 28.2.2 (Debian GNU/Linux 12 (bookworm)); it runs windows containers, but kind nodes need Linux containers; switch Docker to Linux containers");
    insta::assert_snapshot!(problems(engine(|engine| engine.version = "19.3.1".to_owned())), @"docker failure: Docker 19.3.1 (Debian GNU/Linux 12 (bookworm)); kind nodes require Docker 20.10.0 or later; update Docker");
    // Debian has versions that are not semantic (`20.10.24+dfsg1` is, `5:20.10` is not); they must not be rejected.
    assert_eq!(problems(engine(|engine| engine.version = "5:20.10".to_owned())), "");
}

#[test]
fn memory_is_held_against_the_requests() {
    insta::assert_snapshot!(problems(engine(|engine| engine.memory_bytes = 2 << 30)), @"memory failure: Docker has 2.0 GiB, 2.5 GiB are required; projects request 1.0 GiB and the platform needs 1.5 GiB: some pods will stay Pending; exclude projects (cmdr up --without PROJECT) or lower their requests");
    assert!(
        problems(engine(|engine| (engine.memory_bytes, engine.virtual_machine) = (2 << 30, true)))
            .contains("virtual machine")
    );
    assert!(problems(|facts| facts.requested.cpu_millis = 4001).starts_with("cpu failure"));
}

#[test]
fn cgroups_must_suit_kubernetes_and_rootless() {
    let v1 = |facts: &mut Facts| facts.engine.as_mut().unwrap().cgroup_version = Some(1);
    assert_eq!(problems(v1), "");
    let text = problems(|facts| {
        v1(facts);
        facts.kubernetes = Some("v1.35".to_owned());
    });
    insta::assert_snapshot!(text, @r#"cgroups failure: cgroup v1; the kubelet of Kubernetes 1.35 and later does not start with cgroup v1; boot the kernel with systemd.unified_cgroup_hierarchy=1 to enable cgroup v2, or set 'kubernetes: "1.34"' in the environment"#);
    let rootless = |engine: &mut Engine| (engine.cgroup_version, engine.rootless) = (Some(1), true);
    assert!(problems(engine(rootless)).starts_with("cgroups failure: cgroup v1; rootless Docker"));
}

#[test]
fn disk_and_inotify_have_minimums() {
    assert!(problems(|facts| facts.free_disk_bytes = Some(6 << 30)).starts_with("disk warning: 6.0 GiB free"));
    assert!(problems(|facts| facts.free_disk_bytes = Some(4 << 30)).starts_with("disk failure: 4.0 GiB free"));
    assert_eq!(problems(|facts| facts.free_disk_bytes = None), "");
    let low = Inotify { watches: 8192, instances: 128 };
    insta::assert_snapshot!(problems(|facts| facts.inotify = Some(low)), @"inotify warning: 8192 watches and 128 instances per user; pods fail with 'too many open files' when these limits are exceeded; sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512, and add the same settings to /etc/sysctl.d/99-cmdr.conf to keep them");
}

#[test]
fn tools_have_minimums_and_one_version_is_broken() {
    let found = |text: &str| ToolVersion::Found(Version::parse(text).unwrap());
    for good in ["3.20.0", "4.0.0", "4.2.0", "4.2.2"] {
        assert_eq!(problems(tool("helm", found(good))), "", "{good}");
    }
    assert!(
        problems(tool("helm", found("3.19.4")))
            .starts_with("helm warning: helm 3.19.4; 3.20.0 or later is required; cmdr downloads helm 4.2.2")
    );
    assert!(problems(tool("helm", found("4.2.1"))).starts_with("helm warning: helm 4.2.1; it hangs"));
    assert!(problems(tool("kind", found("0.26.0"))).starts_with("kind warning"));
    assert!(problems(tool("kind", ToolVersion::Missing)).starts_with("kind warning: kind is not installed"));
    assert!(problems(tool("sops", ToolVersion::Missing)).starts_with("sops warning: sops is not installed"));
    assert_eq!(problems(tool("sops", found("3.9.0"))), "");
    let is_supported = |version| is_supported(&FoundTool { name: "helm", version, program: "helm".into() });
    assert!(is_supported(found("4.2.2")) && !is_supported(found("4.2.1")) && !is_supported(ToolVersion::Missing));
    assert!(problems(tool("docker", ToolVersion::Unreadable("?".to_owned()))).starts_with("docker warning"));
}

#[test]
fn ports_and_resolver_warn() {
    assert_eq!(problems(|facts| facts.ports = vec![(80, PortState::Own), (443, PortState::Own)]), "");
    let taken = PortState::Taken { by: Some("nginx".to_owned()) };
    let text = problems(|facts| facts.ports = vec![(80, taken), (443, PortState::Forbidden)]);
    assert!(text.starts_with("ports warning: port 80 on 127.0.0.1 is in use by nginx"), "{text}");
    assert!(text.contains("ports warning: port 443 on 127.0.0.1 is not allowed for rootless Docker"), "{text}");
    assert!(problems(|facts| facts.resolver = ResolverResult::Unknown).starts_with("resolver warning"));
    let elsewhere = ResolverResult::Elsewhere(vec!["192.0.2.1".parse().unwrap()]);
    assert!(problems(|facts| facts.resolver = elsewhere).contains("to 192.0.2.1"));
}
