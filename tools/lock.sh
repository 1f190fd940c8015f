#!/usr/bin/env bash
# Pins the reference environment within the version ranges of setup.cfg, for Python 3.11 on Linux x86_64. Writes
# requirements/reference.txt, which has the version of every package and the SHA-256 of every file.
#
#   tools/lock.sh            keeps the pinned versions that setup.cfg still allows
#   tools/lock.sh --upgrade  takes the newest versions that setup.cfg allows
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
folder=.venv-supply
lock=requirements/reference.txt
if [ ! -x "$folder/bin/uv" ]; then
  "$(command -v python3.11 || command -v python3)" -m venv "$folder"
  "$folder/bin/python" -m pip install -q --disable-pip-version-check 'uv >= 0.8, < 1'
fi
extras=()
for extra in $REFERENCE_EXTRAS; do extras+=(--extra "$extra"); done
mkdir -p requirements
"$folder/bin/uv" pip compile setup.cfg "${extras[@]}" "$@" --quiet --generate-hashes --output-file "$lock" \
  --constraints requirements/constraints.txt --python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command tools/lock.sh >/dev/null
echo "$lock: $(grep -c '^[^ #].*==' "$lock") packages, $(grep -c -- --hash= "$lock") files"
