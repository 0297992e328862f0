//! What Helm renders.

use crate::{
    adapters::helm::{Helm, Template},
    error::CommandError,
    ops::session::Session,
    plan::ReleaseSpec,
};

/// Returns a release's manifest, as Helm renders it.
///
/// # Errors
/// When the chart rejects the values.
pub async fn manifest(session: &Session, helm: &Helm, release: &ReleaseSpec) -> Result<String, CommandError> {
    let ReleaseSpec { name, namespace, chart, content, .. } = release;
    let template = Template { name, namespace, chart, values: &content.values };
    let rendered = helm.template(&template, &session.cancel).await;
    rendered.map_err(|error| CommandError::failed(error.problem()))
}
