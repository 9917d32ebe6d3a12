"""Checkpoints: what a run needs to continue as if it had never stopped; and averages of saved weights.

Every random draw of a run is a function of (seed, epoch, step), see `astlib.train.sampling`, so a checkpoint needs no
random state: it has the weights, the optimizer's state, the position in the run and the record so far. A checkpoint is
a folder that gets its name only when it is complete; a folder without such a name is never read.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import CheckpointError, InvalidInput
from ..files import remove_folder, whole_folder, write_json
from ..networks import Network, open_model


class Stateful(Protocol):
    """An optimizer or a gradient scaler: an object that can save and restore its state."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state.

        Returns:
            What `load_state_dict` takes.
        """
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore a state.

        Args:
            state: what `state_dict` returned.
        """
        ...


@dataclass(frozen=True)
class State:
    """Where a run stands: the content of `state.json` in a checkpoint.

    Attributes:
        epoch: being worked on, from 1.
        step: how many of its optimiser steps are done.
        loss: sum of the losses of these steps.
        seconds: time spent on them.
        record: the record so far, as it is written to JSON.
    """

    epoch: int
    step: int
    loss: float
    seconds: float
    record: dict[str, Any]


def save(out: str | Path, model: Network, optimizer: Stateful, state: State, scaler: Stateful | None = None) -> Path:
    """Write the checkpoint `out/checkpoint-EEE-SSSSSSS` and remove the earlier ones.

    Args:
        out: folder of the run.
        model: its weights are saved.
        optimizer: its state is saved.
        state: where the run stands.
        scaler: the gradient scaler of a float16 run.

    Returns:
        The folder of the checkpoint.

    Raises:
        OSError: it cannot be written. The previous checkpoint is then still complete.
    """
    out = Path(out)
    final = out / f"checkpoint-{state.epoch:03d}-{state.step:07d}"
    with whole_folder(final) as unfinished:
        model.save_pretrained(unfinished)
        tensors = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else None}
        content = io.BytesIO()  # in memory first: of a full disk torch makes a RuntimeError
        torch.save(tensors, content)
        (unfinished / "optimizer.pt").write_bytes(content.getbuffer())
        write_json(unfinished / "state.json", asdict(state))
    remove(out, keep=final)
    return final


def complete(out: str | Path) -> list[Path]:
    """List the complete checkpoints of a run.

    Args:
        out: folder of the run.

    Returns:
        Their folders, earliest first.
    """
    return sorted(path for path in Path(out).glob("checkpoint-*") if (path / "state.json").is_file())


def remove(out: str | Path, keep: Path | None = None) -> None:
    """Remove the checkpoints of a run, complete or not.

    Args:
        out: folder of the run.
        keep: the one that stays.
    """
    for folder in complete(out):
        if folder != keep:
            remove_folder(folder)
    for unfinished in Path(out).glob(".checkpoint-*.tmp"):  # left by a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)


def latest(out: str | Path) -> Path | None:
    """Find the latest complete checkpoint of a run.

    Args:
        out: folder of the run.

    Returns:
        Its folder, or None.
    """
    checkpoints = complete(out)
    return checkpoints[-1] if checkpoints else None


def restore(folder: str | Path, model: Network, optimizer: Stateful, scaler: Stateful | None = None) -> State:
    """Restore weights, optimizer and scaler from a checkpoint.

    Args:
        folder: of the checkpoint.
        model: gets the weights.
        optimizer: gets its state.
        scaler: gets its state, in a float16 run.

    Returns:
        Where the run stands.

    Raises:
        CheckpointError: the files are damaged or do not belong to this model.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
        tensors = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        optimizer.load_state_dict(tensors["optimizer"])
        if scaler and tensors["scaler"]:
            scaler.load_state_dict(tensors["scaler"])
        return State(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except Exception as error:  # torch, safetensors and json each raise their own kinds for a damaged file
        raise CheckpointError(f"the checkpoint {folder} cannot be used for this run: {error}") from error


def epoch_weights(out: str | Path) -> list[Path]:
    """List the weights that a run keeps for averaging, `out/weights/epoch-NNN`.

    Args:
        out: folder of the run.

    Returns:
        Their folders, earliest first.
    """
    return sorted(path.parent for path in Path(out).glob("weights/epoch-*/model.safetensors"))


def average(folders: Sequence[str | Path]) -> Network:
    """Average the weights of several saved networks, such as the epochs of a run (paper section 3.1).

    The paper's 0.459 comes from such a mean, over all five epochs on the full AudioSet; on the balanced part it
    averages epochs 6 to 25. Of a CNN the running statistics of the batch norms are averaged too, as in PSLA.

    Args:
        folders: of the saved networks.

    Returns:
        One network in eval mode.

    Raises:
        InvalidInput: there is none, or they are not the same network.
    """
    if not folders:
        raise InvalidInput("no weights to average: the run may have no epoch in that range")
    model = open_model(folders[0])
    sums = {
        key: value.double() for key, value in model.state_dict().items()
    }  # float64, so that rounding errors do not add up
    for folder in folders[1:]:
        other = open_model(folder)
        if other.cfg != model.cfg:
            raise InvalidInput(f"{folder} is another network than {folders[0]}: their configurations differ")
        for key, value in other.state_dict().items():
            sums[key] += value
    model.load_state_dict({key: (value / len(folders)).float() for key, value in sums.items()})
    return model.eval()
