"""The numbers that others published: those of the paper, and the original's own logs.

Chapter: notebooks/09_esc50.ipynb
"""

import json
from typing import Any, NotRequired, TypedDict

from .. import paths


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
    """
    content: Paper = json.loads((paths.results() / "paper.json").read_text(encoding="utf-8"))
    return content


def original_logs() -> dict[str, Any]:
    """Read the original's own runs epoch by epoch, `results/original_logs.json`.

    Returns:
        Its content: "runs" maps the name of a recipe to columns.
    """
    content: dict[str, Any] = json.loads((paths.results() / "original_logs.json").read_text(encoding="utf-8"))
    return content
