#!/usr/bin/env bash
# Makes the bundled model again, from a folder of lossless clips to exported_models/: rip, encode, train, evaluate,
# export. About an hour on 2 cores. Interrupted, it goes on where it was.
#
#   tools/release.sh CORPUS WORK    CORPUS: folders train/ and dev/ of FLAC files; WORK: where everything in between goes
set -euo pipefail
if [ $# != 2 ] || [ ! -d "$1/train" ] || [ ! -d "$1/dev" ]; then
  echo "tools/release.sh: CORPUS (with train/ and dev/) and WORK are needed; received: $*" >&2
  exit 2
fi
corpus="$(realpath "$1")"; work="$(realpath -m "$2")"
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv-release ".[train,tfio,visqol]"
export TF_CPP_MIN_LOG_LEVEL=3
audiosr() { .venv-release/bin/keras-audiosr "$@"; }
preset=paired_resnet_frame_44k
train_codecs="mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k"
dev_codecs="mp3@24k mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k mp3@192k aac@64k vorbis@64k opus@48k"

for part in train dev; do
  codecs="${part}_codecs"
  .venv-release/bin/python tools/corpus.py "$corpus/$part" "$work/$part" $(printf -- '--codec %s ' ${!codecs})
done
audiosr train "$preset" "$work/train/pairs/pairs.jsonl" -o "$work/run"
rm -rf "$work/evaluation"
audiosr evaluate "$work/dev/pairs/pairs.jsonl" "$work/run" -o "$work/evaluation" --visqol
# export holds what it writes against this checkpoint, so these figures are those of the TFLite file too.
audiosr export "$work/run" exported_models --evaluation "$work/evaluation/evaluation.json" \
  --attribution docs/model/ATTRIBUTION.md --overwrite
