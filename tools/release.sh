#!/usr/bin/env bash
# Makes the bundled models again, from a folder of lossless clips to exported_models/: fetch music, train, evaluate,
# export, measure. About eight hours on 2 cores. A run that was interrupted continues where it stopped.
#
#   tools/release.sh CORPUS WORK [RUN]    CORPUS: folders train/, near/ and dev/ of music files; WORK: everything in
#                                         between is written here; RUN: a finished run of the default model that was
#                                         trained elsewhere (docs/model), used instead of training it here
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ] || [ ! -d "$1/train" ] || [ ! -d "$1/dev" ]; then
  echo "tools/release.sh: CORPUS (with train/ and dev/) and WORK are needed, RUN is optional; received: $*" >&2
  exit 2
fi
corpus="$(realpath "$1")"; work="$(realpath -m "$2")"; run="${3:+$(realpath "$3")}"
if [ -n "$run" ] && [ ! -f "$run/best.keras" ]; then
  echo "tools/release.sh: RUN must be a run folder with best.keras; $3 has none; 'keras-audiosr train' makes one" >&2
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

# Music for training, with its attributions, and the artists that are held out: the second measuring set.
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

# export holds what it writes against the checkpoint, so the checkpoint's figures are those of the TFLite file too.
release() {
  local name="$1"
  rm -rf "$work/evaluation/$name"
  audiosr evaluate "$work/dev/pairs/pairs.jsonl" "$work/$name" -o "$work/evaluation/$name" --visqol --zimtohrli
  audiosr export "$work/$name" "${@:2}" --name "$name" --overwrite \
    --evaluation "$work/evaluation/$name/evaluation.json" --attribution "$work/music/ATTRIBUTION.md"
}
# Together under 20 MB.
release "$default" exported_models --variant float16 --variant dynamic --stream 1024 --leave-out stream_1024_float16.tflite
release "$live" exported_models --variant dynamic --stream 512 --leave-out '1/*' --leave-out '*.h5' --leave-out 'model*.tflite' --leave-out stream_512.tflite
release "$lite" exported_models --variant dynamic --stream 1024 --leave-out '1/*'
cp "$work/music/ATTRIBUTION.md" docs/model/ATTRIBUTION.md

# Both measuring sets, all bundled models.
python tools/baseline.py "$work/dev/pairs/pairs.jsonl" "$work/figures/dev" --visqol --zimtohrli
python tools/baseline.py "$work/real/pairs/pairs.jsonl" "$work/figures/real" --limit 15000 --visqol --zimtohrli
