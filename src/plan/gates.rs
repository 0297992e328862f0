//! Evaluates the gates for a plan. Pure: time and variables are parameters.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;

use crate::domain::{
    Environment, Problem,
    gate::{Gate, Refusal},
    ledger::History,
    pipeline::PipelineRun,
};

/// A planned change, with the context that gates need.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    pub environment: &'a Environment,
    pub now: Timestamp,
    /// GitLab reports a deploy freeze.
    pub deploy_freeze: bool,
    /// The pipeline of this run; `None` outside of CI.
    pub pipeline: Option<&'a PipelineRun>,
    /// The ledger of the environment, by project.
    pub histories: &'a BTreeMap<String, History>,
    /// The releases that change, by their names in the ledger.
    pub changed: Vec<&'a str>,
    /// Images of changed projects that were not promoted to an environment that gets images only by promotion.
    pub new_images: Vec<&'a NewImage>,
}

/// An image that was not promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    pub project: String,
    /// With its digest.
    pub image: String,
    /// What to do.
    pub help: String,
}

/// Returns all gates that block the change, in the order in which they are shown.
pub fn refusals(checkpoint: &Checkpoint<'_>) -> Vec<Refusal> {
    if checkpoint.changed.is_empty() {
        return Vec::new();
    }
    let mut refused = closed_windows(checkpoint);
    for project in &checkpoint.changed {
        let Some(history) = checkpoint.histories.get(*project) else { continue };
        refused.extend(held(project, history, checkpoint.environment));
        refused.extend(outdated(checkpoint, project, history));
    }
    let source = checkpoint.environment.promote.as_ref().map(|promotion| &promotion.from);
    for new in checkpoint.new_images.iter().filter(|_| source.is_some()) {
        let (environment, source) = (&checkpoint.environment.name, source.map(ToString::to_string).unwrap_or_default());
        let cause = format!("{} was not promoted to '{environment}' from '{source}'", new.image);
        refused.push(Refusal {
            gate: Gate::Promotion,
            project: new.project.clone(),
            problem: Problem::new(cause).help(&new.help),
        });
    }
    refused
}

/// Returns the refusals of a request that matter for a plan: what a project runs beside is of no interest unless the
/// project changes.
pub fn effective(requested: &[Refusal], changed: &[String]) -> Vec<Refusal> {
    let matters = |refusal: &&Refusal| refusal.gate != Gate::Combination || changed.contains(&refusal.project);
    requested.iter().filter(matters).cloned().collect()
}

fn closed_windows(checkpoint: &Checkpoint<'_>) -> Vec<Refusal> {
    let refusal = |cause: String, help: &str| Refusal {
        gate: Gate::Freeze,
        project: String::new(),
        problem: Problem::new(cause).help(help),
    };
    let name = &checkpoint.environment.name;
    let mut refused = Vec::new();
    if checkpoint.deploy_freeze {
        let cause = format!("the deployment window of '{name}' is closed by GitLab (CI_DEPLOY_FREEZE)");
        refused.push(refusal(cause, "wait until the window opens"));
    }
    for (window, freeze) in &checkpoint.environment.freeze {
        if let Some(end) = freeze.ends(checkpoint.now) {
            let end = end.strftime("%Y-%m-%d %H:%M %Z");
            let cause = format!("the deployment window of '{name}' is closed by '{window}' until {end}");
            refused.push(refusal(cause, "wait until then"));
        }
    }
    refused
}

fn held(project: &str, history: &History, environment: &Environment) -> Option<Refusal> {
    let hold = history.hold.as_ref()?;
    let since = hold.since.strftime("%Y-%m-%d %H:%M UTC");
    let cause = format!("deployments are blocked by {} since {since}: {}", hold.by, hold.because);
    Some(Refusal {
        gate: Gate::Hold,
        project: project.to_owned(),
        problem: Problem::new(cause).help(format!("cmdr unhold {project} --env {}", environment.name)),
    })
}

/// A retried job of an older pipeline would undo what a later pipeline deployed.
fn outdated(checkpoint: &Checkpoint<'_>, project: &str, history: &History) -> Option<Refusal> {
    let run = checkpoint.pipeline?;
    let (age, newer) = history.lineage().find_map(|it| Some((run.compare_with(&it.origin)?, it)))?;
    if age != Ordering::Less {
        return None;
    }
    let cause = format!(
        "pipeline {} is older than pipeline {} ({}), which deployed {}",
        run.number.unwrap_or_default(),
        newer.origin.pipeline_number.unwrap_or_default(),
        newer.origin.pipeline.as_deref().unwrap_or_default(),
        newer.version
    );
    let help = "run the job of the newest pipeline; to return to an earlier version, use cmdr rollback";
    Some(Refusal { gate: Gate::Outdated, project: project.to_owned(), problem: Problem::new(cause).help(help) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Name, Platform, Promotion,
        freeze::FreezeWindow,
        ledger::{Deployment, DeploymentOutcome, Hold, tests::deployment},
        pipeline::CiProvider,
    };

    fn environment() -> Environment {
        Environment {
            maintenance: crate::domain::maintenance::MaintenanceSettings::default(),
            traffic: None,
            name: Name::new("production").unwrap(),
            context: Some("production".to_owned()),
            cluster_id: None,
            namespace: "tunes".to_owned(),
            domain: None,
            only: None,
            promote: None,
            freeze: BTreeMap::new(),
            review: None,
            copy: None,
            local_copy: None,
            platform: Platform::Cmdr,
            kubernetes: None,
            http_port: None,
            https_port: None,
            route_kind: None,
            networks: crate::domain::cluster_networks::ClusterNetworks::default(),
            tls: None,
            exposed: BTreeMap::new(),
        }
    }

    fn messages(checkpoint: &Checkpoint<'_>) -> Vec<String> {
        refusals(checkpoint).iter().map(|refusal| refusal.to_problem().message).collect()
    }

    #[test]
    fn all_refusals_are_reported_at_once() {
        let mut environment = environment();
        environment.promote =
            Some(Promotion { from: Name::new("staging").unwrap(), soak: std::time::Duration::ZERO, scan: None });
        let window = FreezeWindow { days: Vec::new(), from: None, until: None, zone: jiff::tz::TimeZone::UTC };
        environment.freeze.insert(Name::new("always").unwrap(), window);
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let hold = Hold { since: now, by: "anna".to_owned(), because: "the database moves".to_owned() };
        let histories = BTreeMap::from([("shop".to_owned(), History { hold: Some(hold), ..History::default() })]);
        let new = NewImage { project: "shop".to_owned(), image: "shop:2".to_owned(), help: String::new() };
        let mut checkpoint = Checkpoint {
            environment: &environment,
            now,
            deploy_freeze: true,
            pipeline: None,
            histories: &histories,
            changed: vec!["shop"],
            new_images: vec![&new],
        };
        assert_eq!(
            messages(&checkpoint),
            [
                "blocked by gate 'freeze': the deployment window of 'production' is closed by GitLab (CI_DEPLOY_FREEZE)",
                "blocked by gate 'freeze': the deployment window of 'production' is closed by 'always' until 2026-11-22 00:00 UTC",
                "blocked by gate 'hold': shop: deployments are blocked by anna since 2026-11-21 12:00 UTC: the database moves",
                "blocked by gate 'promotion': shop: shop:2 was not promoted to 'production' from 'staging'",
            ]
        );
        checkpoint.changed = Vec::new();
        assert_eq!(messages(&checkpoint).len(), 0, "a plan without changes passes every gate");
    }

    fn pipeline(number: u64) -> PipelineRun {
        PipelineRun {
            provider: CiProvider::Gitlab,
            url: Some(format!("https://git.test/tunes/-/pipelines/{number}")),
            job: None,
            user: None,
            branch: None,
            number: Some(number),
        }
    }

    /// A deployment by a pipeline; by a person without one.
    fn deployed(version: &str, verb: &str, by: Option<u64>) -> Deployment {
        let mut deployed = deployment(version, "2026-11-21T11:00:00Z", DeploymentOutcome::Healthy);
        verb.clone_into(&mut deployed.verb);
        if let Some(run) = by.map(pipeline) {
            (deployed.origin.provider, deployed.origin.pipeline) = (Some(run.provider), run.url);
            deployed.origin.pipeline_number = run.number;
        }
        deployed
    }

    #[test]
    fn an_older_pipeline_does_not_replace_what_a_later_one_deployed() {
        let mut environment = environment();
        environment.promote = None;
        let refused = |deployments: &[Deployment], run: Option<u64>| {
            let history = History { deployments: deployments.to_vec(), ..History::default() };
            let run = run.map(pipeline);
            let checkpoint = Checkpoint {
                environment: &environment,
                now: "2026-11-21T12:00:00Z".parse().unwrap(),
                deploy_freeze: false,
                pipeline: run.as_ref(),
                histories: &BTreeMap::from([("shop".to_owned(), history)]),
                changed: vec!["shop"],
                new_images: Vec::new(),
            };
            messages(&checkpoint)
        };
        let (five, six, seven) = (
            deployed("1.5", "deploy", Some(5)),
            deployed("1.6", "deploy", Some(6)),
            deployed("1.7", "deploy", Some(7)),
        );
        let laptop = deployed("1.7", "up", None);
        assert_eq!(
            refused(&[six.clone(), seven.clone(), laptop.clone()], Some(6)),
            ["blocked by gate 'outdated': shop: pipeline 6 is older than pipeline 7 \
              (https://git.test/tunes/-/pipelines/7), which deployed 1.7"]
        );
        let nothing: [&str; 0] = [];
        assert_eq!(refused(std::slice::from_ref(&seven), Some(7)), nothing, "a retried job of the same pipeline");
        assert_eq!(refused(std::slice::from_ref(&seven), None), nothing, "a person decides");
        assert_eq!(refused(&[laptop], Some(6)), nothing);
        let restored = deployed("1.5", "automatic rollback", Some(7));
        assert_eq!(refused(&[five, seven, restored], Some(6)), nothing, "pipeline 5 deployed what runs");
    }
}
