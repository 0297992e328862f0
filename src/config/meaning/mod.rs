//! What names and paths mean: whether they lead somewhere, and whether two things claim the same place.

mod circles;
mod names;
mod paths;
mod routes;
mod tags;

use super::{diagnostic::Diagnostic, sources::Sources};

/// Everything in a workspace of well-shaped files that cannot be meant.
pub(super) fn check(sources: &Sources, found: &mut Vec<Diagnostic>) {
    names::check(sources, found);
    circles::check(sources, found);
    routes::check(sources, found);
    paths::check(sources, found);
    tags::check(sources, found);
}
