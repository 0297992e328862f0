//! Alerts, which need a kind that Prometheus' operator brings.

use serde_json::Value;

use super::{Mistake, containers::entries};
use crate::domain::ResolvedProject;

/// Returns a warning for alerts in a cluster whose platform cmdr installs, and in which nothing reads them. A project whose
/// `monitor` is a `ServiceMonitor` says that there is an operator.
pub(super) fn without_operator(project: &ResolvedProject) -> Option<Mistake> {
    let has_alerts = entries(project.values.get("alerts")).next().is_some();
    let kind = project.values.get("monitor").and_then(|monitor| monitor.get("kind"));
    let says_so = kind.and_then(Value::as_str) == Some("ServiceMonitor");
    let message = "alerts need Prometheus' operator, and `platform` installs none".to_owned();
    let expected = "these alerts are a PrometheusRule, a kind that the cluster may not have".to_owned();
    let help =
        "add kube-prometheus-stack to `platform`, or say that the cluster has it: `monitor: {kind: ServiceMonitor}`";
    let mistake = Mistake::new(vec!["alerts".to_owned()], message, expected).with_help(Some(help.to_owned()));
    (has_alerts && !says_so).then_some(mistake)
}
