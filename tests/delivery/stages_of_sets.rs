//! Stages about records that ran together: sets, neighbours, and versions of a bundle.

use std::{thread, time::Duration};

use super::{
    common::{Output, until},
    walk::Walk,
};

/// Longer than the time between two deployments of these stages.
const SOAK: u64 = 20;

impl Walk {
    pub(crate) fn only_what_ran_together_is_promoted(&self) {
        let before = ["cart", "catalog"].map(|project| self.image(&self.production, project));
        self.workspace.replace("soak: 4s}", &format!("soak: {SOAK}s}}"));
        self.run("deploy catalog=1.3.0 --env staging").expect(0);
        self.run("deploy cart=1.3.0 --env staging").expect(0);
        thread::sleep(Duration::from_secs(SOAK + 1));
        // Its soak starts again: chosen separately, cart would be 1.3.0 and catalog its previous record.
        for words in ["delete pod --selector app.kubernetes.io/name=catalog", "rollout status deployment catalog"] {
            let words: Vec<&str> = words.split_whitespace().collect();
            self.staging.kubectl(&self.workspace, &[&["-n", "tunes"], &words[..]].concat());
        }
        self.run("promote cart catalog --to production")
            .expect(0)
            .expect_said("cart: 1.3.0 of 'staging' is not promoted");
        assert_eq!(["cart", "catalog"].map(|project| self.image(&self.production, project)), before);
        let sets = self.run("history cart catalog --sets --env staging --output json").expect(0).json();
        assert!(sets[0]["records"]["cart"] != sets[1]["records"]["cart"], "{sets}");
        self.workspace.replace(&format!("soak: {SOAK}s}}"), "soak: 4s}");
        let id = sets[0]["id"].as_str().unwrap();
        until("the new set to have soaked", || {
            (self.run(&format!("promote cart catalog --set {id} --to production")).code == 0).then_some(())
        });
        let of_tag = |project: &str| self.image(&self.production, project).contains(":1.3.0@");
        assert!(of_tag("cart") && of_tag("catalog"));
        let older = sets[1]["id"].as_str().unwrap();
        let back = self.run(&format!("promote cart catalog --set {older} --to production --dry-run")).expect(0);
        back.expect_said("cart: 1.2.0 is older than 1.3.0, which 'production' runs");
        self.run("promote cart --set 0123 --to production").expect(10).expect_said("set '0123' not found");
    }

    pub(crate) fn gates_are_reported_at_once(&self) {
        self.run("deploy shop catalog=1.2.0 cart=1.2.0 --env staging").expect(0);
        self.workspace.replace("soak: 4s}", "soak: 5m, scan: application/sarif+json}");
        self.run("hold cart --env production --because inventory").expect(0);
        let refused = self.run("promote cart --to production").expect(10);
        for gate in ["soak", "combination", "hold", "scan"] {
            assert!(refused.stderr.contains(&format!("gate '{gate}'")), "{gate}: {}", refused.stderr);
        }
        self.run("unhold cart --env production").expect(0);
        self.promote_at_once("promote cart --to production").expect(0);
        let last = self.last("production", "cart");
        assert_eq!(last["origin"]["overridden"], serde_json::json!(["soak", "combination", "scan"]));
        self.workspace.replace("soak: 5m, scan: application/sarif+json}", "soak: 4s}");
    }

    pub(crate) fn a_bundle_has_versions(&self) {
        // Production runs cart 1.2.0 beside catalog 1.3.0.
        let tags = || {
            let tag = |project: &str| {
                let image = self.image(&self.production, project);
                image.split('@').next().unwrap().rsplit(':').next().unwrap().to_owned()
            };
            [tag("cart"), tag("catalog")]
        };
        assert_eq!(tags(), ["1.2.0", "1.3.0"]);
        let version = self.last("staging", "cart")["bundle"].as_str().unwrap().to_owned();
        self.run(&format!("diff staging production {version} --exit-code")).expect(3).expect_said("catalog");
        until("the bundle to have soaked", || {
            (self.run(&format!("promote {version} --to production")).code == 0).then_some(())
        });
        assert_eq!(tags(), ["1.2.0", "1.2.0"]);
        self.run("rollback shop --env production").expect(0);
        assert_eq!(tags(), ["1.2.0", "1.3.0"], "cart stays: it was there in the previous version");
        self.run("rollback shop --env production").expect(0);
        assert_eq!(tags(), ["1.3.0", "1.3.0"], "further back");
        let last = self.last("production", "cart")["bundle"].as_str().unwrap().to_owned();
        self.run("rollback cart@1 --env production").expect(2).expect_said("only bundles have versions");
        self.run("rollback shop@0123 --env production").expect(10).expect_said("not found");
        self.run(&format!("rollback {last} --env production")).expect(0);
        assert_eq!(tags(), ["1.3.0", "1.3.0"]);
        self.run("unhold shop --env production").expect(0);
        self.run("promote shop --to production").expect(0);
        assert_eq!(tags(), ["1.2.0", "1.2.0"]);
    }

    fn promote_at_once(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split_whitespace().collect();
        let gates = ["soak", "combination", "scan"].map(|gate| ["--override", gate]).concat();
        let pass = [&gates[..], &["--because", "it cannot wait"]].concat();
        self.workspace.run(&[&words[..], &pass[..]].concat())
    }
}
