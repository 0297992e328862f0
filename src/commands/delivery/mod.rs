//! Staging and production: what every verb shares that changes an environment other than `local`, and the verbs.

mod access;
mod apply;
mod deploy;
mod diff;
mod history;
mod hold;
mod ledger;
mod pin;
mod pipeline_job;
mod prepare;
mod preview;
mod promote;
mod rebuild;
mod records;
mod returns;
mod reviews;
mod rollback;
mod targets;
mod via;
mod wish;

pub use access::{RemoteAccess, may_write};
pub use apply::take_leases;
pub use deploy::{deploy, up};
pub use diff::diff;
pub use history::history;
pub use hold::{hold, unhold};
pub use pin::pin;
pub use prepare::{Remote, prepare};
pub use promote::promote;
pub use reviews::down;
pub use rollback::rollback;
pub use wish::Wish;
