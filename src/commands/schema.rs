//! `cmdr schema`: the JSON Schemas of everything that cmdr prints and reads.

use std::collections::BTreeMap;

use schemars::{Schema, schema_for};
use serde::Serialize;

use crate::{
    adapters::cluster::runs::RunState,
    cli::{CommandDescription, SchemaOptions},
    config,
    domain::{
        Problem,
        causes::CauseEntry,
        ledger::{History, LedgerFile},
        log_line::LogEntry,
        nearest::nearest,
        pressure::Demand,
        snapshot::Snapshot,
    },
    error::CommandError,
    event::TimedEvent,
    ops::{
        copy_list::CopyRow,
        maintenance::ClosedProject,
        prepared::PlanDocument,
        procedures::{ProcedureDocument, ProcedureRow},
        status::StatusReport,
    },
    settings::{OutputFormat, Settings},
    ui::{self, Message, table::table},
};

use super::{
    agent::WrittenSkill,
    cache::CacheDocument,
    diff::DiffRow,
    docs::DocsDocument,
    doctor::DoctorDocument,
    history::ShownSet,
    identity::IdentityDocument,
    new::NewDocument,
    query::{ChangedRow, QueryDocument},
    render::RenderDocument,
    secret::SecretDocument,
    status_project::Description,
    traffic::TrafficRow,
    trust::TrustDocument,
    upgrade::UpgradeDocument,
};

/// A schema that is published.
pub struct PublishedSchema {
    /// What `cmdr schema` takes.
    pub name: &'static str,
    /// What it describes.
    pub about: &'static str,
    pub schema: fn() -> Schema,
}

impl std::fmt::Debug for PublishedSchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const fn published(name: &'static str, about: &'static str, schema: fn() -> Schema) -> PublishedSchema {
    PublishedSchema { name, about, schema }
}

/// All published schemas, besides that of `projects.yaml`.
pub const SCHEMAS: &[PublishedSchema] = &[
    published("agent-init", "cmdr agent init", || schema_for!(WrittenSkill)),
    published("cache", "cmdr cache size, cmdr cache prune", || schema_for!(CacheDocument)),
    published("copies", "cmdr copies", || schema_for!(Vec<CopyRow>)),
    published("diff", "cmdr diff", || schema_for!(Vec<DiffRow>)),
    published("docs", "cmdr docs", || schema_for!(DocsDocument)),
    published("doctor", "cmdr doctor", || schema_for!(DoctorDocument)),
    published("events", "the events of a run, one per line", || schema_for!(TimedEvent)),
    published("explain", "cmdr explain, one object per line", || schema_for!(CauseEntry)),
    published("help", "--help --output json", || schema_for!(CommandDescription)),
    published("history", "cmdr history", || schema_for!(BTreeMap<String, History>)),
    published("history-sets", "cmdr history --sets", || schema_for!(Vec<ShownSet>)),
    published("identity", "cmdr identity", || schema_for!(IdentityDocument)),
    published("ledger", "the file of --export-ledger", || schema_for!(LedgerFile)),
    published("logs", "cmdr logs, one object per line", || schema_for!(LogEntry)),
    published("maintenance", "cmdr maintenance", || schema_for!(Vec<ClosedProject>)),
    published("message", "a message on stderr, one per line", || schema_for!(Message)),
    published("new", "cmdr new", || schema_for!(NewDocument)),
    published("procedure", "cmdr procedure show, and --dry-run", || schema_for!(ProcedureDocument)),
    published("procedures", "cmdr procedure list", || schema_for!(Vec<ProcedureRow>)),
    published("plan", "cmdr plan, and --dry-run", || schema_for!(PlanDocument)),
    published("query", "cmdr query", || schema_for!(QueryDocument)),
    published("query-watch", "cmdr query --watch, one object per line", || schema_for!(ChangedRow)),
    published("render", "cmdr render", || schema_for!(RenderDocument)),
    published("runs", "cmdr runs", || schema_for!(Vec<RunState>)),
    published("secret", "cmdr secret show", || schema_for!(SecretDocument)),
    published("snapshots", "cmdr snapshot list", || schema_for!(Vec<Snapshot>)),
    published("status", "cmdr status", || schema_for!(StatusReport)),
    published("status-project", "cmdr status PROJECT", || schema_for!(Description)),
    published("status-resources", "cmdr status --resources", || schema_for!(Vec<Demand>)),
    published("top", "cmdr top", || schema_for!(Vec<Demand>)),
    published("traffic", "cmdr traffic", || schema_for!(Vec<TrafficRow>)),
    published("trust", "cmdr trust --print", || schema_for!(TrustDocument)),
    published("upgrade", "cmdr upgrade", || schema_for!(UpgradeDocument)),
];

const PROJECTS: (&str, &str) = ("projects", "projects.yaml");

/// A line of the list.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    about: &'static str,
}

/// # Errors
/// When there is no schema with this name.
pub(super) fn schema(settings: &Settings, options: &SchemaOptions) -> Result<(), CommandError> {
    let Some(name) = &options.name else {
        list(settings.output);
        return Ok(());
    };
    if name == PROJECTS.0 {
        ui::print(&config::schema::json_schema());
        return Ok(());
    }
    let found = SCHEMAS.iter().find(|schema| schema.name == name).ok_or_else(|| {
        let close = nearest(name, SCHEMAS.iter().map(|schema| schema.name));
        let help = close.map_or_else(|| "cmdr schema lists all".to_owned(), |close| format!("did you mean '{close}'?"));
        CommandError::usage(Problem::new(format!("there is no schema '{name}'")).help(help))
    })?;
    ui::print(&format!("{:#}\n", (found.schema)().to_value()));
    Ok(())
}

fn list(output: OutputFormat) {
    let own = SCHEMAS.iter().map(|schema| (schema.name, schema.about));
    let all = own.chain([PROJECTS]);
    match output {
        OutputFormat::Json => {
            let lines: Vec<Line> = all.map(|(name, about)| Line { name, about }).collect();
            ui::print(&format!("{}\n", serde_json::json!(lines)));
        }
        OutputFormat::Text => {
            let head = ["SCHEMA", "DESCRIBES"].map(str::to_owned).to_vec();
            let rows = all.map(|(name, about)| vec![name.to_owned(), about.to_owned()]);
            ui::print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
        }
    }
}
