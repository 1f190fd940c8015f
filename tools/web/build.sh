#!/usr/bin/env bash
# Builds the page that restores music in the browser, from the files of this folder, libraries from npm and a model.
#
#   tools/web/build.sh [MODEL [OUT]]
#
# MODEL is the folder of an exported model (default: the bundled model). OUT is the folder to make (default: build/web).
# The page consists of static files and sends no requests to other hosts. Any web server can serve it:
#   python3 -m http.server --bind 127.0.0.1 --directory build/web
# Only the first build needs npm. The libraries that it fetches are kept in build/web_libraries.
set -euo pipefail
say() { echo "build.sh: $1" >&2; exit "$2"; }
root="$(cd "$(dirname "$0")/../.." && pwd)"
model="${1:-$root/exported_models/paired_resnet_bands_44k}"
out="${2:-$root/build/web}"
vendored="$root/build/web_libraries"
for file in model.tflite metadata.json; do
  [ -f "$model/$file" ] || say "an exported model is needed; $model has no $file; run 'keras-audiosr export'" 2
done
[ ! -e "$out" ] || [ -f "$out/litert/package.json" ] || say "OUT must be a new folder or an earlier build; $out is neither; name another folder" 3
made="$(mktemp -d)"
trap 'rm -rf "$made"' EXIT

if ! cmp -s "$root/tools/web/package.json" "$vendored/litert/package.json"; then
  command -v npm >/dev/null || say "npm is needed; it is not on PATH; install it, for example with 'apt-get install npm'" 2
  cp "$root/tools/web/package.json" "$made/"
  # A lock file would name the registry, so none is written. package.json pins the exact version of every package.
  npm install --prefix "$made" --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  packages="$made/node_modules"
  mkdir -p "$made/libraries"/{litert,libflac,licences}
  # These builds have no threads, because threads need headers that a plain web server does not send. The build "compat"
  # is for browsers without relaxed SIMD.
  cp "$packages"/@litertjs/core/wasm/litert_wasm{,_compat}_internal.{js,wasm} "$made/libraries/litert/"
  # A browser resolves modules by path, and a worker has no import map. Therefore the import is rewritten.
  sed 's#from "@litertjs/wasm-utils"#from "./wasm_utils.js"#; /^\/\/# sourceMappingURL/d' "$packages/@litertjs/core/dist/index.js" > "$made/libraries/litert/core.js"
  sed '/^\/\/# sourceMappingURL/d' "$packages/@litertjs/wasm-utils/dist/index.js" > "$made/libraries/litert/wasm_utils.js"
  grep -q 'from "./wasm_utils.js"' "$made/libraries/litert/core.js" || say "LiteRT.js must import @litertjs/wasm-utils; its index.js does not; check the versions in tools/web/package.json" 1
  cp "$packages"/libflacjs/dist/libflac.min.wasm.{js,wasm} "$made/libraries/libflac/"
  echo 'export { parseBlob } from "music-metadata";' > "$made/music_metadata.mjs"
  "$packages/.bin/esbuild" "$made/music_metadata.mjs" --bundle --minify --platform=browser --format=iife --global-name=musicMetadata \
    --log-level=error --outfile="$made/libraries/music_metadata.js"
  # The licence of every library must accompany it. esbuild is left out, because it is not part of the page.
  (cd "$packages" && find . -iname 'licen[cs]e*' -type f -not -path './*esbuild*') | while read -r licence; do
    cp "$packages/$licence" "$made/libraries/licences/$(dirname "${licence#./}" | tr / _).txt"
  done
  cp "$made/package.json" "$made/libraries/litert/" # copied last, because it marks the libraries as complete
  mkdir -p "$root/build"
  rm -rf "$vendored"
  mv "$made/libraries" "$vendored"
fi

mkdir -p "$made/page/model"
cp "$root"/tools/web/*.{html,css,js} "$made/page/"
# The player, the spectra and the drawing functions come from the page of 'report'.
for file in page.css player.js spectrum.js plots.js; do
  cp "$root/keras_audiosr/listening_page/$file" "$made/page/listening_$file"
done
cp -r "$vendored"/. "$made/page/"
cp "$model/model.tflite" "$model/metadata.json" "$made/page/model/"
mkdir -p "$(dirname "$out")"
rm -rf "$out"
mv "$made/page" "$out"
echo "$out: $(du -sh "$out" | cut -f1); serve it with: python3 -m http.server --bind 127.0.0.1 --directory $out"
