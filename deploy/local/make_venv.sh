#!/bin/sh
# Make the virtual environment $1 with everything that requirements/dev.txt locks, and `closeloop` in it.
set -eu
venv=$1

# A candidate is tried by running it: a version manager's shim may exist for a version that does not.
is_good() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if is_good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or newer with venv was found. Install one (on Debian and Ubuntu:" >&2
    echo "apt-get install python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

echo "Installing the locked packages (about a minute the first time)"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet install"
$pip --require-hashes -r requirements/dev.txt
$pip --no-deps --no-build-isolation -e .
# Where PYTHONDONTWRITEBYTECODE is set pip leaves none, and every start of every service would compile all
# of it again. A package may ship a file that does not compile; nobody imports that.
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null 2>&1 || true
