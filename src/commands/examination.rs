//! The running environment in `cmdr doctor`, and what `--fix` does there.

use crate::{
    adapters::cluster::{examine::Symptom, rollout::PodName},
    domain::{
        Problem,
        causes::get,
        preflight::{Finding, Status},
    },
    error::CommandError,
    ops::{examine::Examination, session::Session},
    settings::Settings,
    ui,
};

/// One finding for each symptom, or one that says that there is none; also if the cluster does not respond.
pub(super) fn findings(examined: &Result<Option<Examination>, CommandError>) -> Vec<Finding> {
    let examined = match examined {
        Ok(Some(examined)) => examined,
        Ok(None) => return Vec::new(),
        Err(error) => {
            let failure = |problem: &Problem| finding("cluster", Status::Failure, problem.clone());
            return error.problems.iter().map(failure).collect();
        }
    };
    if examined.symptoms.is_empty() {
        let what = "nodes, DNS, webhooks, certificates, volumes, addresses, pods and clock are fine".to_owned();
        return vec![finding("cluster", Status::Ok, Problem::new(what))];
    }
    let of = |symptom: &Symptom| {
        let status = if symptom.is_failure { Status::Failure } else { Status::Warning };
        finding(symptom.check, status, symptom.problem.clone())
    };
    examined.symptoms.iter().map(of).collect()
}

fn finding(check: &'static str, status: Status, problem: Problem) -> Finding {
    let cause = problem.code.as_deref().and_then(get);
    let why = cause.map(|cause| cause.explanation.trim_end_matches('.').to_owned()).into_iter().chain(problem.details);
    Finding {
        check,
        status,
        why: why.collect::<Vec<_>>().join("; "),
        help: problem.help.unwrap_or_default(),
        what: problem.message,
        code: problem.code,
    }
}

/// Deletes the pods whose deletion is safe, after it has asked.
///
/// # Errors
/// Outside `local`, without a confirmation, or if the cluster returns an error.
pub(super) async fn fix(
    settings: &Settings,
    session: Option<&Session>,
    examined: Option<Examination>,
) -> Result<(), CommandError> {
    let Some(session) = session.filter(|session| session.environment.is_local()) else {
        let help = "run the commands of the help lines yourself in other environments";
        return Err(CommandError::usage(Problem::new("--fix changes only the local environment").help(help)));
    };
    let (cluster, symptoms) = examined.map(|found| (found.cluster, found.symptoms)).unzip();
    let pods: Vec<PodName> = symptoms.into_iter().flatten().filter_map(|symptom| symptom.delete).collect();
    let Some(cluster) = cluster.filter(|_| !pods.is_empty()) else {
        ui::print_message("nothing to fix: see the help lines for what remains");
        return Ok(());
    };
    ui::print_message("to fix:");
    for pod in &pods {
        ui::print_message(&format!("  delete pod {}/{}", pod.namespace, pod.name));
    }
    if settings.dry_run {
        return Ok(());
    }
    confirm(session)?;
    for pod in &pods {
        cluster.delete_pod(pod).await.map_err(|error| CommandError::failed(error.problem()))?;
    }
    ui::print_message(&format!("deleted {} pods", pods.len()));
    Ok(())
}

fn confirm(session: &Session) -> Result<(), CommandError> {
    if session.settings.yes {
        return Ok(());
    }
    if !session.settings.may_ask() {
        let problem = Problem::new("pods would be deleted: nothing was changed").help("confirm with --yes");
        return Err(CommandError::failed(problem));
    }
    if ui::confirm("Delete these pods?") {
        return Ok(());
    }
    Err(CommandError::failed(Problem::new("cancelled: nothing was changed")))
}
