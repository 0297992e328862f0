//! The ledger entries of a run: drafts before it, results after it, and the export of the whole ledger to a file.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    adapters::cluster::ledger::subject,
    domain::{
        Diagnosis, Name,
        digest::sha256,
        labels,
        ledger::{Deployment, DeploymentOutcome, History, Hold, LedgerFile, LedgerRelease},
        record::RecordedSource,
    },
    engine::Summary,
    error::CommandError,
    ops::{
        prepared::Prepared,
        remote::{
            access::failed,
            automatic_rollback::Returning,
            deploy_request::{Terms, Wish},
            prepare::Remote,
        },
        session::Session,
    },
    plan::{ObservedRelease, Plan, ReleaseSpec, Step, up::Described},
};

/// Hexadecimal digits of a bundle's version.
const BUNDLE_VERSION: usize = 12;

/// How long the running record has been healthy, in seconds: since its deployment ended or since its workloads became
/// healthy, whichever is later.
pub fn healthy_seconds(history: Option<&History>, observed: Option<&ObservedRelease>, now: Timestamp) -> Option<u64> {
    let current = history?.deployments.last().filter(|last| last.outcome == DeploymentOutcome::Healthy)?;
    let observed = observed.filter(|release| release.labels.get(labels::RECORD) == Some(&current.record))?;
    let since = observed.healthy_since?.max(current.ended?);
    u64::try_from(now.duration_since(since).as_secs()).ok()
}

/// The version of each bundle: the hash of its members' records.
pub fn bundle_versions(wish: &Wish, described: &Described) -> BTreeMap<Name, String> {
    let mut members: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
    for project in &described.projects {
        if let Some(bundle) = wish.bundles.get(&project.name) {
            members.entry(bundle).or_default().push(format!("{}={}", project.name, project.release.record));
        }
    }
    let version = |records: &[String]| sha256(records.join("\n").as_bytes())[..BUNDLE_VERSION].to_owned();
    members.into_iter().map(|(bundle, records)| (bundle.clone(), format!("{bundle}@{}", version(&records)))).collect()
}

/// Returns the ledger entry of a deployment that is about to start.
pub fn draft(
    session: &Session,
    wish: &Wish,
    release: &ReleaseSpec,
    terms: &Terms,
    bundles: &BTreeMap<Name, String>,
    now: Timestamp,
) -> Deployment {
    let promoted = wish.promoted.get(release.name.as_str());
    let project = session.loaded.workspace.projects.get(release.name.as_str());
    Deployment {
        record: release.record.clone(),
        version: release.content.version.clone(),
        verb: wish.verb.to_owned(),
        started: now,
        ended: None,
        outcome: DeploymentOutcome::Running,
        origin: terms.origin.clone(),
        promoted_from: promoted.map(|promoted| promoted.environment.clone()),
        promoted_record: promoted.map(|promoted| promoted.record.clone()),
        bundle: wish.bundles.get(release.name.as_str()).and_then(|bundle| bundles.get(bundle)).cloned(),
        irreversible: project.is_some_and(|project| project.irreversible),
        references: BTreeMap::new(),
        healthy_seconds: None,
    }
}

/// The result of each subject's deployment: the worst result of its steps. Deployments that never started are left out.
pub fn outcomes(plan: &Plan, summary: &Summary) -> BTreeMap<String, DeploymentOutcome> {
    let mut outcomes = BTreeMap::new();
    for planned in &plan.steps {
        if !matches!(planned.step, Step::Deploy(_)) || summary.not_started.contains(&planned.id) {
            continue;
        }
        let own = plan.steps.iter().filter(|other| other.subject == planned.subject).map(|other| other.id);
        let own: Vec<usize> = own.collect();
        let any = |ids: &std::collections::BTreeSet<usize>| own.iter().any(|id| ids.contains(id));
        let outcome = if any(&summary.failed) {
            DeploymentOutcome::Failed
        } else if any(&summary.interrupted) {
            DeploymentOutcome::Interrupted
        } else {
            DeploymentOutcome::Healthy
        };
        outcomes.insert(planned.subject.clone(), outcome);
    }
    outcomes
}

/// Closes the entries that the run has opened. A release that is rolled back with its bundle counts as failed.
///
/// # Errors
/// When the API returns an error.
pub async fn close(
    remote: &Remote,
    namespace: &str,
    plan: &Plan,
    outcomes: &BTreeMap<String, DeploymentOutcome>,
    returning: &Returning,
) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let entries = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Deploy(spec) => Some((spec.entry.as_ref()?, outcomes.get(&planned.subject)?)),
        _ => None,
    });
    let closings = entries.map(|(entry, outcome)| {
        let returns = returning.contains(&entry.subject) && *outcome == DeploymentOutcome::Healthy;
        let outcome = if returns { DeploymentOutcome::Failed } else { *outcome };
        remote.access.cluster.update_history(namespace, &entry.subject, move |history| {
            history.close(outcome, now);
        })
    });
    try_join_all(closings).await.map_err(failed)?;
    Ok(())
}

/// The described releases whose last deployment was started by an earlier run and never observed as healthy. The value
/// is the record if it is the described one, which is running.
pub fn left_open(session: &Session, prepared: &Prepared, remote: &Remote) -> BTreeMap<String, Option<String>> {
    let projects = prepared.described.projects.iter().map(|project| &project.release);
    let releases = prepared.described.platform.iter().chain(projects);
    let open = releases.filter_map(|release| {
        let subject = crate::ops::remote::prepare::subject(session, release);
        let last = remote.histories.get(&subject)?.deployments.last()?;
        let is_open = last.outcome == DeploymentOutcome::Running;
        let came_up = last.record == release.record && last.outcome != DeploymentOutcome::Healthy;
        (is_open || came_up).then(|| (subject, came_up.then(|| release.record.clone())))
    });
    open.collect()
}

/// Closes the entries that a killed run has left open, once everything described has been observed to run.
///
/// # Errors
/// When the API returns an error.
pub async fn close_left_open(
    session: &Session,
    remote: &Remote,
    open: &BTreeMap<String, Option<String>>,
) -> Result<(), CommandError> {
    let (now, namespace) = (Timestamp::now(), &session.environment.namespace);
    let closings = open.iter().map(|(subject, record)| {
        remote.access.cluster.update_history(namespace, subject, move |history| match record {
            Some(record) => history.settle(record, now),
            None => drop(history.close_interrupted(now)),
        })
    });
    try_join_all(closings).await.map_err(failed)?;
    Ok(())
}

/// Sets the hold that follows a rollback.
///
/// # Errors
/// When the API returns an error.
pub async fn hold(
    session: &Session,
    remote: &Remote,
    wish: &Wish,
    by: &str,
    because: &str,
) -> Result<(), CommandError> {
    let hold = Hold { since: Timestamp::now(), by: by.to_owned(), because: because.to_owned() };
    let namespace = &session.environment.namespace;
    let projects = wish.only.iter().flatten();
    let holds = projects.map(|project| {
        let hold = hold.clone();
        remote.access.cluster.update_history(namespace, project.as_str(), move |history| {
            history.hold = Some(hold.clone());
        })
    });
    try_join_all(holds).await.map_err(failed)?;
    Ok(())
}

/// Writes the environment's current ledger to a file, with every running record.
///
/// # Errors
/// When the cluster does not respond or the file cannot be written.
pub async fn write_file(session: &Session, remote: &Remote, file: &Path) -> Result<(), CommandError> {
    let content = read(session, remote).await?;
    let text = serde_json::to_string_pretty(&content).unwrap_or_default();
    std::fs::write(file, text + "\n")
        .map_err(|error| CommandError::failed(Diagnosis::new(format!("cannot write {}: {error}", file.display()))))?;
    session.note(&format!("exported the ledger of '{}' to {}", session.environment.name, file.display()));
    Ok(())
}

/// The environment's ledger.
async fn read(session: &Session, remote: &Remote) -> Result<LedgerFile, CommandError> {
    let (cluster, namespace) = (&remote.access.cluster, &session.environment.namespace);
    let (histories, releases) = tokio::try_join!(cluster.histories(namespace), cluster.releases()).map_err(failed)?;
    let mut ledger = LedgerFile {
        version: 1,
        workspace: session.workspace().to_string(),
        environment: session.environment.name.to_string(),
        cluster: remote.access.identity.clone(),
        written: Timestamp::now(),
        releases: BTreeMap::new(),
        charts: BTreeMap::new(),
    };
    for release in &releases {
        let key = subject(namespace, &release.namespace, &release.name);
        let (Some(history), Some(record)) = (histories.get(&key), release.labels.get(labels::RECORD)) else { continue };
        let Some(content) = cluster.record(namespace, record).await.map_err(failed)? else { continue };
        let digest = &content.chart.digest;
        if content.chart.source == RecordedSource::Kept
            && !ledger.charts.contains_key(digest)
            && let Some(archive) = cluster.chart(namespace, digest).await.map_err(failed)?
        {
            ledger.charts.insert(digest.clone(), BASE64.encode(archive));
        }
        ledger.releases.insert(key, LedgerRelease { record: record.clone(), content, history: history.clone() });
    }
    Ok(ledger)
}
