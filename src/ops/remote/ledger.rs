//! The ledger entries of a run: drafts before it, results after it, and the export of the whole ledger to a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    adapters::cluster::ledger::subject,
    domain::{
        Digest, ImageReference, Name, Problem,
        disk_files::file_maps,
        image::digests_by_name,
        labels,
        ledger::{Deployment, DeploymentOutcome, History, Hold, LedgerFile, LedgerRelease, combination_id},
        record::{RecordId, RecordedSource},
    },
    engine::Summary,
    error::CommandError,
    ops::{
        prepared::Prepared,
        remote::{
            deploy_request::{ChangeContext, DeployRequest},
            prepare::Remote,
        },
        session::Session,
    },
    plan::{
        ObservedRelease, Plan, ReleaseSpec, Step, StepId,
        rollback::Rollback,
        up::{Described, DescribedProject},
    },
    ui,
};

/// How long the running record has been healthy, in seconds: since its deployment ended or since its workloads became
/// healthy, whichever is later.
pub(super) fn healthy_seconds(
    history: Option<&History>,
    observed: Option<&ObservedRelease>,
    now: Timestamp,
) -> Option<u64> {
    let current = history?.deployments.last().filter(|last| last.outcome == DeploymentOutcome::Healthy)?;
    let observed = observed.filter(|release| release.record().as_ref() == Some(&current.record))?;
    let since = observed.healthy_since?.max(current.ended?);
    u64::try_from(now.duration_since(since).as_secs()).ok()
}

/// The version of each bundle: the hash of its members' records.
pub(super) fn bundle_versions(request: &DeployRequest, described: &Described) -> BTreeMap<Name, String> {
    let mut members: BTreeMap<&Name, Vec<(&str, &RecordId)>> = BTreeMap::new();
    for project in &described.projects {
        if let Some(bundle) = request.bundles.get(&project.name) {
            members.entry(bundle).or_default().push((project.name.as_str(), &project.release.record));
        }
    }
    let version =
        |(bundle, records): (&Name, Vec<_>)| (bundle.clone(), format!("{bundle}@{}", combination_id(records)));
    members.into_iter().map(version).collect()
}

/// The images of each project's `verify` Jobs, by reference.
pub(super) fn verify_images(described: &Described) -> BTreeMap<Name, BTreeMap<String, Digest>> {
    let of = |project: &DescribedProject| {
        let images = project.verifications.iter().filter_map(|verify| ImageReference::parse(&verify.image).ok());
        (project.name.clone(), digests_by_name(images))
    };
    described.projects.iter().map(of).collect()
}

/// What the ledger entries of a run have in common.
#[derive(Debug)]
pub(super) struct EntryTemplate<'a> {
    pub session: &'a Session,
    pub request: &'a DeployRequest,
    pub context: &'a ChangeContext,
    /// The version of each bundle.
    pub bundles: &'a BTreeMap<Name, String>,
    /// The images of each project's `verify` Jobs.
    pub verified: &'a BTreeMap<Name, BTreeMap<String, Digest>>,
    /// When the deployments start.
    pub now: Timestamp,
}

impl EntryTemplate<'_> {
    /// Returns the ledger entry of a deployment that is about to start.
    pub(super) fn draft(&self, release: &ReleaseSpec) -> Deployment {
        let Self { session, request, context, bundles, verified, now } = *self;
        let promoted = request.promoted.get(release.name.as_str());
        let project = session.loaded.workspace.projects.get(release.name.as_str());
        Deployment {
            record: release.record.clone(),
            version: release.content.version.clone(),
            verb: request.verb.to_owned(),
            started: now,
            ended: None,
            outcome: DeploymentOutcome::Running,
            origin: context.origin.clone(),
            promoted_from: promoted.map(|promoted| promoted.environment.clone()),
            promoted_record: promoted.map(|promoted| promoted.record.clone()),
            bundle: request.bundles.get(release.name.as_str()).and_then(|bundle| bundles.get(bundle)).cloned(),
            irreversible: project.is_some_and(|project| project.irreversible),
            references: BTreeMap::new(),
            verify_images: verified.get(release.name.as_str()).cloned().unwrap_or_default(),
            healthy_seconds: None,
        }
    }
}

/// The result of each deployment by its step: the worst result of all steps of that release. Deployments that never
/// started are left out. `namespace` is the environment's: URL checks belong to the projects in it.
pub(super) fn outcomes(plan: &Plan, summary: &Summary, namespace: &str) -> BTreeMap<StepId, DeploymentOutcome> {
    let mut outcomes = BTreeMap::new();
    for planned in &plan.steps {
        let Some(spec) = planned.step.deployment() else { continue };
        if summary.not_started.contains(&planned.id) {
            continue;
        }
        let own = plan.steps.iter().filter(|other| concerns(&other.step, &spec.release, namespace));
        let own: Vec<StepId> = own.map(|other| other.id).collect();
        let any = |ids: &BTreeSet<StepId>| own.iter().any(|id| ids.contains(id));
        let outcome = if any(&summary.failed) {
            DeploymentOutcome::Failed
        } else if any(&summary.interrupted) {
            DeploymentOutcome::Interrupted
        } else {
            DeploymentOutcome::Healthy
        };
        outcomes.insert(planned.id, outcome);
    }
    outcomes
}

/// Whether a step's result counts for this release. A project and a platform release may have the same name.
fn concerns(step: &Step, release: &ReleaseSpec, namespace: &str) -> bool {
    let is_release = |in_namespace: &str, name: &str| in_namespace == release.namespace && name == release.name;
    match step {
        Step::Deploy(other) => other.release.key() == release.key(),
        Step::AwaitRollout(rollout) => rollout.release == release.key(),
        Step::Verify(verify) => is_release(&verify.namespace, verify.project.as_str()),
        Step::Check(check) => is_release(namespace, check.project.as_str()),
        _ => false,
    }
}

/// Closes the entries that the run has opened. A release that is rolled back with its bundle counts as failed.
///
/// # Errors
/// When the API returns an error.
pub(super) async fn close(
    remote: &Remote,
    namespace: &str,
    plan: &Plan,
    outcomes: &BTreeMap<StepId, DeploymentOutcome>,
    returning: &Rollback,
) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let entries = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Deploy(spec) => Some((spec.entry.as_ref()?, outcomes.get(&planned.id)?)),
        _ => None,
    });
    let closings = entries.map(|(entry, outcome)| {
        let returns = returning.contains(&entry.subject) && *outcome == DeploymentOutcome::Healthy;
        let outcome = if returns { DeploymentOutcome::Failed } else { *outcome };
        remote.access.cluster.update_history(namespace, &entry.subject, move |history| {
            history.close(outcome, now);
        })
    });
    try_join_all(closings).await?;
    Ok(())
}

/// The described releases whose last deployment was started by an earlier run and never observed as healthy. The value
/// is the record if it is the described one, which is running.
pub(super) fn left_open(session: &Session, prepared: &Prepared<Remote>) -> BTreeMap<String, Option<RecordId>> {
    let projects = prepared.described.projects.iter().map(|project| &project.release);
    let releases = prepared.described.platform.iter().chain(projects);
    let open = releases.filter_map(|release| {
        let subject = crate::ops::remote::prepare::subject(session, release);
        let history = prepared.target.histories.get(&subject)?;
        let is_open = history.is_open();
        let came_up = history
            .deployments
            .last()
            .is_some_and(|last| last.record == release.record && last.outcome != DeploymentOutcome::Healthy);
        (is_open || came_up).then(|| (subject, came_up.then(|| release.record.clone())))
    });
    open.collect()
}

/// Closes the entries that a killed run has left open, once everything described has been observed to run.
///
/// # Errors
/// When the API returns an error.
pub(super) async fn close_left_open(
    session: &Session,
    remote: &Remote,
    open: &BTreeMap<String, Option<RecordId>>,
) -> Result<(), CommandError> {
    let (now, namespace) = (Timestamp::now(), &session.environment.namespace);
    let closings = open.iter().map(|(subject, record)| {
        remote.access.cluster.update_history(namespace, subject, move |history| match record {
            Some(record) => history.settle(record, now),
            None => drop(history.close_interrupted(now)),
        })
    });
    try_join_all(closings).await?;
    Ok(())
}

/// Sets the hold that follows a rollback.
///
/// # Errors
/// When the API returns an error.
pub(super) async fn hold(
    session: &Session,
    remote: &Remote,
    request: &DeployRequest,
    by: &str,
    because: &str,
) -> Result<(), CommandError> {
    let hold = Hold { since: Timestamp::now(), by: by.to_owned(), because: because.to_owned() };
    let namespace = &session.environment.namespace;
    let projects = request.only.iter().flatten();
    let holds = projects.map(|project| {
        let hold = hold.clone();
        remote.access.cluster.update_history(namespace, project.as_str(), move |history| {
            history.hold = Some(hold.clone());
        })
    });
    try_join_all(holds).await?;
    Ok(())
}

/// Writes the environment's current ledger to a file, with every running record.
///
/// # Errors
/// When the cluster does not respond or the file cannot be written.
pub(super) async fn write_file(session: &Session, remote: &Remote, file: &Path) -> Result<(), CommandError> {
    let content = read(session, remote).await?;
    let text = serde_json::to_string_pretty(&content).unwrap_or_default();
    ui::write_output_file(file, &(text + "\n"))
        .map_err(|error| CommandError::failed(Problem::new(format!("cannot write {}: {error}", file.display()))))?;
    session.note(&format!("exported the ledger of '{}' to {}", session.environment.name, file.display()));
    Ok(())
}

/// The environment's ledger.
async fn read(session: &Session, remote: &Remote) -> Result<LedgerFile, CommandError> {
    let (cluster, namespace) = (&remote.access.cluster, &session.environment.namespace);
    let (histories, releases) = tokio::try_join!(cluster.histories(namespace), cluster.releases())?;
    let mut ledger = LedgerFile {
        version: 1,
        workspace: session.workspace().to_string(),
        environment: session.environment.name.to_string(),
        cluster: remote.access.identity.clone(),
        written: Timestamp::now(),
        releases: BTreeMap::new(),
        charts: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    for release in &releases {
        let key = subject(namespace, &release.key.namespace, &release.key.name);
        let record = release.labels.get(labels::RECORD).map(|record| RecordId::from(record.as_str()));
        let (Some(history), Some(record)) = (histories.get(&key), record) else { continue };
        let Some(content) = cluster.record(namespace, &record).await? else { continue };
        let digest = &content.chart.digest;
        if content.chart.source == RecordedSource::Kept
            && !ledger.charts.contains_key(digest)
            && let Some(archive) = cluster.chart(namespace, digest).await?
        {
            ledger.charts.insert(digest.clone(), BASE64.encode(archive));
        }
        for name in file_maps(&content.values) {
            let Some(map) = cluster.file_map(&release.key.namespace, name).await? else { continue };
            let encoded = map.data.into_iter().map(|(key, file)| (key, BASE64.encode(file)));
            ledger.files.insert(name.to_owned(), encoded.collect());
        }
        ledger.releases.insert(key, LedgerRelease { record, content, history: history.clone() });
    }
    Ok(ledger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::VerifyWhen,
        plan::{
            CheckSpec, DeploySpec, Operation, VerifySpec,
            change::tests::{LOCAL, spec},
            graph::tests::plan,
        },
    };

    const ENVIRONMENT: &str = "tunes";

    fn deploy(namespace: &str, name: &str) -> Step {
        let release = ReleaseSpec { namespace: namespace.to_owned(), ..spec(name) };
        Step::Deploy(Box::new(DeploySpec {
            release,
            operation: Operation::Install,
            policy: LOCAL,
            entry: None,
            stopped: false,
        }))
    }

    fn verify(project: &str) -> Step {
        let name = |text: &str| Name::new(text).unwrap();
        Step::Verify(VerifySpec {
            project: name(project),
            name: name("smoke"),
            namespace: ENVIRONMENT.to_owned(),
            image: String::new(),
            command: Vec::new(),
            when: VerifyWhen::After,
            timeout_seconds: 1,
        })
    }

    /// A plan of independent steps, with their IDs.
    fn plan_of<const N: usize>(steps: [Step; N]) -> (Plan, [StepId; N]) {
        let plan = plan(steps.map(|step| (step, Vec::new())));
        let ids = std::array::from_fn(|index| plan.steps[index].id);
        (plan, ids)
    }

    #[test]
    fn releases_with_the_same_name_have_their_own_outcomes() {
        let steps = [deploy(ENVIRONMENT, "traefik"), deploy("traefik", "traefik"), verify("traefik")];
        let (plan, [project, platform, smoke]) = plan_of(steps);
        let summary = Summary { failed: BTreeSet::from([smoke]), ..Summary::default() };
        let outcomes = outcomes(&plan, &summary, ENVIRONMENT);
        assert_eq!(outcomes[&project], DeploymentOutcome::Failed, "its verify Job has failed");
        assert_eq!(outcomes[&platform], DeploymentOutcome::Healthy);
    }

    #[test]
    fn names_that_end_alike_have_their_own_outcomes() {
        let check = Step::Check(CheckSpec {
            project: Name::new("shop").unwrap(),
            url: "http://shop".to_owned(),
            shown_url: "http://shop".to_owned(),
            status: None,
        });
        let steps = [deploy(ENVIRONMENT, "shop"), deploy(ENVIRONMENT, "web-shop"), check];
        let (plan, [shop, web_shop, check]) = plan_of(steps);
        let summary = Summary { interrupted: BTreeSet::from([check]), ..Summary::default() };
        let outcomes = outcomes(&plan, &summary, ENVIRONMENT);
        assert_eq!(
            (outcomes[&shop], outcomes[&web_shop]),
            (DeploymentOutcome::Interrupted, DeploymentOutcome::Healthy)
        );
    }

    #[test]
    fn deployments_that_never_started_have_no_outcome() {
        let (plan, [shop]) = plan_of([deploy(ENVIRONMENT, "shop")]);
        let summary = Summary { not_started: BTreeSet::from([shop]), ..Summary::default() };
        assert_eq!(outcomes(&plan, &summary, ENVIRONMENT), BTreeMap::new());
    }
}
