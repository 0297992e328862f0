# Copies folders of Docker volumes. $1 is `measure` (prints the number of bytes to copy and the free bytes) or `copy`
# (prints the number of copied bytes and a checksum of the names and sizes of the copied files), followed by three words
# for each folder: source and target below /volumes, and the folders in it that are hidden by other mounts.
set -eu
what=$1
shift
# Files that containerd never changes after writing them are hard-linked instead of copied.
blobs=io.containerd.content.v1.content/blobs
layers=io.containerd.snapshotter.v1.overlayfs/snapshots
linked="$blobs $layers lib/containerd/$blobs lib/containerd/$layers"
# The node's own journal is not needed.
journal=log/journal
bytes=0
list=$(mktemp)
# link FOLDER: links it, or copies it if that is not possible.
link() {
  cp --archive --link "$from/$1" "$to/$1" 2>/dev/null || {
    rm -rf "${to:?}/$1"
    cp --archive --reflink=auto "$from/$1" "$to/$1"
  }
}
while [ $# -gt 0 ]; do
  from=/volumes/$1 to=/volumes/$2 hidden=$3
  shift 3
  [ -d "$from" ]
  # An empty file system, in this container only, hides what is not copied.
  covered=
  for folder in $hidden $journal $linked; do
    [ -d "$from/$folder" ] || continue
    mount -t tmpfs -o mode=755 none "$from/$folder"
    covered="$covered $folder"
  done
  if [ "$what" = measure ]; then
    bytes=$((bytes + $(du --summarize --one-file-system --block-size=1 "$from" | cut -f 1)))
    continue
  fi
  # Removes files that an interrupted copy left behind.
  find "$to" -mindepth 1 -delete
  cp --archive --one-file-system --reflink=auto --sparse=always "$from/." "$to"
  for folder in $covered; do umount "$from/$folder"; done
  rm -rf "${to:?}/$journal"
  # The size of a folder depends on what was in it before. The last column is the size on the disk.
  find "$to" -type d -printf '%P\t\t0\n' -o -printf '%P\t%s\t%b\n' >>"$list"
  for folder in $linked; do
    case " $covered " in *" $folder "*) rmdir "$to/$folder" && link "$folder" ;; esac
  done
done
if [ "$what" = measure ]; then
  echo "$bytes $(df --output=avail --block-size=1 /volumes | tail -n 1)"
else
  awk -F '\t' '{blocks += $NF} END {printf "%.0f ", blocks * 512}' "$list"
  cut -f 1-2 "$list" | LC_ALL=C sort | sha256sum | cut -d ' ' -f 1
fi
