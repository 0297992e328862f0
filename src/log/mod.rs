//! The log of a run: a file of debug detail for each run, and with `-vv` or `CMDR_LOG` lines on standard error.
//!
//! Only events of cmdr itself are logged. Its adapters mask secrets in what they log; libraries do not, and some of them
//! log headers and bodies at their lower levels.

mod file;

use std::{
    io,
    path::{Path, PathBuf},
};

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
};

use crate::{
    domain::nearest::nearest,
    settings::{LogSettings, Settings},
    ui,
};
pub use file::{KEPT, newest};
use file::{LogFile, one_line};

/// What `-vv` prints: each external command and each request.
const VERY_VERBOSE: &str = "cmdr::adapters=debug";
/// What a file contains: also the start of each command and request, in case the run never ends.
const IN_FILES: &str = "cmdr=debug,cmdr::adapters=trace";

/// The modules whose events are logged. A filter of any other module has no effect.
const MODULES: [&str; 14] = [
    "cmdr::adapters::cache",
    "cmdr::adapters::cluster",
    "cmdr::adapters::docker",
    "cmdr::adapters::git",
    "cmdr::adapters::gitlab",
    "cmdr::adapters::helm",
    "cmdr::adapters::http",
    "cmdr::adapters::kind",
    "cmdr::adapters::process",
    "cmdr::adapters::registry",
    "cmdr::adapters::sops",
    "cmdr::commands",
    "cmdr::ui",
    "cmdr::ui::record",
];

/// The log of this run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RunLog {
    file: LogFile,
}

impl RunLog {
    /// Starts to log, with the verb in the name of the file. The file is created with the first event.
    ///
    /// # Errors
    /// If `CMDR_LOG` is not a valid filter.
    pub fn start(&self, settings: &Settings, verb: &str) -> Result<(), String> {
        let printed = printed(&settings.log)?.map(|filter| layer(filter, || Printer));
        let head = format!(
            "cmdr {} {verb} --env {} in {} on {} {}",
            env!("CARGO_PKG_VERSION"),
            settings.environment,
            settings.directory.display(),
            std::env::consts::OS,
            std::env::consts::ARCH,
        );
        self.file.plan(&folder(&settings.folders.state), verb, head);
        let in_file = layer(EnvFilter::new(IN_FILES), self.file.clone());
        let subscriber = tracing_subscriber::registry().with(in_file).with(printed);
        // It fails if this process already has a subscriber, which then receives the events.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(())
    }

    /// The file, once something was written to it.
    pub fn path(&self) -> Option<PathBuf> {
        self.file.path()
    }
}

/// The folder of the log files.
pub fn folder(state: &Path) -> PathBuf {
    state.join("logs")
}

/// The filter of what is printed; `None` if nothing is.
fn printed(settings: &LogSettings) -> Result<Option<EnvFilter>, String> {
    match &settings.filter {
        Some(text) => filter(text).map(Some),
        None => Ok(settings.prints().then(|| EnvFilter::new(VERY_VERBOSE))),
    }
}

/// Parses a filter, such as `debug` or `cmdr::adapters::helm=trace`.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let invalid = |why: String| format!("CMDR_LOG: '{text}' is not a valid filter: {why}");
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        let (target, level) = part.rsplit_once('=').map_or((None, *part), |(target, level)| (Some(target), level));
        if !is_level(level) && (target.is_some() || !is_own(level)) {
            let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
            let levels = levels.map(|level| level.as_str().to_lowercase()).join(", ");
            return Err(invalid(format!("'{level}' is not a level (off, {levels})")));
        }
        let target = target.or_else(|| (!is_level(level)).then_some(level));
        if let Some(target) = target.filter(|target| !is_logged(target)) {
            let help = match nearest(target, MODULES) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("modules: {}", MODULES.join(", ")),
            };
            return Err(invalid(format!("cmdr has no log of a module '{target}'; {help}")));
        }
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|error| invalid(error.to_string()))
}

/// Whether a filter of this module has an effect: it is one of the modules, or contains one.
fn is_logged(target: &str) -> bool {
    MODULES.iter().any(|module| *module == target || module.starts_with(&format!("{target}::")))
}

fn is_own(target: &str) -> bool {
    target == "cmdr" || target.starts_with("cmdr::")
}

/// A layer that writes one line per event of cmdr.
fn layer<S, W>(filter: EnvFilter, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let own = filter_fn(|metadata: &Metadata<'_>| is_own(metadata.target()));
    fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter.and(own))
}

/// Prints events on standard error.
struct Printer;

impl io::Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ui::print_message(&one_line(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for text in ["debug", "off", "cmdr=trace", "cmdr::adapters::helm=trace,info", " debug , cmdr::ui=off", "cmdr"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        let wrong = |text: &str| filter(text).unwrap_err();
        assert_eq!(
            wrong("loud"),
            "CMDR_LOG: 'loud' is not a valid filter: 'loud' is not a level (off, error, warn, info, debug, trace)"
        );
        assert!(wrong("cmdr=loud").contains("'loud' is not a level"));
        assert!(wrong("hyper=trace").contains("cmdr has no log of a module 'hyper'; modules: cmdr::adapters::cache, "));
        assert!(wrong("cmdr::adapters::hlem=trace").contains("did you mean 'cmdr::adapters::helm'?"));
        assert!(wrong("cmdr::nope").contains("cmdr has no log of a module 'cmdr::nope'"));
    }

    #[test]
    fn every_module_that_logs_is_known() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let own = ["debug", "info", "trace", "warn"].map(|level| format!("tracing::{level}!("));
                if own.iter().any(|call| text.replace(&format!("{call}target:"), "").contains(call)) {
                    let file = path.strip_prefix(&source).unwrap().with_extension("");
                    let module = format!("cmdr::{}", file.display()).replace('/', "::").replace("::mod", "");
                    assert!(is_logged(&module), "{module}");
                }
                for target in text.split("target: \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                    assert!(!target.starts_with("cmdr::") || is_logged(target), "{target}");
                }
            }
        }
    }

    #[test]
    fn the_variable_decides_what_is_printed() {
        let shown = |verbosity, filter: Option<&str>| {
            let settings = LogSettings { verbosity, filter: filter.map(str::to_owned) };
            printed(&settings).unwrap().map(|filter| filter.to_string())
        };
        assert_eq!(shown(1, None), None);
        assert_eq!(shown(2, None).as_deref(), Some(VERY_VERBOSE));
        assert_eq!(shown(0, Some("debug")).as_deref(), Some("debug"));
        assert_eq!(shown(2, Some("off")).as_deref(), Some("off"));
    }
}
