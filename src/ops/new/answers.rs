//! The answers that a new project needs: from options, or from the user on a terminal.

use std::collections::BTreeMap;

use super::{NewRequest, unknown_template};
use crate::{
    config::FILE,
    domain::{
        Name, Problem,
        nearest::nearest,
        project_template::{TemplateManifest, TemplateQuestion},
    },
    error::{CommandError, ErrorKind},
    ops::session::Session,
    ui,
};

/// The template that most projects use.
const FIRST: &str = "web";

/// Takes answers from the options, and asks for the others on a terminal.
#[derive(Debug)]
pub(super) struct NewAnswers<'a> {
    session: &'a Session,
    /// The answers of `--set` that no question has taken yet.
    set: BTreeMap<String, String>,
    /// The options that are missing, where cmdr cannot ask.
    missing: Vec<Problem>,
}

impl<'a> NewAnswers<'a> {
    /// # Errors
    /// Every `--set` that is not `KEY=VALUE`.
    pub(super) fn new(session: &'a Session, request: &NewRequest) -> Result<Self, CommandError> {
        let (mut set, mut wrong) = (BTreeMap::new(), Vec::new());
        for one in &request.set {
            match one.split_once('=') {
                Some((key, value)) => _ = set.insert(key.to_owned(), value.to_owned()),
                None => wrong.push(Problem::new(format!("--set {one} is not KEY=VALUE"))),
            }
        }
        CommandError::require_none(ErrorKind::Usage, wrong)?;
        Ok(Self { session, set, missing: Vec::new() })
    }

    /// The name of the project, which must be new.
    ///
    /// # Errors
    /// If it is missing, invalid or taken.
    pub(super) fn name(&mut self, request: &NewRequest) -> Result<Name, CommandError> {
        if !self.session.settings.may_ask() {
            self.require("NAME", request.name.as_deref());
            self.require("--template", request.template.as_deref());
            CommandError::require_none(ErrorKind::Usage, std::mem::take(&mut self.missing))?;
        }
        let advice = |problem: Problem| match problem.help {
            Some(help) => format!("{}: {help}", problem.message),
            None => problem.message,
        };
        let check = |text: &str| check_name(self.session, text).map(drop).map_err(advice);
        let given = match &request.name {
            Some(given) => given.clone(),
            None => ui::ask_text("Name of the project", None, &check).ok_or_else(interrupted)?,
        };
        check_name(self.session, &given).map_err(CommandError::usage)
    }

    fn require(&mut self, option: &str, given: Option<&str>) {
        if given.is_none() {
            let help = "without a terminal, cmdr new asks nothing: cmdr new NAME --template web --lang go";
            self.missing.push(Problem::new(format!("{option} is missing")).help(help));
        }
    }

    /// # Errors
    /// If it is unknown, or the user interrupts.
    pub(super) fn template(request: &NewRequest, known: &[(String, String)]) -> Result<String, CommandError> {
        match &request.template {
            Some(given) if known.iter().any(|(name, _)| name == given) => Ok(given.clone()),
            Some(given) => Err(unknown_template(given, known)),
            None => ui::ask_choice("Template", known, Some(FIRST)).ok_or_else(interrupted),
        }
    }

    /// The language; `None` if the template has no choice.
    ///
    /// # Errors
    /// If it is missing, or not one of the template's.
    pub(super) fn language(
        &self,
        request: &NewRequest,
        template: &str,
        manifest: &TemplateManifest,
    ) -> Result<Option<String>, CommandError> {
        let languages = &manifest.languages;
        let all = || languages.join(", ");
        let problem = |text: String, help: String| CommandError::usage(Problem::new(text).help(help));
        match &request.language {
            Some(given) if languages.contains(given) => Ok(Some(given.clone())),
            Some(given) if languages.is_empty() => Err(problem(
                format!("--lang {given} does not apply to the template '{template}', which has no languages"),
                "remove --lang".to_owned(),
            )),
            Some(given) => {
                let close = nearest(given, languages.iter().map(String::as_str));
                let help = close
                    .map_or_else(|| format!("its languages are {}", all()), |close| format!("did you mean '{close}'?"));
                Err(problem(format!("the template '{template}' has no language '{given}'"), help))
            }
            None if languages.is_empty() => Ok(None),
            None if !self.session.settings.may_ask() => {
                Err(problem("--lang is missing".to_owned(), format!("set it to one of {}", all())))
            }
            None => ui::ask_choice("Language", &plain(languages), None).map(Some).ok_or_else(interrupted),
        }
    }

    /// The variables of the template: its own, and the answers to its questions.
    ///
    /// # Errors
    /// Every answer that is missing, invalid, or to no question.
    pub(super) fn rest(&mut self, manifest: &TemplateManifest) -> Result<BTreeMap<String, String>, CommandError> {
        let mut variables = manifest.variables.clone();
        let mut wrong = Vec::new();
        for question in &manifest.questions {
            match self.answer(question) {
                Ok(Some(answer)) => _ = variables.insert(question.variable.clone(), answer),
                Ok(None) => return Err(interrupted()),
                Err(problem) => wrong.push(problem),
            }
        }
        for key in self.set.keys() {
            let close = nearest(key, manifest.questions.iter().map(|question| question.variable.as_str()));
            let problem = Problem::new(format!("--set {key}: the template does not ask for '{key}'"));
            wrong.push(
                problem.help(close.map_or_else(|| "remove it".to_owned(), |close| format!("did you mean '{close}'?"))),
            );
        }
        CommandError::require_none(ErrorKind::Usage, wrong)?;
        Ok(variables)
    }

    /// The answer to a question; `None` if the user interrupts.
    fn answer(&mut self, question: &TemplateQuestion) -> Result<Option<String>, Problem> {
        let TemplateQuestion { variable, ask, default, choices } = question;
        if let Some(given) = self.set.remove(variable) {
            if choices.is_empty() || choices.contains(&given) {
                return Ok(Some(given));
            }
            let help = format!("set it to one of {}", choices.join(", "));
            return Err(Problem::new(format!("--set {variable}={given} is not a valid answer")).help(help));
        }
        if self.session.settings.may_ask() {
            return Ok(match choices.as_slice() {
                [] => ui::ask_text(ask, default.as_deref(), &|_| Ok(())),
                choices => ui::ask_choice(ask, &plain(choices), default.as_deref()),
            });
        }
        let missing = || Problem::new(format!("--set {variable}=VALUE is missing: {ask}"));
        default.clone().map(Some).ok_or_else(|| missing().help("set it"))
    }
}

fn plain(choices: &[String]) -> Vec<(String, String)> {
    choices.iter().map(|choice| (choice.clone(), String::new())).collect()
}

fn interrupted() -> CommandError {
    CommandError::reported(ErrorKind::Interrupted)
}

fn check_name(session: &Session, text: &str) -> Result<Name, Problem> {
    let name = Name::new(text).map_err(|error| {
        let problem = Problem::new(format!("'{text}' is not a valid project name")).detail(error.to_string());
        match error.suggestion {
            Some(suggestion) => problem.help(format!("did you mean '{suggestion}'?")),
            None => problem,
        }
    })?;
    let workspace = &session.loaded.workspace;
    let places = [
        ("a project", workspace.projects.contains_key(&name)),
        ("a platform release", workspace.platform.contains_key(&name)),
    ];
    let taken = places.into_iter().find(|(_, taken)| *taken);
    match taken {
        Some((what, _)) => {
            let cause = format!("{FILE} already has {what} '{name}'");
            Err(Problem::new(cause).help("choose another name"))
        }
        None => Ok(name),
    }
}
