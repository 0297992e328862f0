# Prints what a container of this node does; $1 is its ID. One line each:
#   process UID     the user of a process
#   port HEX        a TCP port that it listens on
#   written FOLDER  a folder of its own file system that it has written to
#   shared FOLDER   the same, but the image has files there that a volume would hide
set -eu
task=/run/containerd/io.containerd.runtime.v2.task/k8s.io/$1
pid=$(cat "$task/init.pid")
uid() { sed -n 's/^Uid:[[:space:]]*[0-9]*[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null; }

namespace=$(readlink "/proc/$pid/ns/pid")
for process in /proc/[0-9]*; do
  if [ "$(readlink "$process/ns/pid" 2>/dev/null)" = "$namespace" ]; then echo "process $(uid "${process#/proc/}")"; fi
done
sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) [0-9A-F]*:[0-9A-F]* 0A .*/port \1/p' "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null

# The writable layer. Where the runtime mounts something, it makes an empty file or folder there first.
upper=$(sed -n "s#.* $task/rootfs .*upperdir=\([^, ]*\).*#\1#p" /proc/self/mountinfo)
[ "$upper" ] || exit 0
mounts=$(cut -d' ' -f5 "/proc/$pid/mountinfo")
{
  find "$upper" -mindepth 1 -type d -empty -printf '/%P\t/%P\n'
  find "$upper" -mindepth 1 ! -type d -printf '/%P\t/%h\n' | sed "s#\t/$upper#\t#"
} | while IFS='	' read -r path folder; do
  echo "$mounts" | grep -qxF "$path" || echo "${folder:-/}"
done | sort -u | while read -r folder; do
  all=$(find "$task/rootfs$folder" -xdev ! -type d 2>/dev/null | wc -l)
  own=$(find "$upper$folder" ! -type d | wc -l)
  if [ "$all" -gt "$own" ]; then echo "shared $folder"; else echo "written $folder"; fi
done
