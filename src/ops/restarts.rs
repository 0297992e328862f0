//! Containers that restarted a short time ago: between two crashes, Kubernetes reports them as ready.

use jiff::{SignedDuration, Timestamp};

use serde_json::Value;

use crate::domain::{
    causes,
    query::{QueryFinding, Question, Restarts},
};

/// Longer than the kubelet's longest delay between two restarts, 5 minutes.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// Returns the containers of these namespaces that restarted in the last ten minutes. `pods` are listed with the workloads
/// that select them.
pub(crate) fn recent_restarts(pods: &[Value], namespaces: &[String], now: Timestamp) -> Vec<Restarts> {
    let is_here = |it: &Restarts| it.namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace));
    let found = Question::Restarts.answer(pods).unwrap_or_default().into_iter().filter_map(|finding| match finding {
        QueryFinding::Restarts(restarts) => Some(restarts),
        _ => None,
    });
    found.filter(|it| is_here(it) && is_recent(it, now)).collect()
}

fn is_recent(restarts: &Restarts, now: Timestamp) -> bool {
    let ended = restarts.last_ended.as_deref().and_then(|ended| ended.parse::<Timestamp>().ok());
    let code = restarts.last_exit_code;
    // An exit code of 0 is that of a container that was asked to end.
    let was_ended =
        code.is_some_and(|code| code == 0 || causes::ended_with_node(code, restarts.last_reason.as_deref()));
    !was_ended && ended.is_some_and(|ended| now.duration_since(ended) < RECENT)
}

/// Describes each restarted container in a line.
pub(crate) fn restart_messages(restarts: &[Restarts]) -> Vec<String> {
    let line = |it: &Restarts| {
        let container = if it.container == it.project { String::new() } else { format!(" ({})", it.container) };
        let code = it.last_exit_code.map(|code| format!(", last with exit code {code}")).unwrap_or_default();
        let times = if it.restarts == 1 { "once".to_owned() } else { format!("{} times", it.restarts) };
        format!("restarted {times}: {}{container}{code}; cmdr logs {} --previous shows why", it.project, it.project)
    };
    restarts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A pod of `shop` in this namespace, whose container has ended with this code at this time.
    fn pod(namespace: &str, exit_code: i64, ended: &str) -> Value {
        let reason = if exit_code == 255 { "Unknown" } else { "Error" };
        let last = json!({"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": ended}});
        let status = json!({"name": "proxy", "restartCount": 3, "state": {"running": {}}, "lastState": last});
        let labels = json!({"app.kubernetes.io/name": "shop"});
        json!({"kind": "Pod", "metadata": {"name": "shop-1", "namespace": namespace, "labels": labels},
            "status": {"containerStatuses": [status]}})
    }

    #[test]
    fn a_crash_is_reported_for_some_minutes() {
        let recent = |pod: Value| {
            let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
            restart_messages(&recent_restarts(&[pod], &["tunes".to_owned()], now))
        };
        assert_eq!(
            recent(pod("tunes", 3, "2026-01-01T11:52:00Z")),
            ["restarted 3 times: shop (proxy), last with exit code 3; cmdr logs shop --previous shows why"]
        );
        assert_eq!(recent(pod("tunes", 3, "2026-01-01T11:40:00Z")), Vec::<String>::new());
        assert_eq!(recent(pod("tunes", 0, "2026-01-01T11:59:00Z")), Vec::<String>::new());
        assert_eq!(recent(pod("tunes", 255, "2026-01-01T11:59:00Z")), Vec::<String>::new(), "its node was stopped");
        assert_eq!(recent(pod("other", 3, "2026-01-01T11:52:00Z")), Vec::<String>::new());
    }
}
