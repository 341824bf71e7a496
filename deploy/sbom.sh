#!/bin/sh
# What an installation consists of, and what is known to be wrong with it; both from the locked requirements, with a
# tool in an environment of its own that goes away again.
#   sh deploy/sbom.sh [FILE]      a CycloneDX bill of materials (default sbom.json)
#   sh deploy/sbom.sh --audit     known vulnerabilities, by pip-audit; asks the registry and its vulnerability service
# PYTHON names another interpreter.
set -eu
repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
locked=$repository/deploy/requirements.txt
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

with() {
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/python" -m pip --disable-pip-version-check install --quiet "$1" >&2 || {
        echo "sbom.sh: cannot install $1: is the package registry reachable?" >&2
        exit 75
    }
}

if [ "${1:-}" = --audit ]; then
    with pip-audit==2.10.1
    # --strict: a package that the service does not know fails; else "no known vulnerabilities" may mean none looked at
    code=0
    "$tools/bin/pip-audit" --requirement "$locked" --disable-pip --require-hashes --strict --progress-spinner off \
        2>"$tools/errors" || code=$?
    if grep -Eq 'Traceback|^ERROR' "$tools/errors"; then
        echo "sbom.sh: nothing was audited: $(grep -Ev '^ |^$' "$tools/errors" | tail -n 1 | cut -c1-200)" >&2
        exit 75
    fi
    cat "$tools/errors" >&2
    exit "$code"
fi
file=${1:-sbom.json}
with cyclonedx-bom==7.5.0
"$tools/bin/python" -W ignore -m cyclonedx_py requirements "$locked" --pyproject "$repository/pyproject.toml" --output-reproducible \
    --of JSON -o "$file"
"$tools/bin/python" - "$file" <<'END'
import json
import sys

with open(sys.argv[1]) as file:
    print(f"{len(json.load(file)['components'])} components in {sys.argv[1]}", file=sys.stderr)
END
