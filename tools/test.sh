#!/usr/bin/env bash
# Makes two environments and passes the tests in both: the reference (TensorFlow 2.16 with tensorflow-io) and
# the newest TensorFlow without it, beside JAX. Lint, format, types and import direction are checked in the first.
# Builds the site, warnings as errors, in a third, and looks at it in Chromium over http.
# Then builds the wheel, installs it in a fourth that has nothing else, and restores a song there; checks sdist and wheel
# as an index would; in a fifth environment, which has only what a player has, it plays a song.
#
#   tools/test.sh            everything
#   tools/test.sh reference  the first environment alone (or: newest, docs, wheel)
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
legs="${1:-reference newest docs wheel}"

# What is installed must be enough: no checkout on the path, no TensorFlow.
wheel() {
  local folder
  folder="$(mktemp -d)"
  trap "rm -rf '$folder'" EXIT
  "$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
  git archive HEAD --prefix=source/ | tar -x -C "$folder"
  "$folder/venv/bin/python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$folder" "$folder/source"
  "$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "$folder"/*.whl
  cp tests/data/loop_tabla.mp3 "$folder/song.mp3"
  (cd "$folder" && venv/bin/keras-audiosr restore song.mp3)
  [ -s "$folder/song.restored.flac" ]
  if "$folder/venv/bin/python" -c 'import tensorflow' 2>/dev/null; then
    echo "tools/test.sh: the wheel alone must not bring TensorFlow" >&2
    return 1
  fi
  # What would be published is complete; it is a wheel made from the sdist, as pip makes it where there is no wheel.
  "$(command -v python3.11 || command -v python3)" -m venv "$folder/publish"
  "$folder/publish/bin/python" -m pip install -q --disable-pip-version-check 'build >= 1, < 2' 'twine >= 6, < 8'
  "$folder/publish/bin/python" -m build --outdir "$folder/dist" "$folder/source" >/dev/null
  "$folder/publish/bin/python" -m twine check --strict "$folder/dist/"*
  # A player has less still: these three, and the package without what it would bring.
  "$(command -v python3.11 || command -v python3)" -m venv "$folder/player"
  "$folder/player/bin/python" -m pip install -q --disable-pip-version-check numpy soundfile ai-edge-litert
  "$folder/player/bin/python" -m pip install -q --disable-pip-version-check --no-deps "$folder"/*.whl
  (cd "$folder" && player/bin/keras-audiosr play song.mp3 -o played.wav)
  (cd "$folder" && player/bin/keras-audiosr play - --realtime < played.wav > piped.wav)
  [ -s "$folder/piped.wav" ]
}

# The pages of report are heard and pressed in Chromium. Without it those tests skip, and say so.
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } ||
    echo "tools/test.sh: Chromium could not be installed; tests/test_report_page.py will skip" >&2
fi

# The page that restores in the browser is tested with what npm brings.
if command -v npm >/dev/null; then
  tools/web/build.sh || echo "tools/test.sh: the page of tools/web could not be built; tests/test_web.py will skip" >&2
fi

for leg in $legs; do
  case "$leg" in
    reference) reference_environment .venv-test ;;
    newest) environment .venv-newest ".[train,test]" jax ;;
    docs)
      if command -v npm >/dev/null; then tools/site.sh; else tools/docs.sh; fi
      # Chromium is driven from the first environment.
      if [ -x .venv-test/bin/python ]; then .venv-test/bin/python -m pytest tests/test_site.py; fi
      continue ;;
    wheel) wheel; continue ;;
    *) echo "tools/test.sh: the leg must be reference, newest, docs or wheel; received '$leg'" >&2; exit 2 ;;
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
