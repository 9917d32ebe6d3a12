"""Checkpoints: what a run needs to go on as if it had never stopped; and what can be made of several of them.

Every random draw of a run is a function of (seed, epoch, step), see `astlib.sampling`, so a checkpoint needs no random
state: weights, optimizer, place and history are all there is. A checkpoint is a folder that gets its name only when it
is complete; what has no such name is never read.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .cnn import Network, open_saved
from .files import sync, write_json, write_whole
from .model import to_probabilities


class CheckpointError(RuntimeError):
    """A checkpoint is there but cannot be used: it says which and why."""


class TrainingStopped(RuntimeError):
    """The run cannot go on; the message says at which step, why, and what was saved."""


class Interrupted(TrainingStopped):
    """Somebody asked for a stop; the message says how to go on."""


def save(out: str | Path, model: Network, optimizer, state: dict, scaler=None) -> Path:
    """Write `out/checkpoint-EEE-SSSSSSS` (weights, optimizer, state) and remove the earlier ones.

    state: JSON-ready, comes back from `load`; `state["epoch"]` is the epoch being worked on and `state["step"]` how
    many of its steps are done. scaler: the GradScaler of a float16 run.
    Raises OSError if the disk is full; the previous checkpoint is whole.
    """
    out = Path(out)
    final = out / f"checkpoint-{state['epoch']:03d}-{state['step']:07d}"
    temporary = out / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        model.save_pretrained(temporary)
        tensors = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else None}
        content = io.BytesIO()  # by way of memory, so that a full disk is an OSError
        torch.save(tensors, content)
        (temporary / "optimizer.pt").write_bytes(content.getbuffer())
        write_json(temporary / "state.json", state)
        for path in [*temporary.iterdir(), temporary]:
            sync(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # on a full disk it would take the room that the next one needs
        raise
    if final.exists():
        shutil.rmtree(final)
    os.replace(temporary, final)
    sync(out)
    for older in complete(out):
        if older != final:
            remove(older)
    return final


def remove(folder: Path) -> None:
    """Take a folder away so that it is whole or gone: a kill half way leaves a name that nobody reads."""
    doomed = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(folder, doomed)
    shutil.rmtree(doomed)


def complete(out: str | Path) -> list[Path]:
    """The complete checkpoints in `out`, earliest first."""
    return sorted(path for path in Path(out).glob("checkpoint-*") if (path / "state.json").is_file())


def latest(out: str | Path) -> Path | None:
    found = complete(out)
    return found[-1] if found else None


def load(folder: str | Path, model: Network, optimizer, scaler=None) -> dict:
    """Put a checkpoint's weights, optimizer and scaler state into place; returns the state.

    Raises CheckpointError if the files do not belong to this model.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
        tensors = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        optimizer.load_state_dict(tensors["optimizer"])
        if scaler and tensors["scaler"]:
            scaler.load_state_dict(tensors["scaler"])
        return json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except Exception as error:  # torch, safetensors and json each raise their own kinds for a damaged file
        raise CheckpointError(f"the checkpoint {folder} cannot be used for this run: {error}") from error


# --- several at once -------------------------------------------------------------------------------------


def average(folders: Sequence[str | Path]) -> Network:
    """One network whose weights are the mean over several saved ones, such as the epochs of a run (paper section 3.1).

    The paper's 0.459 is such a mean: of all five epochs of the full AudioSet, and of epochs 6 to 25 of the balanced
    part. Of a CNN the running statistics of the batch norms are averaged too, as in PSLA.
    Raises ValueError if there is none, or if they are not the same network.
    """
    if not folders:
        raise ValueError("no weights to average: the run may have no epoch in that range")
    model = open_saved(folders[0])
    sums = {key: value.double() for key, value in model.state_dict().items()}
    for folder in folders[1:]:
        other = open_saved(folder)
        if other.cfg != model.cfg:
            raise ValueError(f"{folder} is another network than {folders[0]}: their configurations differ")
        for key, value in other.state_dict().items():
            sums[key] += value
    model.load_state_dict({key: (value / len(folders)).float() for key, value in sums.items()})
    return model.eval()


def epoch_weights(out: str | Path) -> list[Path]:
    """The weights that a run keeps for averaging, `out/weights/epoch-NNN`, earliest first."""
    return sorted(path.parent for path in Path(out).glob("weights/epoch-*/model.safetensors"))


def save_scores(path: str | Path, logits: torch.Tensor, names: Sequence[str], multi_label: bool) -> None:
    """Write the logits `(clips, classes)` of an evaluation, whole or not at all, so that ensembles need no model."""
    content = io.BytesIO()
    np.savez(content, logits=logits.numpy(), names=np.array(names), multi_label=multi_label)
    write_whole(path, content.getbuffer())


def load_scores(path: str | Path) -> tuple[torch.Tensor, list[str]]:
    """Probabilities `(clips, classes)` and the clips' names of a file that `save_scores` wrote.

    Raises CheckpointError if the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            logits, names = torch.from_numpy(file["logits"]), file["names"].tolist()
            return to_probabilities(logits, bool(file["multi_label"])), names
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a file of scores: {error}") from error


def ensemble(paths: Sequence[str | Path]) -> tuple[torch.Tensor, list[str]]:
    """Mean of the probabilities of several evaluations on the same clips, `(clips, classes)`, and the clips' names.

    A path is a file of scores, a run's folder (the scores of its selected weights), or both mixed. Over runs with
    other seeds this is the paper's Ensemble-S, over other networks its Ensemble-M (original:
    egs/audioset/ensemble.py); over the epochs of one run it is a checkpoint ensemble (src/traintest.py:322-338).
    Raises ValueError if the clips differ, CheckpointError if a file cannot be read.
    """
    if not paths:
        raise ValueError("an ensemble needs at least one run")
    files = [Path(path) / "scores.npz" if Path(path).is_dir() else Path(path) for path in paths]
    total, names = load_scores(files[0])
    for file in files[1:]:
        scores, others = load_scores(file)
        if others != names or scores.shape != total.shape:
            raise ValueError(f"{file} holds other clips or classes than {files[0]}: an ensemble needs the same ones")
        total = total + scores
    return total / len(files), names
