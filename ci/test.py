"""`make test`: the unit tests, the chapters by nbval (twice in one kernel), the book, and checks of the built pages.

Every step runs even if an earlier one failed. At the end it prints where the time went, and one line of counts.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import twice
from common import BUILD, HTML, ROOT, isolate_jupyter, table

PAGES = "tests/book/test_book_pages.py"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
TWO = ["-n", "2", "--dist", "loadfile"]  # two files at a time, each on one thread (see main)
IN_ORDER = ["--no-loadscope-reorder"]  # that of tests/conftest.py; by itself xdist would begin with the most tests
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "3600", "--nbval-kernel-name", "python3"]
STEPS = {
    "unit tests": [*PYTEST, *TWO, *IN_ORDER, "tests", "--ignore", PAGES, "--durations", "15"],
    "chapters, twice in one kernel (nbval)": [*PYTEST, *TWO, *NBVAL, str(twice.TWICE)],
    "executing the book": [sys.executable, "ci/execute.py", "--at-once", "2"],
    "rendering the book": [sys.executable, "ci/build.py"],
    "built pages": [*PYTEST, PAGES],
}


def counts(report) -> dict[str, int]:
    """Read the counts of a pytest run from its JUnit report; a missing report counts as one failure."""
    if not report.exists():
        return {"passed": 0, "failed": 1, "skipped": 0}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    numbers = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    failed = numbers["failures"] + numbers["errors"]
    return {"passed": numbers["tests"] - failed - numbers["skipped"], "failed": failed, "skipped": numbers["skipped"]}


def main() -> None:
    isolate_jupyter()
    twice.write()
    total = {"passed": 0, "failed": 0, "skipped": 0}
    seconds, broken = [], []
    for number, (name, command) in enumerate(STEPS.items()):
        print(f"\n=== {name}", flush=True)
        report, is_pytest = BUILD / f"junit-{number}.xml", "pytest" in command
        report.unlink(missing_ok=True)
        if name == "built pages" and not (HTML / "index.html").exists():
            print("there is no built book to check")
            broken.append(name)
            continue
        start = time.perf_counter()
        extra = ["--junit-xml", str(report)] if is_pytest else []
        env = {**os.environ, "OMP_NUM_THREADS": "1"} if "-n" in command else os.environ
        status = subprocess.run(command + extra, cwd=ROOT, stdin=subprocess.DEVNULL, env=env).returncode
        seconds.append((name, time.perf_counter() - start))
        if status:
            broken.append(name)
        for outcome, number in counts(report).items() if is_pytest else [("failed", int(status != 0))]:
            total[outcome] += number
    print("\n" + table("Where the time went:", [*seconds, ("all", sum(spent for _, spent in seconds))]))
    if broken:
        print(f"\nfailed: {', '.join(broken)}")
    print(f"\ntotal: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
