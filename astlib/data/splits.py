"""What a clip is for: training, choosing a model, or testing; and the names that people give to these parts.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import re
from typing import Literal

Part = Literal["train", "validation", "test"]  # what one clip is for
NAMES: dict[Part, str] = {
    "train": "train(ing)?",
    "test": "test(ing)?|eval(uation)?",
    "validation": "val(id|idation)?|dev",
}


def part_named(name: str) -> Part | None:
    """Find the part that a name means.

    Args:
        name: such as "Training" or "dev".

    Returns:
        The part, or None.
    """
    return next((part for part, names in NAMES.items() if re.fullmatch(names, name.strip().lower())), None)
