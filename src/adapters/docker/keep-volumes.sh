# Copies folders of Docker volumes. $1 is `measure` (prints the bytes that will be copied and those that are free) or
# `copy`; then pairs of folders below /volumes: from where, to where.
set -eu
what=$1
shift
# What containerd never changes once it is written: such files are shared, not copied.
blobs=io.containerd.content.v1.content/blobs
layers=io.containerd.snapshotter.v1.overlayfs/snapshots
without="--anchored --no-wildcards"
for store in . ./lib/containerd; do without="$without --exclude=$store/$blobs --exclude=$store/$layers"; done
# The node's own journal helps nobody later.
without="$without --exclude=./log/journal"
measured=0
while [ $# -gt 0 ]; do
  from=/volumes/$1 to=/volumes/$2
  shift 2
  [ -d "$from" ]
  if [ "$what" = measure ]; then
    # shellcheck disable=SC2086
    measured=$((measured + $(tar --create --directory "$from" $without . | wc -c)))
    continue
  fi
  # What a copy that was killed has left.
  find "$to" -mindepth 1 -delete
  # shellcheck disable=SC2086
  tar --create --sparse --xattrs --xattrs-include='*' --numeric-owner --directory "$from" $without . |
    tar --extract --xattrs --xattrs-include='*' --numeric-owner --same-permissions --directory "$to"
  for store in . lib/containerd; do
    for part in $blobs $layers; do
      [ -d "$from/$store/$part" ] || continue
      cp --archive --link "$from/$store/$part" "$to/$store/$part" 2>/dev/null || {
        rm -rf "${to:?}/$store/$part"
        cp --archive --reflink=auto "$from/$store/$part" "$to/$store/$part"
      }
    done
  done
done
[ "$what" = copy ] || echo "$measured $(df --output=avail --block-size=1 /volumes | tail -n 1)"
