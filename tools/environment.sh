# To be sourced from the repository's root: makes a virtual environment on a machine that has only Python.

# The extras of the reference environment, which requirements/reference.txt pins (tools/lock.sh).
REFERENCE_EXTRAS="train tfio visqol zimtohrli beam render test"

# environment FOLDER [--lock FILE] REQUIREMENT...: installs this checkout (editable) and what else is named, unless it is
# there. With a lock file, what that pins and nothing else: no file whose SHA-256 it does not hold.
environment() {
  environment_folder="$1"; shift
  local python stamp lock="" options=()
  if [ "$1" = --lock ]; then lock="$2"; shift 2; fi
  python="$(command -v python3.11 || command -v python3 || true)"
  if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; found ${python:-none}; install it ('apt-get install python3.11')" >&2
    return 2
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps venv in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    else
      echo "Python's venv module is needed; install it with 'sudo apt-get install python3-venv'" >&2
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
      # What builds it, setuptools, is among what is pinned.
      options=(--no-deps --no-build-isolation)
    fi
    # setuptools prints a long notice about editable installations.
    PYTHONWARNINGS=ignore "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check \
      "${options[@]}" -e "$1" "${@:2}"
    echo "$stamp" > "$environment_folder/.stamp"
  fi
}

# reference_environment FOLDER: from the lock file on the system it is for, elsewhere from setup.cfg's ranges.
reference_environment() {
  local lock=()
  if [ "$(uname -sm)" = "Linux x86_64" ] && command -v python3.11 >/dev/null; then
    lock=(--lock requirements/reference.txt)
  fi
  environment "$1" "${lock[@]}" ".[${REFERENCE_EXTRAS// /,}]"
}
