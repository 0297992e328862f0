//! Runs the steps of a procedure, and undoes them. The state is written before and after each step.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    act::{Action, interrupted},
    document::ProcedureDocument,
    question_of,
};
use crate::{
    domain::{
        Problem,
        procedure::{FlatAct, FlatStep, ProcedureAction},
        procedure_state::{ProcedurePhase, ProcedureState, StepProgress},
    },
    error::{CommandError, ErrorKind},
    ops::{
        checks::first_problem,
        exit::lock_lost,
        options::ChangeRequest,
        remote::{access::RemoteAccess, leases::Held},
        session::Session,
    },
    settings::{OutputFormat, Settings},
    ui,
};

/// A procedure that was started, with its lock.
pub(super) struct ProcedureRun<'a> {
    pub session: &'a Session,
    pub access: RemoteAccess,
    pub held: Held,
    pub steps: Vec<FlatStep>,
    pub state: ProcedureState,
    pub change: ChangeRequest,
}

impl ProcedureRun<'_> {
    /// Runs the steps that are not done, until the procedure ends or waits for a person.
    ///
    /// # Errors
    /// When a step fails, or the run is interrupted.
    pub(super) async fn run_to_end(mut self) -> Result<(), CommandError> {
        let result = self.forward().await;
        self.conclude(result).await
    }

    /// Undoes the steps that were started, the last one first.
    ///
    /// # Errors
    /// As [`Self::run_to_end`].
    pub(super) async fn undo_all(mut self) -> Result<(), CommandError> {
        let result = self.back().await;
        self.conclude(result).await
    }

    async fn conclude(self, result: Result<(), CommandError>) -> Result<(), CommandError> {
        if self.session.settings.output == OutputFormat::Json {
            ui::print(&format!("{}\n", serde_json::json!(self.state)));
        }
        self.session.finish_reports();
        self.held.give_back().await;
        result
    }

    async fn forward(&mut self) -> Result<(), CommandError> {
        while let Some(index) = self.state.next() {
            let step = self.steps[index].clone();
            self.state.start_step(index, &self.session.settings.author(), Timestamp::now());
            if let Some(question) = question_of(&step) {
                self.state.phase = ProcedurePhase::Waiting;
                self.save().await?;
                self.note_approval(&step.name, question);
                return Ok(());
            }
            self.save().await?;
            self.note_step(index, &step.act);
            let started = self.state.steps[index].started.unwrap_or_else(Timestamp::now);
            match self.act(&step.act, started).await {
                Ok(result) => self.state.end_step(index, StepProgress::Done, result, Timestamp::now()),
                Err(error) => return Err(self.stopped(index, error).await),
            }
            self.save().await?;
        }
        self.state.end(ProcedurePhase::Done, Timestamp::now());
        self.save().await?;
        self.session.note_again(&format!("the procedure '{}' is done", self.state.procedure));
        Ok(())
    }

    async fn back(&mut self) -> Result<(), CommandError> {
        self.state.phase = ProcedurePhase::Aborting;
        self.save().await?;
        while let Some(index) = self.state.last_to_undo() {
            let step = self.steps[index].clone();
            for act in &step.undo {
                self.note_step(index, act);
                if let Err(error) = self.act(act, Timestamp::now()).await {
                    return Err(self.stopped_on_the_way_back(index, error));
                }
            }
            let result = step.undo.is_empty().then(|| "nothing to undo".to_owned());
            self.state.end_step(index, StepProgress::Undone, result, Timestamp::now());
            self.save().await?;
        }
        self.state.end(ProcedurePhase::Aborted, Timestamp::now());
        self.save().await?;
        self.session.note_again(&format!("the procedure '{}' is aborted", self.state.procedure));
        Ok(())
    }

    /// Does an action in a session of its own, whose runs end when the time of the step is over.
    async fn act(&self, act: &FlatAct, started: Timestamp) -> Result<Option<String>, CommandError> {
        self.require_lock()?;
        let cancel = self.held.lost.child_token();
        // The whole procedure was confirmed.
        let settings = Settings { yes: true, ..self.session.settings.clone() };
        let session = Session::open_in(act.environment.as_str(), &settings, &cancel)?.beside(Some(self.session));
        let action = Action { session: &session, act, started, change: &self.change };
        let work = action.perform(&cancel);
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            () = time_of(act) => {
                cancel.cancel();
                // What runs may end cleanly.
                let _ = work.await;
                let seconds = act.timeout_seconds.unwrap_or_default();
                Err(CommandError::failed(Problem::new(format!("the step has not ended within its timeout of {seconds} s"))))
            }
        }
    }

    /// # Errors
    /// When the run is interrupted, or another run may have taken the lock.
    fn require_lock(&self) -> Result<(), CommandError> {
        if self.session.cancel.is_cancelled() {
            return Err(interrupted());
        }
        if self.held.lost.is_cancelled() { Err(lock_lost()) } else { Ok(()) }
    }

    /// # Errors
    /// When the state cannot be written. After the lock was lost, it belongs to another run.
    async fn save(&self) -> Result<(), CommandError> {
        if !self.session.cancel.is_cancelled() {
            self.require_lock()?;
        }
        let namespace = &self.session.environment.namespace;
        Ok(self.access.cluster.write_procedure(namespace, &self.state).await?)
    }

    /// Adds to an error where the procedure has stopped, and how to go on.
    async fn stopped(&mut self, index: usize, mut error: CommandError) -> CommandError {
        let step = self.steps[index].name.clone();
        let (name, environment) = (self.state.procedure.clone(), self.state.environment.clone());
        if error.kind == ErrorKind::Interrupted || self.held.lost.is_cancelled() {
            // The state says already that the step was started.
            self.session.note_again(&format!(
                "the procedure '{name}' was interrupted at the step '{step}': go on with cmdr procedure continue {name} \
                 --env {environment}"
            ));
            // What the lost lock has interrupted says only that it was interrupted.
            return self.require_lock().err().unwrap_or(error);
        }
        self.state.end_step(index, StepProgress::Failed, Some(first_problem(&error)), Timestamp::now());
        self.state.phase = ProcedurePhase::Failed;
        let saved = self.save().await;
        let cause = format!("the procedure '{name}' stopped at the step '{step}'");
        let help = format!(
            "fix the cause and go on with cmdr procedure continue {name} --env {environment}, or go back with cmdr \
             procedure abort {name} --env {environment}"
        );
        error.problems.push(Problem::new(cause).help(help));
        error.problems.extend(saved.err().into_iter().flat_map(|error| error.problems));
        error
    }

    fn stopped_on_the_way_back(&self, index: usize, mut error: CommandError) -> CommandError {
        let (name, step) = (&self.state.procedure, &self.steps[index].name);
        if let Err(lost) = self.require_lock() {
            return lost;
        }
        if error.kind != ErrorKind::Interrupted {
            let problem = Problem::new(format!("the procedure '{name}' stopped while the step '{step}' was undone"));
            let environment = &self.state.environment;
            error.problems.push(problem.help(format!("go on with cmdr procedure abort {name} --env {environment}")));
        }
        error
    }

    fn note_step(&self, index: usize, act: &FlatAct) {
        let (count, name, environment) = (self.steps.len(), &self.steps[index].name, &act.environment);
        let (kind, subject) = (act.action.kind(), act.action.subject());
        self.session
            .note_again(&format!("step {} of {count} '{name}': {kind} {subject} in '{environment}'", index + 1));
    }

    fn note_approval(&self, step: &str, question: &str) {
        let ProcedureState { procedure, environment, .. } = &self.state;
        self.session.note_again(&format!("the step '{step}' waits for a person: {question}"));
        self.session.note_again(&format!("approve it with cmdr procedure continue {procedure} --env {environment}"));
    }
}

/// Ends when the time of an action is over. A drain and checks watch their time themselves, to report what remains.
async fn time_of(act: &FlatAct) {
    let has_own = matches!(act.action, ProcedureAction::Drain(_) | ProcedureAction::Check(_));
    match act.timeout_seconds.filter(|_| !has_own) {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

impl ProcedureDocument {
    /// Prints the document as the session asks for it.
    pub(crate) fn print(&self, session: &Session) {
        match session.settings.output {
            OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(self))),
            OutputFormat::Text => ui::print(&ui::table::table(&self.rows())),
        }
    }
}
