//! What stays as it is: projects that a drain has stopped, and projects whose routes are closed.

use super::Planner;
use crate::{domain::Problem, plan::ReleaseSpec};

impl Planner<'_> {
    /// Notes the described projects that a run leaves closed or stopped.
    pub(super) fn note_closed_and_drained(&mut self) {
        for project in &self.described.projects {
            let (key, name) = (project.release.key(), &project.name);
            if let Some(mark) = self.observed.maintenance.get(&key) {
                let note = format!(
                    "'{name}' stays {}: end it with cmdr maintenance off {name}",
                    mark.describe(self.observed.at)
                );
                self.plan.notes.push(note);
            }
            if let Some(mark) = self.observed.drained.get(&key) {
                let drained = if mark.drained {
                    name.to_string()
                } else {
                    mark.drains.iter().cloned().collect::<Vec<_>>().join(" ")
                };
                self.plan.notes.push(format!("'{name}' stays {}: start it with cmdr fill {drained}", mark.describe()));
            }
        }
    }

    pub(super) fn is_drained(&self, release: &ReleaseSpec) -> bool {
        self.observed.drained.contains_key(&release.key())
    }

    /// Whether a release is deployed without pods.
    ///
    /// # Errors
    /// If its chart may start them.
    pub(super) fn stays_stopped(&self, release: &ReleaseSpec) -> Result<bool, Problem> {
        let Some(mark) = self.observed.drained.get(&release.key()).filter(|_| !release.universal) else {
            return Ok(self.is_drained(release));
        };
        let problem =
            Problem::new(format!("'{0}' is {1}: deploying it would start its pods", release.name, mark.describe()));
        Err(problem.help(format!("run cmdr fill {0} first, or leave it out with --without {0}", release.name)))
    }
}
