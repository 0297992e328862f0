# Copies volumes while the containers that use them are paused, all at the same moment. Keeps running inside the node even
# if cmdr is killed, so that no container stays paused. A target that exists is complete, and is kept.
#
# $1 $2, $3 $4, ...: the folders of a volume and of its copy.
exec 9>/run/cmdr-copy-volumes
flock 9
paused=()
resume() {
  for id in "${paused[@]}"; do ctr -n k8s.io tasks resume "$id"; done
}
trap resume EXIT
names=()
for ((at = 1; at <= $#; at += 2)); do
  [[ -e ${@:at + 1:1} ]] || names+=("$(basename "${@:at:1}")")
done
uses() {
  local name
  for name in "${names[@]}"; do
    # The fourth column is the folder of a mount on its disk.
    awk -v name="/$name" '($4 "/") ~ name "/" {found = 1; exit} END {exit !found}' "/proc/$1/mountinfo" 2>/dev/null && return
  done
  return 1
}
while read -r id pid state; do
  [[ $state == RUNNING ]] && uses "$pid" || continue
  paused+=("$id")
  ctr -n k8s.io tasks pause "$id" || exit
done < <(ctr -n k8s.io tasks ls | awk 'NR > 1 {print $1, $2, $3}')
while (($#)); do
  if [[ ! -e $2 ]]; then
    rm -rf "$2.part"
    cp --archive --reflink=auto "$1" "$2.part" && mv "$2.part" "$2" || exit
  fi
  shift 2
done
