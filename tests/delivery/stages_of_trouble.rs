//! Stages of refusals and failures: gates, concurrent runs, kills, wrong clusters, missing permissions, a lost cluster.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use super::{
    common::{Running, tell, until},
    walk::Walk,
};

/// Longer than any command of this test takes.
const PATIENCE: Duration = Duration::from_mins(3);

impl Walk {
    pub(crate) fn gates_refuse(&self) {
        self.workspace.replace("soak: 4s}", "soak: 4s}\n    freeze: {always: {zone: Europe/Berlin}}");
        self.run("deploy cart --env production --set replicas=2").expect(10).expect_said("gate 'freeze'");
        self.run("deploy cart --env production --set replicas=2 --override soak").expect(2);
        self.run("deploy cart --env production --override record --because x").expect(2);
        self.run("deploy cart --env production --override freze --because x")
            .expect(2)
            .expect_said("valid gates: promotion");
        let because = ["--override", "freeze", "--because", "the pager rings"];
        let deploy = ["deploy", "cart", "--env", "production", "--set", "replicas=2"];
        self.workspace.run(&[&deploy[..], &because].concat()).expect(0);
        let last = self.last("production", "cart");
        assert_eq!(
            (&last["origin"]["overridden"][0], &last["origin"]["because"]),
            (&"freeze".into(), &"the pager rings".into())
        );
        self.workspace.replace("\n    freeze: {always: {zone: Europe/Berlin}}", "\n    only: ci");
        self.run("deploy cart --env production").expect(10).expect_said("only pipelines may write");
        let github = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.test"),
            ("GITHUB_REPOSITORY", "tunes/platform"),
            ("GITHUB_ACTOR", "ada"),
        ];
        let in_pipeline = |number: &str, more: &[&str]| {
            let mut deploy = self.workspace.cmdr(&[&["deploy", "cart", "--env", "production"], more].concat());
            Running::start(deploy.envs(github).env("GITHUB_RUN_ID", number)).wait(PATIENCE)
        };
        in_pipeline("7", &[]).expect(0);
        let origin = &self.last("production", "cart")["origin"];
        assert_eq!(
            (&origin["provider"], &origin["by"], &origin["pipeline"]),
            (&"github-actions".into(), &"ada".into(), &"https://github.test/tunes/platform/actions/runs/7".into())
        );
        // The job of an older pipeline is retried.
        let set = ["--set", "replicas=2"];
        in_pipeline("6", &set).expect(10).expect_said("gate 'outdated': cart: pipeline 6 is older than pipeline 7");
        let because = ["--override", "outdated", "--because", "7 is wrong"];
        in_pipeline("6", &[&set[..], &because].concat()).expect(0);
        assert_eq!(self.last("production", "cart")["origin"]["overridden"][0], "outdated");
        in_pipeline("7", &[]).expect(0);
        self.workspace.replace("\n    only: ci", "");
    }

    pub(crate) fn verify_jobs_decide(&self) {
        let file = fs::read_to_string(self.workspace.root().join("projects.yaml")).unwrap();
        let deploy = |proof: &str, value: &str| {
            fs::write(self.workspace.root().join("projects.yaml"), &file).unwrap();
            let verify = format!("  cart:\n    verify: {{smoke: {proof}}}\n");
            self.workspace.replace("  cart:\n", &verify);
            self.run(&format!("deploy cart --env staging --set env.PROOF={value}"))
        };
        let check =
            |path: &str, tries: u32| format!("[podcli, check, http, \"http://cart:80{path}\", --retry, \"{tries}\"]");
        let revision = self.revision(&self.staging, "cart");
        let early = deploy(&format!("{{command: {}, when: before}}", check("/status/500", 1)), "early").expect(10);
        assert!(early.stderr.contains("the job failed"), "{}", early.stderr);
        assert_eq!(self.revision(&self.staging, "cart"), revision, "nothing was changed");
        deploy(&format!("{{command: {}}}", check("/readyz", 20)), "good").expect(0).expect_said("has succeeded");
        let good = self.last("staging", "cart");
        deploy(&format!("{{command: {}}}", check("/status/500", 1)), "late").expect(12);
        assert_eq!(self.last("staging", "cart")["record"], good["record"], "what was proven runs again");
        fs::write(self.workspace.root().join("projects.yaml"), file).unwrap();
        self.run("deploy cart --env staging").expect(0);
    }

    pub(crate) fn plans_are_exact(&self) {
        let file = self.workspace.root().join("plan.json");
        let file = file.to_string_lossy();
        self.run(&format!("deploy cart --env staging --set env.A=1 --plan-file {file}")).expect(0).expect_said("+ ");
        self.run(&format!("deploy cart --env staging --set env.A=2 --use-plan {file}"))
            .expect(10)
            .expect_said("record");
        self.run(&format!("deploy cart --env staging --set env.A=1 --use-plan {file}")).expect(0);
        self.run(&format!("deploy cart --env staging --set env.A=1 --use-plan {file}")).expect(10);
        let revision = self.revision(&self.staging, "cart");
        let plan = format!("plan cart=1.3.0 --env staging --exit-code --plan-file {file}");
        self.run(&plan).expect(3).expect_said("upgrade cart");
        self.run(&format!("plan cart=1.3.0 --env staging --use-plan {file}")).expect(0);
        self.run(&format!("plan cart=1.2.0 --env staging --use-plan {file}")).expect(10);
        assert_eq!(self.revision(&self.staging, "cart"), revision, "a plan changes nothing");
        // A tag that no other stage promotes.
        self.run("plan cart=9.9.9 --env production").expect(0).expect_said("blocked by gate 'promotion'");
        self.run(&format!("deploy cart --env staging --set env.A=1 --plan-file {file}")).expect(0);
        self.workspace.replace(
            &format!("context: {}   #", self.staging.context()),
            &format!("context: {}   #", self.production.context()),
        );
        self.run(&format!("deploy cart --env staging --set env.A=1 --use-plan {file}")).expect(14);
        self.workspace.replace(
            &format!("context: {}   #", self.production.context()),
            &format!("context: {}   #", self.staging.context()),
        );
    }

    pub(crate) fn one_of_two_wins(&self) {
        let start = |value: &str, more: &[&str]| {
            let set = format!("env.RACE={value}");
            self.workspace.start(&[&["deploy", "cart", "--env", "staging", "--set", &set], more].concat())
        };
        let both = |one: Running, other: Running| [one.wait(PATIENCE), other.wait(PATIENCE)];
        let [one, other] = both(start("one", &[]), start("other", &[]));
        let mut codes = [one.code, other.code];
        codes.sort_unstable();
        assert_eq!(codes, [0, 11], "{}\n{}", one.said(), other.said());
        let loser = if one.code == 11 { one } else { other };
        loser.expect_said("has held the lock on cart since");
        // Either may proceed. The other one is refused, or runs if it started late enough.
        let mixed = both(start("mixed", &[]), self.workspace.start(&["up", "--env", "staging"]));
        let codes = mixed.each_ref().map(|output| output.code);
        assert!(matches!(codes, [0, 0 | 11] | [11, 0]), "{codes:?}\n{}\n{}", mixed[0].said(), mixed[1].said());
        let wait = ["--lock-timeout", "2m"];
        let up = self.workspace.start(&[&["up", "--env", "staging"], &wait[..]].concat());
        for output in both(start("third", &wait), up) {
            output.expect(0);
        }
    }

    pub(crate) fn a_killed_run_is_repaired(&self) {
        let run = self.workspace.start(&["deploy", "cart", "--env", "staging", "--set", "env.KILLED=yes"]);
        until("the deployment to be open", || (self.last("staging", "cart")["outcome"] == "running").then_some(()));
        run.signal("KILL");
        let _ = run.wait(PATIENCE);
        assert_eq!(self.last("staging", "cart")["outcome"], "running");
        self.run("deploy cart --env staging --set env.KILLED=yes --lock-timeout 1m").expect(0);
        let history = self.history("staging", "cart");
        assert_eq!(history.last().unwrap()["outcome"], "healthy");
        assert!(history.iter().all(|it| it["outcome"] != "running"), "what the dead run began is closed: {history:?}");
        self.run("up --env staging").expect(0);
    }

    pub(crate) fn a_run_waits_for_an_unreachable_cluster(&self) {
        let node = format!("{}-control-plane", self.staging.name);
        let run = self.workspace.start(&["deploy", "cart", "--env", "staging", "--set", "env.AWAY=yes"]);
        until("the deployment to be open", || (self.last("staging", "cart")["outcome"] == "running").then_some(()));
        self.workspace.tool("docker", &["pause", &node]);
        tell("its node is paused");
        thread::sleep(Duration::from_secs(6));
        self.workspace.tool("docker", &["unpause", &node]);
        run.wait(PATIENCE).expect(0);
        assert_eq!(self.last("staging", "cart")["outcome"], "healthy");
    }

    pub(crate) fn a_bundle_is_rolled_back_as_a_whole(&self) {
        let images = ["cart", "search"].map(|project| self.revision(&self.staging, project));
        let cart = self.image(&self.staging, "cart");
        let failed = self.run("deploy shop catalog=9.9.9 cart=1.3.0 --set env.BUNDLE=yes --env staging").code;
        assert_eq!(failed, 12);
        assert_eq!(self.image(&self.staging, "cart"), cart, "what had come up went back with the one that failed");
        assert!(self.revision(&self.staging, "cart") > images[0] + 1, "it had been there");
        let last = self.last("staging", "cart");
        assert_eq!((&last["verb"], &last["outcome"]), (&"automatic rollback".into(), &"healthy".into()));
    }

    pub(crate) fn another_cluster_is_refused(&self) {
        let projects = self.workspace.root().join("projects.yaml");
        let written = fs::read_to_string(&projects).unwrap();
        self.run("env pin staging").expect(0);
        let file = fs::read_to_string(&projects).unwrap();
        assert!(file.contains("# proven here first\n") && file.contains("# as kind names it"), "comments stay: {file}");
        let id = self
            .staging
            .kubectl(&self.workspace, &["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
        assert!(file.contains(&format!("cluster-id: {id}")), "{file}");
        self.run("status --env staging").expect(0);
        let kubeconfig = self.workspace.user_kubeconfig();
        let text = fs::read_to_string(&kubeconfig).unwrap();
        let (staging, production) = (self.staging.context(), self.production.context());
        self.repoint(&staging, &production);
        self.run("up --env staging").expect(14).expect_said(&id);
        fs::write(&projects, written).unwrap();
        fs::write(&kubeconfig, &text).unwrap();
        // Changed between the plan and its execution, while the run waits for a lease.
        self.hold_lease("cmdr.project.cart", 60);
        let before = self.contexts_of_runs();
        let deploy = ["deploy", "cart", "--env", "staging", "--set", "env.SLOW=2", "--lock-timeout", "2m"];
        let waiting = self.workspace.start(&deploy);
        until("the run to have read its context", || (!self.contexts_of_runs().is_subset(&before)).then_some(()));
        tell("the context is repointed");
        self.repoint(&staging, &production);
        let kept = self.workspace.root().join("../kept-kubeconfig");
        fs::write(&kept, &text).unwrap();
        let free = ["--context", &staging, "--namespace", "tunes", "delete", "lease", "cmdr.project.cart"];
        self.workspace.tool("kubectl", &[&["--kubeconfig", &kept.to_string_lossy()], &free[..]].concat());
        let refused = waiting.wait(PATIENCE);
        fs::write(&kubeconfig, text).unwrap();
        assert_eq!(refused.code, 14, "{}", refused.said());
        self.run("up --env staging --lock-timeout 1m").expect(0);
        let written = fs::read_to_string(&projects).unwrap();
        self.workspace.replace(&staging, "kind-stagin");
        self.run("up --env staging").expect(2).expect_said("context 'kind-stagin' not found");
        fs::write(projects, written).unwrap();
    }

    /// The temporary contexts of runs, including those of killed runs.
    pub(crate) fn contexts_of_runs(&self) -> BTreeSet<String> {
        let runs = Path::new(self.workspace.variable("CMDR_STATE")).join("runs");
        let files = fs::read_dir(runs).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("context-")).collect()
    }

    /// Simulates another run on staging for some seconds.
    pub(crate) fn hold_lease(&self, name: &str, seconds: u32) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
        let lease = format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: {name}\n  namespace: tunes\n  \
             labels: {{cmdr.dev/purpose: lease}}\nspec: {{holderIdentity: another run, acquireTime: \"{now}\", \
             renewTime: \"{now}\", leaseDurationSeconds: {seconds}}}\n"
        );
        let file = self.workspace.root().join("lease.yaml");
        fs::write(&file, lease).unwrap();
        self.staging.kubectl(&self.workspace, &["apply", "--filename", &file.to_string_lossy()]);
        fs::remove_file(file).unwrap();
    }

    /// Points a context to the cluster of another context, as a wrong kubeconfig does.
    fn repoint(&self, context: &str, to: &str) {
        let kubeconfig = self.workspace.user_kubeconfig().to_string_lossy().into_owned();
        let set = ["config", "set-context", context, "--cluster", to, "--user", to, "--kubeconfig", &kubeconfig];
        self.workspace.tool("kubectl", &set);
    }

    pub(crate) fn a_lost_cluster_is_rebuilt(&self) {
        let file = self.workspace.root().join("ledger.json");
        let file = file.to_string_lossy().into_owned();
        self.run(&format!("up --env staging --export-ledger {file}")).expect(0);
        let before: Vec<(String, String)> = self.running();
        self.staging.delete();
        self.restart_staging();
        self.run(&format!("plan --env staging --from-ledger {file}")).expect(0).expect_said("install catalog");
        self.run(&format!("up --env staging --from-ledger {file}")).expect(0);
        assert_eq!(self.running(), before, "every record is there again, by its name");
        self.run("plan --env staging --exit-code").expect(0);
    }

    /// The project and record of each release in staging.
    fn running(&self) -> Vec<(String, String)> {
        let status = self.run("status --env staging --output json").expect(0).json();
        let releases = status["releases"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        releases.map(|release| (text(&release["name"]), text(&release["record"]))).collect()
    }
}
