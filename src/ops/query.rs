//! Answers questions about an environment.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    adapters::cluster::Cluster,
    domain::{
        Problem,
        exposed::Forward,
        nearest::nearest as closest,
        query::{
            Exposure, Expression, ExpressionError, ProjectDifference, ProjectResources, QUESTIONS, QueryFinding,
            Question, ResourceKind, Selected, find_kind, found, shown,
        },
    },
    error::{CommandError, ErrorKind},
    ops::{
        connect, describe::namespaces_of, exposed::forwarder, observe_environment, options::UpRequest,
        resources::demands, session::Session, status::StatusReport,
    },
};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuerySubject {
    Question(Question),
    /// Objects of a kind, as it was written.
    Kind(String),
}

/// A question with its filters.
#[derive(Debug)]
pub struct QueryRequest {
    pub subject: QuerySubject,
    /// Text that the names of rows contain.
    pub name: Option<String>,
    pub expression: Option<Arc<Expression>>,
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct QueryRow {
    pub environment: String,
    #[serde(flatten)]
    pub finding: QueryFinding,
}

/// Why an environment has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The expression is wrong, for every environment.
    Expression(ExpressionError),
    /// The cluster does not have this kind; the closest one that it has.
    UnknownKind(Option<String>),
    Failed(CommandError),
}

impl From<CommandError> for Unanswered {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<ExpressionError> for Unanswered {
    fn from(error: ExpressionError) -> Self {
        Self::Expression(error)
    }
}

/// A question to one environment, whose cluster has been found.
#[derive(Debug)]
pub struct EnvironmentQuery<'a> {
    session: &'a Session,
    request: &'a QueryRequest,
    cluster: Cluster,
    /// The kinds whose objects answer the question.
    kinds: Vec<ResourceKind>,
}

impl<'a> EnvironmentQuery<'a> {
    /// Connects to the environment's cluster and finds the kinds of objects that answer the question.
    ///
    /// # Errors
    /// When the cluster does not respond, or does not have the kind.
    pub async fn open(session: &'a Session, request: &'a QueryRequest) -> Result<Self, Unanswered> {
        let cluster = connect(session).await?;
        let known = cluster.kinds().await.map_err(CommandError::from)?;
        let kinds = match &request.subject {
            QuerySubject::Kind(word) => {
                vec![find_kind(&known, word).map_err(|unknown| Unanswered::UnknownKind(unknown.nearest))?.clone()]
            }
            QuerySubject::Question(question) => {
                let is =
                    |kind: &&ResourceKind, wanted: &(&str, &str)| (kind.group.as_str(), kind.kind.as_str()) == *wanted;
                question
                    .kinds()
                    .iter()
                    .filter_map(|wanted| known.iter().find(|kind| is(kind, wanted)).cloned())
                    .collect()
            }
        };
        Ok(Self { session, request, cluster, kinds })
    }

    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Returns the rows that pass the filters.
    ///
    /// # Errors
    /// When the cluster does not respond, or the expression cannot be evaluated.
    pub async fn rows(&self) -> Result<Vec<QueryRow>, Unanswered> {
        let environment = self.session.environment.name.to_string();
        let findings = match &self.request.subject {
            QuerySubject::Kind(_) => {
                let objects: Vec<Value> = self.objects().await?.into_iter().map(shown).collect();
                self.selected(objects).await?.into_iter().map(|object| QueryFinding::Object(found(object))).collect()
            }
            QuerySubject::Question(question) => self.answer(*question).await?,
        };
        let is_named =
            |finding: &QueryFinding| self.request.name.as_ref().is_none_or(|name| finding.name().contains(name));
        let findings = findings.into_iter().filter(is_named);
        let rows: Vec<QueryRow> =
            findings.map(|finding| QueryRow { environment: environment.clone(), finding }).collect();
        match &self.request.subject {
            QuerySubject::Kind(_) => Ok(rows),
            QuerySubject::Question(_) => self.selected_rows(rows).await,
        }
    }

    /// Reports each time when the answer may have changed.
    pub fn changes(&self) -> impl Stream<Item = ()> + use<> {
        self.cluster.changes(&self.kinds, &namespaces_of(self.session)).boxed()
    }

    async fn objects(&self) -> Result<Vec<Value>, CommandError> {
        let namespaces = namespaces_of(self.session);
        let lists = self.kinds.iter().map(|kind| self.cluster.objects(kind, &namespaces));
        Ok(futures::future::try_join_all(lists).await?.into_iter().flatten().collect())
    }

    async fn answer(&self, question: Question) -> Result<Vec<QueryFinding>, CommandError> {
        match question {
            Question::Differs => Ok(differences(self.session).await?.into_iter().map(QueryFinding::Differs).collect()),
            Question::Resources => {
                let demands = demands(self.session, &self.cluster).await?.into_iter();
                Ok(demands.map(|demand| QueryFinding::Resources(ProjectResources::from(demand))).collect())
            }
            Question::Exposed => {
                let mut rows = question.answer(&self.objects().await?).unwrap_or_default();
                let forwards = forwarder(self.session).forwards;
                rows.extend(forwards.iter().map(|forward| QueryFinding::Exposed(published(forward))));
                Ok(rows)
            }
            _ => Ok(question.answer(&self.objects().await?).unwrap_or_default()),
        }
    }

    /// The objects for which the expression is true.
    async fn selected(&self, objects: Vec<Value>) -> Result<Vec<Value>, Unanswered> {
        let Some(expression) = &self.request.expression else { return Ok(objects) };
        let (objects, selected) = self.evaluated(expression, objects).await?;
        if let Some(missing) = &selected.missing {
            self.session.note(&format!("--expr selects nothing: no object has the field '{missing}'"));
        }
        let both = objects.into_iter().zip(selected.is_selected);
        Ok(both.filter(|(_, is_selected)| *is_selected).map(|(object, _)| object).collect())
    }

    async fn selected_rows(&self, rows: Vec<QueryRow>) -> Result<Vec<QueryRow>, Unanswered> {
        let Some(expression) = &self.request.expression else { return Ok(rows) };
        let values: Vec<Value> = rows.iter().map(|row| serde_json::json!(row)).collect();
        let selected = self.evaluated(expression, values).await?.1.is_selected;
        Ok(rows.into_iter().zip(selected).filter(|(_, is_selected)| *is_selected).map(|(row, _)| row).collect())
    }

    /// Evaluates an expression, which may take long, until the command is interrupted.
    async fn evaluated(
        &self,
        expression: &Arc<Expression>,
        values: Vec<Value>,
    ) -> Result<(Vec<Value>, Selected), Unanswered> {
        let expression = Arc::clone(expression);
        let evaluation = tokio::task::spawn_blocking(move || {
            let selected = expression.select(&values);
            selected.map(|selected| (values, selected))
        });
        let interrupted = || Unanswered::Failed(CommandError::reported(ErrorKind::Interrupted));
        tokio::select! {
            result = evaluation => Ok(result.map_err(|_| interrupted())??),
            () = self.session.cancel.cancelled() => Err(interrupted()),
        }
    }
}

/// What differs from projects.yaml, and releases that it does not describe.
async fn differences(session: &Session) -> Result<Vec<ProjectDifference>, CommandError> {
    let prepared = observe_environment(session, &UpRequest::default()).await?;
    let report = StatusReport::of(session, &prepared);
    let rows = report.releases.into_iter().filter(|row| row.differs).map(|row| ProjectDifference {
        project: row.name,
        desired: Some(row.desired),
        running: row.running,
        reason: row.state,
    });
    let orphans = report.orphans.into_iter().map(|project| ProjectDifference {
        project,
        desired: None,
        running: None,
        reason: "is not described in projects.yaml".to_owned(),
    });
    Ok(rows.chain(orphans).collect())
}

/// A port of this machine that is forwarded to a project.
fn published(forward: &Forward) -> Exposure {
    Exposure {
        project: forward.project.to_string(),
        namespace: None,
        kind: "expose".to_owned(),
        name: forward.project.to_string(),
        how: "expose".to_owned(),
        address: forward.address(),
        target: Some(format!("{}:{}", forward.project, forward.port)),
        tls: None,
    }
}

/// Why a cluster does not have a kind that was asked for.
pub fn unknown_kind(word: &str, nearest: Option<&str>) -> Problem {
    let questions: Vec<&str> = QUESTIONS.iter().map(|(name, ..)| *name).collect();
    let close = [closest(word, questions.iter().copied()), nearest];
    let help = match closest(word, close.into_iter().flatten()) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("use one of {}, or a kind that kubectl api-resources lists", questions.join(", ")),
    };
    Problem::new(format!("'{word}' is neither a question nor a kind of objects in the cluster")).help(help)
}
