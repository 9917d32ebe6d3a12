"""Checkpoints: what a run needs to go on as if it had never stopped.

Every random draw of a run is a function of (seed, epoch, step), see `astlib.train.generator`, so a checkpoint needs no
random state: weights, optimizer and the history are all there is. A checkpoint is a folder that gets its name only
when it is complete; what has no such name is never read.

Chapter: notebooks/09_esc50.ipynb
"""

import json
import os
import shutil
from pathlib import Path

import torch

from .model import AST


class CheckpointError(RuntimeError):
    """A checkpoint is there but cannot be used: it says which and why."""


class TrainingStopped(RuntimeError):
    """The run cannot go on; the message says at which step, why, and what was saved."""


def save(out: str | Path, epoch: int, model: AST, optimizer, history: dict, scaler=None) -> Path:
    """Write `out/epoch-NNN` (weights, optimizer, history) and remove the earlier ones.

    history: JSON-ready; comes back from `load`. scaler: the GradScaler of a float16 run.
    Raises OSError if the disk is full; the previous checkpoint is whole.
    """
    out = Path(out)
    final = out / f"epoch-{epoch:03d}"
    temporary = out / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else None}
    torch.save(state, temporary / "optimizer.pt")
    (temporary / "history.json").write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")
    for path in temporary.iterdir():
        _sync(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(temporary, final)
    for older in complete(out):
        if older != final:
            shutil.rmtree(older)
    return final


def complete(out: str | Path) -> list[Path]:
    """The complete checkpoints in `out`, earliest first."""
    found = [path for path in Path(out).glob("epoch-*") if (path / "history.json").is_file()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("epoch-")))


def latest(out: str | Path) -> Path | None:
    found = complete(out)
    return found[-1] if found else None


def load(folder: str | Path, model: AST, optimizer, scaler=None) -> dict:
    """Put a checkpoint's weights, optimizer and scaler state into place; returns the history.

    Raises CheckpointError if the files do not belong to this model.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
        state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        if scaler and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        return json.loads((folder / "history.json").read_text(encoding="utf-8"))
    except Exception as error:  # torch, safetensors and json each raise their own kinds for a damaged file
        raise CheckpointError(f"the checkpoint {folder} cannot be used for this run: {error}") from error


def _sync(path: Path) -> None:
    with open(path, "r+b") as file:  # Windows refuses to flush a file opened for reading
        os.fsync(file.fileno())
