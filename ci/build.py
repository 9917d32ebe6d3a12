"""Render the staged book (_build/src) to _build/html with Jupyter Book; warnings are errors, nothing is executed.

MathJax is fetched from npm once, so that the built book loads nothing from other hosts. Without npm, the pages load it
from a content network, and this script says so. ONNX Runtime and the embedded model as an ONNX file are added too:
with them a page can name sounds in the reader's browser.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import yaml

import api
import faults
import front
import questions
import status
import web
from common import BUILD, EXECUTED, HTML, ROOT, SOURCE, TIMES, VENDOR, chapters, fail, table

# npm package -> {file or folder in it: its place in _build/vendor/}
PACKAGES = {
    "mathjax@3.2.2": {
        "es5/tex-svg.js": "mathjax/tex-svg.js",
        "es5/input/tex/extensions": "mathjax/input/tex/extensions",
        "LICENSE": "mathjax/LICENSE",
    },
    "onnxruntime-web@1.30.0": {
        f"dist/{name}": f"onnxruntime/{name}"
        for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    },
    "axe-core@4.14.1": {"axe.min.js": "../axe/axe.min.js"},  # for ci/check_browser.py only, not part of the book
}
STAMP = VENDOR / "versions.json"
LIVE = BUILD / "live"  # the network that chapter 17's page runs, see book/_static/live.js


def copy(package: Path, pattern: str, target: Path) -> None:
    """Copy a file, a folder, or all files of a pattern (into the folder `target`)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if (package / pattern).is_dir():
        shutil.copytree(package / pattern, target)
    else:
        for source in package.glob(pattern):
            shutil.copy(source, target)


def fetch_vendor() -> bool:
    """Fetch the packages into _build/vendor unless they are there. Return False if that is impossible."""
    if STAMP.exists() and json.loads(STAMP.read_text()) == list(PACKAGES):
        return True
    npm = shutil.which("npm")
    if npm is None:
        print(
            "npm is not installed: the pages will load MathJax from a content network.\n"
            "Install Node.js for a book that can be read with no network."
        )
        return False
    shutil.rmtree(VENDOR, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for package, places in PACKAGES.items():
            packed = subprocess.run([npm, "pack", "--silent", package], cwd=folder, capture_output=True, text=True)
            if packed.returncode:
                print(
                    f"npm could not fetch {package}: the pages will load it from a content network.\n"
                    + packed.stderr.strip()
                )
                return False
            with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
                archive.extractall(Path(folder) / "unpacked", filter="data")
            for pattern, place in places.items():
                copy(Path(folder) / "unpacked" / "package", pattern, VENDOR / place)
            shutil.rmtree(Path(folder) / "unpacked")
    STAMP.write_text(json.dumps(list(PACKAGES)))
    return True


def export_live() -> None:
    """Write the embedded model into _build/live as book/_static/live.js reads it, unless it is up to date."""
    sources = [
        *sorted((ROOT / "models" / "ast-tiny-esc50").iterdir()),
        *(ROOT / "astlib" / f"{name}.py" for name in ("decisions", "export", "frontend", "model", "saved")),
    ]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    about = LIVE / "about.json"
    if about.exists() and json.loads(about.read_text(encoding="utf-8"))["digest"] == digest:
        return
    import torch

    from astlib import AST, LogMel, export

    model, log_mel = AST.from_pretrained(sources[0].parent), LogMel()
    export.to_onnx(model, LIVE / "model.onnx", waveform=True, dtype=torch.float16)
    about.write_text(
        json.dumps(
            {
                "digest": digest,
                "labels": model.cfg.labels,
                "frames": model.cfg.input_tdim,
                "frame": log_mel.frame_samples,
                "hop": log_mel.hop_samples,
                "decision": asdict(model.decision),
            }
        ),
        encoding="utf-8",
    )


def configure(self_contained: bool) -> None:
    """Copy the vendor files beside the book's own assets, or remove them from the staged configuration."""
    shutil.copy(ROOT / "astlib" / "widgets.js", SOURCE / "book" / "_static")
    if self_contained:
        shutil.copytree(VENDOR, SOURCE / "book" / "_static" / "vendor", dirs_exist_ok=True)
        export_live()
        shutil.copytree(LIVE, SOURCE / "book" / "_static" / "live", dirs_exist_ok=True)
        return
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    del config["sphinx"]["config"]["mathjax_path"]
    (SOURCE / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def render() -> float:
    """Run Jupyter Book from scratch. Return the seconds it took; exit with status 1 on any warning."""
    for leftover in (HTML, BUILD / ".doctrees", BUILD / "jupyter_execute"):
        shutil.rmtree(leftover, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(SOURCE),
        "--config",
        str(SOURCE / "_config.yml"),
        "--toc",
        str(SOURCE / "book" / "_toc.yml"),
        "--path-output",
        str(ROOT),
        "--all",
        "-W",
        "-n",
        "--keep-going",
    ]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    (BUILD / "build.log").write_text(text)
    if done.returncode or not (HTML / "index.html").exists():
        shutil.rmtree(HTML, ignore_errors=True)  # a half-built book must not be mistaken for a book
        lines = text.splitlines()
        problems = [line for line in lines if re.search(r"WARNING|ERROR|Error", line)] or lines[-30:]
        print("\n".join(problems))
        fail("the book could not be rendered; everything it said is in _build/build.log")
    return time.perf_counter() - start


def main() -> None:
    executed = json.loads(EXECUTED.read_text()) if EXECUTED.exists() else {}
    missing = [path.stem for path in chapters() if path.stem not in executed]
    if missing:
        shutil.rmtree(HTML, ignore_errors=True)
        fail(f"not executed, or failed: {', '.join(missing)}; run ci/execute.py (`make book` does)")
    self_contained = fetch_vendor()
    configure(self_contained)
    status.write()  # once more: now it is known what every chapter took
    faults.write()
    api.write()
    api.link_chapters()
    front.write()
    web.write(self_contained)
    questions.write()
    seconds = render()
    times = json.loads(TIMES.read_text())
    rows = [(path.stem, times[path.stem]) for path in chapters()] + [("rendering", seconds)]
    print(table("Seconds per chapter and for the pages:", rows))
    print(
        f"\nThe book is built: {HTML / 'index.html'}\n"
        "Open that file in a browser, or run `make serve` and open http://127.0.0.1:8000/"
    )


if __name__ == "__main__":
    main()
