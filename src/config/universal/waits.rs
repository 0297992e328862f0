//! Projects that `waitFor` names.

use super::{Mistake, references::Provided};
use crate::{
    config::error::quoted,
    domain::{ResolvedProject, waits},
};

/// Returns a mistake for each name that is not a project with ports in this environment.
pub(super) fn unknown(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let mistake = |name: &str| {
        let is_project = provided.projects().any(|known| known == name);
        let what = if is_project { "has no `ports`" } else { "is not a project of this environment" };
        let message = format!("{} {what}", quoted(name));
        let expected = "expected a project with `ports`, or `{tcp: HOST:PORT}` or `{http: URL}`".to_owned();
        let mistake = Mistake::new(vec![waits::KEY.to_owned(), name.to_owned()], message, expected);
        if is_project { mistake } else { mistake.with_nearest(name, provided.projects()) }
    };
    waits::unknown(&project.values).map(mistake).chain(itself(project)).collect()
}

/// A project that waits for itself never starts.
fn itself(project: &ResolvedProject) -> Option<Mistake> {
    let name = project.name.as_str();
    project.values.get(waits::KEY)?.get(name)?;
    let path = vec![waits::KEY.to_owned(), name.to_owned()];
    Some(Mistake::new(path, format!("{} waits for itself", quoted(name)), "expected another project".to_owned()))
}
