//! Validates Helm values against a chart's `values.schema.json`, and shows errors where the value is written.

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Map, Value};

use super::{
    error::{ConfigError, choice, did_you_mean, listed, quoted},
    set_options::SetOptions,
    sources::Sources,
    tables::value_formats::{self, ValueFormat},
    tree::Cursor,
};
use crate::domain::{Environment, Name, Values, nearest::nearest_key};

/// A chart's `values.schema.json`, compiled once for all projects of that chart.
#[derive(Debug)]
pub struct ValuesSchema<'a> {
    schema: &'a Value,
    /// The compiled schema, or why it is not a valid JSON Schema.
    validator: Result<jsonschema::Validator, String>,
}

impl<'a> ValuesSchema<'a> {
    pub fn new(schema: &'a Value) -> Self {
        Self { schema, validator: jsonschema::validator_for(schema).map_err(|error| error.to_string()) }
    }

    /// The schema of the universal chart, which names the formats of [`value_formats`].
    pub(super) fn universal(schema: &'a Value) -> Self {
        let formats = value_formats::ALL.iter();
        let options = formats.fold(jsonschema::options(), |options, it| options.with_format(it.name, it.is_valid));
        let validator = options.should_validate_formats(true).build(schema).map_err(|error| error.to_string());
        Self { schema, validator }
    }
}

/// An entry of projects.yaml with Helm values.
#[derive(Debug, Clone, Copy)]
pub enum ValuesHolder<'a> {
    Project(&'a Name),
    Platform(&'a str),
}

impl<'a> ValuesHolder<'a> {
    /// The path to the entry.
    pub(super) fn path(self) -> [&'a str; 2] {
        match self {
            Self::Project(name) => ["projects", name.as_str()],
            Self::Platform(name) => ["platform", name],
        }
    }
}

/// Where the values of an environment's projects and platform are written.
#[derive(Debug, Clone, Copy)]
pub struct ValueOrigin<'a> {
    pub sources: &'a Sources,
    pub environment: &'a Environment,
    /// The options of the command line that are merged over the holder's values, if any are.
    pub set: Option<&'a SetOptions>,
}

impl ValueOrigin<'_> {
    /// Returns an error in a holder's value that its chart's schema cannot find, such as a missing file. `path` starts
    /// at the holder or at its values. `None` if the holder is not defined in any file.
    pub fn misplaced(
        self,
        holder: ValuesHolder<'_>,
        path: &[&str],
        message: impl Into<String>,
        expected: &str,
    ) -> Option<ConfigError> {
        let place = ValueLocations::new(self, holder)?.nearest(path);
        Some(ConfigError::error(place.location(), message, expected))
    }
}

/// Returns an error for every value of `merged` that the chart's schema rejects.
///
/// `merged` is what Helm would validate: the chart's defaults with all layers of the holder merged over them. An error
/// is shown in the layer that set the value. The layers are, highest priority first: `--set`, `projects.local.yaml`,
/// the environment, the holder, and the defaults of the workspace. There is no error for a holder that no file has,
/// which has only values of cmdr.
pub fn check_values(
    origin: ValueOrigin<'_>,
    holder: ValuesHolder<'_>,
    merged: &Values,
    schema: &ValuesSchema<'_>,
) -> Vec<ConfigError> {
    let checked = without_nulls(&Value::Object(merged.clone()));
    let errors: Result<Vec<ValidationError<'_>>, &String> =
        schema.validator.as_ref().map(|validator| validator.iter_errors(&checked).collect());
    if errors.as_ref().is_ok_and(Vec::is_empty) {
        return Vec::new();
    }
    let Some(places) = ValueLocations::new(origin, holder) else { return Vec::new() };
    match errors {
        Ok(errors) => Reader { places, schema: schema.schema }.all(&errors),
        Err(error) => {
            let [_, name] = holder.path();
            let message = format!("the chart of `{name}` has a values.schema.json that is not a valid JSON Schema");
            vec![ConfigError::error(places.holder.key_location(), message, error.clone())]
        }
    }
}

/// Returns an error for every key that is `null` and unknown to the schema: Helm removes it before it validates, so that
/// a misspelled key would be ignored.
pub fn check_empty_keys(
    origin: ValueOrigin<'_>,
    holder: ValuesHolder<'_>,
    merged: &Values,
    schema: &ValuesSchema<'_>,
) -> Vec<ConfigError> {
    let values = Value::Object(merged.clone());
    let (true, Ok(validator)) = (has_null(&values), &schema.validator) else { return Vec::new() };
    let Some(places) = ValueLocations::new(origin, holder) else { return Vec::new() };
    let reader = Reader { places, schema: schema.schema };
    validator.iter_errors(&values).flat_map(|error| reader.unknown_empty_keys(&error)).collect()
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

/// Helm removes keys that are `null` before it validates.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

/// Where the values of a holder can be written.
struct ValueLocations<'a> {
    holder: Cursor<'a>,
    /// Highest priority first.
    layers: Vec<Cursor<'a>>,
}

impl<'a> ValueLocations<'a> {
    fn new(origin: ValueOrigin<'a>, values_of: ValuesHolder<'_>) -> Option<Self> {
        let ValueOrigin { sources, environment, set } = origin;
        let holder = sources.find(&values_of.path())?;
        let overrides = environment.overrides().filter_map(|name| holder.at(&["environments", name.as_str()]));
        let has_own_chart = overrides.chain([holder]).any(|holder| holder.get("chart").is_some());
        let has_defaults = matches!(values_of, ValuesHolder::Project(_)) && !has_own_chart;
        let written = sources.value_layers(environment, values_of, has_defaults);
        Some(Self { holder, layers: set.map(SetOptions::cursor).into_iter().chain(written).collect() })
    }

    /// The value at `path`, or its closest parent. Values that cmdr adds are shown at the holder's own keys.
    fn nearest(&self, path: &[&str]) -> Cursor<'a> {
        let written = self.layers.iter().chain([&self.holder]).map(|layer| layer.deepest(path));
        let mut best = (self.layers.first().copied().unwrap_or(self.holder), 0);
        for (place, depth) in written {
            if depth > best.1 {
                best = (place, depth);
            }
        }
        best.0
    }
}

struct Reader<'a> {
    places: ValueLocations<'a>,
    schema: &'a Value,
}

impl Reader<'_> {
    /// Converts errors of the same map together, so that a misspelled key is not reported as missing, too.
    fn all(&self, errors: &[ValidationError<'_>]) -> Vec<ConfigError> {
        let mut meant: Vec<(&str, &str)> = Vec::new();
        for error in errors {
            if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
                let near = unexpected.iter().filter_map(|key| nearest_key(key, self.known_beside(error)));
                meant.extend(near.map(|key| (error.instance_path().as_str(), key)));
            }
        }
        let is_misspelt = |error: &&ValidationError<'_>| match error.kind() {
            ValidationErrorKind::Required { property } => {
                meant.contains(&(error.instance_path().as_str(), property.as_str().unwrap_or_default()))
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                let is_meant = |key: &&str| meant.contains(&(error.instance_path().as_str(), *key));
                lacking(context).is_some_and(|keys| keys.iter().any(is_meant))
            }
            _ => false,
        };
        errors.iter().filter(|error| !is_misspelt(error)).flat_map(|error| self.diagnostics(error)).collect()
    }

    fn diagnostics(&self, error: &ValidationError<'_>) -> Vec<ConfigError> {
        let path = pointer_keys(error.instance_path().as_str());
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown(&keys, key, error)).collect()
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                match (lacking(context), closest(context, error.instance_path().as_str())) {
                    (Some(choices), _) => vec![self.none_of(&keys, &choices)],
                    (None, Some(branch)) => self.all(branch),
                    (None, None) => vec![self.other(&keys, error)],
                }
            }
            ValidationErrorKind::Required { property } => vec![self.missing(&keys, property, error)],
            ValidationErrorKind::PropertyNames { error: of_key } => vec![self.wrong_key(&keys, of_key)],
            _ => vec![self.other(&keys, error)],
        }
    }

    fn unknown_empty_keys(&self, error: &ValidationError<'_>) -> Vec<ConfigError> {
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let path = pointer_keys(error.instance_path().as_str());
                let keys: Vec<&str> = path.iter().map(String::as_str).collect();
                let is_empty = |key: &&String| error.instance().get(key.as_str()).is_some_and(Value::is_null);
                unexpected.iter().filter(is_empty).map(|key| self.unknown(&keys, key, error)).collect()
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                context.iter().flatten().flat_map(|error| self.unknown_empty_keys(error)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn unknown(&self, holder: &[&str], key: &str, error: &ValidationError<'_>) -> ConfigError {
        let mut path = holder.to_vec();
        path.push(key);
        let known = self.known_beside(error);
        let message = format!("unknown chart value {}", quoted(&path.join(".")));
        let expected = if known.is_empty() {
            "expected no keys here".to_owned()
        } else {
            format!("expected {}", choice(key, known.iter().copied()))
        };
        let help = did_you_mean(key, known.iter().copied());
        ConfigError::error(self.places.nearest(&path).key_location(), message, expected).with_help(help)
    }

    fn wrong_key(&self, holder: &[&str], error: &ValidationError<'_>) -> ConfigError {
        let key = error.instance().as_str().unwrap_or_default();
        let mut path = holder.to_vec();
        path.push(key);
        let message = format!("the chart does not accept the key {} in {}", quoted(key), quoted(&holder.join(".")));
        ConfigError::error(self.places.nearest(&path).key_location(), message, expected(error)).with_help(meant(error))
    }

    fn missing(&self, holder: &[&str], property: &Value, error: &ValidationError<'_>) -> ConfigError {
        let key = property.as_str().unwrap_or_default();
        let place = self.places.nearest(holder);
        if let Some(error) = without_key(error.instance(), key, place) {
            return error;
        }
        let mut path = holder.to_vec();
        path.push(key);
        let message = format!("required chart value {} is missing", quoted(&path.join(".")));
        let described = self.beside(error, "properties").and_then(|known| known.get(key)?.get("description")?.as_str());
        ConfigError::error(place.key_location(), message, format!("expected `{key}`"))
            .with_help(described.map(str::to_owned))
    }

    /// A map without any of the keys of which it needs one.
    fn none_of(&self, holder: &[&str], choices: &[&str]) -> ConfigError {
        let choices = listed(choices.iter().copied());
        let message = format!("{} has none of {}", quoted(&holder.join(".")), choices.replace(" or ", " and "));
        ConfigError::error(self.places.nearest(holder).key_location(), message, format!("expected {choices}"))
    }

    fn other(&self, path: &[&str], error: &ValidationError<'_>) -> ConfigError {
        let place = self.places.nearest(path);
        let name = if path.is_empty() { "`values`".to_owned() } else { quoted(&path.join(".")) };
        let message = match error.kind() {
            ValidationErrorKind::Type { .. } => format!("the value {name} is {}", kind_of(error.instance())),
            ValidationErrorKind::Format { .. } => {
                format!("the value {name} is {}", quoted(error.instance().as_str().unwrap_or_default()))
            }
            _ => format!("the chart does not accept the value {name}"),
        };
        // A format says what is expected.
        let is_told = matches!(error.kind(), ValidationErrorKind::Format { .. });
        let described = || self.beside(error, "description").and_then(Value::as_str).filter(|_| !is_told);
        let help = meant(error).or_else(|| described().map(str::to_owned));
        ConfigError::error(place.location(), message, expected(error)).with_help(help)
    }

    /// The keys that the schema defines at the location of an error.
    fn known_beside(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let of = |keyword: &str| self.beside(error, keyword).and_then(Value::as_object).into_iter();
        let known = of("properties").flat_map(|known| known.keys().map(String::as_str));
        // A pattern such as `^(headers|retry)$` lists names.
        let patterns = of("patternProperties").flat_map(Map::keys);
        let lists = patterns.filter_map(|pattern| pattern.strip_prefix("^(")?.strip_suffix(")$"));
        known.chain(lists.flat_map(|list| list.split('|'))).collect()
    }

    /// A keyword in the schema next to the one that failed.
    fn beside(&self, error: &ValidationError<'_>, keyword: &str) -> Option<&Value> {
        let (holder, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(holder)?.get(keyword)
    }
}

/// The error for a value that names a Secret or a `ConfigMap`, but none of its keys.
fn without_key(value: &Value, property: &str, place: Cursor<'_>) -> Option<ConfigError> {
    let mut kinds = [("secret", "Secret"), ("config", "ConfigMap")].into_iter().filter(|_| property == "key");
    let (key, kind, name) = kinds.find_map(|(key, kind)| Some((key, kind, value.get(key)?.as_str()?)))?;
    let message = format!("{} names the {kind} {}, but none of its keys", quoted(place.key()), quoted(name));
    let help = format!("add the key: `{{{key}: {name}, key: KEY}}`");
    let expected = "expected `key`: the key with the value";
    Some(ConfigError::error(place.key_location(), message, expected).with_help(help))
}

/// The keys of which a map needs one, if each alternative for a map lacks just one key.
fn lacking<'e>(branches: &'e [Vec<ValidationError<'static>>]) -> Option<Vec<&'e str>> {
    let for_maps =
        branches.iter().filter(|branch| !branch.iter().any(|it| matches!(it.kind(), ValidationErrorKind::Type { .. })));
    let keys = for_maps.map(|branch| match branch.as_slice() {
        [error] => match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str(),
            _ => None,
        },
        _ => None,
    });
    keys.collect::<Option<Vec<_>>>().filter(|keys| keys.len() > 1)
}

/// The schema alternative that the value matches best: the one with the deepest error, then with the fewest errors.
/// `None` if the value does not have the type of any alternative.
fn closest<'e>(
    branches: &'e [Vec<ValidationError<'static>>],
    place: &str,
) -> Option<&'e Vec<ValidationError<'static>>> {
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
    let other_type = |error: &ValidationError<'_>| {
        matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().as_str() == place
    };
    let nearness =
        |branch: &&Vec<ValidationError<'static>>| (branch.iter().map(depth).max(), std::cmp::Reverse(branch.len()));
    let fitting = branches.iter().filter(|branch| !branch.is_empty() && !branch.iter().any(other_type));
    fitting.max_by_key(nearness)
}

/// `/a/b~1c` -> `a`, `b/c`.
fn pointer_keys(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn expected(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => {
            format!("expected {}", type_name(&one.to_string()))
        }
        ValidationErrorKind::Type { kind: TypeKind::Multiple(several) } => {
            let names: Vec<String> = several
                .iter()
                .map(|one| type_name(&one.to_string()).to_owned())
                .filter(|name| name != "null")
                .collect();
            format!("expected {}", names.join(" or "))
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => one_of(context),
        ValidationErrorKind::Enum { options } => {
            let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
            format!("expected {}", listed(options.iter().map(String::as_str)))
        }
        ValidationErrorKind::Constant { expected_value } => format!("expected {}", quoted(&plain(expected_value))),
        ValidationErrorKind::Pattern { pattern } => format!("expected a string that matches {}", quoted(pattern)),
        ValidationErrorKind::Format { format } => {
            format!("expected {}", ValueFormat::named(format).map_or(format.as_str(), |known| known.expected))
        }
        ValidationErrorKind::Minimum { limit } => format!("expected at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("expected at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        ValidationErrorKind::MinLength { limit } => format!("expected at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("expected at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("expected at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("expected at most {limit} items"),
        ValidationErrorKind::MinProperties { limit } => format!("expected at least {limit} keys"),
        ValidationErrorKind::MaxProperties { limit } => format!("expected at most {limit} keys"),
        ValidationErrorKind::FalseSchema => "expected no value here".to_owned(),
        ValidationErrorKind::Not { schema } if schema.as_object().is_some_and(Map::is_empty) => {
            "expected no value here".to_owned()
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => "expected only one of the alternatives".to_owned(),
        ValidationErrorKind::Not { .. } => "expected a different value, or a different value next to it".to_owned(),
        _ => error.masked().to_string(),
    }
}

/// The valid word that an invalid one is close to, if there are few.
fn meant(error: &ValidationError<'_>) -> Option<String> {
    let wrong = error.instance().as_str()?;
    match error.kind() {
        ValidationErrorKind::Enum { options } => {
            did_you_mean(wrong, options.as_array().into_iter().flatten().filter_map(Value::as_str))
        }
        ValidationErrorKind::Format { format } => {
            Some(format!("did you mean `{}`?", ValueFormat::named(format)?.nearest(wrong)?))
        }
        _ => None,
    }
}

/// What each alternative expects, for a value that none of them accepts.
fn one_of(branches: &[Vec<ValidationError<'static>>]) -> String {
    let mut each: Vec<String> = Vec::new();
    for one in branches.iter().flatten().map(expected) {
        let one = one.trim_start_matches("expected ").to_owned();
        if !each.contains(&one) {
            each.push(one);
        }
    }
    format!("expected {}", each.join(" or "))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn type_name(json: &str) -> &str {
    match json {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map",
        _ => "null",
    }
}
