//! `cmdr render`: the manifests of a project, as Helm makes them from what `up` would hand it.

use super::{
    describe::{Selection, describe},
    session::{Session, unknown},
};
use crate::{
    adapters::helm::Upgrade,
    cli::{RenderOptions, UpOptions},
    domain::{Diagnosis, Name},
    error::CommandError,
    ui,
};

/// # Errors
/// When the project is unknown, its values are wrong or its chart does not render.
pub async fn render(session: &Session, options: &RenderOptions) -> Result<(), CommandError> {
    let known = session.loaded.workspace.projects.keys().map(Name::as_str);
    if !session.loaded.workspace.projects.contains_key(options.project.as_str()) {
        return Err(unknown("project", &options.project, known));
    }
    let up = UpOptions { projects: vec![options.project.clone()], set: options.set.clone(), ..UpOptions::default() };
    let selection = Selection::choose(session, &up)?;
    let helm = session.helm().await?;
    let described = describe(session, &helm, &selection, &up, 80).await?;
    let project = described.projects.iter().find(|project| project.name.as_str() == options.project);
    let elsewhere = || {
        let cause = format!("'{}' runs outside this environment: it has no manifests here", options.project);
        CommandError::failed(Diagnosis::new(cause))
    };
    let release = &project.ok_or_else(elsewhere)?.release;
    let upgrade = Upgrade {
        name: &release.name,
        namespace: &release.namespace,
        chart: &release.chart,
        values: &release.values,
        labels: &std::collections::BTreeMap::new(),
        description: "",
        adopt: false,
    };
    let rendered = helm.template(&upgrade, &session.cancel).await;
    ui::print(&rendered.map_err(|error| CommandError::failed(error.diagnosis()))?);
    Ok(())
}
