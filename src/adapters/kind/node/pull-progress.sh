# Prints the parts of images that containerd downloads with the bytes that it has of each, the names of all complete
# parts, and the manifests that contain the parts, with their labels. Prints nothing if nothing is downloaded.
cd /var/lib/containerd/io.containerd.content.v1.content/ingest 2>/dev/null || exit 0
parts=$(cat ./*/ref 2>/dev/null | grep --only-matching 'layer-sha256:[0-9a-f]\{64\}' | cut --delimiter=: --fields=2)
[ "$parts" ] || exit 0
for folder in ./*; do
  echo "part $(cat "$folder/ref") $(stat --format=%s "$folder/data")"
done 2>/dev/null
echo "complete $(ls ../blobs/sha256 | tr '\n' ' ')"
find ../blobs/sha256 -type f -size -65k -exec grep --files-with-matches --fixed-strings "$parts" {} + |
  while read -r path; do
    labels=$(ctr --namespace k8s.io content ls "digest==sha256:${path##*/}" | awk 'END { print $NF }')
    echo "manifest $labels $(tr --delete '\n' <"$path")"
  done
