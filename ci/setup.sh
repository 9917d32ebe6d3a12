#!/bin/sh
# Creates .venv with everything that is needed. Does nothing if .venv already has exactly these requirements.
set -eu
cd "$(dirname "$0")/.."

wanted=$(cat requirements.txt ci/constraints.txt pyproject.toml | cksum)
stamp=.venv/astlib-setup
if [ -x .venv/bin/python ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ]; then
    exit 0
fi

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
if ! { [ -x .venv/bin/python ] && .venv/bin/python -c "$fits"; }; then
    found=
    for candidate in ${PYTHON:-} python3 python3.12 python3.11 python3.13 python; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$fits" >/dev/null 2>&1; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "error: no Python from 3.11 to 3.13 found. Install one (Debian, Ubuntu: apt-get install python3 python3-venv;" >&2
        echo "macOS: brew install python@3.12), or name it: make setup PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    echo "Making .venv with $("$found" --version)"
    rm -rf .venv
    if ! "$found" -m venv .venv; then
        rm -rf .venv
        echo "error: $found could not make a virtual environment (Debian, Ubuntu: apt-get install python3-venv)" >&2
        exit 1
    fi
fi

rm -f $stamp
echo "Installing requirements.txt into .venv (about 6 GB, a few minutes)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "$wanted" > $stamp
