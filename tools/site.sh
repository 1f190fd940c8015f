#!/usr/bin/env bash
# Builds the whole site into build/site: the docs, the gallery, and the page that restores music in the browser, with a
# model. The folder contains only static files and can be uploaded to any host, under any path.
#
#   tools/site.sh [MODEL]     MODEL: exported model for the page in the browser (default: the bundled model)
#
# To see the site: python3 -m http.server --bind 127.0.0.1 --directory build/site
# The search of the docs and the page in the browser need a server. All other pages also work when opened as files.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/web/build.sh ${1:+"$1"} >&2
WEB_PAGE="$PWD/build/web" tools/docs.sh >/dev/null
# Without this file, GitHub Pages would leave out files whose names begin with an underscore.
touch build/site/.nojekyll
echo "build/site: $(du -sh build/site | cut -f1), $(find build/site -type f | wc -l) files"
