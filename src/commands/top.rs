//! `cmdr top`: what projects or pods use, with their requests and limits.

use std::{cmp::Reverse, time::Duration};

use crate::{
    adapters::{cluster::Cluster, wait::pause},
    cli::TopOptions,
    domain::pressure::{Amounts, Demand},
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        options::UpRequest,
        resources::{pod_demands, sum},
        selection::Selection,
        session::Session,
    },
    settings::OutputFormat,
    ui::{Watched, table::table},
};

/// The kubelet measures every 10 to 20 seconds.
const INTERVAL: Duration = Duration::from_secs(5);
const MEBIBYTE: u64 = 1 << 20;
const AMOUNTS: [&str; 6] = ["CPU", "CPU REQUEST", "CPU LIMIT", "MEMORY", "MEMORY REQUEST", "MEMORY LIMIT"];

/// # Errors
/// When a project is unknown, or the cluster is not running or does not respond.
pub(super) async fn top(session: &Session, options: &TopOptions) -> Result<(), CommandError> {
    if !options.projects.is_empty() {
        Selection::choose(session, &UpRequest { projects: options.projects.clone(), ..UpRequest::default() })?;
    }
    let cluster = connect(session).await?;
    let is_json = session.settings.output == OutputFormat::Json;
    let mut watched = if is_json { Watched::json() } else { Watched::text() };
    loop {
        let demands = demands(session, &cluster, options).await?;
        let text = if is_json { format!("{}\n", serde_json::json!(demands)) } else { shown(&demands, options.pods) };
        if !options.watch {
            crate::ui::print(&text);
            if !is_json && !demands.is_empty() && demands.iter().all(|demand| demand.used.is_none()) {
                session.note(crate::commands::resources::UNKNOWN_USAGE);
            }
            return Ok(());
        }
        watched.show(&text);
        if pause(INTERVAL, &session.cancel).await.is_err() {
            return Err(CommandError::reported(ErrorKind::Interrupted));
        }
    }
}

/// The projects or pods, first what uses the most memory.
async fn demands(session: &Session, cluster: &Cluster, options: &TopOptions) -> Result<Vec<Demand>, CommandError> {
    let pods = pod_demands(session, cluster, &options.projects).await?;
    let mut demands = if options.pods { pods } else { sum(pods) };
    let memory = |demand: &Demand| demand.used.map(|used| used.memory_bytes);
    demands.sort_by_key(|demand| (Reverse(memory(demand)), demand.project.clone(), demand.pod.clone()));
    Ok(demands)
}

fn shown(demands: &[Demand], of_pods: bool) -> String {
    let names: &[&str] = if of_pods { &["PROJECT", "POD"] } else { &["PROJECT", "PODS"] };
    let head = names.iter().chain(&AMOUNTS).map(|name| (*name).to_owned()).collect();
    table(&std::iter::once(head).chain(demands.iter().map(row)).collect::<Vec<_>>())
}

fn row(demand: &Demand) -> Vec<String> {
    let pod = demand.pod.clone().unwrap_or_else(|| demand.pods.to_string());
    let amounts = [demand.used, Some(demand.requests), demand.limits];
    let [used, requests, limits] = amounts.map(Option::unwrap_or_default);
    let share = |of: u64| match demand.used {
        Some(used) if of > 0 => format!(" ({}%)", used.memory_bytes * 100 / of),
        _ => String::new(),
    };
    let memory = |amounts: Amounts| match amounts.memory_bytes {
        0 => "-".to_owned(),
        bytes => format!("{}Mi{}", bytes.div_ceil(MEBIBYTE), share(bytes)),
    };
    let cpu =
        |amounts: Amounts| if amounts.cpu_millis == 0 { "-".to_owned() } else { format!("{}m", amounts.cpu_millis) };
    let is_known = demand.used.is_some();
    let unknown = || "-".to_owned();
    vec![
        demand.project.clone(),
        pod,
        if is_known { format!("{}m", used.cpu_millis) } else { unknown() },
        cpu(requests),
        cpu(limits),
        if is_known { format!("{}Mi", used.memory_bytes.div_ceil(MEBIBYTE)) } else { unknown() },
        memory(requests),
        memory(limits),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_compared_with_requests_and_limits() {
        let amounts = |cpu_millis, mebibytes: u64| Amounts { cpu_millis, memory_bytes: mebibytes << 20 };
        let demand = Demand {
            project: "shop".to_owned(),
            pod: None,
            pods: 2,
            qos: "Burstable".to_owned(),
            priority: 0,
            requests: amounts(50, 64),
            limits: Some(amounts(0, 128)),
            used: Some(amounts(12, 32)),
            exceeds_requests: false,
        };
        let unknown = Demand { project: "batch".to_owned(), used: None, limits: None, ..demand.clone() };
        let expected = "\
PROJECT  PODS  CPU  CPU REQUEST  CPU LIMIT  MEMORY  MEMORY REQUEST  MEMORY LIMIT
shop     2     12m  50m          -          32Mi    64Mi (50%)      128Mi (25%)
batch    2     -    50m          -          -       64Mi            -
";
        assert_eq!(shown(&[demand, unknown], false), expected);
    }
}
