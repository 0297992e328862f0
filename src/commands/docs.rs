//! `cmdr docs`: the documentation that is embedded in the program.

use std::io::Read;

use flate2::read::DeflateDecoder;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::DocsOptions,
    domain::{
        Problem,
        manual::{Hit, Page, find, search},
    },
    error::CommandError,
    settings::{OutputFormat, Settings},
    ui::{self, table::table},
};

/// The pages, packed by `build.rs`.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs.deflate"));

/// A page in the list of all.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Topic {
    pub topic: String,
    pub title: String,
    /// Its first paragraph.
    pub summary: String,
}

/// What `--output json` prints: the list of pages, a page, or what a search found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DocsDocument {
    Topics(Vec<Topic>),
    /// The text in Markdown.
    Text(String),
    Hits(Vec<Hit>),
}

/// All pages.
pub fn pages() -> Vec<Page> {
    let mut text = String::new();
    if DeflateDecoder::new(ARCHIVE).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let pages: Vec<(String, String)> = serde_json::from_str(&text).unwrap_or_default();
    pages.into_iter().map(|(topic, text)| Page::new(&topic, text)).collect()
}

/// # Errors
/// When there is no such page, or nothing contains the words.
pub(super) fn docs(settings: &Settings, options: &DocsOptions) -> Result<(), CommandError> {
    let document = document(&pages(), options)?;
    match settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(document))),
        OutputFormat::Text => ui::print(&text(&document)),
    }
    Ok(())
}

fn document(pages: &[Page], options: &DocsOptions) -> Result<DocsDocument, CommandError> {
    if let Some(words) = &options.search {
        let hits = search(pages, words);
        if hits.is_empty() {
            let problem = Problem::new(format!("no section of the documentation contains '{words}'"));
            return Err(CommandError::failed(
                problem.help("search for fewer or other words; cmdr docs lists the pages"),
            ));
        }
        return Ok(DocsDocument::Hits(hits));
    }
    let Some(topic) = &options.topic else {
        let topic =
            |page: &Page| Topic { topic: page.topic.clone(), title: page.title.clone(), summary: page.summary() };
        return Ok(DocsDocument::Topics(pages.iter().map(topic).collect()));
    };
    find(pages, topic).map(DocsDocument::Text).map_err(|nearest| {
        let help = match nearest {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => "cmdr docs lists the pages, and cmdr docs --search finds words".to_owned(),
        };
        CommandError::usage(Problem::new(format!("the documentation has no page '{topic}'")).help(help))
    })
}

fn text(document: &DocsDocument) -> String {
    match document {
        DocsDocument::Text(text) => text.clone(),
        DocsDocument::Topics(topics) => {
            let head = ["TOPIC", "TITLE"].map(str::to_owned).to_vec();
            let rows = topics.iter().map(|it| vec![it.topic.clone(), it.title.clone()]);
            table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        }
        DocsDocument::Hits(hits) => {
            hits.iter().map(|hit| format!("{}  {}\n  {}\n", hit.topic, hit.title, hit.excerpt)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_contains_its_documentation() {
        let pages = pages();
        let topics: Vec<&str> = pages.iter().map(|page| page.topic.as_str()).collect();
        assert_eq!(topics.first(), Some(&"readme"));
        assert!(topics.contains(&"projects-yaml") && topics.contains(&"cli"), "{topics:?}");
        assert!(!topics.iter().any(|topic| topic.starts_with("design")), "{topics:?}");
        assert!(ARCHIVE.len() < 200_000, "the pages take {} bytes", ARCHIVE.len());
    }
}
