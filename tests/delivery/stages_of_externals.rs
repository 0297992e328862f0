//! The stage about a project that is a release in one environment and external in another.

use std::{process::Command, time::Duration};

use serde_json::Value;

use super::{
    common::{Running, TestWorkspace, rig, until},
    walk::Walk,
};

/// Longer than any command of this test takes.
const PATIENCE: Duration = Duration::from_mins(2);
const PASSWORD: &str = "known-to-its-owner";
/// A database, and a consumer that reaches it by Service, Secret and `ConfigMap`.
const PROJECTS: &str = r#"  database:
    image: docker.io/library/postgres:15
    values:
      ports: {postgres: 5432}
      config: {DATABASE: postgres}
      secrets: {auth: {generate: password}}
      env: {POSTGRES_PASSWORD: {secret: auth, key: password}, PGDATA: /var/lib/postgresql/data/pgdata}
      volumes:
        data: {path: /var/lib/postgresql/data, temporary: true}
        run: {path: /var/run/postgresql, temporary: true}
      security: {runAsUser: 999}
    environments: {production: {external: {host: db.example.com, port: 5433}}}
  reader:
    image: docker.io/library/postgres:15
    needs: [database]
    values:
      kind: Job
      command: [psql, -h, database, -U, postgres, -c, "select 1"]
      env:
        PGPASSWORD: {secret: database-auth, key: password}
        PGDATABASE: {config: database, key: DATABASE}
bundles:
"#;
/// The Secret with the password, which cmdr does not create.
const KNOWN: &str = "values: {secrets: {auth: {generate: null, existing: database-auth}}}";

/// A database outside of all clusters, removed on drop.
struct Database {
    name: String,
    address: String,
    path: String,
    docker_host: String,
}

impl Database {
    fn start(workspace: &TestWorkspace) -> Self {
        let name = format!("database-{}", std::process::id());
        let image = format!("{}/library/postgres:15", rig("RIG_REGISTRY"));
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        let run = ["run", "--detach", "--quiet", "--network", "kind", "--name", &name, "--env", &password, &image];
        workspace.tool("docker", &run);
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = workspace.tool("docker", &["inspect", "--format", format, &name]).trim().to_owned();
        let variable = |name: &str| workspace.variable(name).to_owned();
        Self { name, address, path: variable("PATH"), docker_host: variable("DOCKER_HOST") }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        remove.env("PATH", &self.path).env("DOCKER_HOST", &self.docker_host);
        remove.args(["rm", "--force", "--volumes", &self.name]);
        let _ = Running::start(&mut remove).wait(PATIENCE);
    }
}

impl Walk {
    pub(crate) fn externals_keep_their_names(&self) {
        let database = Database::start(&self.workspace);
        self.workspace.replace("bundles:\n", PROJECTS);
        let mistaken = self.run("plan --env production").expect(2);
        for shown in ["cannot redirect it to port 5433", "a password that cmdr generates", "existing: SECRET"] {
            assert!(mistaken.stderr.contains(shown), "{}", mistaken.stderr);
        }
        let wrong = format!("{{external: {{host: {}, port: 5433}}, {KNOWN}}}", database.address);
        self.workspace.replace("{external: {host: db.example.com, port: 5433}}", &wrong);
        let literal = format!("--from-literal=password={PASSWORD}");
        let make = ["-n", "tunes", "create", "secret", "generic", "database-auth", &literal];
        self.production.kubectl(&self.workspace, &make);

        let silent = ["--override", "promotion", "--because", "nobody is there"];
        let silent = self.workspace.start(&[&["deploy", "reader", "--env", "production"][..], &silent].concat());
        self.run("deploy database reader --env staging").expect(0);
        self.a_release_gives_way_and_comes_back(&database);
        let silent = silent.wait(PATIENCE).expect(1);
        assert!(silent.stderr.contains(&format!("no response from {}:5433", database.address)), "{}", silent.stderr);
        assert_eq!(self.names_in_production("jobs,services"), Vec::<String>::new(), "nothing begins before it answers");

        self.workspace.replace("port: 5433", "port: 5432");
        until("the consumer to have soaked", || (self.run("promote reader --to production").code == 0).then_some(()));
        let names = self.names_in_production("jobs,services,configmaps,endpointslices");
        for kind in ["job.batch/reader", "service/database", "configmap/database", "endpointslice"] {
            assert!(names.iter().any(|name| name.starts_with(kind)), "{kind}: {names:?}");
        }
        let render = |environment: &str| self.run(&format!("render reader --env {environment}")).expect(0).stdout;
        assert_eq!(render("staging"), render("production"), "the consumer is the same everywhere");
        let again = self.run("promote --to production --output json").expect(0);
        assert!(!again.events().iter().any(|event| event["action"] == "redirect"), "{}", again.stdout);
        assert!(again.said().contains("skipped external projects"), "{}", again.said());
        let status = self.run("status --env production").expect(0).stdout;
        let row = status.lines().find(|line| line.starts_with("database")).unwrap_or_default();
        assert!(row.contains(&format!("{}:5432", database.address)) && row.contains("external"), "{status}");
        self.run("diff staging production").expect(0).expect_said("external in production");
    }

    /// In staging, by a host name that only the cluster's nodes resolve: the consumer does not change.
    fn a_release_gives_way_and_comes_back(&self, database: &Database) {
        let Database { name, address, .. } = database;
        let production = format!("environments: {{production: {{external: {{host: {address}");
        let both = production.replace(
            "{production",
            &format!("{{staging: {{external: {{host: {name}, port: 5432}}, {KNOWN}}}, production"),
        );
        self.workspace.replace(&production, &both);
        self.run("up reader --env staging").expect(0).expect_said("accepts connections from the cluster");
        assert_eq!(self.service_in_staging()["spec"]["externalName"], name.as_str());
        assert_eq!(self.revision(&self.staging, "database"), 0, "the release is gone");
        self.run("plan reader --env staging --exit-code").expect(0);
        self.workspace.replace(&both, &production);
        self.run("up reader --env staging").expect(0);
        assert_ne!(self.service_in_staging()["spec"]["selector"], Value::Null, "it leads to its own pods again");
        assert_eq!(self.revision(&self.staging, "database"), 1);
    }

    fn service_in_staging(&self) -> Value {
        self.staging.objects(&self.workspace, &["-n", "tunes", "get", "service", "database"])
    }

    /// The objects of both projects in production.
    fn names_in_production(&self, kinds: &str) -> Vec<String> {
        let names = self.production.kubectl(&self.workspace, &["-n", "tunes", "get", kinds, "--output", "name"]);
        let own = names.lines().filter(|name| name.contains("/database") || name.contains("/reader"));
        own.map(str::to_owned).collect()
    }
}
