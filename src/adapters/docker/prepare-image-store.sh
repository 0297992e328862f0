# Prepares a node's /var/lib/containerd for a new node. $1 is `new` if Docker has just filled it from the node image.
# Exits with 3 if it is better to start with an empty one.
store=/var/lib/containerd
whole=$store/cmdr-whole
if [ "$1" = new ]; then
  touch "$whole"
  exit
fi
[ -e "$whole" ] || exit 3

# The containers of the previous node no longer exist. If containerd still listed them, the new kubelet would remove
# them one by one, while the CPU is busy with the start.
for plugin in grpc.v1.cri cri.v1.images cri.v1.runtime; do echo "\"io.containerd.$plugin\","; done >/tmp/plugins
printf 'version = 2\ndisabled_plugins = [%s]\n' "$(cat /tmp/plugins)" >/tmp/containerd.toml
containerd --config /tmp/containerd.toml >/tmp/containerd.log 2>&1 &
containerd=$!
tries=0
until ctr version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 500 ] || exit 3
  sleep 0.02
done
# forget KIND [OPTION]: sandboxes exist only in containerd 2, and are listed as a table.
forget() {
  ids=$(ctr --namespace k8s.io "$1" ls | awk 'NR > 1 {print $1}')
  # shellcheck disable=SC2086
  [ -z "$ids" ] || ctr --namespace k8s.io "$1" rm $2 $ids
}
for kind in containers 'sandboxes -f' leases; do
  # shellcheck disable=SC2086
  forget $kind >/dev/null 2>&1
done
kill "$containerd"
wait
rm -rf "$store"/io.containerd.grpc.v1.cri/* "$store"/io.containerd.runtime.v2.task/* "$store"/io.containerd.sandbox.controller.v1.shim/*
