#!/bin/sh
# For maintainers: writes requirements.txt (the package) and requirements-test.txt (all that tests and checks need),
# with hashes and without any host. Needs pip-compile of pip-tools on the PATH, run by Python 3.11.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
groups=$(mktemp --suffix=.in)
trap 'rm -f "$groups"' EXIT
cd -- "$here/.."

python3 - >"$groups" <<'END'
import tomllib
with open("pyproject.toml", "rb") as file:
    groups = tomllib.load(file)["dependency-groups"]
print("\n".join(groups["test"] + groups["lint"]))
END

compile() {
    pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options "$@"
}
compile --output-file deploy/requirements.txt pyproject.toml
compile --output-file deploy/requirements-test.txt --extra local --extra data --extra language pyproject.toml "$groups"
