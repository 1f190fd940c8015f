#!/usr/bin/env bash
# Makes an environment, installs the package, restores a song, and shows what changed.
#
#   tools/quickstart.sh [SONG]    SONG: any music file (default: a bundled 64 kbit/s MP3)
set -euo pipefail
song=""
if [ $# -gt 1 ]; then
  program="$(realpath -- "$(dirname "$0")/..")/.venv/bin/keras-audiosr"
  echo "tools/quickstart.sh: SONG must be one file; received $# arguments; run this with one song, and restore the" \
    "others with '$program restore'" >&2
  exit 2
fi
[ $# = 0 ] || song="$(realpath -- "$1")"
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv ".[plot]"
# Keras only computes a few spectra here, so it runs on JAX, and TensorFlow need not be downloaded.
KERAS_BACKEND=jax JAX_PLATFORMS=cpu .venv/bin/python tools/quickstart.py ${song:+"$song"}
