//! The universal chart, rendered by the real helm: golden files, its schema, and invariants.
//!
//! `UPDATE_GOLDEN=1 cargo test --test charts` rewrites `tests/golden/*/expected.yaml`.

#[path = "charts/own.rs"]
mod own;
#[path = "common/server.rs"]
mod server;

use cmdr::domain::{objects::complete, yaml};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The lines that the templates of the chart may have in all.
const MOST_LINES: usize = 900;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/service")
}

/// helm from the PATH, else the one that the rig built. Without helm these tests fail: a skipped test verifies nothing.
fn helm() -> Command {
    let on_path = env::var_os("PATH")
        .and_then(|path| env::split_paths(&path).map(|dir| dir.join("helm")).find(|file| file.is_file()));
    let in_rig = || {
        let cache = env::var_os("XDG_CACHE_HOME")
            .map_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"), PathBuf::from);
        let home = env::var_os("RIG_HOME").map_or_else(|| cache.join("cluster-rig"), PathBuf::from);
        home.join("bin/helm")
    };
    let program = on_path.unwrap_or_else(in_rig);
    assert!(program.is_file(), "no helm on PATH and none at {}: run `rig/rig up`", program.display());
    let mut command = Command::new(program);
    command.env("HELM_NO_PLUGINS", "1").env("KUBECONFIG", "/dev/null");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Renders values that are given as text; the error is helm's output.
fn render(release: &str, values: &str) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("values.yaml");
    fs::write(&file, values).expect("values written");
    let output = run(helm().args(["template", release]).arg(chart()).arg("-f").arg(&file));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("manifests are text");
    Ok(yaml::read_documents(&text).unwrap_or_else(|error| panic!("{error} in:\n{text}")))
}

fn rendered(release: &str, values: &str) -> Vec<Value> {
    render(release, values).unwrap_or_else(|error| panic!("{release} does not render: {error}"))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {objects:#?}"))
}

/// The values as cmdr passes them on.
fn completed(project: &str, text: &str) -> String {
    let mut values = yaml::read(text).expect("values are a map");
    complete(project, &mut values);
    yaml::write(&values)
}

/// Every golden case: its name, which is the release's, and its values.
fn cases() -> Vec<(String, PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("tests/golden")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let values = completed(&name, &fs::read_to_string(path.join("values.yaml")).expect("values.yaml"));
            (name, path, values)
        })
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "golden cases are missing");
    cases
}

fn pod_template(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => Some(&object["spec"]["template"]),
        "CronJob" => Some(&object["spec"]["jobTemplate"]["spec"]["template"]),
        _ => None,
    }
}

#[test]
fn renders_as_the_golden_files_say() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut stale = Vec::new();
    for (name, folder, values) in cases() {
        let objects = rendered(&name, &values);
        let text = || objects.iter().map(yaml::write).collect::<Vec<_>>().join("---\n");
        let file = folder.join("expected.yaml");
        if update {
            fs::write(&file, text()).expect("golden file written");
            continue;
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if yaml::read_documents(&expected).expect("a golden file is YAML") != objects {
            let actual = env::temp_dir().join(format!("{name}.actual.yaml"));
            fs::write(&actual, text()).expect("actual file written");
            stale.push(format!("{} (diff it with {})", name, actual.display()));
        }
    }
    assert!(stale.is_empty(), "these differ; UPDATE_GOLDEN=1 rewrites them: {stale:#?}");
}

#[test]
fn the_objects_that_can_be_patched_are_those_that_the_chart_renders() {
    for (name, _, values) in cases() {
        let objects = rendered(&name, &values);
        let shown = |object: &Value| {
            let (kind, own) =
                (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
            format!("{kind}/{}", if kind == "Job" { name.as_str() } else { own })
        };
        let mut actual: Vec<String> = objects.iter().map(shown).filter(|it| !it.starts_with("ClusterRole")).collect();
        let mut expected = cmdr::config::rendered_objects(&name, &yaml::read(&values).expect("values are a map"));
        actual.sort();
        expected.sort();
        assert_eq!(expected, actual, "{name}");
    }
}

/// A release's Secret contains the chart and may have at most 1 MiB.
#[test]
fn stays_small() {
    let output = tempfile::tempdir().expect("a temporary folder");
    let packaged = run(helm().arg("package").arg(chart()).arg("-d").arg(output.path()));
    assert!(packaged.status.success());
    let bytes: u64 = fs::read_dir(output.path())
        .expect("the package")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len())
        .sum();
    assert!(bytes < 32_000, "the chart has grown to {bytes} bytes");
}

#[test]
fn the_templates_stay_short() {
    let files = fs::read_dir(chart().join("templates")).expect("templates").map(|file| file.expect("a file").path());
    let lines: usize = files.map(|file| fs::read_to_string(file).expect("a template").lines().count()).sum();
    assert!(lines <= MOST_LINES, "the templates have {lines} lines: shorten them, or leave a key to a fragment");
}

#[test]
fn passes_helm_lint() {
    for (name, folder, _) in cases() {
        let output = run(helm().args(["lint", "--strict"]).arg(chart()).arg("-f").arg(folder.join("values.yaml")));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Values that the chart rejects, each with a part of the error.
const WRONG_VALUES: &[(&str, &str)] = &[
    ("replicas: 1", "image"),
    ("image: 7", "image"),
    ("image: a/b:1\nreplica: 2", "replica"),
    ("image: a/b:1\nreplicas: two", "replicas"),
    ("image: a/b:1\nkind: Pod", "kind"),
    ("image: a/b:1\nkind: CronJob", "schedule"),
    ("image: a/b:1\nports: [80]", "ports"),
    ("image: a/b:1\nports: {http: 70000}", "http"),
    ("image: a/b:1\nports: {a-name-that-is-too-long: 80}", "a-name-that-is-too-long"),
    ("image: a/b:1\nports: {http: {service: 80}}", "port"),
    ("image: a/b:1\nenv: {A: [1]}", "A"),
    ("image: a/b:1\nenv: {A: {secret: x}}", "key"),
    ("image: a/b:1\nenv: {A: {key: x}}", "A"),
    ("image: a/b:1\nenv: {A: {secret: x, key: y, config: z}}", "A"),
    ("image: a/b:1\nenv: {A: $(B), B: $(C), C: $(B)}", "cycle between variables of `env`: A, B, C"),
    ("image: a/b:1\nsecrets: {db: {generate: a, existing: b}}", "db"),
    ("image: a/b:1\nsecrets: {db: {}}", "db"),
    ("image: a/b:1\nsecrets: {db: {sops: a.yaml, generate: b}}", "db"),
    ("image: a/b:1\nsecrets: {db: {sops: /a.yaml}}", "sops"),
    ("image: a/b:1\nsecrets: {db: {external: {store: vault}}}", "data"),
    ("image: a/b:1\nsecrets: {db: {external: {store: vault, data: {a: b}, kind: Store}}}", "kind"),
    ("image: a/b:1\nsecrets: {db: {external: {store: vault, data: {a: b}, refresh: 1 hour}}}", "refresh"),
    ("image: a/b:1\nvolumes: {data: {path: /data}}", "data"),
    ("image: a/b:1\nvolumes: {data: {path: data, size: 1Gi}}", "path"),
    ("image: a/b:1\nfiles: {relative: x}", "relative"),
    ("image: a/b:1\nprobes: {readiness: {url: /x}}", "url"),
    ("image: a/b:1\nroutes: {web: {path: /}}", "host"),
    ("image: a/b:1\nautoscaling: {min: 1}", "max"),
    ("image: a/b:1\nkind: Job\nautoscaling: {max: 3}", "kind"),
    ("image: a/b:1\nkind: Job\nindexed: true", "completions"),
    (
        "image: a/b:1\nkind: Job\nrestart: OnFailure\npodFailurePolicy: {a: {action: Count, onExitCodes: {operator: In, values: [1]}}}",
        "restart",
    ),
    ("image: a/b:1\nkind: Job\npodFailurePolicy: {a: {action: Count}}", "onExitCodes"),
    ("image: a/b:1\nprobes: {readiness: {path: /readyz}}", "port"),
    ("image: a/b:1\nroutes: {web: {host: a.example}}", "ports"),
    ("image: a/b:1\nsecurity: {privileged: true}", "privileged"),
    ("image: a/b:1\nsidecars: {x: {volume: y}}", "volume"),
    ("image: a/b:1\nresources: {request: {cpu: 1}}", "request"),
    ("image: a/b:1\nextraObjects: {x: {kind: ConfigMap}}", "apiVersion"),
];

#[test]
fn refuses_wrong_values_and_names_them() {
    let image = "image: a/b:1\n";
    for (values, named) in WRONG_VALUES {
        let error = render("bad", values).expect_err(values);
        assert!(error.contains(named), "{values:?} was refused without {named:?}: {error}");
    }
    rendered("good", image);
}

#[test]
fn null_removes_what_was_inherited() {
    let objects = rendered(
        "shop",
        "image: a/b:1\nports: {http: 80, old: null}\nenv: {A: null}\nvolumes: {data: null}\nroutes: {web: null}\n\
         sidecars: {x: null}\ninitContainers: {x: null}\nautoscaling: null\nconfig: {A: null}\nprobes: {startup: null}\n\
         secrets: {db: null}\ntolerations: {a: null}\nannotations: {a: null}\ndrain: null\nsecurity: {runAsUser: null}",
    );
    let kinds: Vec<_> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["Service", "Deployment"]);
    let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
    assert!(pod["securityContext"]["runAsUser"].is_null());
    assert!(pod["containers"][0]["env"].is_null());
}

#[test]
fn a_job_has_another_name_when_and_only_when_its_spec_changes() {
    let name = |extra: &str| {
        let objects = rendered("migrate", &format!("kind: Job\nimage: a/b:1\n{extra}"));
        of_kind(&objects, "Job")["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    let first = name("");
    assert!(first.starts_with("migrate-"), "{first}");
    for same in ["", "annotations: {commit: abc}", "labels: {commit: abc}", "replicas: 3", "component: x"] {
        assert_eq!(name(same), first, "{same}");
    }
    for other in ["args: [x]", "env: {A: 1}", "config: {A: 1}", "backoffLimit: 4", "deadline: 7", "version: 2"] {
        assert_ne!(name(other), first, "{other}");
    }
}

#[test]
fn a_change_of_configuration_changes_the_pod_template_and_a_commit_does_not() {
    let template = |extra: &str| {
        let objects = rendered("shop", &format!("image: a/b:1\nports: {{http: 80}}\n{extra}"));
        of_kind(&objects, "Deployment")["spec"]["template"].clone()
    };
    let checksum = |extra: &str| template(extra)["metadata"]["annotations"]["checksum/config"].clone();
    assert!(checksum("").is_null());
    let values =
        ["config: {A: 1}", "config: {A: 2}", "files: {/a: x}", "files: {/a: z}", "config: {A: 1}\nfiles: {/a: x}"];
    for (index, left) in values.iter().enumerate() {
        assert!(checksum(left).is_string(), "{left}");
        for right in &values[index + 1..] {
            assert_ne!(checksum(left), checksum(right), "{left} and {right}");
        }
    }
    assert_eq!(checksum("config: {A: 1}"), checksum("config: {A: 1}\nenv: {B: 1}"));
    let commit = "labels: {commit: abc}\nannotations: {commit: abc, record: r1}\ncomponent: web";
    assert_eq!(template(commit), template(""), "a commit alone must restart nothing");
}

#[test]
fn a_secret_from_sops_that_has_changed_changes_the_pod_template() {
    let template = |extra: &str| {
        let values = format!("image: a/b:1\nsecrets: {{api: {{sops: secrets/api.yaml}}}}\n{extra}");
        of_kind(&rendered("shop", &values), "Deployment")["spec"]["template"].clone()
    };
    let checksum = |extra: &str| template(extra)["metadata"]["annotations"]["checksum/secrets"].clone();
    assert!(checksum("").is_null(), "without cmdr nothing is known of the file");
    let first = checksum("secretChecksums: {shop-api: a1}");
    assert!(first.is_string());
    assert_ne!(first, checksum("secretChecksums: {shop-api: a2}"));
    assert_ne!(first, checksum("secretChecksums: {cart-api: a1}"));
    assert_eq!(first, checksum("secretChecksums: {shop-api: a1}\nconfig: {A: 1}"));
}

#[test]
fn every_container_keeps_to_pod_security_restricted() {
    // Expectations of other renderings.
    let others = ["profile", "fragments"];
    for (name, _, values) in cases().into_iter().filter(|(name, ..)| !others.contains(&name.as_str())) {
        for object in &rendered(&name, &values) {
            let Some(template) = pod_template(object) else { continue };
            let pod = &template["spec"];
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert!(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "{name}: a numeric user");
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(
                pod["automountServiceAccountToken"],
                Value::from(["everything", "identity"].contains(&name.as_str())),
                "{name}"
            );
            for list in ["containers", "initContainers"] {
                for container in pod[list].as_array().into_iter().flatten() {
                    let own = &container["securityContext"];
                    assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
                    assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
                    assert_eq!(own["capabilities"]["drop"][0], "ALL", "{name}");
                    let added = own["capabilities"]["add"].as_array().map_or(&[][..], Vec::as_slice);
                    assert!(added.iter().all(|capability| capability == "NET_BIND_SERVICE"), "{name}: {added:?}");
                    assert_ne!(own["runAsUser"], 0, "{name}");
                }
            }
        }
    }
}

#[test]
fn names_labels_and_selectors_follow_the_rules() {
    const POD: [&str; 4] = ["name", "instance", "version", "part-of"];
    for (name, _, values) in cases() {
        for object in &rendered(&name, &values) {
            let metadata = &object["metadata"];
            let own = metadata["name"].as_str().expect("a name");
            let is_alias = metadata["labels"]["cmdr.dev/alias"] == "true";
            assert!(is_alias || own == name || own.starts_with(&format!("{name}-")), "{own} is not named after {name}");
            for label in ["app.kubernetes.io/name", "app.kubernetes.io/instance"] {
                assert_eq!(metadata["labels"][label], name.as_str(), "{own}");
            }
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm", "{own}");
            if let Some(selector) = object["spec"]["selector"]["matchLabels"].as_object() {
                assert_eq!(selector.len(), 2, "{own}: selectors never change");
            }
            let Some(labels) = pod_template(object).and_then(|template| template["metadata"]["labels"].as_object())
            else {
                continue;
            };
            for label in labels.keys().map(String::as_str) {
                let allowed = label.strip_prefix("app.kubernetes.io/").is_none_or(|rest| POD.contains(&rest));
                assert!(allowed && label != "helm.sh/chart", "{own}: {label} on a pod");
            }
        }
    }
}

#[test]
fn a_version_becomes_a_label_that_kubernetes_accepts() {
    for (version, label) in [
        ("6.9.2", "6.9.2"),
        ("v1.0.0+build.7", "v1.0.0-build.7"),
        ("'-odd-'", "odd"),
        (
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "012345678901234567890123456789012345678901234567890123456789012",
        ),
        ("12345678", "12345678"),
    ] {
        let quoted =
            if version.starts_with('\'') || version.len() == 8 { version.to_owned() } else { format!("{version:?}") };
        let objects = rendered("shop", &format!("image: a/b:1\nversion: {quoted}"));
        let labels = &of_kind(&objects, "Deployment")["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/version"], label);
    }
}

#[test]
fn a_startup_probe_holds_back_liveness_and_nothing_else() {
    let probes = |values: &str| {
        let objects = rendered("shop", &format!("image: a/b:1\nports: {{http: 80}}\nprobes: {values}"));
        let container = of_kind(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
        ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| container[probe]["periodSeconds"].as_u64())
    };
    assert_eq!(probes("{}"), [None, Some(2), None], "readiness is asked for as soon as the container runs");
    assert_eq!(probes("{liveness: {path: /alive}}"), [Some(1), Some(2), Some(10)]);
    assert_eq!(probes("{liveness: {path: /alive}, startup: false}"), [None, Some(2), Some(10)]);
    assert_eq!(probes("{startup: {periodSeconds: 3}}"), [Some(3), Some(2), None]);
}

#[test]
fn a_pod_drains_for_less_than_it_gets_to_end() {
    let pre_stop = |grace: u32| {
        let objects = rendered("shop", &format!("image: a/b:1\nports: {{http: 80}}\ngrace: {grace}"));
        let container = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64()
    };
    assert_eq!([30, 6, 5, 2, 1, 0].map(pre_stop), [Some(5), Some(5), Some(4), Some(1), None, None]);
}

#[test]
fn a_rollout_loses_no_request_by_its_settings() {
    let objects = rendered("shop", "image: a/b:1\nports: {http: 80}\nreplicas: 0");
    let spec = &of_kind(&objects, "Deployment")["spec"];
    assert_eq!(spec["replicas"], 0);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(spec["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 5);

    let objects = rendered("shop", "image: a/b:1\nports: {http: 80}\nautoscaling: {max: 3}");
    assert!(of_kind(&objects, "Deployment")["spec"]["replicas"].is_null(), "the autoscaler owns replicas");
}
