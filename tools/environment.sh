# Functions that make a virtual environment on a machine that has only Python. Source this in the repository's root.

# The extras of the reference environment, which requirements/reference.txt pins (tools/lock.sh).
REFERENCE_EXTRAS="train tfio visqol zimtohrli beam render test"

# environment FOLDER [--lock FILE] REQUIREMENT...: makes a virtual environment, if it does not exist yet, with this
# checkout (editable, the first requirement) and the other requirements. With a lock file, it installs only the files
# whose SHA-256 the lock file has.
environment() {
  environment_folder="$1"; shift
  local python stamp lock="" options=()
  if [ "$1" = --lock ]; then lock="$2"; shift 2; fi
  python="$(command -v python3.11 || command -v python3 || true)"
  if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is required; found ${python:-none}; install it ('apt-get install python3.11')" >&2
    return 2
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # On Debian, venv is a separate package.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    else
      echo "Python's venv module is required; install it with 'sudo apt-get install python3-venv'" >&2
      return 2
    fi
  fi
  stamp="$(cat setup.cfg $lock | sha256sum | cut -c1-16) $*"
  if [ "$(cat "$environment_folder/.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "Installing into $environment_folder (once) ..."
    "$python" -m venv "$environment_folder"
    "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check --upgrade pip
    if [ -n "$lock" ]; then
      "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
      # setuptools, which builds this package, is one of the pinned packages.
      options=(--no-deps --no-build-isolation)
    fi
    # This hides a long notice of setuptools about editable installations.
    PYTHONWARNINGS=ignore "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check \
      "${options[@]}" -e "$1" "${@:2}"
    echo "$stamp" > "$environment_folder/.stamp"
  fi
}

# reference_environment FOLDER: makes the reference environment. On Linux x86_64 with Python 3.11 it installs the pinned
# versions of the lock file, and elsewhere any versions that setup.cfg allows.
reference_environment() {
  local lock=()
  if [ "$(uname -sm)" = "Linux x86_64" ] && command -v python3.11 >/dev/null; then
    lock=(--lock requirements/reference.txt)
  fi
  environment "$1" "${lock[@]}" ".[${REFERENCE_EXTRAS// /,}]"
}
