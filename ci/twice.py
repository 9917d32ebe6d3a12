"""Double every chapter for nbval, so that running a page a second time in the same kernel is tested too.

python ci/twice.py            # every chapter, into _build/twice
python ci/twice.py 01 15      # these
"""

import copy
import shutil
import sys
from pathlib import Path

import nbformat

from common import BUILD
from execute import select

TWICE = BUILD / "twice"


def write(numbers: list[str] | None = None) -> list[Path]:
    """Write the doubled chapters and return their paths. Checked cells keep their stored outputs in both halves."""
    shutil.rmtree(TWICE, ignore_errors=True)
    TWICE.mkdir(parents=True)
    files = []
    for chapter in select(numbers):
        notebook = nbformat.read(chapter, as_version=4)
        again = copy.deepcopy(notebook.cells)
        for cell in again:
            cell.id = f"{cell.id[:58]}-again"
        notebook.cells += again
        files.append(TWICE / chapter.name)
        nbformat.write(notebook, files[-1])
    return files


if __name__ == "__main__":
    print(*write(sys.argv[1:] or None), sep="\n")
