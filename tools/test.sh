#!/usr/bin/env bash
# Makes two environments and passes the tests in both: the reference (TensorFlow 2.16 with tensorflow-io) and
# the newest TensorFlow without it, beside JAX. Lint, format, types and import direction are checked in the first.
#
#   tools/test.sh            everything
#   tools/test.sh reference  the first environment alone
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
legs="${1:-reference newest}"

for leg in $legs; do
  case "$leg" in
    reference) environment .venv-test ".[train,tfio,visqol,test]" ;;
    newest) environment .venv-newest ".[train,test]" jax ;;
    *) echo "tools/test.sh: the leg must be 'reference' or 'newest'; received '$leg'" >&2; exit 2 ;;
  esac
  python="$PWD/$environment_folder/bin/python"
  echo "== $leg: $("$python" -c 'from importlib.metadata import version as v; print("TensorFlow", v("tensorflow"), "Keras", v("keras"))')"
  if [ "$leg" = reference ]; then
    "$python" -m ruff check .
    "$python" -m ruff format --check .
    "$python" -m mypy
  fi
  TF_CPP_MIN_LOG_LEVEL=3 "$python" -m pytest -n "$(nproc)" --dist loadfile
done
echo "All tests passed."
