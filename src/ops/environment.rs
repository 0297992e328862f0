//! The environment of a command: one of projects.yaml, or the copy of one for a merge request.

use crate::{
    config::Loaded,
    domain::{Environment, Name, Problem, Review, slug::Slug},
    error::CommandError,
    ops::session::unknown,
};

/// The environment of that name.
///
/// # Errors
/// When projects.yaml has none, with the closest valid name.
pub(super) fn find_environment(loaded: &Loaded, name: &str) -> Result<Environment, CommandError> {
    let environments = &loaded.workspace.environments;
    let known = environments.keys().map(Name::as_str);
    environments.get(name).cloned().ok_or_else(|| unknown("environment", name, known))
}

/// The error for `--slug` without a review environment.
pub(crate) fn no_review(environment: &Environment) -> CommandError {
    let cause = format!("--slug: '{}' is not a review environment", environment.name);
    CommandError::usage(Problem::new(cause).help("choose one with --env, or leave out --slug"))
}

/// The copy for a review environment.
///
/// # Errors
/// When there is no slug, or none can be made from it.
pub(super) fn copied(
    loaded: &Loaded,
    environment: &Environment,
    review: &Review,
    slug: Option<&str>,
) -> Result<Environment, CommandError> {
    let name = &environment.name;
    let slug = slug.ok_or_else(|| {
        let cause = format!("'{name}' is a review environment, which needs a slug");
        CommandError::usage(Problem::new(cause).help("set it with --slug, such as --slug fix-42"))
    })?;
    let slug = Slug::of_branch(slug).ok_or_else(|| {
        let cause = format!("--slug: '{slug}' has no letter and no digit, so it cannot be part of a host name");
        CommandError::usage(Problem::new(cause).help("use the name of a branch, such as --slug fix-42"))
    })?;
    Ok(environment.copied(review, &loaded.workspace.environments[&review.from], slug))
}
