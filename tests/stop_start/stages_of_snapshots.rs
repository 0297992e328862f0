//! Stages of snapshots.

use std::time::Duration;

use super::{common::until, walk::Walk};

impl Walk {
    /// The images and volumes of this workspace's snapshots.
    fn kept(&self) -> (String, String) {
        let label = format!("label=cmdr/workspace={}", self.workspace.name);
        let filters = ["--filter", &label, "--filter", "label=cmdr/snapshot"];
        let images = [&["images", "--format", "{{.Repository}}:{{.Tag}}"], &filters[..]].concat();
        (self.docker(&images), self.docker(&[&["volume", "ls", "--quiet"], &filters[..]].concat()))
    }

    pub(crate) fn a_killed_save_loses_nothing(&self) {
        let save = self.workspace.start(&["snapshot", "save", "torn"]);
        until("a volume of the snapshot", || (!self.kept().1.is_empty()).then_some(()));
        save.signal("KILL");
        save.wait(Duration::from_mins(1));
        let list = self.workspace.run(&["snapshot", "list"]).expect(0);
        assert!(!list.stdout.contains("torn"), "{}", list.stdout);
        assert_eq!(self.kept(), (String::new(), String::new()), "leftovers are removed");
        // The node returns to its first address, unless another container has it.
        self.start();
        self.expect_stored(&["first"]);
    }

    pub(crate) fn a_snapshot_restores_everything(&self) {
        let before = (self.releases(), self.balancer_address());
        let save = self.workspace.run(&["snapshot", "save", "good"]).expect(0);
        save.expect_said("was unavailable for").expect_said("site  check: 200");
        self.expect_stored(&["first"]);
        self.sql("drop table notes");
        self.redis(&["del", "note"]);
        self.workspace.helm(&["uninstall", "quiet", "--namespace", &self.workspace.name, "--wait"]);
        self.workspace.run(&["snapshot", "restore", "good"]).expect(1).expect_said("nothing was changed");
        let unused = self.unused_volumes();
        let restore = self.workspace.run(&["snapshot", "restore", "good", "--yes"]).expect(0);
        for proof in ["names  check", "addresses  check", "site  check: 200"] {
            assert!(restore.stderr.contains(proof), "{}", restore.said());
        }
        self.expect_none_left("those of the cluster before", &unused);
        self.expect_stored(&["first"]);
        assert_eq!((self.releases(), self.balancer_address()), before);
        self.expect_fresh();
        self.expect_settled();
    }

    pub(crate) fn errors_are_reported(&self) {
        let name = |words: &[&str]| self.workspace.run(&[&["snapshot"], words].concat());
        name(&["restore", "god", "--yes"]).expect(2).expect_said("did you mean 'good'?");
        name(&["delete", "other"]).expect(2).expect_said("cmdr snapshot list");
        name(&["save", "Not_Good"]).expect(2).expect_said("not-good");
        name(&["save", "good"]).expect(2).expect_said("cmdr snapshot delete good");
        let list = name(&["list", "--output", "json"]).expect(0).json();
        assert_eq!(
            (list[0]["name"].as_str(), list[0]["workspace"].as_str()),
            (Some("good"), Some(&*self.workspace.name))
        );
        assert!(list[0]["bytes"].as_u64().unwrap() > 0);
        self.workspace.run(&["plan", "--exit-code"]).expect(0);
    }

    pub(crate) fn a_killed_restore_is_run_again(&self) {
        let unused = self.unused_volumes();
        self.workspace.run(&["stop"]).expect(0);
        let present = self.of_node("{{.Id}}");
        let restore = self.workspace.start(&["snapshot", "restore", "good", "--yes"]);
        until("the current cluster to be deleted", || {
            let names = self.docker(&["ps", "--all", "--no-trunc", "--format", "{{.ID}}"]);
            (!names.contains(&present)).then_some(())
        });
        restore.signal("KILL");
        restore.wait(Duration::from_mins(1));
        let restore = self.workspace.start(&["snapshot", "restore", "good", "--yes"]);
        let copies = format!("label=cmdr/copies-for={}", self.workspace.name);
        until("its volumes to be copied", || {
            (!self.docker(&["ps", "--all", "--quiet", "--filter", &copies]).is_empty()).then_some(())
        });
        restore.signal("KILL");
        restore.wait(Duration::from_mins(1));
        self.workspace.run(&["snapshot", "restore", "good", "--yes"]).expect(0);
        self.expect_stored(&["first"]);
        assert_eq!(self.docker(&["ps", "--all", "--quiet", "--filter", &copies]), "");
        self.workspace.run(&["down", "--yes"]).expect(0);
        self.expect_none_left("those of the killed restores", &unused);
        self.workspace.run(&["snapshot", "restore", "good"]).expect(0);
        self.expect_stored(&["first"]);
    }

    /// Waits until no other unused volumes are left: volumes of other tests are unused for a moment too.
    fn expect_none_left(&self, what: &str, before: &[String]) {
        until(&format!("{what} to be gone"), || {
            self.unused_volumes().iter().all(|volume| before.contains(volume)).then_some(())
        });
    }

    /// Volumes without a name that no container uses.
    fn unused_volumes(&self) -> Vec<String> {
        let volumes = self.docker(&["volume", "ls", "--quiet", "--filter", "dangling=true"]);
        volumes.lines().filter(|volume| volume.len() == 64).map(str::to_owned).collect()
    }

    pub(crate) fn deleted_snapshots_leave_nothing(&self) {
        self.workspace.run(&["snapshot", "delete", "good"]).expect(0);
        assert!(!self.kept().0.contains("cmdr-snapshot/"), "{:?}", self.kept());
        assert!(!self.kept().1.contains("cmdr-snapshot."), "{:?}", self.kept());
        self.workspace.run(&["snapshot", "list"]).expect(0).expect_said("no snapshots of");
        self.expect_stored(&["first"]);
    }
}
