//! Scripts that run inside a node when it is stopped and started.

/// Stops the node's pods as kubelet would, and waits for those that store data. Its argument is the timeout in seconds.
pub const STOP_PODS: &str = include_str!("node/stop-pods.sh");
/// Cancels [`STOP_PODS`]; fails if pods have already received their stop signal.
pub const CANCEL_STOP: &str = include_str!("node/cancel-stop.sh");
/// Copies volumes while the containers that use them are paused. Its arguments are pairs of folders.
pub const COPY_VOLUMES: &str = include_str!("node/copy-volumes.sh");
/// Sends a query to the DNS server whose address is its argument.
pub const QUERY_DNS: &str = include_str!("node/query-dns.sh");
/// Fills the folder of a project's synced files from its image. See the script for its arguments.
pub const DEV_SEED: &str = include_str!("node/dev-seed.sh");
/// Updates the folder of a project's synced files, its argument, from standard input.
pub const DEV_SYNC: &str = include_str!("node/dev-sync.sh");

/// Returns files that make a node start faster, with their paths in the node. They are read when it boots.
pub fn start_files() -> [(&'static str, &'static str); 2] {
    [
        ("etc/systemd/system/kubelet.service.d/20-cmdr.conf", include_str!("node/kubelet.conf")),
        ("etc/systemd/system/kubelet.service.d/route-to-api.sh", include_str!("node/route-to-api.sh")),
    ]
}

/// How the pods that store data ended, as reported by [`STOP_PODS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoppedPods {
    pub ended: Vec<String>,
    /// These were still running at the timeout.
    pub late: Vec<String>,
}

impl StoppedPods {
    pub fn read(text: &str) -> Self {
        let mut stopped = Self::default();
        for (word, pod) in text.lines().filter_map(|line| line.split_once(' ')) {
            match word {
                // The cluster's own etcd is not reported.
                _ if pod.starts_with("etcd-") => (),
                "ended" => stopped.ended.push(pod.to_owned()),
                "late" => stopped.late.push(pod.to_owned()),
                _ => (),
            }
        }
        stopped
    }
}

/// Returns whether the bytes that [`QUERY_DNS`] prints are the header of a response that contains an address.
pub fn is_dns_answer(text: &str) -> bool {
    let bytes: Vec<u8> = text.split_whitespace().filter_map(|byte| byte.parse().ok()).collect();
    let (refused, answers) = (bytes.get(5).map(|flags| flags & 15), bytes.get(8..10));
    bytes.len() == 14 && refused == Some(0) && answers.is_some_and(|count| count != [0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_pods_ended() {
        let stopped = StoppedPods::read("ended postgres-0\nended etcd-tunes-control-plane\nlate rabbitmq-0\n");
        assert_eq!((stopped.ended, stopped.late), (vec!["postgres-0".to_owned()], vec!["rabbitmq-0".to_owned()]));
    }

    #[test]
    fn an_answer_has_an_address() {
        assert!(is_dns_answer("   0 106   0   1 133 128   0   1   0   1   0   0   0   0\n"));
        assert!(!is_dns_answer("   0  54   0   1 133 131   0   1   0   0   0   0   0   0\n"), "no such name");
        assert!(!is_dns_answer(""));
    }
}
