#!/bin/sh
# The trainer's own tests. Some minutes on two cores; no network, no GPU (with one, its path is tested too).
cd "$(dirname "$0")" || exit 1
exec python3 -m unittest discover -s tests -t . "$@"
