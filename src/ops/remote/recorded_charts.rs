//! Charts of records: cmdr's own chart if it is the same, else from the ledger, else fetched again and compared.

use crate::{
    adapters::helm::{FetchedChart, Helm, HelmError},
    domain::{Chart, ChartSource, Problem, record::Record},
    error::CommandError,
    ops::{remote::access::RemoteAccess, session::Session},
};

/// The chart of a record, from this machine, from the environment's ledger, or from its registry.
///
/// # Errors
/// When it is no longer available, or its registry has different content under the same version.
pub async fn chart_of(
    session: &Session,
    helm: &Helm,
    access: &RemoteAccess,
    namespace: &str,
    record: &Record,
) -> Result<FetchedChart, CommandError> {
    let chart = &record.chart;
    if let Some(known) = known(session, helm, record).await? {
        return Ok(known);
    }
    let archive = access.cluster.chart(namespace, &chart.digest).await?;
    let archive = archive.ok_or_else(|| gone(record))?;
    session.charts().unpack(&chart.name, &chart.digest, &archive).map_err(broken)
}

/// The same without a ledger: `None` if only the ledger has the chart.
///
/// # Errors
/// When it cannot be fetched, or its content has changed.
pub async fn known(session: &Session, helm: &Helm, record: &Record) -> Result<Option<FetchedChart>, CommandError> {
    let (cache, chart) = (session.charts(), &record.chart);
    let Some(source) = chart.to_chart() else {
        let own = Chart { source: ChartSource::Universal, version: None };
        let own = cache.fetch(helm, &own, &session.cancel).await.map_err(broken)?;
        let own = Some(own).filter(|own| own.digest == chart.digest);
        return Ok(own.or_else(|| cache.unpacked(&chart.name, &chart.digest)));
    };
    let fetched = cache.fetch(helm, &source, &session.cancel).await.map_err(broken)?;
    if fetched.digest == chart.digest {
        return Ok(Some(fetched));
    }
    let cause = format!("the chart {} no longer matches the record: its digest differs", chart.label());
    let help = "publish the original chart again: its version has different content now";
    Err(CommandError::failed(Problem::new(cause).help(help)))
}

fn gone(record: &Record) -> CommandError {
    let cause = format!("chart {} of record {} not found in the ledger", record.chart.label(), record.id());
    CommandError::failed(Problem::new(cause))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn broken(error: HelmError) -> CommandError {
    CommandError::failed(error.problem())
}
