//! What a container does: the users of its processes, the ports that it listens on, the folders that it writes to.

use std::collections::BTreeSet;

/// Folders that every container can write to, and that belong to the runtime.
const OTHERS: [&str; 4] = ["/tmp", "/dev", "/proc", "/sys"];

/// What one running container was seen to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerBehavior {
    /// The users of all processes.
    pub users: BTreeSet<u32>,
    pub ports: BTreeSet<u16>,
    /// The folders of the image's file system that it wrote to. None contains another.
    pub written: Vec<WrittenFolder>,
}

/// A folder that a container wrote to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenFolder {
    pub path: String,
    /// Whether the image has files there, which a volume would hide.
    pub is_shared: bool,
}

impl ContainerBehavior {
    /// Reads the lines of `adapters/kind/node/container-behavior.sh`. Others are ignored.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "process" => found.users.extend(value.parse::<u32>().ok()),
                "port" => found.ports.extend(u16::from_str_radix(value, 16).ok()),
                "written" | "shared" => found.add_folder(value, key == "shared"),
                _ => {}
            }
        }
        found
    }

    /// Keeps only the outermost of folders that contain each other, unless a volume there would hide files.
    fn add_folder(&mut self, path: &str, is_shared: bool) {
        let is_within = |path: &str, folder: &str| {
            path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || folder == "/")
        };
        let is_covered = |known: &WrittenFolder| !known.is_shared && is_within(path, &known.path);
        if OTHERS.iter().any(|other| is_within(path, other)) || self.written.iter().any(is_covered) {
            return;
        }
        if !is_shared {
            self.written.retain(|known| !is_within(&known.path, path));
        }
        self.written.push(WrittenFolder { path: path.to_owned(), is_shared });
    }

    /// Whether it listens on a port that only root can open, unless the node allows it.
    pub fn has_privileged_port(&self) -> bool {
        self.ports.iter().any(|port| *port < 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_script_are_read() {
        let text = "process 0\nprocess 101\nport 0050\nport 1F90\nshared /etc/nginx/conf.d\nwritten /run\n\
                    written /tmp/x\nwritten /var/cache/nginx\nwritten /var/cache/nginx/proxy\n";
        let found = ContainerBehavior::parse(text);
        assert_eq!(found.users.iter().copied().collect::<Vec<_>>(), [0, 101]);
        assert!(found.has_privileged_port() && found.ports.contains(&8080));
        let folders: Vec<_> = found.written.iter().map(|it| (it.path.as_str(), it.is_shared)).collect();
        assert_eq!(folders, [("/etc/nginx/conf.d", true), ("/run", false), ("/var/cache/nginx", false)]);
    }
}
