//! The files of a chart's folder, without those that its `.helmignore` excludes.

use std::{collections::BTreeMap, fs, path::Path};

use glob::{MatchOptions, Pattern};

use super::{HelmError, charts::cannot};

/// The files of a chart, by their path from the chart's folder on.
pub(super) type ChartFiles = BTreeMap<String, Vec<u8>>;

const IGNORE_FILE: &str = ".helmignore";
/// Helm never reads hidden files among the templates.
const ALWAYS_IGNORED: &str = "templates/.?*";
/// A wildcard does not match a separator, but the dot at the start of a name.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Reads the files that Helm reads: an excluded file belongs neither to the digest nor to an archive of the chart.
///
/// # Errors
/// If a file cannot be read, or `.helmignore` contains a pattern that Helm does not accept.
pub(super) fn read_chart(folder: &Path) -> Result<ChartFiles, HelmError> {
    let rules = IgnoreRules::of(folder)?;
    let mut files = ChartFiles::new();
    rules.read(folder, folder, &mut files)?;
    Ok(files)
}

/// The rules of a `.helmignore`, which differ from those of `.gitignore`.
struct IgnoreRules(Vec<IgnoreRule>);

/// One line of a `.helmignore`.
struct IgnoreRule {
    pattern: Pattern,
    /// `!`: everything that does not match is ignored.
    is_negated: bool,
    /// A trailing `/`: applies to folders only.
    is_for_folders: bool,
    /// With a `/` elsewhere, the whole path is compared; otherwise only the last part.
    is_path: bool,
}

impl IgnoreRules {
    fn of(folder: &Path) -> Result<Self, HelmError> {
        let file = folder.join(IGNORE_FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(cannot("read", &file, &error)),
        };
        Self::parse(&text).map_err(|error| HelmError::Chart(format!("{}: {error}", file.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let written = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let written = written.filter(|line| !line.is_empty() && !line.starts_with('#'));
        written.chain([ALWAYS_IGNORED]).map(IgnoreRule::parse).collect::<Result<_, _>>().map(Self)
    }

    fn excludes(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let fits = (is_folder || !rule.is_for_folders) && rule.matches(path);
            if fits != rule.is_negated {
                return true;
            }
        }
        false
    }

    fn read(&self, root: &Path, folder: &Path, files: &mut ChartFiles) -> Result<(), HelmError> {
        for entry in fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))? {
            let path = entry.map_err(|error| cannot("read", folder, &error))?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let is_folder = path.is_dir();
            if self.excludes(&name, is_folder) {
                continue;
            }
            if is_folder {
                self.read(root, &path, files)?;
            } else {
                files.insert(name, fs::read(&path).map_err(|error| cannot("read", &path, &error))?);
            }
        }
        Ok(())
    }
}

impl IgnoreRule {
    fn parse(line: &str) -> Result<Self, String> {
        if line.contains("**") {
            return Err(format!("'{line}': Helm does not support ** here"));
        }
        let (is_negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (is_for_folders, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
        let is_path = rest.contains('/');
        // Helm negates a class with ^.
        let pattern = rest.strip_prefix('/').unwrap_or(rest).replace("[^", "[!");
        let pattern = Pattern::new(&pattern).map_err(|error| format!("'{line}': {error}"))?;
        Ok(Self { pattern, is_negated, is_for_folders, is_path })
    }

    fn matches(&self, path: &str) -> bool {
        let compared = if self.is_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        self.pattern.matches_with(compared, MATCHING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `helm package` leaves out for each of these lines.
    #[test]
    fn lines_mean_what_they_mean_to_helm() {
        for (line, path, is_folder, excluded) in [
            ("docs/", "docs", true, true),
            ("docs/", "a/docs", true, true),
            ("docs/", "docs", false, false),
            ("/docs", "docs", true, true),
            ("/docs", "a/docs", true, false),
            ("*.md", "a/b.md", false, true),
            ("a/*.md", "a/b.md", false, true),
            ("a/*.md", "a/b/c.md", false, false),
            ("*.md", ".md", false, true),
            ("[^a]x", "bx", false, true),
            ("!*.yaml", "a.txt", false, true),
            ("!*.yaml", "a.yaml", false, false),
            ("# a", "a", false, false),
            ("", "templates/.swp", false, true),
        ] {
            let rules = IgnoreRules::parse(line).unwrap();
            assert_eq!(rules.excludes(path, is_folder), excluded, "{line} {path}");
        }
        assert!(IgnoreRules::parse("a/**").is_err_and(|error| error.contains("**")));
    }

    #[test]
    fn excluded_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("docs")).unwrap();
        for (name, text) in [(".helmignore", "docs/\n"), ("docs/large", "x"), ("Chart.yaml", "name: a")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(read_chart(folder.path()).unwrap().into_keys().collect::<Vec<_>>(), [".helmignore", "Chart.yaml"]);
    }
}
