#!/usr/bin/env bash
# Documents the packages of the reference environment: installs what requirements/reference.txt pins, and writes
# docs/licences.md and requirements/sbom.json (CycloneDX) from it. Then it checks for known vulnerabilities with
# pip-audit, if its source can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv-reference --lock requirements/reference.txt ".[${REFERENCE_EXTRAS// /,}]"
python="$PWD/.venv-reference/bin/python"
"$python" tools/licences.py
tools=.venv-supply/bin
if [ ! -x "$tools/cyclonedx-py" ]; then
  "$python" -m venv .venv-supply
  "$tools/python" -m pip install -q --disable-pip-version-check 'uv >= 0.8, < 1' 'cyclonedx-bom >= 7, < 8' \
    'pip-audit >= 2.7, < 3'
fi
"$tools/cyclonedx-py" environment "$python" --output-format JSON --output-reproducible --output-file requirements/sbom.json
"$python" tools/sbom.py requirements/sbom.json
# The results of pip-audit change from day to day, so they are only printed and do not fail this script.
"$tools/pip-audit" --strict --require-hashes --disable-pip -r requirements/reference.txt ||
  echo "tools/supply.sh: pip-audit found vulnerabilities, or could not reach its source (see above)" >&2
