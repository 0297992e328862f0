//! `cmdr explain`: the causes of failures that cmdr knows.

use serde_json::json;

use crate::{
    cli::ExplainOptions,
    domain::{
        Problem,
        causes::{self, AREAS, CauseEntry},
    },
    error::CommandError,
    settings::{OutputFormat, Settings},
    ui::{self, style::Style, table::table},
};

/// # Errors
/// If no cause has this code or name.
pub(super) fn explain(settings: &Settings, options: &ExplainOptions) -> Result<(), CommandError> {
    let Some(wanted) = &options.cause else {
        list(settings);
        return Ok(());
    };
    let found = causes::get(wanted.trim()).ok_or_else(|| unknown(wanted))?;
    match settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", json!(found.entry()))),
        OutputFormat::Text => ui::print(&text(&found.entry(), Style::new(settings.color))),
    }
    Ok(())
}

fn unknown(wanted: &str) -> CommandError {
    let with_word = causes::with_word(wanted);
    let nearest = match with_word.as_slice() {
        [] => causes::closest(wanted).map(|nearest| format!("did you mean '{nearest}'? ")),
        names => Some(format!("causes with this word: {}; ", names.join(", "))),
    };
    let help = format!("{}cmdr explain lists all causes", nearest.unwrap_or_default());
    CommandError::usage(Problem::new(format!("unknown cause '{wanted}'")).help(help))
}

/// One object per line in JSON, a table for each area in text.
fn list(settings: &Settings) {
    let style = Style::new(settings.color);
    for area in AREAS {
        let entries = area.causes.iter().map(|cause| cause.entry());
        match settings.output {
            OutputFormat::Json => entries.for_each(|entry| ui::print(&format!("{}\n", json!(entry)))),
            OutputFormat::Text => {
                let row = |entry: CauseEntry| vec![entry.code.to_owned(), entry.name.to_owned(), entry.message];
                let rows: Vec<Vec<String>> = entries.map(row).collect();
                ui::print(&format!("{}\n{}\n", style.bold(area.title), table(&rows)));
            }
        }
    }
}

fn text(entry: &CauseEntry, style: Style) -> String {
    let head = style.bold(format!("{} {}", entry.code, entry.name));
    let mut text = format!("{head}: {}\n\n{}\n\n", entry.message, entry.explanation);
    text.push_str(&format!("  {} {}\n", style.dim("example:"), entry.example));
    text.push_str(&format!("  {}   {}\n", style.dim("waits:"), entry.budget));
    text.push_str(&format!("  {}    {}\n", style.hint("help:"), entry.remedy));
    text
}
