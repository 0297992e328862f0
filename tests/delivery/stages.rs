//! Stages without obstacles: build, staging, production, rollback.

use std::{collections::BTreeSet, thread, time::Duration};

use serde_json::Value;

use super::{
    common::until,
    walk::{Walk, repository},
};

impl Walk {
    pub(crate) fn environments_differ_only_in_values(&self) {
        let render = |environment: &str| {
            let manifest = |project| self.workspace.run(&["render", project, "--env", environment]).expect(0).stdout;
            let manifests = ["catalog", "cart", "search"].map(manifest);
            let values = self.workspace.run(&["render", "catalog", "--values", "--env", environment]).expect(0).stdout;
            (values, manifests.concat())
        };
        let (local, staging, production) = (render("local"), render("staging"), render("production"));
        assert_eq!(local, staging, "nothing differs where no value does");
        let site = |environment| self.workspace.run(&["render", "site", "--env", environment]).expect(0).stdout;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
        let own = |one: &str, other: &str| lines(one).difference(&lines(other)).cloned().collect::<Vec<_>>();
        let hosts: Vec<String> = own(&site("staging"), &site("local"));
        assert!(hosts.iter().all(|line| line.contains("site.staging.example")), "{hosts:?}");
        assert!(own(&production.0, &staging.0).iter().any(|line| line.contains("replicas: 2")));
    }

    pub(crate) fn an_empty_cluster_comes_up(&self) {
        let refused = self.run("up --env staging").expect(2);
        assert!(refused.stderr.contains("'catalog' has no image here"), "{}", refused.stderr);
        self.workspace.replace(
            &format!("image: {}/catalog\n", repository()),
            &format!("image: {}/catalog:1.0.0\n", repository()),
        );
        let up = self.run("up --env staging").expect(0);
        assert_eq!(up.stdout.trim(), "http://site.staging.example/", "the URL was asked at the load balancer");
        self.workspace.replace(
            &format!("image: {}/catalog:1.0.0\n    needs", repository()),
            &format!("image: {}/catalog\n    needs", repository()),
        );
        let service = self.staging.objects(&self.workspace, &["-n", "traefik", "get", "service", "traefik"]);
        assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
        let annotations = service["metadata"]["annotations"].as_object().unwrap();
        assert!(annotations.keys().any(|key| key.contains("aws-load-balancer")), "{annotations:?}");
        self.run("plan --env staging --exit-code").expect(0);
        let again = self.run("up --env staging --output json").expect(0);
        assert!(!again.events().iter().any(|event| event["action"] == "upgrade"), "{}", again.stdout);
        self.run("status --env staging --exit-code").expect(0);
    }

    pub(crate) fn deploy_pins_a_digest(&self) {
        let before = self.revision(&self.staging, "catalog");
        let refused = self.run("deploy catalog=7.7.7 cart=7.7.8 --env staging").expect(1);
        assert!(
            refused.stderr.contains("catalog:7.7.7") && refused.stderr.contains("catalog:7.7.8"),
            "{}",
            refused.stderr
        );
        assert_eq!(self.revision(&self.staging, "catalog"), before, "nothing was changed");
        self.run("deploy catalog=1.1.0 --env staging").expect(0);
        let image = self.image(&self.staging, "catalog");
        assert!(image.contains("catalog:1.1.0@sha256:"), "{image}");
        let last = self.last("staging", "catalog");
        assert_eq!(
            (&last["verb"], &last["outcome"], &last["version"]),
            (&"deploy".into(), &"healthy".into(), &"1.1.0".into())
        );
        self.run("up --env staging").expect(0);
        assert_eq!(self.image(&self.staging, "catalog"), image, "up does not undo a deploy");
        self.run("deploy catalog=1.1.0 --env staging").expect(0);
        assert_eq!(self.revision(&self.staging, "catalog"), before + 1, "the same again changes nothing");
        let wrong = self.run("deploy catlog=1 --env staging").expect(2);
        assert!(wrong.stderr.contains("did you mean 'catalog'"), "{}", wrong.stderr);
    }

    pub(crate) fn a_tag_that_moved_waits_for_refresh(&self) {
        let written = |tag: &str| format!("image: {}/catalog:{tag}\n    values", repository());
        self.push_build("moving", "first");
        self.workspace.replace(&written("1.0.0"), &written("moving"));
        self.run("up cart --env staging").expect(0);
        let image = self.image(&self.staging, "cart");
        assert!(image.contains("catalog:moving@sha256:"), "{image}");
        self.push_build("moving", "second");
        self.run("plan --env staging --exit-code").expect(0).expect_said("nothing to do");
        self.run("up cart --env staging").expect(0);
        assert_eq!(self.image(&self.staging, "cart"), image, "what is as written is not looked up");
        self.run("plan --env staging --refresh --exit-code").expect(3).expect_said("upgrade cart");
        self.run("up cart --env staging --refresh").expect(0);
        let moved = self.image(&self.staging, "cart");
        assert!(moved != image && moved.contains("catalog:moving@sha256:"), "{moved}");
        self.run("up --env staging --refresh").expect(0);
        assert_eq!(self.image(&self.staging, "cart"), moved);
        self.workspace.replace(&written("moving"), &written("1.0.0"));
        self.run("up cart --env staging").expect(0);
    }

    pub(crate) fn drift_stays_until_it_is_repaired(&self) {
        let kubectl = |words: &[&str]| self.staging.kubectl(&self.workspace, &[&["-n", "tunes"], words].concat());
        let replicas = || {
            let site = self.staging.objects(&self.workspace, &["-n", "tunes", "get", "deployment", "site"]);
            site["spec"]["replicas"].clone()
        };
        kubectl(&["scale", "deployment", "site", "--replicas", "2"]);
        kubectl(&["delete", "service", "cart"]);
        let plan = self.run("plan --env staging --exit-code").expect(0).stdout;
        for shown in [
            "site: changed manually: Deployment/site spec.replicas (kubectl)",
            "cart: missing from the cluster: Service/cart",
        ] {
            assert!(plan.contains(shown), "{shown}\n{plan}");
        }
        self.run("up --env staging").expect(0).expect_said("revert it with --repair");
        assert_eq!(replicas(), 2, "an operator's hand is not undone by chance");
        self.run("status --env staging --exit-code").expect(3);
        self.run("up --env staging --repair").expect(0);
        assert_eq!(replicas(), 1);
        self.run("status --env staging --exit-code").expect(0);
    }

    pub(crate) fn what_fails_returns(&self) {
        let image = self.image(&self.staging, "catalog");
        // The folder of the file is removed during the run.
        let folder = self.workspace.root().join("gone");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("ledger.json").to_string_lossy().into_owned();
        let run = self.workspace.start(&["deploy", "catalog=9.9.9", "--env", "staging", "--export-ledger", &file]);
        until("the deployment to be open", || (self.last("staging", "catalog")["outcome"] == "running").then_some(()));
        std::fs::remove_dir(&folder).unwrap();
        let failed = run.wait(Duration::from_mins(3)).expect(12).expect_said("cannot write");
        assert!(failed.stderr.contains("rolled back to record"), "{}", failed.stderr);
        assert_eq!(self.image(&self.staging, "catalog"), image);
        let verbs: Vec<Value> =
            self.history("staging", "catalog").iter().rev().take(2).map(|it| it["outcome"].clone()).collect();
        assert_eq!(verbs, ["healthy", "failed"], "the return, and what failed");
        self.run("status --env staging --exit-code").expect(0);
    }

    pub(crate) fn promote_deploys_what_soaked(&self) {
        let new = self.run("deploy cart=1.2.0 --env production").expect(10);
        assert!(new.stderr.contains("gate 'promotion'"), "{}", new.stderr);
        self.run("deploy cart=1.2.0 --env staging").expect(0);
        let young = self.run("promote cart --to production --record 0123").expect(10);
        assert!(young.stderr.contains("gate 'record'"), "{}", young.stderr);
        // An older record that has soaked may be promoted first.
        until("the new build of cart to have soaked", || {
            let promoted = self.run("promote --to production");
            (promoted.code == 0 && self.image(&self.production, "cart").contains(":1.2.0@")).then_some(())
        });
        for project in ["catalog", "cart"] {
            assert_eq!(self.image(&self.production, project), self.image(&self.staging, project));
        }
        let replicas = self.production.objects(&self.workspace, &["-n", "tunes", "get", "deployment", "catalog"]);
        assert_eq!(replicas["spec"]["replicas"], 2, "values come from the target");
        let last = self.last("production", "catalog");
        assert_eq!((&last["verb"], &last["promoted_from"]), (&"promote".into(), &"staging".into()));
        let revision = self.revision(&self.production, "catalog");
        self.run("promote --to production").expect(0);
        assert_eq!(self.revision(&self.production, "catalog"), revision, "the same record again changes nothing");
        self.run("diff staging production --exit-code").expect(0);
    }

    pub(crate) fn a_busy_staging_promotes(&self) {
        let soaked = self.image(&self.production, "catalog");
        // The record must not finish its soak while diff and promote run.
        self.workspace.replace("soak: 4s}", "soak: 15s}");
        thread::sleep(Duration::from_secs(12));
        self.run("deploy catalog=1.2.0 --env staging").expect(0);
        let diff = self.run("diff staging production --exit-code").expect(3);
        assert!(diff.stdout.contains("1.2.0") && diff.stdout.contains("1.1.0"), "{}", diff.stdout);
        self.run("promote catalog --to production").expect(0);
        assert_eq!(self.image(&self.production, "catalog"), soaked, "the young one stays where it is");
        self.workspace.replace("soak: 15s}", "soak: 4s}");
        until("the new build to have soaked", || {
            self.run("promote catalog --to production").expect(0);
            self.image(&self.production, "catalog").contains(":1.2.0@").then_some(())
        });
    }

    pub(crate) fn values_are_rolled_back(&self) {
        let (before, after) = ("values: {ports: {redis: 6379}}", "values: {ports: {redis: 6379}, env: {WAY: forth}}");
        let has_changed = || {
            let deployment = self.staging.objects(&self.workspace, &["-n", "tunes", "get", "deployment", "postgres"]);
            deployment["spec"]["template"].to_string().contains("forth")
        };
        self.workspace.replace(before, after);
        self.run("up postgres --env staging").expect(0);
        assert!(has_changed());
        self.run("rollback postgres --env staging").expect(0);
        assert!(!has_changed(), "the images are the same, the record is another");
        self.run("unhold postgres --env staging").expect(0);
        self.workspace.replace(after, before);
        self.run("up postgres --env staging").expect(0);
    }

    pub(crate) fn rollback_holds(&self) {
        let (new, before) = (self.image(&self.production, "catalog"), self.history("production", "catalog"));
        self.run("rollback catalog --env production").expect(0);
        assert!(self.image(&self.production, "catalog").contains(":1.1.0@"));
        let records: Vec<&Value> = before.iter().map(|it| &it["record"]).collect();
        assert!(records.contains(&&self.last("production", "catalog")["record"]), "the same record as before");
        let held = self.run("promote catalog --to production").expect(10);
        assert!(held.stderr.contains("gate 'hold'") && held.stderr.contains("unhold"), "{}", held.stderr);
        self.run("unhold catalog --env production").expect(0);
        self.run("promote catalog --to production").expect(0);
        assert_eq!(self.image(&self.production, "catalog"), new);
    }
}
