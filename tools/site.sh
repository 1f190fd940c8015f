#!/usr/bin/env bash
# Builds the whole site into build/site: the docs, the gallery, and the page that restores music in the browser, with a
# model. The folder is static and ready for any host, on any path: upload it as it is.
#
#   tools/site.sh [MODEL]     MODEL: folder of 'export' for the page in the browser (the bundled one)
#
# To see it: python3 -m http.server --bind 127.0.0.1 --directory build/site
# The search of the docs and the page in the browser need a server; everything else also opens from the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/web/build.sh ${1:+"$1"} >&2
WEB_PAGE="$PWD/build/web" tools/docs.sh >/dev/null
# GitHub Pages would leave out what begins with an underscore.
touch build/site/.nojekyll
echo "build/site: $(du -sh build/site | cut -f1), $(find build/site -type f | wc -l) files"
