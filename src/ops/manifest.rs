//! What Helm renders.

use crate::{adapters::helm::Helm, error::CommandError, ops::session::Session, plan::ReleaseSpec};

/// A release's manifest, as Helm makes it from what it would be handed.
///
/// # Errors
/// When the chart does not take the values.
pub async fn manifest(session: &Session, helm: &Helm, release: &ReleaseSpec) -> Result<String, CommandError> {
    let ReleaseSpec { name, namespace, chart, content, .. } = release;
    let rendered = helm.template(name, namespace, chart, &content.values, &session.cancel).await;
    rendered.map_err(|error| CommandError::failed(error.diagnosis()))
}
