#!/usr/bin/env bash
# Makes two environments and runs the tests in both: the reference (TensorFlow 2.16 with tensorflow-io), and the newest
# TensorFlow without tensorflow-io, with JAX. Lint, format and types are checked in the first one.
# Then it builds the site in a third environment, with warnings as errors, and tests it in Chromium over HTTP.
# Then it builds the wheel, installs it alone in a fourth environment, and restores a song there. It also checks the
# sdist and the wheel as a package index would. A fifth environment has only what a player needs, and plays a song.
#
#   tools/test.sh            runs everything
#   tools/test.sh reference  runs only the first part (others: newest, docs, wheel)
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
legs="${1:-reference newest docs wheel}"
# The tests start many processes. Without compiled modules on the disk, each of them would compile the package again.
unset PYTHONDONTWRITEBYTECODE

# The installed wheel must be enough to restore a song, without the checkout on the path and without TensorFlow.
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
    echo "tools/test.sh: the wheel alone must not install TensorFlow" >&2
    return 1
  fi
  # The published files must be complete. This wheel is built from the sdist, as pip does when an index has no wheel.
  "$(command -v python3.11 || command -v python3)" -m venv "$folder/publish"
  "$folder/publish/bin/python" -m pip install -q --disable-pip-version-check 'build >= 1, < 2' 'twine >= 6, < 8'
  "$folder/publish/bin/python" -m build --outdir "$folder/dist" "$folder/source" >/dev/null
  "$folder/publish/bin/python" -m twine check --strict "$folder/dist/"*
  # A player needs only these three packages, and this package without its other requirements.
  "$(command -v python3.11 || command -v python3)" -m venv "$folder/player"
  "$folder/player/bin/python" -m pip install -q --disable-pip-version-check numpy soundfile ai-edge-litert
  "$folder/player/bin/python" -m pip install -q --disable-pip-version-check --no-deps "$folder"/*.whl
  (cd "$folder" && player/bin/keras-audiosr play song.mp3 -o played.wav)
  (cd "$folder" && player/bin/keras-audiosr play - --realtime < played.wav > piped.wav)
  [ -s "$folder/piped.wav" ]
}

# The tests of the pages that report makes need Chromium. Without it they skip and say so.
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } ||
    echo "tools/test.sh: Chromium could not be installed; tests/test_report_page.py will skip" >&2
fi

# The tests of the page that restores in the browser need libraries from npm.
if command -v npm >/dev/null; then
  tools/web/build.sh || echo "tools/test.sh: the page of tools/web could not be built; tests/test_web.py will skip" >&2
fi

for leg in $legs; do
  case "$leg" in
    reference) reference_environment .venv-test; selection="" ;;
    # The slow tests are about files and FFmpeg. They do not use TensorFlow, so they run in one environment only.
    newest) environment .venv-newest ".[train,test]" jax; selection="not slow" ;;
    docs)
      if command -v npm >/dev/null; then tools/site.sh; else tools/docs.sh; fi
      # The first environment has the packages that control Chromium.
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
  # Tests often wait for processes that they start, so one more worker than cores keeps the cores busy.
  TF_CPP_MIN_LOG_LEVEL=3 "$python" -m pytest -m "$selection" -n "$(($(nproc) + 1))" --dist loadfile \
    --no-loadscope-reorder
done
echo "All tests passed."
