"""Simulate Colab: run each chapter's copy alone in an empty folder, in an environment with torch and without astlib.

    python ci/colab.py            # every chapter
    python ci/colab.py 01 15      # these

The environment, _build/colab/.venv, gets what Colab has (COLAB_HAS, in the versions of ci/constraints.txt) and a module
google.colab, so that a chapter's first cell runs as it does there. The one difference: that cell installs the wheel
built from this checkout instead of the repository's tag. The script fails if a chapter fails, or if its installation
cell changed torch or numpy.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import copies
from common import BUILD, ROOT, fail, isolate_jupyter, table
from execute import select

HOME = BUILD / "colab"
PYTHON = HOME / ".venv" / "bin" / "python"
COLAB_HAS = [
    "torch",
    "torchaudio",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "ipykernel",
    "ipywidgets",
    "tqdm",
    "accelerate",
    "transformers",
    "timm",
    "safetensors",
    "huggingface_hub",
    "datasets",
    "psutil",
    "typer",
    "cffi",
]
GIT_URL = re.compile(r'"astlib @ git\+https://[^"]+"')


def environment() -> None:
    """Create the environment with pip, unless it is up to date."""
    stamp, wanted = HOME / "has.txt", "\n".join([*COLAB_HAS, (ROOT / "requirements.txt").read_text()])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(HOME, ignore_errors=True)
    print("creating the environment (a few minutes)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", HOME / ".venv"], check=True)
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    named = {line.split("==")[0].lower().replace("-", "_"): line for line in pins}
    asked = [named.get(name.lower().replace("-", "_"), name) for name in COLAB_HAS]
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", "-c", ROOT / "ci" / "constraints.txt", *asked], check=True)
    site = subprocess.run(
        [PYTHON, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (Path(site) / "google" / "colab").mkdir(parents=True, exist_ok=True)
    (Path(site) / "google" / "colab" / "__init__.py").touch()
    (Path(site) / "sitecustomize.py").write_text("import google.colab\n")  # there it is imported when a kernel starts
    spec = HOME / "share" / "kernels" / "colab"
    spec.mkdir(parents=True)
    argv = [str(PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    stamp.write_text(wanted)


def wheel() -> Path:
    """Build astlib as a wheel from this checkout."""
    for old in HOME.glob("*.whl"):
        old.unlink()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", HOME, ROOT], check=True
    )
    return next(HOME.glob("*.whl"))


def versions() -> str:
    code = "import torch, numpy; print(torch.__version__, numpy.__version__)"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def run(chapter: Path, wheel_file: Path) -> str | None:
    """Execute the copy of one chapter, which its badge opens, as Colab would. Return what went wrong, or None."""
    subprocess.run([PYTHON, "-m", "pip", "uninstall", "-q", "-y", "astlib", "soundfile", "soxr"], check=True)
    notebook = nbformat.read(copies.FOLDER / chapter.name, as_version=4)
    install = next(cell for cell in notebook.cells if "google.colab" in cell.source)
    install.source, found = GIT_URL.subn(f'"{wheel_file}"', install.source)
    if found != 1:
        return "its first code cell does not install astlib from the repository"
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(notebook, timeout=600, kernel_name="colab", resources={"metadata": {"path": empty}})
        try:
            client.execute()
        except CellExecutionError as error:
            return str(error).splitlines()[-1]
    return None


def main() -> None:
    isolate_jupyter()
    environment()
    os.environ["JUPYTER_PATH"] = str(HOME / "share")
    for name in ("ASTLIB_DATA", "ASTLIB_WEIGHTS"):
        os.environ.pop(name, None)
    os.environ |= {"XDG_CACHE_HOME": str(HOME / "cache"), "HF_HUB_OFFLINE": "1"}
    wheel_file, before, rows, problems = wheel(), versions(), [], []
    for chapter in select(sys.argv[1:] or None):
        start = time.perf_counter()
        problem = run(chapter, wheel_file)
        rows.append((chapter.stem, time.perf_counter() - start))
        print(f"{chapter.stem}: {problem or 'runs to the end'}, {rows[-1][1]:.0f} s", flush=True)
        problems += [f"{chapter.stem}: {problem}"] if problem else []
        if (after := versions()) != before:
            problems.append(f"{chapter.stem}: torch and numpy were {before}, and are {after}")
    print(table("Seconds per chapter, alone, installation included:", rows))
    if problems:
        fail("\n".join(problems))


if __name__ == "__main__":
    main()
