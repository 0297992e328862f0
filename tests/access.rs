//! What a laptop reaches of a local cluster: ports of projects on 127.0.0.1, and hosts by HTTPS.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "access/desk.rs"]
mod desk;
#[path = "access/stages_of_https.rs"]
mod stages_of_https;
#[path = "access/stages_of_ports.rs"]
mod stages_of_ports;

use common::Stages;
use desk::Desk;

/// `EXPOSE` is the map of exposed ports.
const PROJECTS: &str = r#"
environments:
  local:
    expose: EXPOSE
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  echo:
    image: docker.io/library/redis:7.0
    values:
      ports: {echo: {port: 7777, protocol: UDP}}
      probes: {readiness: {exec: ["true"]}}
      grace: 1
      command:
        - perl
        - -MIO::Socket::INET
        - -e
        - >-
          $s = IO::Socket::INET->new(LocalPort => 7777, Proto => "udp") or die;
          while (defined $s->recv($m, 999)) { $s->send("echo $m") }
  shop:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: shop
    check: {path: /readyz}
    values: {ports: {http: 9898}}
"#;

#[test]
#[ignore = "takes two minutes: make test-full runs it"]
fn a_laptop_reaches_its_cluster() {
    let desk = Desk::new("access");
    let stages = Stages::default();
    let stage = |name: &str, stage: fn(&Desk)| stages.stage(name, || stage(&desk));
    stage("a port that is taken is refused before anything is created", Desk::a_taken_port_is_refused);
    stage("exposed TCP and UDP ports lead to their projects", Desk::ports_lead_to_projects);
    stage("cmdr secret show prints a generated password", Desk::a_password_is_shown);
    stage("status lists the ports, and a second up changes nothing", Desk::ports_are_listed);
    stage("hosts answer over HTTPS with a certificate of the local authority", Desk::hosts_answer_over_https);
    stage("with tls, URLs are shown and checked by HTTPS", Desk::urls_are_https);
    stage("hosts outside of the domain get a certificate, too", Desk::other_hosts_get_a_certificate);
    stage("no key is in output or logs", Desk::keys_are_nowhere);
    stage("a Service with another address is followed", Desk::another_address_is_followed);
    stage("stop frees the ports, start publishes them again", Desk::ports_stop_and_start);
    stage("another port is published instead of the first", Desk::another_port_is_published);
    stage("without expose, nothing is published", Desk::nothing_is_published);
    stage("down removes what publishes ports", Desk::down_removes_all);
    stages.finish();
}
