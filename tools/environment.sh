# To be sourced from the repository's root: makes a virtual environment on a machine that has only Python.

# environment FOLDER REQUIREMENT...: installs this checkout (editable) and what else is named, unless it is there.
environment() {
  environment_folder="$1"; shift
  local python stamp
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
  stamp="$(sha256sum setup.cfg | cut -c1-16) $*"
  if [ "$(cat "$environment_folder/.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "Installing into $environment_folder (once) ..."
    "$python" -m venv "$environment_folder"
    "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check --upgrade pip
    # setuptools explains editable installations at length to whoever makes one.
    PYTHONWARNINGS=ignore "$environment_folder/bin/python" -m pip install -q --disable-pip-version-check -e "$1" "${@:2}"
    echo "$stamp" > "$environment_folder/.stamp"
  fi
}
