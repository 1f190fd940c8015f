#!/usr/bin/env bash
# Makes the bundled models again, from a folder of lossless clips to exported_models/: render, rip, encode, train,
# evaluate, export, measure. About five hours on 2 cores. Interrupted, it goes on where it was.
#
#   tools/release.sh CORPUS WORK [RUN]    CORPUS: folders train/ and dev/ of FLAC files, midi/ of scores; WORK: where
#                                         everything in between goes; RUN: the default model's run, when
#                                         tools/train_accelerated.py made it (docs/model), instead of training it here
#
# Scores are played by Debian's fluidsynth and soundfonts; tools/render.py names what is missing.
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ] || [ ! -d "$1/train" ] || [ ! -d "$1/dev" ] || [ ! -d "$1/midi" ]; then
  echo "tools/release.sh: CORPUS (with train/, dev/ and midi/) and WORK are needed, RUN can be; received: $*" >&2
  exit 2
fi
corpus="$(realpath "$1")"; work="$(realpath -m "$2")"; run="${3:+$(realpath "$3")}"
if [ -n "$run" ] && [ ! -f "$run/best.keras" ]; then
  echo "tools/release.sh: RUN is a run's folder with its best.keras; $3 has none; see tools/train_accelerated.py" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv-release ".[train,tfio,visqol,render,quantize]"
export TF_CPP_MIN_LOG_LEVEL=3
python() { .venv-release/bin/python "$@"; }
audiosr() { .venv-release/bin/keras-audiosr "$@"; }
codecs() { printf -- '--codec %s ' "$@"; }
default=paired_resnet_frame_44k live=paired_resnet_live_44k lite=paired_resnet_lite_44k
before_live=paired_resnet_frame_1024_44k

# Every track meets three bitrates of plain MP3, one of its other kinds, and one of the other codecs.
python tools/render.py "$corpus" "$work/rendered" --hours 2 --seed 0 --jobs 2
audiosr rip "$work/rendered/albums" "$work/tracks" --jobs 2
encode() { audiosr encode "$work/tracks/tracks.jsonl" "$work/pairs" --jobs 2 --draw "$1" $(codecs "${@:2}"); }
encode 3 mp3@24k mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k
encode 1 mp3@160k mp3@192k mp3@192k-stereo mp3@256k mp3@320k mp3@V6 mp3@V2 mp3@64k-stereo mp3@128k-stereo
encode 1 aac@48k aac@64k aac@96k aac@160k vorbis@64k vorbis@96k vorbis@160k opus@32k opus@48k opus@64k opus@96k
python tools/corpus.py "$corpus/dev" "$work/dev" $(codecs \
  mp3@24k mp3@32k mp3@48k mp3@64k mp3@96k mp3@128k mp3@192k mp3@V6 aac@64k vorbis@64k opus@48k)

if [ -n "$run" ]; then
  mkdir -p "$work/$default" && cp "$run"/* "$work/$default"
else
  audiosr train "$default" "$work/pairs/pairs.jsonl" -o "$work/$default"
fi
audiosr train "$before_live" "$work/pairs/pairs.jsonl" -o "$work/$before_live"
audiosr train "$live" "$work/pairs/pairs.jsonl" -o "$work/$live" --initial-weights "$work/$before_live"
audiosr train "$lite" "$work/pairs/pairs.jsonl" -o "$work/$lite"

# export holds what it writes against the checkpoint, so the checkpoint's figures are those of the TFLite file too.
release() {
  local name="$1"
  rm -rf "$work/evaluation/$name"
  audiosr evaluate "$work/dev/pairs/pairs.jsonl" "$work/$name" -o "$work/evaluation/$name" --visqol
  audiosr export "$work/$name" "${@:2}" --overwrite \
    --evaluation "$work/evaluation/$name/evaluation.json" --attribution "$work/rendered/ATTRIBUTION.md"
}
# Together under 60 MB: what a player needs of the two, all that a notebook or a server needs of the default. Its
# model_dynamic.tflite is left out: over windows of three seconds its noise lies 13 dB under what the network changes, in
# steps of 1,024 samples 23 dB.
release "$default" exported_models --variant float16 --variant dynamic --stream 1024 \
  --leave-out model_dynamic.tflite --leave-out stream_1024.tflite --leave-out stream_1024_float16.tflite
release "$live" exported_models --variant dynamic --stream 512 \
  --leave-out '1/*' --leave-out '*.h5' --leave-out model.tflite --leave-out model_dynamic.tflite --leave-out stream_512.tflite
# A microcontroller takes the lite one's step, with integers in its convolutions.
release "$lite" exported_models --variant dynamic --variant int16x8 --stream 1024 \
  --leave-out '1/*' --leave-out model_int16x8.tflite
cp "$work/rendered/ATTRIBUTION.md" docs/model/ATTRIBUTION.md
