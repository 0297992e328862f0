//! The documentation as pages and sections, for `cmdr docs`, agents and `docs/llms.txt`.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::Serialize;

use super::nearest::{nearest, nearest_key};

/// How many sections a search returns.
const MOST_HITS: usize = 10;
/// The longest excerpt of a section, in characters.
const LONGEST_EXCERPT: usize = 160;

/// A page of the documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Page {
    /// The name of the file without its ending: `delivery`.
    pub topic: String,
    /// Its first heading.
    pub title: String,
    /// In Markdown.
    pub text: String,
}

/// A part of a page, from one heading to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSection<'a> {
    pub topic: &'a str,
    /// As in a link: `use-a-private-registry`.
    pub anchor: String,
    pub title: &'a str,
    pub text: &'a str,
}

/// A section that contains all words of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hit {
    /// What `cmdr docs` takes: `delivery#promote`.
    pub topic: String,
    pub title: String,
    /// The first line that contains one of the words.
    pub excerpt: String,
}

impl Page {
    pub fn new(topic: &str, text: String) -> Self {
        let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(topic).to_owned();
        Self { topic: topic.to_owned(), title, text }
    }

    /// The sections in their order.
    pub fn sections(&self) -> Vec<PageSection<'_>> {
        let mut starts = Vec::new();
        let (mut at, mut in_code) = (0, false);
        for line in self.text.split_inclusive('\n') {
            in_code ^= line.starts_with("```");
            if line.starts_with('#') && !in_code {
                starts.push(at);
            }
            at += line.len();
        }
        let ends = starts.iter().skip(1).copied().chain([self.text.len()]);
        let section = |(start, end): (usize, usize)| {
            let text = &self.text[start..end];
            let title = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
            PageSection { topic: &self.topic, anchor: anchor(title), title, text }
        };
        starts.iter().copied().zip(ends).map(section).collect()
    }

    /// The first paragraph about the subject, on one line.
    pub fn summary(&self) -> String {
        let lines = self.text.lines().skip_while(|line| !line.starts_with("# ")).skip(1);
        let is_prose =
            |line: &&str| !line.is_empty() && !line.starts_with(['#', '<', '|', '!']) && !line.starts_with("```");
        let is_about_itself = |line: &&str| line.starts_with("Made from the program");
        let paragraph = lines.skip_while(|line| !is_prose(line) || is_about_itself(line)).take_while(is_prose);
        paragraph.collect::<Vec<_>>().join(" ")
    }
}

/// The name of a heading in links, as on GitHub and GitLab.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

/// Finds a page, or a section of it: `delivery`, `delivery#promote`.
///
/// # Errors
/// The closest name, if there is one.
pub fn find(pages: &[Page], topic: &str) -> Result<String, Option<String>> {
    let (name, section) = topic.split_once('#').map_or((topic, None), |(name, section)| (name, Some(section)));
    let name = name.trim_end_matches(".md").to_lowercase();
    let page = pages.iter().find(|page| page.topic == name);
    let page =
        page.ok_or_else(|| nearest_key(&name, pages.iter().map(|page| page.topic.as_str())).map(str::to_owned))?;
    let Some(wanted) = section else { return Ok(page.text.clone()) };
    let sections = page.sections();
    if let Some(section) = sections.iter().find(|section| section.anchor == wanted) {
        return Ok(section.text.to_owned());
    }
    let close = nearest(wanted, sections.iter().map(|section| section.anchor.as_str()));
    Err(close.map(|close| format!("{name}#{close}")))
}

/// Returns the sections that contain all `words`, the best first: a word in a heading counts more than one in the text.
pub fn search(pages: &[Page], words: &str) -> Vec<Hit> {
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let mut found: Vec<(usize, Hit)> = pages
        .iter()
        .flat_map(Page::sections)
        .filter_map(|section| {
            let (title, text) = (section.title.to_lowercase(), section.text.to_lowercase());
            let score: Option<usize> = words
                .iter()
                .map(|word| {
                    let count = text.matches(word.as_str()).count();
                    (count > 0).then(|| count.min(5) + if title.contains(word.as_str()) { 20 } else { 0 })
                })
                .sum();
            Some((score?, section.hit(&words)))
        })
        .filter(|_| !words.is_empty())
        .collect();
    found.sort_by_key(|(score, _)| Reverse(*score));
    found.into_iter().take(MOST_HITS).map(|(_, hit)| hit).collect()
}

impl PageSection<'_> {
    fn hit(&self, words: &[String]) -> Hit {
        let has_word = |line: &&str| words.iter().any(|word| line.to_lowercase().contains(word.as_str()));
        let mut lines = self.text.lines().skip(1).filter(|line| !line.trim().is_empty());
        let first = lines.clone().next().unwrap_or_default();
        let excerpt = lines.find(has_word).unwrap_or(first).trim();
        Hit {
            topic: format!("{}#{}", self.topic, self.anchor),
            title: self.title.to_owned(),
            excerpt: excerpt.chars().take(LONGEST_EXCERPT).collect(),
        }
    }
}

/// The index of the documentation for language models (<https://llmstxt.org>); `path` returns the path of a topic.
pub fn llms_text(about: &str, pages: &[Page], path: impl Fn(&str) -> String) -> String {
    let line = |page: &Page| format!("- [{}]({}): {}\n", page.title, path(&page.topic), page.summary());
    let lines: String = pages.iter().map(line).collect();
    format!(
        "# cmdr\n\n> {about}\n\nEvery page is also in the program: `cmdr docs TOPIC`, `cmdr docs --search WORDS`. `cmdr mcp` \
         serves them to agents.\n\n## Documentation\n\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Vec<Page> {
        let page = "# Deliver\n\nMade from the program.\n\n`cmdr` brings\n`changes` to production.\n\n## Promote a release\n\nRun `cmdr promote`.\n\n```sh\n# promote\n```\n\n\
                    ## Roll back\n\nA release that failed.\n";
        vec![Page::new("delivery", page.to_owned()), Page::new("logs", "# Logs\n\nThe log of a release.\n".to_owned())]
    }

    #[test]
    fn a_page_has_sections_and_a_summary() {
        let pages = pages();
        let anchors: Vec<String> = pages[0].sections().into_iter().map(|section| section.anchor).collect();
        assert_eq!(anchors, ["deliver", "promote-a-release", "roll-back"]);
        assert_eq!(pages[0].summary(), "`cmdr` brings `changes` to production.");
    }

    #[test]
    fn a_topic_is_a_page_or_a_section() {
        let pages = pages();
        assert!(find(&pages, "delivery").is_ok_and(|text| text.starts_with("# Deliver")));
        assert!(find(&pages, "Delivery.md#roll-back").is_ok_and(|text| text.starts_with("## Roll back")));
        assert_eq!(find(&pages, "delivry"), Err(Some("delivery".to_owned())));
        assert_eq!(find(&pages, "dreary"), Err(None));
        assert_eq!(find(&pages, "delivery#rol-back"), Err(Some("delivery#roll-back".to_owned())));
    }

    #[test]
    fn a_word_in_a_heading_counts_more() {
        let hits: Vec<String> = search(&pages(), "release").into_iter().map(|hit| hit.topic).collect();
        assert_eq!(hits, ["delivery#promote-a-release", "delivery#roll-back", "logs#logs"]);
        assert_eq!(search(&pages(), "release failed")[0].excerpt, "A release that failed.");
        assert!(search(&pages(), "nothing like it").is_empty() && search(&pages(), " ").is_empty());
    }

    #[test]
    fn the_index_has_a_line_for_each_page() {
        let text = llms_text("A tool.", &pages(), |topic| format!("{topic}.md"));
        assert!(text.contains("\n- [Deliver](delivery.md): `cmdr` brings `changes` to production.\n"), "{text}");
    }
}
