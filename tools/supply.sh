#!/usr/bin/env bash
# What the reference environment is made of: installs what requirements/reference.txt pins, and writes from that
# docs/licences.md and requirements/sbom.json (CycloneDX). Then asks for known vulnerabilities, where they can be had.
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
# Its answers change from day to day: not a test, and nothing of it is kept.
"$tools/pip-audit" --strict --require-hashes --disable-pip -r requirements/reference.txt ||
  echo "tools/supply.sh: pip-audit found something, or its source did not answer (see above)" >&2
