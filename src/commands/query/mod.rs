//! `cmdr query`: questions about what runs, in one or several environments.

mod columns;
mod watch;

pub(crate) use watch::ChangedRow;

use std::{collections::BTreeSet, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::columns::lines;
use crate::{
    cli::QueryOptions,
    config::{ConfigError, Location, SourceFile},
    domain::{
        Problem,
        query::{Expression, ExpressionError, QUESTIONS, Question},
    },
    error::CommandError,
    ops::{
        describe::namespaces_of,
        errors::mistakes,
        query::{EnvironmentQuery, QueryRequest, QueryRow, QuerySubject, Unanswered, unknown_kind},
        session::Session,
    },
    settings::{OutputFormat, Settings},
    ui::{self, table::table},
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueryDocument {
    pub rows: Vec<QueryRow>,
    /// The environments without an answer.
    pub failed: Vec<FailedEnvironment>,
}

/// An environment without an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailedEnvironment {
    pub environment: String,
    pub problems: Vec<Problem>,
}

/// The answers of the environments.
#[derive(Debug, Default)]
struct Answers {
    rows: Vec<QueryRow>,
    failed: Vec<(String, CommandError)>,
}

/// # Errors
/// When the expression or an environment's name is wrong, or an environment could not be queried; the others are answered.
pub(super) async fn query(
    settings: Settings,
    cancel: CancellationToken,
    options: &QueryOptions,
) -> Result<(), CommandError> {
    let request = request(options, settings.color)?;
    let sessions = sessions(&settings, &cancel, options.all_environments)?;
    let color = settings.color;
    if options.watch {
        return watch::watch(&sessions, &request, &cancel).await;
    }
    let answers = ask(&sessions, &request, color).await?;
    show(&sessions, &answers);
    into_result(answers.failed)
}

fn request(options: &QueryOptions, color: bool) -> Result<QueryRequest, CommandError> {
    let name = options.question.as_ref().ok_or_else(no_question)?;
    let subject = Question::find(name).map_or_else(|| QuerySubject::Kind(name.clone()), QuerySubject::Question);
    let expression = options.expr.as_deref().map(Expression::parse).transpose();
    let expression =
        expression.map_err(|errors| wrong_expression(options.expr.as_deref().unwrap_or_default(), &errors, color))?;
    Ok(QueryRequest { subject, name: options.name.clone(), expression: expression.map(Arc::new) })
}

fn no_question() -> CommandError {
    let questions: Vec<&str> = QUESTIONS.iter().map(|(name, ..)| *name).collect();
    let help = format!("ask for {}, or a kind of objects: cmdr query pods", questions.join(", "));
    CommandError::usage(Problem::new("no question").help(help))
}

/// The environments to query. Review environments are left out, because each has its own slug.
fn sessions(settings: &Settings, cancel: &CancellationToken, all: bool) -> Result<Vec<Session>, CommandError> {
    let first = Session::open(settings.clone(), cancel.clone())?;
    let known = first.loaded.workspace.environments.values().filter(|environment| environment.review.is_none());
    let mut names: Vec<String> = if all {
        known.map(|environment| environment.name.to_string()).collect()
    } else {
        settings.environments.clone()
    };
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if all && settings.environments != ["local"] {
        let problem = Problem::new("--all-environments already includes --env").help("leave out one of them");
        return Err(CommandError::usage(problem));
    }
    if let [_] = names.as_slice() {
        return Ok(vec![first]);
    }
    // The first session has printed what applies to all.
    let quiet = Settings { quiet: true, ..settings.clone() };
    let open = |name: &String| Ok(Session::open_in(name, &quiet, cancel)?.beside(None));
    names.iter().map(open).collect()
}

async fn ask(sessions: &[Session], request: &QueryRequest, color: bool) -> Result<Answers, CommandError> {
    let asked = sessions.iter().map(|session| async move {
        match EnvironmentQuery::open(session, request).await {
            Ok(query) => query.rows().await,
            Err(error) => Err(error),
        }
    });
    let results = futures::future::join_all(asked).await;
    let mut answers = Answers::default();
    let mut unknown = None;
    let has_answer = results.iter().any(Result::is_ok);
    for (session, result) in sessions.iter().zip(results) {
        match result {
            Ok(rows) => answers.rows.extend(rows),
            Err(Unanswered::Expression(error)) => return Err(wrong(request, &error, color)),
            // Another environment can have a kind that this one does not have.
            Err(Unanswered::UnknownKind(_)) if has_answer => {}
            Err(Unanswered::UnknownKind(nearest)) => unknown = Some(nearest),
            Err(Unanswered::Failed(error)) => answers.failed.push((session.environment.name.to_string(), error)),
        }
    }
    match (unknown, &request.subject) {
        (Some(nearest), QuerySubject::Kind(word)) => Err(CommandError::usage(unknown_kind(word, nearest.as_deref()))),
        _ => Ok(answers),
    }
}

fn show(sessions: &[Session], answers: &Answers) {
    let is_json = sessions.iter().any(|session| session.settings.output == OutputFormat::Json);
    if is_json {
        let failed = answers.failed.iter().map(|(environment, error)| FailedEnvironment {
            environment: environment.clone(),
            problems: error.problems.clone(),
        });
        let document = QueryDocument { rows: answers.rows.clone(), failed: failed.collect() };
        ui::print(&format!("{}\n", serde_json::json!(document)));
        return;
    }
    if answers.rows.is_empty() {
        let names: Vec<&str> = sessions.iter().map(|session| session.environment.name.as_str()).collect();
        if let Some(first) = sessions.first().filter(|_| answers.failed.len() < sessions.len()) {
            let namespaces = namespaces_of(first).join(", ");
            let places = if sessions.len() == 1 { format!(": namespaces {namespaces}") } else { String::new() };
            first.note(&format!("nothing found in {}{places}", names.join(", ")));
        }
        return;
    }
    ui::print(&table(&lines(&answers.rows, sessions.len() > 1)));
}

/// All environments that could not be queried, as one error; the exit code is that of the first one.
fn into_result(failed: Vec<(String, CommandError)>) -> Result<(), CommandError> {
    let Some((_, first)) = failed.first() else { return Ok(()) };
    let kind = first.kind;
    let report = failed.iter().find_map(|(_, error)| error.report.clone());
    let problems = failed
        .into_iter()
        .flat_map(|(environment, error)| error.problems.into_iter().map(move |problem| named(&environment, problem)));
    Err(CommandError { problems: problems.collect(), report, ..CommandError::reported(kind) })
}

fn named(environment: &str, problem: Problem) -> Problem {
    let start = format!("environment '{environment}': ");
    if problem.message.contains(&format!("'{environment}'")) {
        return problem;
    }
    Problem { message: format!("{start}{}", problem.message), ..problem }
}

fn wrong(request: &QueryRequest, error: &ExpressionError, color: bool) -> CommandError {
    let source = request.expression.as_deref().map(Expression::source).unwrap_or_default();
    wrong_expression(source, std::slice::from_ref(error), color)
}

/// Shows the errors of an expression, each with its place.
fn wrong_expression(source: &str, errors: &[ExpressionError], color: bool) -> CommandError {
    let file = Arc::new(SourceFile { path: "--expr".into(), text: source.to_owned() });
    let diagnostics = errors.iter().map(|error| {
        let location = Location::new(&file, error.range.clone());
        ConfigError::error(location, error.message.clone(), error.expected.clone()).with_help(error.help.clone())
    });
    mistakes(diagnostics.collect(), color)
}
