//! URLs as variables that later jobs and `environment:url` can read.

use std::collections::BTreeMap;

/// GitLab's default limit: it rejects the whole file if it has more variables.
const MOST_VARIABLES: usize = 20;
/// GitLab rejects a file of this size in bytes.
const MOST_BYTES: usize = 5 * 1024;

#[derive(Debug, Default)]
pub(super) struct DotenvVariables {
    first: Option<String>,
    by_project: BTreeMap<String, String>,
}

impl DotenvVariables {
    pub(super) fn add(&mut self, urls: &[String], by_project: &BTreeMap<String, String>) {
        self.first = self.first.take().or_else(|| urls.first().cloned());
        self.by_project.extend(by_project.iter().map(|(project, url)| (key(project), url.clone())));
    }

    /// One variable per line, as many as GitLab accepts; `ENVIRONMENT_URL` is the first.
    pub(super) fn text(&self) -> String {
        let first = self.first.iter().map(|url| ("ENVIRONMENT_URL", url));
        let projects = self.by_project.iter().map(|(key, url)| (key.as_str(), url));
        let mut text = String::new();
        for (key, url) in first.chain(projects).take(MOST_VARIABLES) {
            let line = format!("{key}={url}\n");
            if text.len() + line.len() < MOST_BYTES {
                text.push_str(&line);
            }
        }
        text
    }
}

/// The variable of a project: letters, digits and underscores.
fn key(project: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("CMDR_URL_{}", project.chars().map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(projects: usize) -> DotenvVariables {
        let mut variables = DotenvVariables::default();
        let urls: Vec<String> = (0..projects).map(|number| format!("https://shop-{number:02}.example")).collect();
        let by_project =
            urls.iter().enumerate().map(|(number, url)| (format!("shop-{number:02}"), url.clone())).collect();
        variables.add(&urls, &by_project);
        variables
    }

    #[test]
    fn the_first_url_is_the_environments() {
        let expected = "ENVIRONMENT_URL=https://shop-00.example\nCMDR_URL_SHOP_00=https://shop-00.example\n\
                        CMDR_URL_SHOP_01=https://shop-01.example\n";
        assert_eq!(variables(2).text(), expected);
        assert_eq!(variables(0).text(), "");
    }

    #[test]
    fn no_more_is_written_than_gitlab_takes() {
        assert_eq!(variables(40).text().lines().count(), MOST_VARIABLES);
        let mut long = DotenvVariables::default();
        let url = format!("https://shop.example/{}", "x".repeat(1000));
        let by_project = (0..9).map(|number| (format!("shop-{number}"), url.clone())).collect();
        long.add(&[url], &by_project);
        assert!(long.text().len() < MOST_BYTES);
    }
}
