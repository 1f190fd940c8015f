#!/usr/bin/env bash
# Makes an environment, installs the package, restores a song and shows what changed.
#
#   tools/quickstart.sh [SONG]    SONG: any music file; a bundled 64 kbit/s MP3 when there is none
set -euo pipefail
song=""
if [ $# -gt 1 ]; then
  program="$(realpath -- "$(dirname "$0")/..")/.venv/bin/keras-audiosr"
  echo "tools/quickstart.sh: at most one SONG; received $#; run it for one, then restore the others with" \
    "'$program restore'" >&2
  exit 2
fi
[ $# = 0 ] || song="$(realpath -- "$1")"
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv ".[plot]"
# Nothing but a few spectra is computed with Keras here: nobody waits for TensorFlow's download.
KERAS_BACKEND=jax JAX_PLATFORMS=cpu .venv/bin/python tools/quickstart.py ${song:+"$song"}
