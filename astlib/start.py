"""What a run starts from: a network with its first weights, and parts of data that belong together.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from pathlib import Path

import torch

from . import cnn, convert, provenance, transfer
from .cnn import Network
from .data import AudioDataset
from .recipes import Recipe


def build_model(recipe: Recipe, labels: list[str]) -> tuple[Network, dict]:
    """The network a recipe starts from, and where its weights came from: `{"source", "hash"}`.

    New weights depend on the recipe's seed alone. Raises WeightsNotFound if ImageNet weights are asked for and absent,
    ValueError if `init` is a saved network of another kind.
    """
    cfg = recipe.model_config(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.init == "scratch":
            return cnn.build(cfg), {"source": "scratch", "hash": None}
        if recipe.init == "imagenet":
            name = recipe.weights or (recipe.model_size if recipe.network == "ast" else cnn.EFFICIENTNET)
            found = transfer.find_vit(name)
            state = transfer.load_vit(name)
            if recipe.network == "ast":
                model = transfer.from_vit(state, cfg, channels=recipe.channels, position=recipe.position)
            else:
                model = cnn.from_efficientnet(state, cfg, channels=recipe.channels)
            source = found.stem if found else transfer.VIT_NAMES.get(name, (name,))[0]
            return model, {"source": f"imagenet, {source}", "hash": provenance.weights_hash(state)}
        start = convert.open_model(recipe.init)
        weights = {"source": Path(recipe.init).name, "hash": provenance.weights_hash(start.state_dict())}
        kind = getattr(start.cfg, "network", "ast")
        if kind != recipe.network:
            raise ValueError(f"{recipe.init} is a network of the kind {kind}, the recipe asks for {recipe.network}")
        if recipe.network != "ast":
            return cnn.adapt(start, cfg), weights
        return transfer.adapt(start, cfg, position=recipe.position), weights


def check_parts(recipe: Recipe, parts: dict[str, AudioDataset]) -> None:
    """Raises ValueError if the parts do not belong together or cannot do what the recipe asks."""
    train, test = parts["train"], parts["test"]
    for name, part in parts.items():
        if part.labels != train.labels:
            raise ValueError(f"train and {name} have different classes: {train.labels[:5]} and {part.labels[:5]}")
    if not all(isinstance(part, AudioDataset) for part in (test, parts.get("validation", test))):
        raise ValueError("a stream can be trained on; for testing and validation give a data set with random access")
    if recipe.balanced and not isinstance(train, AudioDataset):
        raise ValueError(
            "balanced sampling draws any clip at any time, and a stream gives them in its own order: "
            "use a local copy, or balanced=False"
        )
    if recipe.selection == "validation" and "validation" not in parts:
        raise ValueError('selection="validation" needs a validation part, and there is none')
    if recipe.loss == "ce" and train.multi_label:
        raise ValueError(f'{train.name} has clips with several labels: cross-entropy wants one. Use loss="bce"')
