use serde_json::json;

use super::*;
use crate::domain::{Chart, ChartSource, Name};

fn project(values: &Value) -> ResolvedProject {
    ResolvedProject::bare(
        Name::new("database").unwrap(),
        Chart { source: ChartSource::Universal, version: None },
        values.as_object().cloned().unwrap(),
    )
}

fn external(host: &str, port: u16) -> External {
    External { host: host.to_owned(), port }
}

fn ports(values: &Value, port: u16) -> Vec<(String, u16, u16)> {
    let service = ExternalService::new(&project(values), &external("10.0.0.1", port));
    service.ports.into_iter().map(|port| (port.name, port.service, port.target)).collect()
}

#[test]
fn the_ports_are_those_of_the_projects_own_service() {
    let port = |name: &str, service, target| (name.to_owned(), service, target);
    assert_eq!(ports(&json!({"ports": {"postgres": 5432}}), 6432), [port("postgres", 5432, 6432)]);
    let many = json!({"ports": {"admin": 9090, "gone": null, "http": 9898, "rpc": {"port": 7000, "service": 70}}});
    assert_eq!(ports(&many, 8080), [port("http", 80, 8080), port("admin", 9090, 9090), port("rpc", 70, 70)]);
    let without_service = json!({"kind": "CronJob", "ports": {"http": 9898}});
    assert_eq!(ports(&without_service, 8080), [port("external", 8080, 8080)]);
    assert_eq!(ports(&json!({}), 8080), [port("external", 8080, 8080)]);
}

#[test]
fn the_configuration_is_what_the_chart_would_make_of_it() {
    let values = json!({"config": {"TEXT": "a", "NUMBER": 1_000_000, "FLAG": true, "GONE": null}});
    let service = ExternalService::new(&project(&values), &external("10.0.0.1", 1));
    let shown: Vec<(&str, &str)> = service.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(shown, [("FLAG", "true"), ("NUMBER", "1000000"), ("TEXT", "a")]);
}

#[test]
fn a_charts_own_values_are_not_read() {
    let mut foreign =
        project(&json!({"ports": {"http": 1}, "config": {"A": "b"}, "secrets": {"s": {"generate": "k"}}}));
    foreign.chart.source = ChartSource::Oci("example.com/chart".to_owned());
    let service = ExternalService::new(&foreign, &external("db.internal", 5432));
    assert_eq!((service.ports[0].service, service.config.len()), (5432, 0));
    assert_eq!(mistakes(&foreign, &external("db.internal", 5432), "production"), []);
}

#[test]
fn another_place_is_another_checksum() {
    let of = |host: &str| ExternalService::new(&project(&json!({})), &external(host, 1)).checksum();
    assert_eq!(of("a.internal"), of("a.internal"));
    assert_ne!(of("a.internal"), of("b.internal"));
}

#[test]
fn a_name_is_resolved_only_with_the_services_own_port() {
    let values = json!({"ports": {"postgres": 5432}});
    let paths = |host: &str, port| -> Vec<String> {
        mistakes(&project(&values), &external(host, port), "production")
            .into_iter()
            .map(|mistake| mistake.path.join("."))
            .collect()
    };
    assert!(paths("db.internal", 5432).is_empty());
    assert!(paths("10.0.0.1", 6432).is_empty());
    assert_eq!(paths("db.internal", 6432), ["environments.production.external.port"]);
}

#[test]
fn every_generated_password_is_different() {
    let found =
        |secret: Value| mistakes(&project(&json!({"secrets": {"auth": secret}})), &external("a", 1), "production");
    assert_eq!(found(json!({"generate": null, "existing": "x"})), []);
    assert_eq!(found(json!({"generate": "password"}))[0].path, ["secrets", "auth", "generate"]);
}
