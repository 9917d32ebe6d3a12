"""`make check`: format, lint, types, docstrings, and the unit tests that need neither the chapters nor a browser.

The fast half of `make test`, for the loop of those who change code. Everything runs even if something before it
failed; it ends with where the time went.
"""

import os
import subprocess
import sys
import time

from common import ROOT, table

PYTHON = [sys.executable, "-m"]
UNIT = [*PYTHON, "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal", "-m", "not slow"]
STEPS = {
    "format": [*PYTHON, "ruff", "format", "--check", "."],
    "lint": [*PYTHON, "ruff", "check", "."],
    "types": [*PYTHON, "mypy"],
    "docstrings": [*PYTHON, "pytest", "-q", "-p", "no:cacheprovider", "tests/book/test_docstrings.py"],
    "unit tests": [*UNIT, "tests", "--ignore", "tests/book", "--durations", "8"],
}


def main() -> None:
    """Run the steps; exit with status 1 if one of them failed."""
    seconds, broken = [], []
    for name, command in STEPS.items():
        print(f"\n=== {name}", flush=True)
        start = time.perf_counter()
        env = {**os.environ, "OMP_NUM_THREADS": "1"}  # two test processes, each on one core
        if subprocess.run(command, cwd=ROOT, env=env).returncode:
            broken.append(name)
        seconds.append((name, time.perf_counter() - start))
    print("\n" + table("Where the time went:", [*seconds, ("all", sum(spent for _, spent in seconds))]))
    if broken:
        sys.exit(f"failed: {', '.join(broken)}")
    print("nothing to complain about")


if __name__ == "__main__":
    main()
