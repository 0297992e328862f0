//! The roles of templates/rbac, each with exactly its permissions.

use std::fs;

use super::{
    common::{Output, cloud::Cloud, until},
    walk::Walk,
};

const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/rbac");

impl Walk {
    pub(crate) fn missing_rights_are_named(&self) {
        let make = |words: &str| self.on(&self.production, words);
        make("-n tunes create serviceaccount reader");
        make("-n tunes create rolebinding reader --clusterrole=view --serviceaccount=tunes:reader");
        make("create clusterrole sees --verb=get --resource=namespaces");
        make("create clusterrolebinding sees --clusterrole=sees --serviceaccount=tunes:reader");
        let deploy = "deploy cart --env production --set env.R=1";
        let refused = self.as_account(&self.production, "reader", deploy).expect(1);
        assert!(refused.stderr.contains("secrets") && refused.stderr.contains("rule"), "{}", refused.stderr);
    }

    pub(crate) fn a_deployer_deploys_and_changes_no_namespace(&self) {
        self.on(&self.production, &format!("apply --filename {TEMPLATES}/deployer.yaml"));
        let run = |words: &str| self.as_account(&self.production, "cmdr-deployer", words).expect(0);
        run("deploy cart --env production --set env.R=1");
        run("restart cart --env production");
        run("rollback cart --env production");
        run("unhold cart --env production");
        for namespace in ["kube-system", "tunes"] {
            let privileged = "pod-security.kubernetes.io/enforce=privileged";
            let label = ["label", "namespace", namespace, "--overwrite", privileged];
            assert!(!self.may(&self.production, "cmdr-deployer", &label), "{namespace}");
        }
    }

    pub(crate) fn a_viewer_only_looks(&self) {
        self.on(&self.production, &format!("apply --filename {TEMPLATES}/viewer.yaml"));
        self.on(&self.production, "-n tunes create serviceaccount viewer");
        self.on(&self.production, "-n tunes create rolebinding v --role=cmdr-viewer --serviceaccount=tunes:viewer");
        let sees = "create clusterrolebinding v --clusterrole=cmdr-viewer-tunes --serviceaccount=tunes:viewer";
        self.on(&self.production, sees);
        let run = |words: &str| self.as_account(&self.production, "viewer", words);
        for words in ["status --env production", "history --env production", "plan --env production"] {
            run(words).expect(0);
        }
        run("deploy cart --env production --set env.R=2").expect(1);
    }

    pub(crate) fn a_reviewer_changes_only_reviews(&self) {
        self.on(&self.staging, &format!("apply --filename {TEMPLATES}/reviewer.yaml"));
        let other = ["-n", "tunes", "create", "configmap", "foreign"];
        until("the policy to apply", || (!self.may(&self.staging, "cmdr-reviewer", &other)).then_some(()));
        self.as_account(&self.staging, "cmdr-reviewer", "up site --env review --slug rights").expect(0);
        let lifted = "pod-security.kubernetes.io/enforce=privileged";
        assert!(!self.may(&self.staging, "cmdr-reviewer", &["label", "namespace", "review-rights", lifted]));
        assert!(!self.may(&self.staging, "cmdr-reviewer", &["delete", "namespace", "tunes", "--wait=false"]));
        self.as_account(&self.staging, "cmdr-reviewer", "down --env review --slug rights").expect(0);
    }

    fn on(&self, cloud: &Cloud, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        cloud.kubectl(&self.workspace, &words)
    }

    /// Whether the API server accepts a request of an account, without making the change.
    fn may(&self, cloud: &Cloud, account: &str, words: &[&str]) -> bool {
        let kubeconfig = self.workspace.user_kubeconfig().to_string_lossy().into_owned();
        let account = format!("--as=system:serviceaccount:tunes:{account}");
        let context = cloud.context();
        let target = ["--kubeconfig", &kubeconfig, "--context", &context, &account, "--dry-run=server"];
        self.workspace.try_tool("kubectl", &[words, &target].concat()).is_some()
    }

    /// Runs cmdr with the token of an account, which must not be printed.
    fn as_account(&self, cloud: &Cloud, account: &str, words: &str) -> Output {
        let token = cloud.kubectl(&self.workspace, &["-n", "tunes", "create", "token", account]);
        let kubeconfig = self.workspace.user_kubeconfig();
        let text = fs::read_to_string(&kubeconfig).unwrap();
        let (path, context) = (kubeconfig.to_string_lossy().into_owned(), cloud.context());
        let config = |words: &[&str]| {
            self.workspace.tool("kubectl", &[&["--kubeconfig", &path, "config"], words].concat());
        };
        config(&["set-credentials", "account", "--token", &token]);
        config(&["set-context", &context, "--user", "account"]);
        let output = self.run(words);
        fs::write(&kubeconfig, text).unwrap();
        assert!(!output.said().contains(&token));
        output
    }
}
