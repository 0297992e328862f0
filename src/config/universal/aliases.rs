//! Further names of Services: each name refers to one project.

use super::{Mistake, containers::entries, references::Provided};
use crate::{
    config::error::quoted,
    domain::{ResolvedProject, Values},
};

/// The aliases of a project; an entry of `false` removes one.
pub(in crate::config) fn aliases(values: &Values) -> impl Iterator<Item = &str> {
    entries(values.get("aliases")).filter(|(_, wanted)| wanted.as_bool() == Some(true)).map(|(alias, _)| alias)
}

/// Returns a mistake for each alias that is the project's own name, or that another project of the environment has as its
/// name or alias.
pub(super) fn taken(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let mistake = |alias: &str| {
        let own = project.name.as_str();
        let other = provided.service_owners(alias).find(|owner| *owner != own).or((alias == own).then_some(own))?;
        let message = format!("the name {} refers to the project {}", quoted(alias), quoted(other));
        let path = vec!["aliases".to_owned(), alias.to_owned()];
        Some(Mistake::new(path, message, "expected a name that no other project has".to_owned()))
    };
    aliases(&project.values).filter_map(mistake).collect()
}
