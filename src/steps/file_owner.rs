//! The owner of a file that a container of a local node may not open, and the user of the container.

use serde_json::Value;

use super::volumes::FOLDER;
use crate::adapters::docker::Docker;

/// Prints the owner of `$2` below `$1`, or of its folder if it does not exist: `999:999 700`.
const OWNER: &str = "for path in \"$1$2\" \"$(dirname \"$1$2\")\"; do [ -e \"$path\" ] && exec stat -c '%u:%g %a' \"$path\"; done; exit 1";
/// The same for a file of the image of an ended container, whose ID is `$1`: its layers are mounted for a moment.
const OWNER_IN_IMAGE: &str = "set -e; d=$(mktemp -d); trap 'umount \"$d\"; rmdir \"$d\"' EXIT; \
     $(ctr -n k8s.io snapshots mounts \"$d\" \"$1\"); \
     for path in \"$d$2\" \"$(dirname \"$d$2\")\"; do [ -e \"$path\" ] && { stat -c '%u:%g %a' \"$path\"; break; }; done";

/// The owner of a file and who wanted to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileOwner {
    /// `999:999`.
    pub owner: String,
    /// `700`.
    pub mode: String,
    /// The user and group of the container: `1000:1000`.
    pub user: String,
    pub place: FilePlace,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilePlace {
    Image,
    Volume,
    /// A folder of the node. Kubernetes does not change its owner: `fsGroup` has no effect.
    NodeFolder,
}

/// What the runtime knows about a container.
#[derive(Debug, PartialEq, Eq)]
struct RuntimeContainer {
    user: String,
    /// The path in the container and on the node.
    mounts: Vec<(String, String)>,
}

/// Returns the owner of a file; `None` if the node does not show it.
pub(super) async fn owner_of(docker: &Docker, node: &str, container: &str, path: &str) -> Option<FileOwner> {
    let inspected = docker.exec(node, &["ctr", "-n", "k8s.io", "containers", "info", container]).await.ok()?.stdout;
    let known = parse(&serde_json::from_str(&inspected).ok()?)?;
    let mount = known.volume(path);
    let output = match mount {
        Some((source, below)) => docker.exec(node, &["sh", "-c", OWNER, "owner", source, below]).await,
        None => docker.exec(node, &["sh", "-c", OWNER_IN_IMAGE, "owner", container, path]).await,
    };
    let output = output.ok().filter(|output| output.exit_code == 0)?;
    let (owner, mode) = output.stdout.trim().split_once(' ')?;
    let place = mount.map_or(FilePlace::Image, |(source, _)| place_of(source));
    Some(FileOwner { owner: owner.to_owned(), mode: mode.to_owned(), user: known.user, place })
}

/// The kubelet mounts volumes below its own folder, and the provisioner of the node below another one.
fn place_of(source: &str) -> FilePlace {
    let is_volume = ["/var/lib/kubelet/", FOLDER].iter().any(|folder| source.starts_with(folder));
    if is_volume { FilePlace::Volume } else { FilePlace::NodeFolder }
}

fn parse(inspected: &Value) -> Option<RuntimeContainer> {
    let user = &inspected["Spec"]["process"]["user"];
    let mounts = inspected["Spec"]["mounts"]
        .as_array()?
        .iter()
        .filter_map(|mount| Some((mount["destination"].as_str()?.to_owned(), mount["source"].as_str()?.to_owned())));
    let number = |key: &str| user[key].as_u64().unwrap_or_default();
    Some(RuntimeContainer { user: format!("{}:{}", number("uid"), number("gid")), mounts: mounts.collect() })
}

impl RuntimeContainer {
    /// The source on the node of the volume with this path, and the path below it.
    fn volume<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let below = |(inside, source): &'a (String, String)| {
            let rest = path.strip_prefix(inside.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some((source.as_str(), rest))
        };
        self.mounts.iter().filter_map(below).min_by_key(|(_, rest)| rest.len())
    }
}

impl FileOwner {
    /// Adds the owner to a message about a file.
    pub(super) fn describe(&self) -> String {
        format!("it belongs to {} (mode {}), and the container runs as {}", self.owner, self.mode, self.user)
    }

    /// Returns how the container gets access.
    pub(super) fn help(&self) -> String {
        let user = self.user.split(':').next().unwrap_or_default();
        match self.owner.split_once(':') {
            Some((owner, group)) if owner != "0" => {
                let is_volume = self.place == FilePlace::Volume;
                let group = if is_volume { format!(", fsGroup: {group}") } else { String::new() };
                format!("run as its owner: values.security: {{runAsUser: {owner}{group}}}")
            }
            _ => match self.place {
                FilePlace::Volume => format!("let the volume belong to the user: values.security: {{fsGroup: {user}}}"),
                FilePlace::NodeFolder => format!(
                    "it is in a folder of the node, on which fsGroup has no effect: run `chown {user}` there, or use a volume \
                     with a size"
                ),
                FilePlace::Image => format!("let it belong to user {user} in the Dockerfile: COPY --chown={user}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_volume_of_a_path_and_the_user_are_read() {
        let mounts = json!([
            {"destination": "/data", "source": "/var/lib/kubelet/a"},
            {"destination": "/data/deep", "source": "/var/lib/kubelet/b"},
        ]);
        let inspected = json!({"Spec": {"mounts": mounts, "process": {"user": {"uid": 1000, "gid": 1000}}}});
        let known = parse(&inspected).unwrap();
        assert_eq!(known.user, "1000:1000");
        assert_eq!(known.volume("/data/deep/x"), Some(("/var/lib/kubelet/b", "/x")));
        assert_eq!(known.volume("/database"), None);
    }

    #[test]
    fn the_help_names_the_owner() {
        let of = |owner: &str, place| {
            FileOwner { owner: owner.to_owned(), mode: "700".to_owned(), user: "1000:1000".to_owned(), place }.help()
        };
        let volume = place_of("/var/local-path-provisioner/tunes_data-db-0");
        assert_eq!(of("999:999", volume), "run as its owner: values.security: {runAsUser: 999, fsGroup: 999}");
        assert!(of("0:0", FilePlace::Image).contains("COPY --chown=1000"));
        assert!(of("0:0", place_of("/var/hostdata")).contains("fsGroup has no effect"));
    }
}
