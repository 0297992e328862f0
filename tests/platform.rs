//! `cmdr up` and the verbs around it on a real cluster: one small workspace, walked through in stages.

mod common;

use common::{Stages, TestWorkspace};

const PROJECTS: &str = "
projects:
  front:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: front
    values: {ports: {http: 9898}}
";

#[test]
fn a_platform_from_nothing_to_nothing() {
    let workspace = TestWorkspace::new("platform", PROJECTS);
    let stages = Stages::default();
    stages.stage("up makes everything from nothing", || {
        let up = workspace.run(&["up"]).expect(0);
        assert_eq!(up.stdout.lines().count(), 1, "{}", up.stdout);
        assert_eq!(workspace.ask("front", "/").map(|answer| answer.status), Ok(200));
    });
    stages.finish();
}
