#!/bin/sh
# Installs cmdr @VERSION@: downloads the archive for this machine, verifies its checksum, copies the binary.
#
#   curl -fsSL URL/install.sh | sh
#
# Variables: CMDR_DOWNLOAD_URL (the folder with the release's files), CMDR_INSTALL_DIR (default: ~/.local/bin).
set -eu

version='@VERSION@'
url=${CMDR_DOWNLOAD_URL:-'@DOWNLOAD_URL@'}
directory=${CMDR_INSTALL_DIR:-$HOME/.local/bin}

fail() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '  help: %s\n' "$2" >&2
  exit 1
}

[ -n "$url" ] || fail "no download URL" "set CMDR_DOWNLOAD_URL to the folder that contains SHA256SUMS"
[ "$(uname -s)" = Linux ] || fail "no binary for $(uname -s)" "build from source: cargo install --locked --path ."
case $(uname -m) in
  x86_64 | amd64) target=x86_64-unknown-linux-musl ;;
  aarch64 | arm64) target=aarch64-unknown-linux-musl ;;
  *) fail "no binary for $(uname -m)" "build from source: cargo install --locked --path ." ;;
esac

download() {
  if command -v curl >/dev/null 2>&1; then curl -fsSL --retry 3 -o "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then wget -q -O "$2" "$1"
  else fail "neither curl nor wget is installed"
  fi || fail "download failed: $1"
}

name=cmdr-$version-$target
work=$(mktemp -d)
new=$directory/.cmdr.new
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 130' INT TERM
download "$url/SHA256SUMS" "$work/SHA256SUMS"
grep " $name.tar.gz\$" "$work/SHA256SUMS" >"$work/expected" || fail "$name.tar.gz is not part of this release"
download "$url/$name.tar.gz" "$work/$name.tar.gz"
(cd "$work" && sha256sum -c expected >/dev/null 2>&1) || fail "checksum of $name.tar.gz does not match" "download again; if it fails again, do not use the file"
tar -xzf "$work/$name.tar.gz" -C "$work"
mkdir -p "$directory"
# Renamed into place: an interrupted copy never replaces a working cmdr.
cp "$work/$name/cmdr" "$new"
chmod 755 "$new"
installed=$("$new" --version) || fail "cmdr does not run on this machine" "build from source: cargo install --locked --path ."
mv -f "$new" "$directory/cmdr"
printf 'installed %s as %s\n' "$installed" "$directory/cmdr"
case :$PATH: in
  *:"$directory":*) ;;
  *) printf '  help: add %s to PATH\n' "$directory" ;;
esac
