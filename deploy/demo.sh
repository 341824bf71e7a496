#!/bin/sh
# The whole system on this machine, from a fresh clone: `sh deploy/demo.sh --help` lists the options.
set -eu
python=$(sh "$(dirname -- "$0")/environment.sh")
exec "$python" -m stream_app demo "$@"
