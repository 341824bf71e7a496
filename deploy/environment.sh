#!/bin/sh
# Makes or reuses the virtual environment, brings it up to date and prints the path of its Python on stdout.
# Arguments: dependency groups to add ("test", "lint"). STREAM_APP_VENV names another place than .venv,
# PYTHON another interpreter.
set -eu

repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${STREAM_APP_VENV:-$repository/.venv}
python=$venv/bin/python
stamp=$venv/.stream-app${1:+-$(echo "$*" | tr ' ' -)}

find_python() {
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "needs Python 3.11 or newer with its venv module; name one with PYTHON=..." >&2
    return 1
}

pip() { "$python" -m pip --disable-pip-version-check "$@" >&2; }

if ! "$python" -c '' 2>/dev/null; then
    base=$(find_python)
    echo "making $venv" >&2
    "$base" -m venv --clear "$venv"
fi

current=$( (echo "$repository $*" && cat "$repository/pyproject.toml" "$repository/deploy/requirements-test.txt") | cksum)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$current" ]; then
    echo "bringing $venv up to date (some minutes the first time)" >&2
    "$python" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' ||
        pip install --quiet --upgrade 'pip>=25.1' # the first that knows --group
    # the locked versions without their hashes: pip cannot hash an editable install
    sed -n 's/^\([A-Za-z0-9._-]*==[^ ;]*\).*/\1/p' "$repository/deploy/requirements-test.txt" >"$venv/constraints.txt"
    for group in "$@"; do
        set -- "$@" --group "$repository/pyproject.toml:$group"
        shift
    done
    pip install --quiet --constraint "$venv/constraints.txt" --editable "$repository[local,data,language]" "$@"
    echo "$current" >"$stamp"
fi
echo "$python"
