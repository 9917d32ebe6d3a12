"""Training recipes as data: every number that decides a run is a field of one frozen dataclass.

The paper's recipes follow what produced the published numbers: the released scripts and logs of the original
(github.com/YuanGongND/ast, commit 31088be). Where paper, script and log disagree, `astlib.sources` says which one was
followed, and the others are recipes of their own, such as "speech-commands-script".

Chapter: notebooks/07_the_training_loop.ipynb
"""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypedDict

from .cnn import CNNConfig
from .errors import InvalidInput
from .frontend import Fill
from .model import ASTConfig
from .transfer import Channels, Position
from .typed import check_ranges, check_types, shown

NetworkKind = Literal["ast", "cnn-mlp", "psla"]
Loss = Literal["ce", "bce"]
Metric = Literal["accuracy", "mAP"]
Selection = Literal["last", "validation", "average", "paper"]
TEACHERS = ("", "efficientat-mn04")

LONGEST = 100_000  # epochs, frames and mel bins: beyond every run there will be, so that a slip of the pen is noticed
# Field -> lowest and highest value. Nothing here restricts a run that makes sense: beyond these values a run never
# ends, takes all memory, or computes infinities.
RANGES: dict[str, tuple[float, float]] = {
    "fold": (1, 1000),
    "folds": (2, 1000),
    "batch": (1, 1_000_000),
    "epochs": (1, LONGEST),
    "decay_from": (1, LONGEST),
    "decay_every": (1, LONGEST),
    "decay_until": (0, LONGEST),
    "decay": (0, 1),
    "weight_decay": (0, 1000),
    "warmup_steps": (0, 1_000_000_000),
    "warmup_every": (1, 1_000_000_000),
    "mixup": (0, 1),
    "freqm": (0, LONGEST),
    "timem": (0, LONGEST),
    "noise": (0, 1000),
    "roll": (0, LONGEST),
    "seed": (0, 2**63 - 1),  # what a generator of torch takes
    "keep": (0, 1),
    "mixtures": (0, 10_000_000),
    "teacher_classes": (0, 1_000_000),
    "teacher_features": (0, 1_000_000),
}
HIGHEST_RATE = 1e38  # of learning, what a float32 holds; a run that diverges says so by itself
NAME = re.compile(r"\w[\w.+-]{0,99}")  # of a recipe: the files of its runs are named after it


@dataclass(frozen=True)
class Recipe:
    """Everything that decides one training run. Every value is checked when a recipe is made.

    Raises:
        InvalidInput: a value of the wrong type, out of range, or that contradicts another.
    """

    name: str
    """Name of the recipe; variants keep the name of the recipe that they were made from."""
    dataset: str = "esc50"
    """Which data: a name of `astlib.data.DATASETS`."""
    fold: int = 1
    """The fold that is held out for testing."""
    folds: int = 5
    """Into how many folds the clips of a folder are dealt, where nothing else divides them."""
    group: str = ""
    """Which clips of a folder belong together and stay in one fold: a column of its CSV, or a regular expression with
    one group, applied to the path of each file; "" for neither, see `astlib.data.Folder`."""
    network: NetworkKind = "ast"
    """"ast", or one of the CNNs of `astlib.cnn`: "cnn-mlp" or "psla"."""
    model_size: str = "base384"
    """Size of an AST, see `astlib.ASTConfig`."""
    fstride: int = 10
    """Hop of an AST's patches in mel bins; 16 means no overlap."""
    tstride: int = 10
    """Hop of an AST's patches in frames."""
    input_fdim: int = 128
    """Height of the spectrogram in mel bins."""
    input_tdim: int = 512
    """Length of the spectrogram in frames of 10 ms: clips are padded or cut to it."""
    windows: bool = False
    """True: of a clip that is longer than `input_tdim`, training hears a window drawn anew in each epoch, and tests
    average over windows as `astlib.predict` does; False: its beginning alone, as in the original."""
    prefix_tokens: int = 2
    """Class tokens of an AST: 2 (class and distillation token) or 1."""
    patch: tuple[int, int] = (16, 16)
    """Height and width of an AST's patches, in mel bins and frames."""
    mean: float = -6.6268077
    """Mean of the log-mel values (natural log) that the input is normalised with."""
    std: float = 5.358466
    """Their standard deviation; the input is (mel - mean) / (2 * std)."""
    fill: Fill = "zero"
    """Value of padding and masks: "zero" (in the log-mel, as in the original), "silence" or "mean"."""
    init: str = "imagenet"
    """First weights: "imagenet", "scratch", or a network of the same kind: the folder or name of a saved one, a
    checkpoint of the original (.pth), a Hugging Face folder or hub name."""
    weights: str = ""
    """Of ImageNet: a file or a timm name; "" takes one that fits."""
    channels: Channels = "sum"
    """How three colour channels become one, see `astlib.transfer.to_one_channel`."""
    position: Position = "bilinear"
    """How the position embedding is adapted, see `astlib.transfer.adapt_position_embedding`."""
    lr: float = 1e-4
    """Adam's learning rate before any decay."""
    betas: tuple[float, float] = (0.95, 0.999)
    """Adam's decay rates of the two running means."""
    weight_decay: float = 5e-7
    """Added to the gradient (L2), as in the original; not decoupled."""
    batch: int = 48
    """Clips per optimiser step, over all devices together."""
    epochs: int = 25
    """Passes over the training clips."""
    warmup_steps: int = 0
    """Length of the linear warm-up in optimiser steps, 0 for none."""
    warmup_every: int = 1
    """During warm-up the rate is updated only every this many steps, as in the original."""
    decay_from: int = 6
    """First epoch, counted from 1, at which the learning rate is multiplied by `decay`."""
    decay_every: int = 1
    """From then on, it is multiplied every this many epochs."""
    decay_until: int = 0
    """Last epoch at which it is multiplied; 0 for no end."""
    decay: float = 0.85
    """Factor of each decay."""
    loss: Loss = "ce"
    """"ce" (one class per clip) or "bce" (several may be present)."""
    balanced: bool = False
    """True draws clips of rare classes more often, with replacement, see `astlib.train.sampling.balanced_weights`."""
    mixup: float = 0.0
    """Fraction of the clips that are mixed with another one."""
    freqm: int = 24
    """SpecAugment: the widths of the masks stay below this many mel bins; 0 for none."""
    timem: int = 96
    """SpecAugment: the widths of the masks stay below this many frames; 0 for none."""
    noise: float = 0.0
    """Largest amplitude of the noise added to the normalised input, see `astlib.train.augment.noise_and_roll`."""
    roll: int = 0
    """Largest shift in time, in frames, when noise is added."""
    keep: float = 1.0
    """Fraction of an AST's patches that a step of training sees, drawn anew for every clip; tests see all of them."""
    teacher: str = ""
    """A network that hears the training clips, and whose answers the network learns beside the labels:
    "efficientat-mn04", see `astlib.train.distillation`; "" for none."""
    mixtures: int = 0
    """Mixtures of two training clips that are made of every training fold and trained on like clips."""
    teacher_classes: float = 0.0
    """Weight in the loss of the teacher's probabilities of the classes; the labels have weight 1."""
    teacher_features: float = 0.0
    """Weight in the loss of the direction of the teacher's features."""
    average: tuple[int, int] = (0, 0)
    """First and last epoch of the weight average, (0, 0) for none."""
    metric: Metric = "accuracy"
    """What is reported."""
    selection: Selection = "last"
    """Which weights count: those of the "last" epoch; of the epoch that is best on held-out "validation" clips; the
    "average" over epochs; or "paper", the epoch that is best on the test part itself, which flatters."""
    seed: int = 0
    """Of the new weights, the order of the clips and every augmentation."""

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, RANGES)
        if not NAME.fullmatch(self.name):
            raise InvalidInput(
                f"the name of a recipe has letters, digits, '.', '+', '-' and '_', and no more than 100 of them; found "
                f"{shown(self.name)}"
            )
        if not 0 < self.lr < HIGHEST_RATE:
            raise InvalidInput(f"lr must be above 0 and below {HIGHEST_RATE:g}; found {self.lr:g}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InvalidInput(f"betas must be 0 or more and below 1; found {self.betas}")
        first, last = self.average
        if self.average != (0, 0) and not 1 <= first <= last <= self.epochs:
            raise InvalidInput(
                f"average must be two of the epochs 1 to {self.epochs}, in order; found {first} and {last}"
            )
        if self.selection == "average" and self.average == (0, 0):
            raise InvalidInput('selection="average" needs a range of epochs, average=(first, last); found (0, 0)')
        self._check_teacher()
        if self.network == "cnn-mlp" and self.init == "imagenet":
            raise InvalidInput('there are no ImageNet weights for cnn-mlp: it needs init="scratch"; found "imagenet"')
        self.model_config(["any"])  # refuses a grid without a token before any data is loaded

    def _check_teacher(self) -> None:
        if self.keep == 0:
            raise InvalidInput("keep must be above 0; found 0")
        if self.network != "ast" and (self.keep < 1 or self.teacher):
            raise InvalidInput(f"keep and teacher are for an AST; the network is {self.network}")
        if self.teacher not in TEACHERS:
            raise InvalidInput(f"teacher must be one of {', '.join(map(repr, TEACHERS))}; found {shown(self.teacher)}")
        if not self.teacher and (self.mixtures or self.teacher_classes or self.teacher_features):
            raise InvalidInput(f"mixtures, teacher_classes and teacher_features need a teacher, {TEACHERS[1]!r}")
        if self.teacher and (self.mixup or self.loss != "ce" or self.windows or self.balanced):
            raise InvalidInput(
                "a teacher hears every clip once and whole, and names one class of many: it needs mixup=0, loss='ce', "
                f"windows=False and balanced=False; found mixup={self.mixup}, loss={self.loss!r}, "
                f"windows={self.windows} and balanced={self.balanced}"
            )

    def replace(self, **changes: Any) -> "Recipe":
        """Return a copy with other values.

        Args:
            changes: fields by name.

        Returns:
            The new recipe.

        Raises:
            InvalidInput: no recipe has such a field, or the values make no recipe.
        """
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            known = ", ".join(field.name for field in fields(self))
            raise InvalidInput(f"a recipe has no {', '.join(unknown)}. It has: {known}")
        return replace(self, **changes)

    def parameters(self) -> dict[str, Any]:
        """Return the values as a record has them: pairs are lists, and younger fields are there only if they are used.

        Returns:
            Field to value, as read from JSON.
        """
        unused = {name for name in YOUNGER if getattr(self, name) == RECIPE_DEFAULTS[name]}
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in values.items() if name not in unused}

    def learning_rate(self, epoch: int, step: int = 10**9) -> float:
        """Return the learning rate of one step.

        Args:
            epoch: from 1.
            step: from 0, counted over the whole run; left out, it is one after the warm-up.

        Returns:
            The learning rate.
        """
        counted = min(epoch, self.decay_until or epoch)
        decays = 0 if counted < self.decay_from else (counted - self.decay_from) // self.decay_every + 1
        climbed = step // self.warmup_every * self.warmup_every  # the original looks every 50 steps only
        warmup = min(1.0, climbed / self.warmup_steps) if self.warmup_steps else 1.0
        return self.lr * self.decay**decays * warmup

    def model_config(self, labels: Sequence[str]) -> ASTConfig | CNNConfig:
        """Return the configuration of the network for data with these classes.

        Args:
            labels: names of the classes, in the order of the logits.

        Returns:
            An `ASTConfig`, or a `CNNConfig` if `network` names one of the CNNs.

        Raises:
            InvalidInput: values that make no network, such as strides that leave no patch.
        """
        shared = _Shared(
            label_dim=len(labels),
            input_fdim=self.input_fdim,
            input_tdim=self.input_tdim,
            mean=self.mean,
            std=self.std,
            fill=self.fill,
            multi_label=self.loss == "bce",
            labels=tuple(labels),
        )
        if self.network != "ast":
            return CNNConfig(network=self.network, **shared)
        return ASTConfig(
            fstride=self.fstride,
            tstride=self.tstride,
            model_size=self.model_size,
            prefix_tokens=self.prefix_tokens,
            patch=self.patch,
            **shared,
        )


class _Shared(TypedDict):
    """The fields of `astlib.saved.NetworkConfig`, as keyword arguments."""

    label_dim: int
    input_fdim: int
    input_tdim: int
    mean: float
    std: float
    fill: Fill
    multi_label: bool
    labels: tuple[str, ...]


# Fields that are younger than the first records. A record has them only where they differ from their default, so that
# the same run has the same id as ever.
YOUNGER = ("windows", "folds", "group", "keep", "teacher", "mixtures", "teacher_classes", "teacher_features")
RECIPE_DEFAULTS = {field.name: field.default for field in fields(Recipe)}

# --- the paper's ---------------------------------------------------------------------------------------

# AST-S: ImageNet weights only, which the paper reports at 88.7 %.
ESC50 = Recipe(name="esc50")

# AST-P: starts from the released AudioSet model, 95.6 %.
ESC50_P = ESC50.replace(name="esc50-p", init="MIT/ast-finetuned-audioset-10-10-0.4593", lr=1e-5)

AUDIOSET = Recipe(
    name="audioset",
    dataset="audioset",
    input_tdim=1024,
    mean=-4.2677393,
    std=4.5689974,
    lr=1e-5,
    batch=12,
    epochs=5,
    warmup_steps=1000,
    warmup_every=50,
    decay_from=3,
    decay=0.5,
    loss="bce",
    balanced=True,
    mixup=0.5,
    freqm=48,
    timem=192,
    average=(1, 5),
    metric="mAP",
    selection="average",
)

AUDIOSET_BALANCED = AUDIOSET.replace(
    name="audioset-balanced",
    dataset="audioset-balanced",
    lr=5e-5,
    epochs=25,
    decay_from=11,
    decay_every=5,
    balanced=False,
    average=(6, 25),
)

SPEECH_COMMANDS = Recipe(
    name="speech-commands",
    dataset="speech-commands",
    input_tdim=128,
    mean=-6.845978,
    std=5.5654526,
    lr=2.5e-4,
    batch=128,
    epochs=30,
    decay_until=26,
    loss="bce",
    mixup=0.5,
    freqm=48,
    timem=48,
    noise=0.1,
    roll=10,
    selection="validation",
)

# --- what the paper or the script says where the recipe above follows another source ----------------------

VARIANTS = {
    "esc50-paper-text": ESC50.replace(name="esc50-paper-text", epochs=20),
    "esc50-p-paper-text": ESC50_P.replace(name="esc50-p-paper-text", epochs=20),
    # For measuring speed only: the AudioSet recipe on clips that everybody can get.
    "audioset-speed": AUDIOSET.replace(name="audioset-speed", dataset="esc50-mixture", epochs=1, average=(1, 1)),
    "audioset-last-epoch": AUDIOSET.replace(name="audioset-last-epoch", average=(0, 0), selection="last"),
    "speech-commands-paper-text": SPEECH_COMMANDS.replace(name="speech-commands-paper-text", epochs=20),
    "speech-commands-script": SPEECH_COMMANDS.replace(name="speech-commands-script", mixup=0.6, decay_until=0),
}

# --- CNNs for comparison -----------------------------------------------------------------------------------

# PSLA's training recipes (github.com/YuanGongND/psla), but without its enhanced labels for the balanced part, and not
# with its network: timm's EfficientNet-B2 has no stochastic depth (PSLA: 0.2), a momentum of batch norm of 0.1 (0.01),
# another epsilon and padding, and other ImageNet weights. So these are not runs of PSLA as published.
AUDIOSET_PSLA = AUDIOSET.replace(
    name="audioset-psla",
    network="psla",
    input_tdim=1056,
    mean=-4.6476,
    std=4.5699 / 2,
    lr=1e-4,
    batch=100,
    epochs=30,
    decay_from=11,
    decay_every=5,
    average=(16, 30),
)
AUDIOSET_PSLA_BALANCED = AUDIOSET_PSLA.replace(
    name="audioset-psla-balanced",
    dataset="audioset-balanced",
    lr=1e-3,
    epochs=60,
    decay_from=36,
    balanced=False,
    average=(41, 60),
)
VARIANTS |= {recipe.name: recipe for recipe in (AUDIOSET_PSLA, AUDIOSET_PSLA_BALANCED)}

# --- the same tasks for 2 CPU cores ----------------------------------------------------------------------

# ViT-Tiny, no overlap, a larger learning rate, which suits small networks, and fewer epochs.
TINY_VALUES: dict[str, Any] = {
    "model_size": "tiny224",
    "fstride": 16,
    "tstride": 16,
    "lr": 3e-4,
    "batch": 32,
    "decay_from": 5,
}
ESC50_TINY = ESC50.replace(name="esc50-tiny", **TINY_VALUES, epochs=10)
ESC50_ABLATION = ESC50_TINY.replace(name="esc50-ablation", fstride=10, tstride=10)  # the paper's overlap; wants a GPU
SC_TINY = SPEECH_COMMANDS.replace(name="speech-commands-tiny", **TINY_VALUES, decay_until=0, epochs=6, selection="last")
# Learning from a teacher that has heard AudioSet (chapter 18). The mixtures make an epoch nearly five times as long;
# without three quarters of its patches a clip costs about a quarter, so that an epoch costs what one of "esc50-tiny"
# does. No SpecAugment: teacher and student hear the same sound.
ESC50_TAUGHT = ESC50_TINY.replace(
    name="esc50-taught",
    teacher="efficientat-mn04",
    mixtures=1500,
    teacher_classes=2.0,
    teacher_features=2.0,
    keep=0.25,
    freqm=0,
    timem=0,
    warmup_steps=50,
    epochs=6,
    decay_from=3,
    decay=0.5,
)
# The same with more than three times as many steps, because a student gains from its teacher for long (Beyer et al.
# 2022, figure 1), and with twice as many mixtures, so that they are not heard too often.
ESC50_TAUGHT_LONG = ESC50_TAUGHT.replace(name="esc50-taught-long", mixtures=3000, epochs=12, decay_from=7)
# The CNNs on the same clips, in the same order, with the same masks, also for ten epochs; their own learning rates.
ESC50_CNN_MLP = ESC50_TINY.replace(name="esc50-cnn-mlp", network="cnn-mlp", init="scratch", lr=1e-3)
ESC50_PSLA = ESC50_TINY.replace(name="esc50-psla", network="psla", lr=5e-4)
# A small version of AudioSet's task: two or three clips of ESC-50 mixed into one, and some classes rare.
MIXTURE_TINY = ESC50.replace(
    name="esc50-mixture-tiny",
    dataset="esc50-mixture",
    **TINY_VALUES,
    epochs=6,
    warmup_steps=50,
    loss="bce",
    balanced=True,
    mixup=0.5,
    average=(3, 6),
    metric="mAP",
    selection="average",
)
# The embedded synthetic set, for which nothing needs to be downloaded. Mean and std are those of its own log-mel
# values, padded to 512 frames; tests/test_recipes.py measures them again.
SYNTHETIC = ESC50_TINY.replace(name="synthetic", dataset="synthetic", epochs=3, mean=-5.047, std=3.769)
# A folder of the user's own sounds. Starts from the embedded encoder, which a teacher that has heard AudioSet taught.
# `astlib.own_sounds.plan` sets length, masks, epochs and loss by the clips.
OWN_SOUNDS = ESC50_TINY.replace(
    name="own-sounds", dataset="folder", windows=True, init="ast-tiny-audioset", lr=1e-4, batch=16
)

PAPER = {recipe.name: recipe for recipe in (AUDIOSET, AUDIOSET_BALANCED, ESC50, ESC50_P, SPEECH_COMMANDS)}
RECIPES = {
    **PAPER,
    **VARIANTS,
    **{
        recipe.name: recipe
        for recipe in (
            ESC50_TINY,
            ESC50_ABLATION,
            ESC50_TAUGHT,
            ESC50_TAUGHT_LONG,
            ESC50_CNN_MLP,
            ESC50_PSLA,
            SC_TINY,
            MIXTURE_TINY,
            SYNTHETIC,
            OWN_SOUNDS,
        )
    },
}


def recipe(name: str) -> Recipe:
    """Look up a recipe.

    Args:
        name: a key of `RECIPES`.

    Returns:
        The recipe.

    Raises:
        InvalidInput: there is no such recipe; the message has similar names, or all of them.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Recipes: {', '.join(RECIPES)}"
        raise InvalidInput(f"no recipe {name!r}. {hint}")
    return RECIPES[name]
