//! `cmdr status --resources`: what projects request and use, and which of them a node under memory pressure loses first.

use crate::{
    domain::pressure::{Amounts, Demand},
    ops::session::Session,
    ui::{self, table::table},
};

const HEAD: [&str; 9] = ["LOST", "PROJECT", "PODS", "QOS", "PRIORITY", "REQUESTED", "LIMIT", "USED", "MEMORY"];
pub(super) const UNKNOWN_USAGE: &str = "the usage is not known: nothing has been measured yet, or the cluster has no metrics API (metrics-server) and no \
     access to nodes/proxy";
const MEBIBYTE: u64 = 1 << 20;

pub(super) fn show(session: &Session, demands: &[Demand]) {
    let head = HEAD.map(str::to_owned).to_vec();
    let rows = demands.iter().enumerate().map(|(index, demand)| row(index + 1, demand));
    ui::print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    if !demands.is_empty() && demands.iter().all(|demand| demand.used.is_none()) {
        session.note(UNKNOWN_USAGE);
    }
}

fn row(number: usize, demand: &Demand) -> Vec<String> {
    let or_none = |amounts: Option<Amounts>| amounts.map_or_else(|| "-".to_owned(), shown);
    vec![
        number.to_string(),
        demand.project.clone(),
        demand.pods.to_string(),
        demand.qos.clone(),
        demand.priority.to_string(),
        shown(demand.requests),
        or_none(demand.limits),
        or_none(demand.used),
        memory_state(demand.used, demand.exceeds_requests).to_owned(),
    ]
}

/// Compares the memory in use with the request. Without a request, every use exceeds it.
pub(super) fn memory_state(used: Option<Amounts>, exceeds_requests: bool) -> &'static str {
    match (used, exceeds_requests) {
        (Some(_), true) => "exceeds its request",
        (None, true) => "has no request",
        (Some(_), false) => "within its request",
        (None, false) => "-",
    }
}

/// `250m 64Mi`
pub(super) fn shown(amounts: Amounts) -> String {
    format!("{}m {}Mi", amounts.cpu_millis, amounts.memory_bytes.div_ceil(MEBIBYTE))
}
