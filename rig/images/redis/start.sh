#!/bin/sh
# A server that other pods can reach without a password; options alone are options of the server.
set -eu
case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] || exec "$@"
exec "$@" --bind 0.0.0.0 --protected-mode no
