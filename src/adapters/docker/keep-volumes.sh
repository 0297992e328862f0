# Copies folders of Docker volumes. $1 is `measure` (prints the number of bytes to copy and the free bytes) or `copy`,
# followed by pairs of folders below /volumes: source and target.
set -eu
what=$1
shift
# Files that containerd never changes after writing them are hard-linked instead of copied.
blobs=io.containerd.content.v1.content/blobs
layers=io.containerd.snapshotter.v1.overlayfs/snapshots
without="--anchored --no-wildcards"
for store in . ./lib/containerd; do without="$without --exclude=$store/$blobs --exclude=$store/$layers"; done
# The node's own journal is not needed.
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
  # Removes files that an interrupted copy left behind.
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
