# Fills the folder of a project's synced files from its image, which has files at the same paths.
# Arguments: the folder, the image, its digest or nothing, and for each path its kind and target: `folder:/app/src`.
# Prints the owner of each path in the image: `0:0`.
set -e
folder=$1 image=$2 digest=$3
shift 3
images="ctr --namespace k8s.io images"
[ -z "$digest" ] || image=$($images ls --quiet "target.digest==$digest" | head --lines 1)
view=$(mktemp --directory)
$images mount "$image" "$view" > /dev/null
trap '$images unmount --rm "$view" > /dev/null; rmdir "$view"' EXIT

# Prints a path of the image without symbolic links, which would lead to files of the node.
inside() {
  local rest=$1 path= part link links=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    if [ "$part" = "$rest" ]; then rest=; else rest=${rest#*/}; fi
    case $part in
      '' | .) continue ;;
      ..) path=${path%/*}; continue ;;
    esac
    if link=$(readlink "$view$path/$part"); then
      [ $((links += 1)) -le 40 ] || return 1
      case $link in /*) path= ;; esac
      rest=$link/$rest
    else
      path=$path/$part
    fi
  done
  printf %s "$view$path"
}

rm --recursive --force "$folder"
mkdir --parents "$folder"
number=0
for path; do
  found=$(inside "${path#*:}") own=$folder/$number
  case $path in
    folder:*)
      mkdir "$own"
      if [ -d "$found" ]; then
        cp --archive "$found/." "$own/"
      fi
      ;;
    *)
      if [ -f "$found" ]; then cp --archive "$found" "$own"; else : > "$own"; fi
      ;;
  esac
  stat --format %u:%g "$own"
  number=$((number + 1))
done
