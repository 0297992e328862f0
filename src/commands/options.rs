//! From the command line's types to those of the operations.

use crate::{
    cli::{ChangeOptions, PromoteOptions, UpOptions},
    ops::options::{ChangeRequest, PipelineRequest, UpRequest},
};

impl From<&UpOptions> for UpRequest {
    fn from(options: &UpOptions) -> Self {
        let UpOptions {
            projects,
            profiles,
            without,
            set,
            build,
            recreate,
            adopt,
            refresh,
            repair,
            from_ledger,
            change,
        } = options.clone();
        let change = ChangeRequest::from(&change);
        Self { projects, profiles, without, set, build, recreate, adopt, refresh, repair, from_ledger, change }
    }
}

impl From<&ChangeOptions> for ChangeRequest {
    fn from(options: &ChangeOptions) -> Self {
        let ChangeOptions { lock_timeout, overrides, because, export_ledger, plan_file, use_plan } = options.clone();
        Self { lock_timeout, overrides, because, export_ledger, plan_file, use_plan }
    }
}

impl From<&PromoteOptions> for PipelineRequest {
    fn from(options: &PromoteOptions) -> Self {
        let PromoteOptions { to, projects, record, change, .. } = options.clone();
        Self { to, projects, record, because: change.because }
    }
}
