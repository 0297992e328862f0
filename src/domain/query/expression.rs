//! Expressions in CEL (<https://cel.dev>) that select objects.
//!
//! A field that an object does not have makes the expression false for this object. A name that no object has is an
//! error, so that a typing mistake does not look like an empty answer.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use cel::{
    Context, Env, ExecutionError, IdedExpr, Value as CelValue,
    common::ast::{EntryExpr, Expr},
    extensions,
    parser::pratt_parser::{Lexer, PrattParser, Token, TokenKind},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::{nearest::nearest, quantity::parse_cpu_millis};

/// The variables of every object.
const ALWAYS: [&str; 6] = ["object", "metadata", "spec", "status", "kind", "apiVersion"];
/// The functions of CEL that are called by name, for messages about unknown ones.
const FUNCTIONS: [&str; 32] = [
    "age",
    "all",
    "bool",
    "bytes",
    "charAt",
    "contains",
    "double",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "format",
    "has",
    "indexOf",
    "int",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "map",
    "matches",
    "quantity",
    "replace",
    "reverse",
    "size",
    "split",
    "startsWith",
    "string",
    "substring",
    "trim",
    "type",
    "uint",
    "upperAscii",
];

/// A parsed expression.
pub struct Expression {
    source: String,
    parsed: IdedExpr,
    environment: Arc<Env>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    pub message: String,
    /// The part of the expression, in bytes.
    pub range: Range<usize>,
    /// What was expected there.
    pub expected: String,
    pub help: Option<String>,
}

/// The objects that an expression selects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selected {
    /// For each object, whether it is selected.
    pub is_selected: Vec<bool>,
    /// A field that every object lacks, if no object is selected.
    pub missing: Option<String>,
}

impl Expression {
    /// # Errors
    /// Every syntax error, and calls of unknown functions.
    pub fn parse(source: &str) -> Result<Self, Vec<ExpressionError>> {
        let parsed = PrattParser::new().parse(source).map_err(|wrong| {
            let errors = wrong.errors.iter().map(|error| syntax_error(source, error.pos, &error.msg));
            let mut seen = BTreeSet::new();
            errors.filter(|error| seen.insert(error.range.start)).collect::<Vec<_>>()
        })?;
        let mut environment = Env::stdlib();
        // It fails only if a function is declared twice.
        let _ = environment.add_extension(extensions::strings);
        Ok(Self { source: source.to_owned(), parsed, environment: Arc::new(environment) })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates the expression for each object.
    ///
    /// # Errors
    /// If a name or a function is unknown, types do not fit, or the result is not true or false.
    pub fn select(&self, objects: &[Value]) -> Result<Selected, ExpressionError> {
        let used = self.used_variables();
        let scopes: Vec<Map<String, Value>> = objects.iter().map(scope).collect();
        let known: BTreeSet<&str> = scopes.iter().flat_map(|scope| scope.keys().map(String::as_str)).collect();
        if let Some(unknown) = used.iter().find(|name| !known.contains(**name)).filter(|_| !objects.is_empty()) {
            return Err(self.unknown_variable(unknown, &known));
        }
        let mut selected = Selected::default();
        let mut missing = None;
        for scope in &scopes {
            match self.evaluate(scope, &used) {
                Ok(is_selected) => selected.is_selected.push(is_selected),
                Err(ExecutionError::NoSuchKey(key)) => {
                    missing = Some(key.to_string());
                    selected.is_selected.push(false);
                }
                Err(ExecutionError::UndeclaredReference(name)) if known.contains(name.as_str()) => {
                    selected.is_selected.push(false);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        selected.missing = missing.filter(|_| !selected.is_selected.contains(&true));
        Ok(selected)
    }

    /// Evaluates the expression to a number that is not negative, with `body` as its only variable.
    ///
    /// # Errors
    /// Why there is no such number.
    pub fn number(&self, body: &Value) -> Result<u64, String> {
        let scope = Map::from_iter([("body".to_owned(), body.clone())]);
        let found = self.resolve(&scope, &self.used_variables()).map_err(|error| self.failed(&error).message)?;
        let number = match found {
            CelValue::Int(number) => u64::try_from(number).ok(),
            CelValue::UInt(number) => Some(number),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
            CelValue::Float(number) if (0.0..1e15).contains(&number) => Some(number as u64),
            _ => None,
        };
        number.ok_or_else(|| format!("'{}' is not a number of messages", self.source))
    }

    fn evaluate(&self, scope: &Map<String, Value>, used: &BTreeSet<&str>) -> Result<bool, ExecutionError> {
        match self.resolve(scope, used)? {
            CelValue::Bool(is_selected) => Ok(is_selected),
            other => Err(ExecutionError::UnexpectedType { got: other.type_of().to_string(), want: "bool".to_owned() }),
        }
    }

    fn resolve(&self, scope: &Map<String, Value>, used: &BTreeSet<&str>) -> Result<CelValue, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&self.environment));
        let _ = context.add_function("quantity", quantity);
        let _ = context.add_function("age", age);
        for name in used {
            if let Some(value) = scope.get(*name) {
                let value = cel::to_value(value).map_err(|error| ExecutionError::function_error(name, error))?;
                context.add_variable_from_value(*name, value);
            }
        }
        CelValue::resolve(&self.parsed, &context)
    }

    /// The variables that the expression reads, without those that it declares (`c` in `containers.exists(c, ...)`).
    fn used_variables(&self) -> BTreeSet<&str> {
        let (mut used, mut declared) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![&self.parsed];
        while let Some(next) = open.pop() {
            match &next.expr {
                Expr::Ident(name) => drop(used.insert(name.as_str())),
                Expr::Comprehension(inner) => {
                    declared.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
                    declared.extend(inner.iter_var2.as_deref());
                }
                _ => (),
            }
            open.extend(below(&next.expr));
        }
        used.into_iter().filter(|name| !declared.contains(name) && !name.starts_with('@')).collect()
    }

    fn unknown_variable(&self, name: &str, known: &BTreeSet<&str>) -> ExpressionError {
        let range = self.place(|token| self.text(token) == name && token.kind == TokenKind::TokIdent);
        // A row of a question has no parts.
        let is_object = known.contains("spec");
        let help = match nearest(name, known.iter().copied()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None if is_object => format!("write spec.{name} for a field of spec that no object has"),
            None => "cmdr schema query describes the keys of the rows".to_owned(),
        };
        let expected = if is_object {
            format!("one of {}, or a field of spec", ALWAYS.join(", "))
        } else {
            format!("one of {}", known.iter().copied().collect::<Vec<_>>().join(", "))
        };
        ExpressionError { message: format!("unknown name '{name}'"), range, expected, help: Some(help) }
    }

    /// Describes an error during the evaluation, with the part of the expression that it belongs to.
    fn failed(&self, error: &ExecutionError) -> ExpressionError {
        let whole = 0..self.source.len();
        let of = |range, expected: &str, help| ExpressionError {
            message: first_lower(&error.to_string()),
            range,
            expected: expected.to_owned(),
            help,
        };
        match error {
            ExecutionError::UndeclaredReference(name) => {
                let range = self.place(|token| self.text(token) == name.as_str());
                let help = nearest(name, FUNCTIONS).map(|nearest| format!("did you mean '{nearest}'?"));
                let message = format!("unknown function '{name}'");
                ExpressionError { message, range, expected: "a function of CEL".to_owned(), help }
            }
            ExecutionError::UnexpectedType { got, want } if want == "bool" => {
                let message = format!("the expression must be true or false, but its result is of type {got}");
                let help = "compare it with a value, such as status.phase == 'Running'".to_owned();
                ExpressionError { message, range: whole, expected: "true or false".to_owned(), help: Some(help) }
            }
            ExecutionError::NoSuchOverload(overload) => {
                let name = overload.function();
                let word = name.trim_matches('_').trim_start_matches('@');
                let types = overload.argument_types().join(" and ");
                let message = format!("'{word}' does not apply to {types}");
                let range = self.place(|token| self.text(token) == word);
                let help = "values that are compared must have one type: int(), double(), string() convert them";
                ExpressionError { message, range, expected: "fitting types".to_owned(), help: Some(help.to_owned()) }
            }
            ExecutionError::FunctionError { function, message } => {
                let range = self.place(|token| self.text(token) == function);
                let expected = "a valid argument".to_owned();
                // Messages of regular expressions have several lines, which draw the place.
                let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| *line != "^").collect();
                let message = format!("{function}: {}", lines.join(" "));
                ExpressionError { message, range, expected, help: None }
            }
            _ => of(whole, "an expression that can be evaluated", None),
        }
    }

    fn text(&self, token: &Token) -> &str {
        self.source.get(token.start..token.end).unwrap_or_default()
    }

    /// The first token that fits; the whole expression without one.
    fn place(&self, fits: impl Fn(&Token) -> bool) -> Range<usize> {
        let tokens = tokens(&self.source);
        tokens.iter().find(|token| fits(token)).map_or(0..self.source.len(), |token| token.start..token.end)
    }
}

/// The variables that an expression sees for an object: its fields, the fields of its `spec`, and the object itself.
fn scope(object: &Value) -> Map<String, Value> {
    let mut scope = object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let own = object.as_object().cloned().unwrap_or_default();
    if own.contains_key("apiVersion") {
        for name in ["metadata", "spec", "status"] {
            scope.insert(name.to_owned(), Value::Object(Map::new()));
        }
    }
    scope.extend(own);
    scope.insert("object".to_owned(), object.clone());
    scope
}

/// The value of a quantity as a number: `quantity("1Gi") == 1073741824.0`.
#[expect(clippy::needless_pass_by_value, reason = "CEL passes arguments by value")]
#[expect(clippy::cast_precision_loss, reason = "quantities are compared, not added")]
fn quantity(text: Arc<String>) -> Result<f64, ExecutionError> {
    let millis = parse_cpu_millis(&text).map_err(|error| ExecutionError::function_error("quantity", error))?;
    Ok(millis as f64 / 1000.0)
}

/// The seconds since a time: `age(metadata.creationTimestamp) < 600.0`.
#[expect(clippy::needless_pass_by_value, reason = "CEL passes arguments by value")]
fn age(time: Arc<String>) -> Result<f64, ExecutionError> {
    let time: Timestamp = time.parse().map_err(|error| ExecutionError::function_error("age", error))?;
    Ok(Timestamp::now().duration_since(time).as_secs_f64())
}

/// The expressions that an expression consists of.
fn below(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(inner) => {
            vec![&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => {
            let entries = map.entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            });
            entries.collect()
        }
        Expr::Select(select) => vec![&*select.operand],
        _ => Vec::new(),
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer::new(source);
    let mut found = Vec::new();
    loop {
        let token = lexer.lex();
        if matches!(token.kind, TokenKind::TokEnd | TokenKind::TokError) {
            return found;
        }
        found.push(token);
    }
}

/// A syntax error at a line and a column, both counted from 1; columns count bytes.
fn syntax_error(source: &str, (line, column): (isize, isize), message: &str) -> ExpressionError {
    let line = usize::try_from(line - 1).unwrap_or_default();
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let start = (before + usize::try_from(column - 1).unwrap_or_default()).min(source.len());
    let end = tokens(source).iter().find(|token| token.start == start).map_or(start, |token| token.end);
    ExpressionError {
        message: first_lower(message.trim_start_matches("Syntax error: ")),
        range: start..end,
        expected: "a valid expression".to_owned(),
        help: Some("expressions are written in CEL: status.phase == 'Running' && containers.size() > 1".to_owned()),
    }
}

fn first_lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Vec<Value> {
        let pod = |name: &str, image: &str, memory: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"tier": "web"}},
                "spec": {"containers": [{"name": "main", "image": image, "resources": {"limits": {"memory": memory}}}]},
                "status": {"phase": "Running"}})
        };
        let mut second = pod("shop", "ghcr.io/tunes/shop:2", "2Gi");
        second["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        vec![pod("db", "mysql:5.7", "512Mi"), second]
    }

    fn selected(source: &str) -> Vec<bool> {
        Expression::parse(source).unwrap().select(&pods()).unwrap().is_selected
    }

    fn wrong(source: &str) -> (String, String) {
        let error = match Expression::parse(source) {
            Ok(expression) => expression.select(&pods()).unwrap_err(),
            Err(errors) => errors[0].clone(),
        };
        (error.message, source[error.range].to_owned())
    }

    #[test]
    fn the_fields_of_spec_and_of_the_object_are_variables() {
        assert_eq!(selected(r#"containers.exists(c, c.image.contains("mysql"))"#), [true, false]);
        assert_eq!(selected("spec.containers.size() == 1 && status.phase == 'Running'"), [true, true]);
        assert_eq!(selected("object.kind == 'Pod' && metadata.name.startsWith('sh')"), [false, true]);
        assert_eq!(selected("metadata.name.matches('^d.$') || metadata.labels['tier'] == 'db'"), [true, false]);
        assert_eq!(selected("containers.all(c, c.image.split(':')[1].size() > 1)"), [true, false]);
        assert_eq!(selected("[1, 2].map(n, n * 2) == [2, 4] && {'a': kind}.a == 'Pod'"), [true, true]);
    }

    #[test]
    fn quantities_are_compared_as_numbers() {
        let source = "containers.exists(c, quantity(c.resources.limits.memory) > quantity('1Gi'))";
        assert_eq!(selected(source), [false, true]);
        assert_eq!(selected("age('2020-01-01T00:00:00Z') > 600.0"), [true, true]);
        assert_eq!(selected("quantity('500m') < 1.0 && quantity('2') == 2.0"), [true, true]);
    }

    #[test]
    fn an_object_without_a_field_is_not_selected() {
        assert_eq!(selected("nodeSelector.disk == 'ssd'"), [false, true]);
        assert_eq!(selected("has(spec.nodeSelector) && spec.nodeSelector.disk == 'ssd'"), [false, true]);
        let nowhere = Expression::parse("spec.runtimeClassName == 'x'").unwrap().select(&pods()).unwrap();
        assert_eq!((nowhere.is_selected, nowhere.missing.as_deref()), (vec![false, false], Some("runtimeClassName")));
    }

    #[test]
    fn a_mistake_has_its_place() {
        let place = |message: &str, text: &str| (message.to_owned(), text.to_owned());
        assert_eq!(wrong("contaners.size() == 1"), place("unknown name 'contaners'", "contaners"));
        assert_eq!(wrong("true && startWith('a')"), place("unknown function 'startWith'", "startWith"));
        assert_eq!(wrong("containers.size() > 'a'"), place("'>' does not apply to int and string", ">"));
        assert_eq!(wrong("metadata.name.matches('(')").1, "matches");
        assert_eq!(wrong("quantity('much') > 1.0").1, "quantity");
        assert_eq!(wrong("age('now') > 1.0").1, "age");
        let invalid = wrong("metadata.name.matches('(')").0;
        assert!(invalid.ends_with("error: unclosed group") && !invalid.contains('\n'), "{invalid}");
        assert_eq!(wrong("metadata.name").1, "metadata.name");
        assert_eq!(wrong("a == == b").1, "==");
        assert_eq!(wrong("containers.exists(c, c.image.contains('x')").1, "");
    }

    #[test]
    fn text_that_is_no_expression_is_refused_without_a_panic() {
        for source in
            ["", " ", "(", ")", "'", "\"a", "a.", "a[", "{", "{1:", "-", "!!", "a ? b", "ä", "0x", "1e", "\\", "a.b(c,"]
        {
            assert!(Expression::parse(source).is_err(), "{source:?}");
        }
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(
            Expression::parse(&format!("{} == 1", "!".repeat(10_000))).is_err() || Expression::parse(&deep).is_err()
        );
    }
}
