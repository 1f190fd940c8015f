#!/bin/bash
# Ends with 0 once a version of the model is AVAILABLE, which includes its warm-up. Bash and grep alone: the server's
# image has no curl.
#
#   ready.sh [PORT]   the REST port, 8501 by default
set -eu
exec 3<>"/dev/tcp/127.0.0.1/${1:-8501}"
printf 'GET /v1/models/@@{model} HTTP/1.0\r\n\r\n' >&3
timeout 5 grep -q '"state": *"AVAILABLE"' <&3
