#!/bin/sh
# The tests, from a fresh clone; arguments go to pytest, with paths relative to the repository.
set -eu
here=$(dirname -- "$0")
python=$(sh "$here/environment.sh" test)
cd -- "$here/.."
exec "$python" -m pytest "$@"
