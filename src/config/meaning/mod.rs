//! Validates references: whether names and paths exist, and whether names, hosts and paths are unique.

pub(super) mod checks;
pub(super) mod circles;
mod dev;
mod freezes;
mod images;
mod names;
mod needs;
mod networks;
mod overrides;
mod paths;
pub(super) mod procedures;
mod queues;
pub(super) mod rollouts;
mod routes;
mod tags;

pub(super) use paths::neighbour;

use super::{error::ConfigError, sources::Sources};

/// Reports every invalid reference in files that have the right structure.
pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    names::check(sources, found);
    needs::check(sources, found);
    networks::check(sources, found);
    freezes::check(sources, found);
    circles::check(sources, found);
    routes::check(sources, found);
    images::check(sources, found);
    paths::check(sources, found);
    dev::check(sources, found);
    queues::check(sources, found);
    rollouts::check(sources, found);
    tags::check(sources, found);
    procedures::check(sources, found);
}
