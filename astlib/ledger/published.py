"""What stood before our runs: the numbers that others published, the original's logs, and the protocol.

Chapter: notebooks/09_esc50.ipynb
"""

import json
from typing import Any, NotRequired, TypedDict, cast

from .. import paths
from ..errors import InvalidInput
from ..typed import read_object


class Published(TypedDict):
    """One published number, a row of `results/paper.json`.

    Attributes:
        id: by which cells name it.
        table: of the paper.
        system: what was measured.
        data: on what.
        metric: "mAP" or "accuracy".
        value: in the unit.
        spread: standard deviation in the unit, None where none was published.
        unit: "mAP" (from 0 to 1) or "%".
        source: where it was printed.
        confidence: how the transcription was checked.
        patches: patch tokens of the network, where the paper gives them.
        params_millions: parameters of the network in millions, where the paper gives them.
        imagenet_top1: its accuracy on ImageNet in per cent, where the paper gives it.
        mAUC: mean area under the ROC curve, where it was published.
        d_prime: d', where it was published.
    """

    id: str
    table: str
    system: str
    data: str
    metric: str
    value: float
    spread: float | None
    unit: str
    source: str
    confidence: str
    patches: NotRequired[int]
    params_millions: NotRequired[float]
    imagenet_top1: NotRequired[float]
    mAUC: NotRequired[float]
    d_prime: NotRequired[float]


class Paper(TypedDict):
    """The file `results/paper.json`.

    Attributes:
        about: what the file holds, in words.
        rows: the numbers.
    """

    about: str
    rows: list[Published]


def paper() -> Paper:
    """Read the published numbers, `results/paper.json`.

    Returns:
        Its content; `paper()["rows"]` are the numbers.

    Raises:
        InvalidInput: the file is damaged.
    """
    path = paths.results() / "paper.json"
    content = cast(Paper, read_object(path))
    needed = {"id", "table", "system", "data", "metric", "value", "spread", "unit", "source"}
    rows: Any = content.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
        raise InvalidInput(f"{path} is damaged: its rows must have {', '.join(sorted(needed))}. Copy it again")
    return content


class Protocol(TypedDict):
    """The file `results/protocol.json`: what was decided before runs were made.

    Attributes:
        about: what the file holds, and which records were made under it.
        written: the day.
        known_before: what had been seen by then.
        settings: which cells get which folds and seeds: "what", "cells", "folds", "seeds" and "metric".
        epochs: how long the runs are.
        read_out: which number of a run counts.
        comparison: what is compared with what.
        test: by which test.
        correction: for how many comparisons.
        level: of the corrected p below which a difference is settled.
        margin: metric to the difference within which two settings count as equal, and "why".
        equivalence: by which test they are called equal.
        learning_rates: how the rates of the networks from random weights are chosen.
    """

    about: str
    written: str
    known_before: str
    settings: list[dict[str, Any]]
    epochs: str
    read_out: str
    comparison: str
    test: str
    correction: str
    level: float
    margin: dict[str, Any]
    equivalence: str
    learning_rates: str


def protocol() -> Protocol:
    """Read what was decided before runs were made, `results/protocol.json`.

    Returns:
        Its content.
    """
    content: Protocol = json.loads((paths.results() / "protocol.json").read_text(encoding="utf-8"))
    return content


def original_logs() -> dict[str, Any]:
    """Read the original's own runs epoch by epoch, `results/original_logs.json`.

    Returns:
        Its content: "runs" maps the name of a recipe to columns.
    """
    content: dict[str, Any] = json.loads((paths.results() / "original_logs.json").read_text(encoding="utf-8"))
    return content
