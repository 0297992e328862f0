//! Stages of changes without a new record: restarts, and the removal of orphans.

use std::{fs, time::Duration};

use serde_json::Value;

use super::{
    common::{Output, Running, until},
    walk::Walk,
};

/// Longer than any command of this test takes.
const PATIENCE: Duration = Duration::from_mins(3);

impl Walk {
    pub(crate) fn restarts_pass_the_gates(&self) {
        let pod = || self.in_tunes("get pods -l app.kubernetes.io/name=postgres -o jsonpath={.items[*].metadata.uid}");
        let (before, deployments) = (pod(), self.history("staging", "postgres"));
        self.workspace.run(&["hold", "postgres", "--env", "staging", "--because", "the disk moves"]).expect(0);
        self.run("restart postgres --env staging").expect(10).expect_said("gate 'hold'").expect_said("the disk moves");
        self.frozen("restart postgres --env staging --dry-run").expect(10).expect_said("gate 'freeze'");
        self.run("restart postgres site --env production --dry-run").expect(1).expect_said("'site' is not deployed");
        self.hold_lease("cmdr.project.postgres", 60);
        let stuck = "restart postgres --env staging --override hold --because stuck";
        self.run(stuck).expect(11).expect_said("another run has held the lock on postgres");
        self.in_tunes("delete lease cmdr.project.postgres");
        assert_eq!((pod(), self.operations("postgres").len()), (before.clone(), 0), "nothing was changed");
        self.run(stuck).expect(0);
        assert_ne!(pod(), before);
        let operations = self.operations("postgres");
        let last = operations.last().unwrap();
        assert_eq!(
            (&last["verb"], &last["outcome"], &last["record"]),
            (&"restart".into(), &"done".into(), &deployments.last().unwrap()["record"])
        );
        assert_eq!((&last["origin"]["overridden"][0], &last["origin"]["because"]), (&"hold".into(), &"stuck".into()));
        assert_eq!(self.history("staging", "postgres"), deployments, "a restart deploys nothing");
        let shown = self.run("history postgres --env staging").expect(0);
        shown.expect_said("overrode hold, \"stuck\"");
        self.run("unhold postgres --env staging").expect(0);
    }

    pub(crate) fn orphans_pass_the_gates(&self) {
        let projects = self.workspace.root().join("projects.yaml");
        let written = fs::read_to_string(&projects).unwrap();
        let extra = "  extra:\n    image: docker.io/library/redis:7.0\n    values: {ports: {redis: 6379}}\n";
        self.workspace.replace("bundles:\n", &format!("{extra}bundles:\n"));
        self.run("up extra --env staging").expect(0);
        fs::write(projects, written).unwrap();
        let prune = "status --prune --env staging";
        self.run(&format!("{prune} --dry-run")).expect(0).expect_said("remove extra");
        self.frozen(prune).expect(10).expect_said("gate 'freeze'");
        // Changed after the plan was shown, while the run waits for a lease.
        self.hold_lease("cmdr.project.extra", 60);
        let seen = self.contexts_of_runs().len();
        let waiting = self.workspace.start(&["status", "--prune", "--env", "staging", "--lock-timeout", "1m"]);
        until("the run to have looked a second time", || (self.contexts_of_runs().len() > seen + 1).then_some(()));
        self.staging.helm(&self.workspace, &["rollback", "extra", "1", "-n", "tunes"]);
        self.in_tunes("delete lease cmdr.project.extra");
        let changed = waiting.wait(PATIENCE).expect(10).expect_said("extra was changed in the meantime");
        assert!(changed.stdout.contains("PROJECT"), "{}", changed.stdout);
        assert_eq!(self.operations("extra").len(), 0);
        self.run(prune).expect(0);
        let last = self.operations("extra").pop().unwrap();
        assert_eq!((&last["verb"], &last["outcome"]), (&"status --prune".into(), &"done".into()));
        assert_eq!(self.revision(&self.staging, "extra"), 0);
    }

    /// Runs cmdr in a pipeline whose deployment window is closed.
    pub(crate) fn frozen(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split_whitespace().collect();
        Running::start(self.workspace.cmdr(&words).env("CI_DEPLOY_FREEZE", "1")).wait(PATIENCE)
    }

    fn in_tunes(&self, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.staging.kubectl(&self.workspace, &[&["-n", "tunes"], &words[..]].concat())
    }

    /// The operations on a project in staging without a new record, oldest first.
    fn operations(&self, project: &str) -> Vec<Value> {
        let histories = self.run("history --env staging --output json").expect(0).json();
        histories[project]["operations"].as_array().cloned().unwrap_or_default()
    }
}
