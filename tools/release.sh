#!/usr/bin/env bash
# Makes the bundled models in exported_models/ again: fetches music, trains, evaluates, exports and measures. This takes
# about eight hours on 2 cores. A run that was interrupted continues where it stopped.
#
#   tools/release.sh CORPUS WORK [RUN]    CORPUS: folder with train/, near/ and dev/, which contain music files
#                                         WORK: folder for all intermediate files
#                                         RUN: finished run of the default model that was trained elsewhere
#                                         (docs/model); it is used instead of training the model here
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ] || [ ! -d "$1/train" ] || [ ! -d "$1/dev" ]; then
  echo "tools/release.sh: CORPUS (with train/ and dev/) and WORK are required, RUN is optional; received: $*" >&2
  exit 2
fi
corpus="$(realpath "$1")"; work="$(realpath -m "$2")"; run="${3:+$(realpath "$3")}"
if [ -n "$run" ] && [ ! -f "$run/best.keras" ]; then
  echo "tools/release.sh: RUN must be a run folder with best.keras; $3 has none; make one with 'keras-audiosr train'" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv-release ".[train,tfio,visqol,zimtohrli,quantize]"
export TF_CPP_MIN_LOG_LEVEL=3
python() { .venv-release/bin/python "$@"; }
audiosr() { .venv-release/bin/keras-audiosr "$@"; }
codecs() { printf -- '--codec %s ' "$@"; }
default=paired_resnet_bands_44k live=paired_resnet_live_44k lite=paired_resnet_lite_44k

# The training music with its attributions, and the second measuring set, which has music by held-out artists.
[ -f "$work/music/catalog.jsonl" ] || python tools/fetch_music.py "$corpus" "$work/music"
pairs() { python tools/corpus.py "$1" "$work/$2" $(codecs "${@:3}"); }
pairs "$corpus/dev" dev mp3@24k mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k mp3@192k mp3@V6 aac@64k vorbis@64k opus@48k
pairs "$work/music/real" real mp3@24k mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k

train() { audiosr train "$1" --pool "$work/music/catalog.jsonl" -o "$work/$1" --minutes "$2" "${@:3}"; }
if [ -n "$run" ]; then
  mkdir -p "$work/$default" && cp -r "$run"/* "$work/$default"
else
  train "$default" 240
fi
train "$live" 120 --initial-weights "$work/$default"
train "$lite" 120

# `export` checks that the TFLite file has the same output as the checkpoint, so the checkpoint's figures apply to both.
release() {
  local name="$1"
  rm -rf "$work/evaluation/$name"
  audiosr evaluate "$work/dev/pairs/pairs.jsonl" "$work/$name" -o "$work/evaluation/$name" --visqol --zimtohrli
  audiosr export "$work/$name" "${@:2}" --name "$name" --overwrite \
    --evaluation "$work/evaluation/$name/evaluation.json" --attribution "$work/music/ATTRIBUTION.md"
}
# The three models together have less than 20 MB.
release "$default" exported_models --variant float16 --variant dynamic --stream 1024 --stream 49152 --leave-out stream_1024_float16.tflite --leave-out "stream_49152_*"
release "$live" exported_models --variant dynamic --stream 512 --leave-out '1/*' --leave-out '*.h5' --leave-out 'model*.tflite' --leave-out stream_512.tflite
release "$lite" exported_models --variant dynamic --stream 1024 --stream 49152 --leave-out "stream_49152_*" --leave-out '1/*'
cp "$work/music/ATTRIBUTION.md" docs/model/ATTRIBUTION.md

# Measure all bundled models on both measuring sets.
python tools/baseline.py "$work/dev/pairs/pairs.jsonl" "$work/figures/dev" --visqol --zimtohrli
python tools/baseline.py "$work/real/pairs/pairs.jsonl" "$work/figures/real" --limit 15000 --visqol --zimtohrli
