"""Write the outputs that nbval checks back into notebooks/, and strip everything else.

The chapters run as on a bare machine: without data or weights, with an empty cache, without downloads. So no data of
others gets into the repository, and the stored outputs cannot depend on what happens to be on this machine.

    python ci/outputs.py                # every chapter
    python ci/outputs.py 01 05          # these
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat

import copies
from common import fail, isolate_jupyter
from execute import run, select

CHECKED = "nbval-check-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def forget_data(cache: Path) -> None:
    """Hide all folders in which data or weights could be found."""
    for name in ("ASTLIB_DATA", "ASTLIB_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        os.environ.pop(name, None)
    os.environ |= {"XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


def text_only(outputs: list) -> list:
    """Keep printed text and the text of results, joining the pieces of a stream; drop pictures, players and widgets."""
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(nbformat.v4.new_output("stream", name="stdout", text=output.text))
        elif output.output_type == "execute_result" and set(output.data) == {"text/plain"}:
            kept.append(
                nbformat.v4.new_output("execute_result", execution_count=output.execution_count, data=output.data)
            )
    return kept


def normalise(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> None:
    """Put the checked cells' outputs into the notebook, and keep only the metadata that the book needs."""
    ran = {cell.id: cell for cell in executed.cells}
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in ("mystnb", "tags") if cell.metadata.get(key)}
        )
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if CHECKED in cell.metadata.get("tags", []):
                cell.outputs = text_only(ran[cell.id].outputs)
                cell.execution_count = ran[cell.id].execution_count
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def main() -> None:
    isolate_jupyter()
    paths = select(sys.argv[1:] or None)
    with tempfile.TemporaryDirectory() as folder:
        forget_data(Path(folder) / "cache")
        for path in paths:
            executed = Path(folder) / path.name
            print(f"{path.stem} …", flush=True)
            problem = run(path, executed, {}).problem
            if problem:
                fail(f"{path.stem}: {problem}\nNothing of it was written. `ci/execute.py` keeps the traceback.")
            notebook = nbformat.read(path, as_version=4)
            normalise(notebook, nbformat.read(executed, as_version=4))
            nbformat.write(notebook, executed)
            shutil.copyfile(executed, path)
    copies.write(paths)
    print("The checked outputs are in notebooks/, the copies for Colab in notebooks/colab/; review both with git diff.")


if __name__ == "__main__":
    main()
