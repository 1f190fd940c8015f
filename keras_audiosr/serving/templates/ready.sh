#!/bin/bash
# Exits with 0 if a version of the model is AVAILABLE, which means that it is loaded and warmed up. The script uses only
# Bash and common tools, because the image of the server has no curl.
#
#   ready.sh [PORT]   PORT is the REST port (default: 8501)
set -eu
exec 3<>"/dev/tcp/127.0.0.1/${1:-8501}"
printf 'GET /v1/models/@@{model} HTTP/1.0\r\n\r\n' >&3
timeout 5 grep -q '"state": *"AVAILABLE"' <&3
