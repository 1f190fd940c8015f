#!/usr/bin/env bash
# Builds the site of docs/ into build/site, with warnings as errors. Then open build/site/index.html.
#
#   tools/docs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
environment .venv-docs ".[docs]"
# The variable hides the theme's notice about MkDocs 2.
NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict --config-file tools/docs/mkdocs.yml
echo "build/site/index.html"
