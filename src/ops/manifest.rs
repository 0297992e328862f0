//! What Helm renders.

use crate::{
    adapters::helm::{Helm, HelmError, HelmTarget, Template, TemplateCluster},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::{observe::Observation, session::Session},
    plan::ReleaseSpec,
};

/// Returns a release's manifest, as Helm renders it without a cluster.
///
/// # Errors
/// When the chart rejects the values.
pub async fn manifest(session: &Session, helm: &Helm, release: &ReleaseSpec) -> Result<String, CommandError> {
    render(session, helm, release, None).await.map_err(|error| CommandError::failed(error.problem()))
}

/// Renders releases for the cluster of an environment: `lookup` and `.Capabilities` have its content.
pub(crate) struct ClusterRendering<'a> {
    pub session: &'a Session,
    pub helm: &'a Helm,
    pub target: HelmTarget,
    pub observation: &'a Observation,
}

impl ClusterRendering<'_> {
    /// Returns a release's manifest. If the cluster cannot render it, for example because a kind is installed later, it
    /// is rendered without the cluster, and a warning names the cause.
    ///
    /// # Errors
    /// When the chart rejects the values.
    pub(crate) async fn manifest(&self, release: &ReleaseSpec) -> Result<String, CommandError> {
        let Self { session, helm, target, observation } = self;
        let is_upgrade = observation.observed.releases.contains_key(&release.key());
        let cause = match render(session, helm, release, Some(TemplateCluster { target, is_upgrade })).await {
            Ok(manifest) => return Ok(manifest),
            Err(_) if session.cancel.is_cancelled() => return Err(CommandError::reported(ErrorKind::Interrupted)),
            Err(error) => error.problem(),
        };
        let manifest = manifest(session, helm, release).await?;
        session.note(&warning(&release.name, &cause));
        Ok(manifest)
    }
}

fn warning(release: &str, cause: &Problem) -> String {
    let details: Vec<&str> = std::iter::once(&cause.message).chain(&cause.details).map(String::as_str).collect();
    format!("warning: {release} was rendered without the cluster: {}", details.join(": "))
}

async fn render(
    session: &Session,
    helm: &Helm,
    release: &ReleaseSpec,
    cluster: Option<TemplateCluster<'_>>,
) -> Result<String, HelmError> {
    let ReleaseSpec { name, namespace, chart, content, .. } = release;
    let template = Template { name, namespace, chart, values: &content.values, cluster };
    helm.template(&template, &session.cancel).await
}
