"""What a run starts from: a network with its initial weights, and parts of data that belong together.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import torch

from .. import networks, transfer
from ..cnn import EFFICIENTNET
from ..data.base import AudioDataset
from ..data.registry import Parts
from ..errors import InvalidInput
from ..networks import Network
from ..recipes import Recipe
from ..saved import weights_hash
from ..tagger import Tagger


class WeightsSource(TypedDict):
    """Where the initial weights of a network came from, as in a record.

    Attributes:
        source: in words: "scratch", "imagenet, NAME", or the name of a model.
        hash: sha256 of the weights, see `astlib.saved.weights_hash`; None for random weights.
        teacher: sha256 of the teacher's weights, if there is a teacher.
    """

    source: str
    hash: str | None
    teacher: NotRequired[str]


def build_model(recipe: Recipe, labels: Sequence[str]) -> tuple[Network, WeightsSource]:
    """Build the network that a recipe starts from. Random weights depend on the recipe's seed alone.

    Args:
        recipe: names the network and its initial weights.
        labels: names of the classes.

    Returns:
        The network, and where its weights come from.

    Raises:
        WeightsNotFound: ImageNet weights are asked for and missing.
        NotFound: `init` names a model that does not exist.
        InvalidInput: `init` is a network of another kind.
    """
    cfg = recipe.model_config(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.init == "scratch":
            return networks.build(cfg), {"source": "scratch", "hash": None}
        if recipe.init == "imagenet":
            name = recipe.weights or (recipe.model_size if recipe.network == "ast" else EFFICIENTNET)
            file = transfer.find_vit(name)
            state = transfer.load_vit(name)
            source = file.stem if file else transfer.VIT_NAMES.get(name, (name,))[0]
            model = transfer.from_imagenet(state, cfg, recipe.channels, recipe.position)
            return model, {"source": f"imagenet, {source}", "hash": weights_hash(state)}
        start = networks.open_model(recipe.init)
        if isinstance(start, Tagger):
            raise InvalidInput(f"{recipe.init} is a head on EfficientAT, of which only heads are trained: astlib head")
        kind = transfer.kind_of(start.cfg)
        if kind != recipe.network:
            raise InvalidInput(f"{recipe.init} is a network of the kind {kind}, the recipe asks for {recipe.network}")
        weights: WeightsSource = {"source": Path(recipe.init).name, "hash": weights_hash(start.state_dict())}
        return transfer.adapt(start, cfg, recipe.position), weights


def check_parts(recipe: Recipe, parts: Parts) -> None:
    """Check that the parts of the data belong together and fit the recipe.

    Args:
        recipe: the run.
        parts: its data.

    Raises:
        InvalidInput: they do not.
    """
    train, test, validation = parts.train, parts.test, parts.validation
    for name, part in (("test", test), ("validation", validation)):
        if part is not None and part.labels != train.labels:
            raise InvalidInput(f"train and {name} have different classes: {train.labels[:5]} and {part.labels[:5]}")
    if not all(isinstance(part, AudioDataset) for part in (test, validation or test)):
        raise InvalidInput("a stream can be trained on; for testing and validation give a data set with random access")
    if recipe.balanced and not isinstance(train, AudioDataset):
        raise InvalidInput(
            "balanced sampling draws any clip at any time, and a stream gives them in its own order: "
            "use a local copy, or balanced=False"
        )
    if recipe.windows and not isinstance(train, AudioDataset):
        raise InvalidInput("a stream gives the beginning of its clips only: use a local copy, or windows=False")
    if recipe.selection == "validation" and validation is None:
        raise InvalidInput('selection="validation" needs a validation part, and there is none')
    if recipe.loss == "ce" and train.multi_label:
        raise InvalidInput(
            f'{train.name} has clips with several labels: cross-entropy wants one. Use loss="bce", or in a shell '
            "--set loss=bce"
        )
