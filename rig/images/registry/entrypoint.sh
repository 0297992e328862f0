#!/bin/sh
# As the public image: a configuration alone is served, an option or a verb goes to the program, all else is run.
set -e
case "$1" in
  *.yaml | *.yml) set -- registry serve "$@" ;;
  serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
