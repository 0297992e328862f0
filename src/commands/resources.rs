//! `cmdr status --resources`: what projects request and use, and which of them a node under memory pressure loses first.

use std::collections::BTreeMap;

use crate::{
    domain::pressure::{self, Amounts, Demand},
    error::CommandError,
    ops::{connect, session::Session},
    ui::{self, table::table},
};

const HEAD: [&str; 9] = ["LOST", "PROJECT", "PODS", "QOS", "PRIORITY", "REQUESTED", "LIMIT", "USED", "MEMORY"];
const MEBIBYTE: u64 = 1 << 20;

/// The projects, first what is lost first.
///
/// # Errors
/// When the cluster is not running or does not respond.
pub(super) async fn demands(session: &Session) -> Result<Vec<Demand>, CommandError> {
    let cluster = connect(session).await?;
    let pods = cluster.demands(session.workspace().as_str(), &session.environment.namespace).await?;
    let mut by_project: BTreeMap<String, Demand> = BTreeMap::new();
    for pod in pods {
        let all = match by_project.remove(&pod.project) {
            Some(others) => others.and(pod),
            None => pod,
        };
        by_project.insert(all.project.clone(), all);
    }
    let mut demands: Vec<Demand> = by_project.into_values().collect();
    pressure::sort(&mut demands);
    Ok(demands)
}

pub(super) fn show(session: &Session, demands: &[Demand]) {
    let head = HEAD.map(str::to_owned).to_vec();
    let rows = demands.iter().enumerate().map(|(index, demand)| row(index + 1, demand));
    ui::print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    if !demands.is_empty() && demands.iter().all(|demand| demand.used.is_none()) {
        session.note("the usage is not known: the cluster has no metrics API (metrics-server)");
    }
}

fn row(number: usize, demand: &Demand) -> Vec<String> {
    let or_none = |amounts: Option<Amounts>| amounts.map_or_else(|| "-".to_owned(), shown);
    let state = match (demand.used, demand.exceeds_requests) {
        (_, true) => "exceeds its request",
        (Some(_), false) => "within its request",
        (None, false) => "-",
    };
    vec![
        number.to_string(),
        demand.project.clone(),
        demand.pods.to_string(),
        demand.qos.clone(),
        demand.priority.to_string(),
        shown(demand.requests),
        or_none(demand.limits),
        or_none(demand.used),
        state.to_owned(),
    ]
}

/// `250m 64Mi`
fn shown(amounts: Amounts) -> String {
    format!("{}m {}Mi", amounts.cpu_millis, amounts.memory_bytes.div_ceil(MEBIBYTE))
}
