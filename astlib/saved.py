"""A network in a folder, `config.json` and `model.safetensors`, and what the configurations of all networks share.

How its outputs are to be read lies in the same folder, in `decision.json`, if somebody found out (`astlib calibrate`).

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from . import paths
from .decisions import FILE as DECISION_FILE
from .decisions import Decision
from .errors import InvalidInput, NotFound
from .files import whole_folder, write_json, write_whole
from .frontend import Features, Fill
from .typed import check_ranges, check_types, read_json

Config = TypeVar("Config", bound="NetworkConfig")

# The largest values that a configuration may have. They are far beyond every network that is used, and small enough
# that a configuration of somebody else cannot take all memory.
MOST_CLASSES = 100_000
MOST_MELS = 4096
MOST_FRAMES = 100_000  # 17 minutes
LARGEST_CONSTANT = 1e6  # of mean and std


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What the configuration of every network holds: its input, its classes, and how sound is prepared for it.

    Fields are given by name.

    Attributes:
        label_dim: number of classes.
        input_fdim: height of the spectrogram in mel bins.
        input_tdim: length of the spectrogram in frames of 10 ms.
        mean: mean of the log-mel values of the training data (natural log). The input is (mel - mean) / (2 * std).
        std: their standard deviation, greater than 0.
        fill: what follows the end of a short clip: "zero" in the log-mel (the original's), "silence" or "mean".
        multi_label: True if several classes may be present at once (AudioSet: sigmoid), else False (softmax).
        labels: names of the classes in the order of the logits, or None.

    Raises:
        InvalidInput: a value of another type or out of range, or another number of labels than classes.
    """

    label_dim: int = 527
    input_fdim: int = 128
    input_tdim: int = 1024
    mean: float = -4.2677393
    std: float = 4.5689974
    fill: Fill = "zero"
    multi_label: bool = True
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(
            self,
            {"label_dim": (1, MOST_CLASSES), "input_fdim": (1, MOST_MELS), "input_tdim": (1, MOST_FRAMES)},
        )
        if self.labels is not None and len(self.labels) != self.label_dim:
            raise InvalidInput(f"label_dim is {self.label_dim}, but {len(self.labels)} labels were given")
        if not (abs(self.mean) <= LARGEST_CONSTANT and 1 / LARGEST_CONSTANT <= self.std <= LARGEST_CONSTANT):
            raise InvalidInput(
                f"mean must be {-LARGEST_CONSTANT:g} to {LARGEST_CONSTANT:g}, and std above 0, from "
                f"{1 / LARGEST_CONSTANT:g} to {LARGEST_CONSTANT:g}; found mean {self.mean:g} and std {self.std:g}"
            )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values, checked like a new configuration.

        Args:
            changes: the new values, by the names of their fields.

        Returns:
            A new configuration of the same class.
        """
        return replace(self, **changes)


class SavedNetwork(nn.Module):
    """Base of all networks: a configuration, and a folder to save to and to load from.

    Attributes:
        cfg: the configuration.
        config: the class of the configuration.
        head: prefix of the names of the parameters that depend on the classes.
        decision: how its logits are to be read: temperature, thresholds, and what belongs to none of its classes.
    """

    cfg: NetworkConfig
    decision: Decision = Decision()
    config: ClassVar[type[NetworkConfig]]
    head: ClassVar[str]

    @classmethod
    def from_config(cls, cfg: Any) -> Self:
        """Build the network of a configuration, with random weights.

        Args:
            cfg: an instance of `config`.

        Returns:
            The network.
        """
        return cls(cfg)

    @classmethod
    def skeleton(cls, cfg: Any) -> Self:
        """Build the network of a configuration without memory for its weights.

        Args:
            cfg: an instance of `config`.

        Returns:
            The network on the device "meta": the names and shapes of all its weights, and no values.
        """
        with torch.device("meta"):
            return cls.from_config(cfg)

    def front_end(self) -> Features:
        """Return what turns waveforms into the input of this network.

        Returns:
            The module, on the CPU.
        """
        return Features(self.cfg)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` into a folder, and `decision.json` if there is a decision.

        None of them is ever half written. The decision about a network that the folder held before is removed.

        Args:
            folder: it is created if it does not exist; other files in it stay.
            dtype: the dtype to store the weights in; `torch.float16` halves the file. None keeps their own.

        Raises:
            OSError: the folder cannot be written.
        """
        from safetensors.torch import save

        state = {key: value.detach().to("cpu", dtype).contiguous() for key, value in self.state_dict().items()}
        (Path(folder) / DECISION_FILE).unlink(missing_ok=True)  # it is about the weights that are now replaced
        with whole_folder(folder) as unfinished:
            # By way of bytes: safetensors' own writer does not report a full disk as an OSError.
            write_whole(unfinished / "model.safetensors", save(state, metadata={"format": "pt"}))
            write_json(unfinished / "config.json", asdict(self.cfg))
            if self.decision != Decision():
                self.decision.save(unfinished)

    @classmethod
    def from_pretrained(cls, folder_or_name: str | Path) -> Self:
        """Load a network that `save_pretrained` wrote, or one that comes with astlib ("ast-tiny-esc50").

        Args:
            folder_or_name: a folder, or the name of a model that comes with astlib.

        Returns:
            The network in eval mode. Its weights are float32, whatever the file holds.

        Raises:
            NotFound: there is no such folder or name.
            InvalidInput: a file is damaged, or belongs to a network of another kind.
        """
        folder = find_model(folder_or_name)
        cfg = read_config(folder, cls.config)
        check_weights(cls.skeleton(cfg), folder)  # before the configuration decides how much memory is taken
        model = cls.from_config(cfg)
        read_weights(model, folder)
        model.decision = read_decision(folder, model.cfg.label_dim)
        return model.eval()


def weights_hash(state: dict[str, Tensor]) -> str:
    """Hash the names and values of a state dict, so that it does not matter which file or hub they came from.

    Args:
        state: name to tensor, on any device; hashed as float32.

    Returns:
        "sha256:" and 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().cpu().contiguous().float().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def read_json_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a saved network without checking its values.

    Args:
        folder: folder of the network.

    Returns:
        Its keys and values.

    Raises:
        InvalidInput: the file is damaged; the message names it.
    """
    path = folder / "config.json"
    try:
        config = read_json(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged: {error}. Copy or download the model again") from error
    if not isinstance(config, dict):
        found = type(config).__name__
        raise InvalidInput(f"{path} is damaged: expected an object, found {found}. Copy or download the model again")
    return config


def read_config(folder: Path, kind: type[Config]) -> Config:
    """Read `config.json` of a saved network as a configuration.

    Args:
        folder: folder of the network.
        kind: the class of the configuration, such as `astlib.ASTConfig`.

    Returns:
        The configuration.

    Raises:
        InvalidInput: the file is damaged, has values that are out of range, or describes another kind of network. The
            message names it.
    """
    path, config = folder / "config.json", read_json_config(folder)
    unknown = sorted(set(config) - {field.name for field in fields(kind)})
    if unknown:
        keys = ", ".join(f"{key:.40}" for key in unknown[:8])
        raise InvalidInput(
            f"{path} is not the configuration of an astlib {kind.__name__.removesuffix('Config')}: unknown keys "
            f"{keys}. astlib.networks.open_model opens every network of astlib, and Hugging Face folders"
        )
    try:
        return kind(**config)
    except (TypeError, ValueError) as error:  # a value of a wrong type, or one that the configuration refuses
        raise InvalidInput(f"{path} cannot be used: {error}") from error


def check_weights(model: nn.Module, folder: Path) -> None:
    """Compare the names and shapes in `model.safetensors` with those of a network, without reading any weights.

    Args:
        model: the network; it may be without memory, see `SavedNetwork.skeleton`.
        folder: folder of the saved network.

    Raises:
        InvalidInput: the file is damaged or holds the weights of another network.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 # not a dict
    except (SafetensorError, OSError) as error:
        raise InvalidInput(
            f"{path} is damaged or belongs to another network: {error}. Copy or download the model again"
        ) from error
    expected = {key: list(value.shape) for key, value in model.state_dict().items()}
    if wrong := sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key)):
        key = wrong[0]
        raise InvalidInput(
            f"{path} is damaged or belongs to another network: {len(wrong)} weights do not fit config.json, such as "
            f"{key:.60}: expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
        )


def read_weights(model: nn.Module, folder: Path) -> None:
    """Load `model.safetensors` of a folder into a network, as float32.

    Args:
        model: the network; it is changed in place.
        folder: folder of the saved network.

    Raises:
        InvalidInput: the file is damaged or holds the weights of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    try:
        state: Mapping[str, Tensor] = load_file(path)
        model.load_state_dict({key: value.float() for key, value in state.items()})
    except (SafetensorError, RuntimeError) as error:
        raise InvalidInput(f"{path} is damaged or belongs to another network: {error}") from error


def read_decision(folder: Path, classes: int) -> Decision:
    """Read how the outputs of a saved network are to be read.

    Args:
        folder: folder of the saved network.
        classes: number of its classes.

    Returns:
        What `decision.json` says, or the default if there is no such file.

    Raises:
        InvalidInput: the file is damaged, or about a network with another number of classes.
    """
    decision = Decision.load(folder) or Decision()
    try:
        decision.check_classes(classes)
    except InvalidInput as error:
        raise InvalidInput(
            f"{folder / DECISION_FILE} is about another network: {error}. Remove it, or write it anew with "
            "`astlib calibrate`"
        ) from error
    return decision


def find_model(folder_or_name: str | Path) -> Path:
    """Find the folder of a saved network.

    Args:
        folder_or_name: a folder, the folder of a finished run, or the name of a model that comes with astlib.

    Returns:
        A folder with `config.json` and `model.safetensors`.

    Raises:
        NotFound: there is none; the message lists the models that come with astlib.
    """
    given = Path(folder_or_name)
    for folder in (given, given / "model", paths.models() / str(folder_or_name)):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    if (given / "start.json").is_file():
        best = f". The best weights so far are in {given / 'best'}" if (given / "best").is_dir() else ""
        raise NotFound(f"the run in {given} is not finished, and its model comes at the end{best}")
    if folds := sorted(given.glob("fold-*")):
        raise NotFound(f"{given} holds the runs of {len(folds)} folds, each with a model of its own: give {folds[0]}")
    known = sorted(path.parent.name for path in paths.models().glob("*/config.json"))
    raise NotFound(
        f"no model at {folder_or_name}: expected a folder with config.json and model.safetensors, "
        f"or one of the embedded models ({', '.join(known) or 'none here'})"
    )
