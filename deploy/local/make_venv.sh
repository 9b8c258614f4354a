#!/bin/sh
# Make the virtual environment $1 with everything that requirements/dev.txt locks, and `closeloop` in it.
set -eu
venv=$1

# A candidate is tried by running it: a version manager's shim may exist for a version that does not.
is_good() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if is_good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}

if ! is_good "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making $venv with $("$python" --version)"
    if ! "$python" -m venv --clear "$venv"; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Python $version has no venv or no pip. On Debian and Ubuntu: apt-get install python$version-venv" >&2
        exit 1
    fi
fi

echo "Installing the locked packages (about a minute the first time)"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet install"
$pip --require-hashes -r requirements/dev.txt
$pip --no-deps --no-build-isolation -e .
