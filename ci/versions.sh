#!/bin/sh
# Runs the unit tests of astlib with other versions of its dependencies than the pinned ones, in an environment of their
# own. Neither torchaudio nor the packages that build the book are installed, so the tests in tests/book are left out.
#
#   sh ci/versions.sh newest    # the newest version of every dependency
#   sh ci/versions.sh lowest    # the lowest version of every dependency that pyproject.toml allows
#
# PYTHON names the interpreter, python3 by default.
set -eu
cd "$(dirname "$0")/.."

versions=${1:-}
if [ "$versions" != newest ] && [ "$versions" != lowest ]; then
    echo "usage: sh ci/versions.sh newest|lowest" >&2
    exit 2
fi
folder=_build/versions/$versions
rm -rf "$folder"
mkdir -p "$folder"
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python

# Writes what to install, and the bounds for `lowest`. ONNX files need a newer torch than the rest of the library, so
# `lowest` leaves that extra out. pyarrow 26 needs NumPy 2, which its metadata do not say.
"$python" - "$versions" "$folder" <<'END'
import pathlib
import sys
import tomllib

versions, folder = sys.argv[1], pathlib.Path(sys.argv[2])
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
if versions == "lowest":
    del extras["onnx"]
bounds = [*project["dependencies"], *sum(extras.values(), [])]
lowest = [*(bound.replace(">=", "==") for bound in bounds), "pyarrow<26"]
(folder / "constraints.txt").write_text("\n".join(lowest if versions == "lowest" else []) + "\n")
(folder / "requirements.txt").write_text(f"-e .[{','.join(extras)}]\nhypothesis\nipykernel\npytest\npytest-xdist\n")
END
"$python" -m pip install --quiet --disable-pip-version-check -c "$folder/constraints.txt" -r "$folder/requirements.txt"
"$python" -m pip list --disable-pip-version-check

set -- tests --ignore tests/book
[ "$versions" = newest ] || set -- "$@" --ignore tests/test_export.py
OMP_NUM_THREADS=1 "$python" -m pytest -q -p no:cacheprovider -n 2 --dist loadfile "$@"
