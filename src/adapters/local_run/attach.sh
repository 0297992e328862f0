# Takes part in the network of a pod until standard input ends. What this script changes exists only in the kernel, for
# this pod, and is gone with it.
relay=$1 namespace=$2 pod=$3 address=$4
shift 4
sandboxes=$(ctr -n k8s.io containers ls -q \
  "labels.\"io.kubernetes.pod.namespace\"==$namespace,labels.\"io.kubernetes.pod.name\"==$pod,labels.\"io.cri-containerd.kind\"==sandbox" \
  </dev/null 2>/dev/null)
process=$(ctr -n k8s.io tasks ls </dev/null 2>/dev/null | while read -r id process state; do
  [[ $sandboxes == *"$id"* && $state == RUNNING ]] && echo "$process"
done)
[[ $process ]] || { echo "the pod has no running sandbox" >&2; exit 1; }
exec 9<"/proc/$process/ns/net" || exit 1
inside() { nsenter --net=/proc/self/fd/9 "$@"; }

forwarding=$(inside cat /proc/sys/net/ipv4/ip_forward </dev/null)
restore() {
  inside nft delete table ip cmdr_local_run </dev/null 2>/dev/null
  inside sh -c "echo $forwarding > /proc/sys/net/ipv4/ip_forward" </dev/null
  ip route show </dev/null | while read -r block via gateway _; do
    [[ $via == via && $gateway == "$address" ]] && ip route del "$block" </dev/null
  done
}
trap restore EXIT
trap 'exit 0' HUP INT TERM

# `services`: addresses of this machine's process lead to Services, as connections of the pod itself.
# `ports`: connections to the pod go to the relay; `received`: those from before, which go past it, are reset, so that
# their clients connect again. The kubelet's own are not forwarded by a router on their way, so their
# time to live is still 64: probes reach the container.
inside nft -f - <<'RULES' || exit 1
table ip cmdr_local_run
delete table ip cmdr_local_run
table ip cmdr_local_run {
  map services { type ipv4_addr : ipv4_addr; }
  map ports { type inet_service : inet_service; }
  set received { type inet_service; }
  chain arriving {
    type nat hook prerouting priority dstnat; policy accept;
    dnat to ip daddr map @services
    meta l4proto tcp ip ttl < 64 redirect to :tcp dport map @ports
  }
  chain established {
    type filter hook input priority filter; policy accept;
    ip ttl < 64 tcp dport @received reject with tcp reset
  }
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat masquerade
  }
}
RULES
echo "process $process" >&2
inside sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward' </dev/null || exit 1
inside perl -e "$relay" -- "$@"
