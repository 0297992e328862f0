//! The stage about a promotion to several targets.

use std::{fs, thread, time::Duration};

use jiff::Timestamp;

use super::walk::Walk;

/// Longer than the soak time of the targets.
const SOAKED: Duration = Duration::from_secs(6);

impl Walk {
    pub(crate) fn targets_go_side_by_side(&self) {
        let two = format!(
            "  production-two:\n    context: {}\n    namespace: tunes-two\n    domain: two.example\n    platform: external\n    \
             promote: {{from: staging, soak: 4s}}\n",
            self.production.context()
        );
        self.workspace.replace("  review:\n", &format!("{two}  review:\n"));
        self.run("deploy cart=1.3.0 --env staging").expect(0);
        thread::sleep(SOAKED);
        let promote = "promote cart --to production*";
        self.run(&format!("{promote} --plan-file plan.json"))
            .expect(0)
            .expect_said("production-two: previewed, unchanged");
        for file in ["plan.production.json", "plan.production-two.json"] {
            fs::remove_file(self.workspace.root().join(file)).unwrap();
        }
        let files = "--export-ledger ledger.json --junit junit.xml --output json";
        let events = self.run(&format!("{promote} {files}")).expect(0).events();
        let times = |name: &str| -> Vec<Timestamp> {
            let own = events.iter().filter(|event| event["event"] == name);
            own.map(|event| event["timestamp"].as_str().unwrap().parse().unwrap()).collect()
        };
        let (started, finished) = (times("run-started"), times("run-finished"));
        assert!(started.len() == 2 && started.iter().max() < finished.iter().min(), "{started:?} {finished:?}");
        assert!(self.image(&self.production, "cart").contains(":1.3.0@"));
        let report = fs::read_to_string(self.workspace.root().join("junit.xml")).unwrap();
        assert!(report.contains("in production\"") && report.contains("in production-two\""), "{report}");
        for file in ["ledger.production.json", "ledger.production-two.json", "junit.xml"] {
            fs::remove_file(self.workspace.root().join(file)).unwrap();
        }

        self.run("hold cart --env production-two --because inventory").expect(0);
        self.run("deploy cart=1.2.0 --env staging").expect(0);
        thread::sleep(SOAKED);
        let refused = self.run(promote).expect(10);
        for state in ["production: promoted: cart 1.2.0", "production-two: not promoted: refused"] {
            assert!(refused.stderr.contains(state), "{state}: {}", refused.stderr);
        }
        self.run("unhold cart --env production-two").expect(0);
        self.targets_wait_for_their_source(promote, &two);
        self.production.kubectl(&self.workspace, &["delete", "namespace", "tunes-two", "--wait=false"]);
    }

    /// Promotes to production, and from there to `two`, which it removes from `projects.yaml`.
    fn targets_wait_for_their_source(&self, promote: &str, two: &str) {
        let chained = two.replace("from: staging", "from: production");
        self.workspace.replace(two, &chained);
        let waiting = "waiting 4 s for 'production' to soak";
        self.run("deploy cart=1.3.0 --env staging").expect(0);
        thread::sleep(SOAKED);
        let both = self.run(promote).expect(0).expect_said(waiting);
        both.expect_said("production: promoted: cart 1.3.0").expect_said("production-two: promoted: cart 1.3.0");
        let again = self.run(promote).expect(0);
        assert!(!again.said().contains(waiting), "this run changed nothing in production: {}", again.said());
        self.workspace.replace(&chained, "");
    }
}
