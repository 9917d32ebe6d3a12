"""What a network's outputs are worth: how sure it is, when that is enough, and when it has heard nothing it knows.

A network gives logits for every sound, also for one that belongs to none of its classes. A `Decision` holds what was
found out about them on clips that it was not trained on (`astlib.calibrate`). It lies beside the weights, in
`decision.json`.

Chapter: notebooks/08_measuring.ipynb
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from .errors import InvalidInput
from .files import write_json
from .typed import check_types, read_json

FILE = "decision.json"
DEFAULT_THRESHOLD = 0.5  # of a class, where none was chosen

NoneScore = Literal["", "max_logit", "max_softmax", "energy", "background"]


def to_probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Turn logits into probabilities.

    Args:
        logits: `(..., classes)`.
        multi_label: True if several classes may be present at once (sigmoid), False for one of many (softmax).

    Returns:
        Probabilities of the same shape.
    """
    return logits.sigmoid() if multi_label else logits.softmax(dim=-1)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How to read the logits of one network. The default is to take them as they are.

    Fields are given by name.

    Attributes:
        temperature: the logits are divided by it before they become probabilities; above 1 makes them less certain.
        thresholds: for each class the probability from which on it counts as heard, or None (0.5 for all).
        none_score: what tells a sound that belongs to no class, see `known_score`; "" if nothing does, and every sound
            gets a class.
        none_threshold: a sound with a score below it belongs to none of the classes; None if there is no score.
        none_weights: one number per class for the score "background", else None.
        note: where the values come from, for people.

    Raises:
        InvalidInput: a value of another type or out of range.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    none_score: NoneScore = ""
    none_threshold: float | None = None
    none_weights: tuple[float, ...] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_types(self)
        if self.temperature <= 0:
            raise InvalidInput(f"the temperature must be a number above 0; found {self.temperature!r}")
        for value in self.thresholds or ():
            if not 0 <= value <= 1:
                raise InvalidInput(f"a class's threshold must be a probability, 0 to 1; found {value!r}")
        if (self.none_threshold is None) != (self.none_score == ""):
            raise InvalidInput("none_score and none_threshold belong together: give both or neither")
        if (self.none_weights is None) != (self.none_score != "background"):
            raise InvalidInput('none_weights belong to the none_score "background": give both or neither')

    def check_classes(self, classes: int) -> None:
        """Check that this decision can be about a network with so many classes.

        Args:
            classes: number of classes of the network.

        Raises:
            InvalidInput: it has thresholds or weights for another number of classes.
        """
        for name in ("thresholds", "none_weights"):
            values = getattr(self, name)
            if values is not None and len(values) != classes:
                raise InvalidInput(f"the {name} are of {len(values)} classes, the network has {classes}")

    def probabilities(self, logits: Tensor, multi_label: bool) -> Tensor:
        """Turn logits into probabilities, at the temperature of this decision.

        Args:
            logits: `(..., classes)`.
            multi_label: True if several classes may be present at once (sigmoid), False for one of many (softmax).

        Returns:
            Probabilities of the same shape. Which class is the most probable does not depend on the temperature.
        """
        return to_probabilities(logits / self.temperature, multi_label)

    def is_none(self, logits: Tensor) -> Tensor:
        """Tell which sounds belong to none of the classes.

        Args:
            logits: `(n, classes)`, as the network gives them, not divided by the temperature.

        Returns:
            `(n,)` bool; all False if this decision has no score.
        """
        if self.none_score == "" or self.none_threshold is None:
            return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        return known_score(logits, self.none_score, self.none_weights) < self.none_threshold

    def passes(self, probabilities: Tensor) -> Tensor:
        """Tell which classes count as heard: those that reach their threshold.

        Args:
            probabilities: `(n, classes)`, from `probabilities`.

        Returns:
            `(n, classes)` bool.

        Raises:
            InvalidInput: another number of classes than thresholds.
        """
        if self.thresholds is None:
            return probabilities >= DEFAULT_THRESHOLD
        self.check_classes(probabilities.shape[-1])
        return probabilities >= torch.tensor(self.thresholds, dtype=probabilities.dtype, device=probabilities.device)

    def save(self, folder: str | Path) -> None:
        """Write `decision.json` into the folder of a saved network, completely or not at all.

        Args:
            folder: the folder.

        Raises:
            OSError: the file cannot be written.
        """
        write_json(Path(folder) / FILE, asdict(self))

    @classmethod
    def load(cls, folder: str | Path) -> Self | None:
        """Read `decision.json` from the folder of a saved network.

        Args:
            folder: the folder.

        Returns:
            The decision, or None if there is no such file.

        Raises:
            InvalidInput: the file is damaged or has values that cannot be used; the message names it.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        try:
            values = read_json(path.read_bytes())
            if not isinstance(values, dict):
                raise InvalidInput(f"expected an object, found {type(values).__name__}")
            if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
                raise InvalidInput(f"unknown keys {', '.join(unknown)}")
            return cls(**values)
        except (ValueError, TypeError) as error:  # no JSON, or values that the decision refuses
            raise InvalidInput(f"{path} cannot be used: {error}. Write it anew with `astlib calibrate`") from error


def known_score(logits: Tensor, kind: NoneScore, weights: Sequence[float] | None = None) -> Tensor:
    """Compute how much a sound is like anything that the network knows.

    - "max_logit": the highest logit (Hendrycks et al., ICML 2022).
    - "max_softmax": the highest probability (Hendrycks and Gimpel, ICLR 2017).
    - "energy": log sum exp of the logits, which is minus the free energy (Liu et al., NeurIPS 2020).
    - "background": a weighted sum of the logits; the weights were learned from sounds that belong to no class
      (`astlib.calibrate.fit_background`). The other three need no such sounds but to choose the threshold.

    Args:
        logits: `(n, classes)`.
        kind: one of the above.
        weights: `(classes,)` for "background".

    Returns:
        `(n,)`; the higher, the more it is like one of the classes.

    Raises:
        InvalidInput: another kind, or "background" without weights.
    """
    if kind == "max_logit":
        return logits.amax(dim=-1)
    if kind == "max_softmax":
        return logits.softmax(dim=-1).amax(dim=-1)
    if kind == "energy":
        return logits.logsumexp(dim=-1)
    if kind == "background" and weights is not None:
        return logits @ torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)
    raise InvalidInput(f"there is no score {kind!r}, or it lacks its weights")
