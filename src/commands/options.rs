//! From the command line's types to those of the operations.

use crate::{
    cli::{ChangeOptions, DesiredOptions, OperationOptions, PlanOptions, PromoteOptions, UpOptions},
    ops::options::{ChangeRequest, PipelineRequest, UpRequest},
};

impl From<&UpOptions> for UpRequest {
    fn from(options: &UpOptions) -> Self {
        let UpOptions { projects, desired, change } = options;
        Self { projects: projects.clone(), change: ChangeRequest::from(change), ..Self::from(desired) }
    }
}

impl From<&PlanOptions> for UpRequest {
    fn from(options: &PlanOptions) -> Self {
        let PlanOptions { projects, desired, plan_file, use_plan, .. } = options.clone();
        let change = ChangeRequest { plan_file, use_plan, ..ChangeRequest::default() };
        Self { projects, change, ..Self::from(&desired) }
    }
}

impl From<&DesiredOptions> for UpRequest {
    fn from(options: &DesiredOptions) -> Self {
        let DesiredOptions {
            profiles,
            without,
            tags,
            set,
            build,
            recreate,
            adopt,
            refresh,
            repair,
            data_from,
            from_ledger,
        } = options.clone();
        let (projects, change) = (Vec::new(), ChangeRequest::default());
        Self {
            projects,
            profiles,
            without,
            tags,
            set,
            build,
            recreate,
            adopt,
            refresh,
            repair,
            data_from,
            from_ledger,
            change,
        }
    }
}

impl From<&ChangeOptions> for ChangeRequest {
    fn from(options: &ChangeOptions) -> Self {
        let ChangeOptions { lock_timeout, overrides, because, export_ledger, plan_file, use_plan } = options.clone();
        Self { lock_timeout, overrides, because, export_ledger, plan_file, use_plan }
    }
}

impl From<&OperationOptions> for ChangeRequest {
    fn from(options: &OperationOptions) -> Self {
        let OperationOptions { lock_timeout, overrides, because } = options.clone();
        Self { lock_timeout, overrides, because, ..Self::default() }
    }
}

impl From<&PromoteOptions> for PipelineRequest {
    fn from(options: &PromoteOptions) -> Self {
        let PromoteOptions { to, projects, record, change, .. } = options.clone();
        Self { to, projects, record, because: change.because }
    }
}
