# Stops the pods of this node as kubelet would, each with its own stop signal, and waits for those that store data on
# the node. Prints one line for each of these: `ended POD` or `late POD`. Keeps running inside the node even if cmdr is
# killed. This script removes the file /run/cmdr-stop-pods before it stops the first pod. If cancel-stop.sh removes it
# first, no pod is stopped.
#
# Before that, it writes /var/lib/cmdr/saved-data.json for copies of this cluster's data from a snapshot.
timeout_seconds=$1
touch /run/cmdr-stop-pods
work=$(mktemp -d /run/cmdr-stop-pods.XXXXXX)
# Without kubelet, nothing restarts the containers that end here.
systemctl stop kubelet
ctr -n k8s.io containers ls 'labels."io.cri-containerd.kind"==container' | awk 'NR > 1 {print $1, $2}' >"$work/containers"
# All containers of an image have the same stop signal; it is read once per image because each query starts a program.
awk '!seen[$2]++' "$work/containers" | while read -r id image; do
  signal=$(ctr -n k8s.io containers info "$id" |
    jq -r '.Extensions["io.cri-containerd.container.metadata"].value | @base64d | fromjson | .Metadata.StopSignal')
  case $signal in SIG*) ;; *) signal=SIGTERM ;; esac
  # etcd waits some seconds for its watchers; the API server has no data to save, so it is killed.
  case $image in */kube-apiserver:*) signal=SIGKILL ;; esac
  echo "$image ${signal#SIG}"
done >"$work/signals"
ctr -n k8s.io tasks ls >"$work/tasks"
awk '
  FILENAME ~ "/signals$" {signal[$1] = $2; next}
  FILENAME ~ "/containers$" {image[$1] = $2; next}
  $3 == "RUNNING" && $1 in image {print $1, $2, signal[image[$1]]}
' "$work/signals" "$work/containers" "$work/tasks" >"$work/running"
rm /run/cmdr-stop-pods 2>/dev/null || { rm -rf "$work"; exit 0; }
list() { kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 5s get --output json "$@"; }
(
  set -o pipefail
  umask 077
  mkdir -p /var/lib/cmdr && cd /var/lib/cmdr || exit
  { list secrets --all-namespaces --selector cmdr.dev/purpose=generated-secret && list persistentvolumes; } |
    jq --compact-output --slurp '{secrets: .[0].items, volumes: .[1].items}' >saved-data.part &&
    mv saved-data.part saved-data.json
) 2>/dev/null
# A pod stores data if it has a writable mount from the disk of /var, except for mounts of kubelet and containerd.
disk=$(awk '$5 == "/var" {print $3; exit}' /proc/self/mountinfo)
while read -r id pid signal; do
  awk -v disk="$disk" '
    $3 == disk && $6 !~ /^ro/ && $4 !~ "/lib/kubelet/|containerd[./]|/log/" {found = 1; exit}
    END {exit !found}' "/proc/$pid/mountinfo" 2>/dev/null && echo "$id $pid"
  kill -s "$signal" "$pid"
done <"$work/running" >"$work/waited" 2>/dev/null
pod() { ctr -n k8s.io containers info "$1" | jq -r '.Labels["io.kubernetes.pod.name"]'; }
checks=$((timeout_seconds * 20))
while read -r id pid; do
  while kill -0 "$pid" 2>/dev/null && [ "$checks" -gt 0 ]; do
    checks=$((checks - 1))
    sleep 0.05
  done
  if kill -0 "$pid" 2>/dev/null; then echo "late $(pod "$id")"; else echo "ended $(pod "$id")"; fi
done <"$work/waited"
rm -rf "$work"
