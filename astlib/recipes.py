"""Training recipes as data: every number that decides a run stands in one frozen dataclass.

The paper's recipes follow what produced the published numbers: the released scripts and logs of the original
(github.com/YuanGongND/ast, commit 31088be). Where paper, script and log disagree, `SOURCES` says which one counts, and
the others are recipes of their own, such as "speech-commands-script".

Chapter: notebooks/07_the_training_loop.ipynb
"""

import difflib
from dataclasses import dataclass, fields, replace

from .cnn import NETWORKS, CNNConfig
from .frontend import FILLS
from .model import ASTConfig
from .transfer import CHANNELS, POSITIONS

CHOICES = {
    "network": ("ast", *NETWORKS),
    "loss": ("ce", "bce"),
    "metric": ("accuracy", "mAP"),
    "selection": ("last", "validation", "average", "paper"),
    "channels": CHANNELS,
    "position": POSITIONS,
    "fill": FILLS,
}
LEAST = {"fold": 1, "batch": 1, "epochs": 1, "decay_from": 1, "decay_every": 1, "decay_until": 0, "decay": 0,
         "weight_decay": 0, "warmup_steps": 0, "warmup_every": 1, "mixup": 0, "freqm": 0, "timem": 0, "noise": 0,
         "roll": 0, "seed": 0}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """One training run, complete but for the place where its files go.

    dataset, fold: which data (a name of `astlib.data.DATASETS`), and which fold is held out for testing.
    network: "ast", or one of the CNNs of `astlib.cnn`: "cnn-mlp" or "psla".
    model_size, fstride, tstride, input_fdim, input_tdim, prefix_tokens, patch: see `astlib.ASTConfig`. Of a CNN only
        the two of the input count.
    mean, std: of the log-mel values (natural log) used for normalisation.
    fill: value of padding and masks: "zero" (in the log-mel, as in the original), "silence" or "mean".
    init: "imagenet" (`weights`: a file or timm name; "" finds one that fits), "scratch", or a network of the same kind:
        a saved one's folder or name, a checkpoint of the original (.pth), a Hugging Face folder or hub name.
    channels, position: how the weights are turned into an AST's, see `astlib.transfer.from_vit`.
    lr, betas, weight_decay: of Adam; weight decay is added to the gradient (L2), as in the original.
    batch: clips a step over all devices together; epochs: passes over the training clips.
    warmup_steps, warmup_every: the learning rate climbs from 0 over so many steps, and changes every so many; 0: none.
    decay_from, decay_every, decay_until, decay: at epoch `decay_from` (counted from 1) and every `decay_every` epochs
        after it, the learning rate is multiplied by `decay`, for the last time at epoch `decay_until` (0: no end).
    loss: "ce" (one class a clip) or "bce" (several may be present).
    balanced: True draws clips of rare classes more often (`astlib.sampling.balanced_weights`), with replacement.
    mixup: share of clips that are mixed with another; freqm, timem: what the widths of SpecAugment's masks stay below,
        in mel bins and frames; noise, roll: largest amplitude of added noise and turn in frames, see
        `astlib.augment.noise_and_roll`.
    average: first and last epoch of the weight average, (0, 0) for none.
    metric: what is reported, "accuracy" or "mAP".
    selection: which weights count: of the "last" epoch; of the one that is best on held-out "validation" clips; the
        "average" over epochs; or "paper", the epoch that is best on the test part itself, which flatters.
    seed: of the new weights, the order of clips and every augmentation.
    """

    name: str
    dataset: str = "esc50"
    fold: int = 1
    network: str = "ast"
    model_size: str = "base384"
    fstride: int = 10
    tstride: int = 10
    input_fdim: int = 128
    input_tdim: int = 512
    prefix_tokens: int = 2
    patch: tuple[int, int] = (16, 16)
    mean: float = -6.6268077
    std: float = 5.358466
    fill: str = "zero"
    init: str = "imagenet"
    weights: str = ""
    channels: str = "sum"
    position: str = "bilinear"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.95, 0.999)
    weight_decay: float = 5e-7
    batch: int = 48
    epochs: int = 25
    warmup_steps: int = 0
    warmup_every: int = 1
    decay_from: int = 6
    decay_every: int = 1
    decay_until: int = 0
    decay: float = 0.85
    loss: str = "ce"
    balanced: bool = False
    mixup: float = 0.0
    freqm: int = 24
    timem: int = 96
    noise: float = 0.0
    roll: int = 0
    average: tuple[int, int] = (0, 0)
    metric: str = "accuracy"
    selection: str = "last"
    seed: int = 0

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, _typed(field, getattr(self, field.name)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; found {getattr(self, name)!r}")
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more; found {getattr(self, name)}")
        if not (self.lr > 0 and self.std > 0 and self.mixup <= 1):
            found = f"{self.lr}, {self.std} and {self.mixup}"
            raise ValueError(f"lr and std must be above 0 and mixup at most 1; found {found}")
        first, last = self.average
        if self.average != (0, 0) and not 1 <= first <= last <= self.epochs:
            raise ValueError(f"average wants two of the epochs 1 to {self.epochs}, in order; found {first} and {last}")
        if self.selection == "average" and self.average == (0, 0):
            raise ValueError('selection="average" needs a range of epochs, average=(first, last); found (0, 0)')
        if self.network == "cnn-mlp" and self.init == "imagenet":
            raise ValueError('nobody trained cnn-mlp on ImageNet: it needs init="scratch"; found "imagenet"')
        self.model_config(["any"])  # a grid that gives no token is refused here, not after the data is loaded

    def replace(self, **changes) -> "Recipe":
        """A copy with other values. Raises ValueError for a name that no recipe has."""
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            known = ", ".join(field.name for field in fields(self))
            raise ValueError(f"a recipe has no {', '.join(unknown)}. It has: {known}")
        return replace(self, **changes)

    def learning_rate(self, epoch: int, step: int = 10**9) -> float:
        """The learning rate in an epoch (from 1) at a step (from 0, counted over the whole run)."""
        counted = min(epoch, self.decay_until or epoch)
        decays = 0 if counted < self.decay_from else (counted - self.decay_from) // self.decay_every + 1
        climbed = step // self.warmup_every * self.warmup_every  # the original looks every 50 steps only
        warmup = min(1.0, climbed / self.warmup_steps) if self.warmup_steps else 1.0
        return self.lr * self.decay**decays * warmup

    def model_config(self, labels: list[str]) -> ASTConfig | CNNConfig:
        """What defines the network, for data with these classes."""
        both = dict(
            label_dim=len(labels), input_fdim=self.input_fdim, input_tdim=self.input_tdim, mean=self.mean, std=self.std,
            fill=self.fill, multi_label=self.loss == "bce", labels=tuple(labels),
        )  # fmt: skip
        if self.network != "ast":
            return CNNConfig(network=self.network, **both)
        return ASTConfig(
            fstride=self.fstride, tstride=self.tstride, model_size=self.model_size, prefix_tokens=self.prefix_tokens,
            patch=self.patch, **both,
        )  # fmt: skip


def _typed(field, value):
    """The value in the type that the field declares: JSON gives lists for pairs, people write 1 for 1.0."""
    kind = getattr(field.type, "__origin__", field.type)
    if kind is tuple and isinstance(value, list | tuple) and len(value) == 2:
        value = tuple(value)
    elif kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        wanted = {int: "a whole number", float: "a number", str: "a word", tuple: "a pair", bool: "True or False"}[kind]
        raise ValueError(f"{field.name} must be {wanted}; found {value!r}")
    return value


# --- the paper's ---------------------------------------------------------------------------------------

# AST-S: ImageNet weights only, which the paper reports at 88.7 %.
ESC50 = Recipe(name="esc50")

# AST-P: starts from the released AudioSet model, 95.6 %.
ESC50_P = ESC50.replace(name="esc50-p", init="MIT/ast-finetuned-audioset-10-10-0.4593", lr=1e-5)

AUDIOSET = Recipe(
    name="audioset", dataset="audioset", input_tdim=1024, mean=-4.2677393, std=4.5689974, lr=1e-5, batch=12, epochs=5,
    warmup_steps=1000, warmup_every=50, decay_from=3, decay=0.5, loss="bce", balanced=True, mixup=0.5, freqm=48,
    timem=192, average=(1, 5), metric="mAP", selection="average",
)  # fmt: skip

AUDIOSET_BALANCED = AUDIOSET.replace(
    name="audioset-balanced", dataset="audioset-balanced", lr=5e-5, epochs=25, decay_from=11, decay_every=5,
    balanced=False, average=(6, 25),
)  # fmt: skip

SPEECH_COMMANDS = Recipe(
    name="speech-commands", dataset="speech-commands", input_tdim=128, mean=-6.845978, std=5.5654526, lr=2.5e-4,
    batch=128, epochs=30, decay_until=26, loss="bce", mixup=0.5, freqm=48, timem=48, noise=0.1, roll=10,
    selection="validation",
)  # fmt: skip

# --- what paper or script say where the recipe above follows another -------------------------------------
VARIANTS = {
    "esc50-paper-text": ESC50.replace(name="esc50-paper-text", epochs=20),
    "esc50-p-paper-text": ESC50_P.replace(name="esc50-p-paper-text", epochs=20),
    # No result, a measurement: how fast a card does the AudioSet recipe, on sounds that everybody can get.
    "audioset-speed": AUDIOSET.replace(name="audioset-speed", dataset="esc50-mixture", epochs=1, average=(1, 1)),
    "audioset-last-epoch": AUDIOSET.replace(name="audioset-last-epoch", average=(0, 0), selection="last"),
    "speech-commands-paper-text": SPEECH_COMMANDS.replace(name="speech-commands-paper-text", epochs=20),
    "speech-commands-script": SPEECH_COMMANDS.replace(name="speech-commands-script", mixup=0.6, decay_until=0),
}

# --- CNNs beside it --------------------------------------------------------------------------------------

# PSLA's own recipe (github.com/YuanGongND/psla), but for its enhanced labels of the balanced part.
AUDIOSET_PSLA = AUDIOSET.replace(
    name="audioset-psla", network="psla", input_tdim=1056, mean=-4.6476, std=4.5699 / 2, lr=1e-4, batch=100, epochs=30,
    decay_from=11, decay_every=5, average=(16, 30),
)  # fmt: skip
AUDIOSET_PSLA_BALANCED = AUDIOSET_PSLA.replace(
    name="audioset-psla-balanced", dataset="audioset-balanced", lr=1e-3, epochs=60, decay_from=36, balanced=False,
    average=(41, 60),
)  # fmt: skip
VARIANTS |= {recipe.name: recipe for recipe in (AUDIOSET_PSLA, AUDIOSET_PSLA_BALANCED)}

# --- the same tasks for 2 CPU cores ----------------------------------------------------------------------

# ViT-Tiny, no overlap, a larger learning rate as small networks like it, fewer epochs.
TINY = dict(model_size="tiny224", fstride=16, tstride=16, lr=3e-4, batch=32, decay_from=5)
ESC50_TINY = ESC50.replace(name="esc50-tiny", **TINY, epochs=10)
ESC50_ABLATION = ESC50_TINY.replace(name="esc50-ablation", fstride=10, tstride=10)  # the paper's overlap; wants a GPU
SC_TINY = SPEECH_COMMANDS.replace(name="speech-commands-tiny", **TINY, decay_until=0, epochs=6, selection="last")
# The CNNs on the same clips, in the same order, with the same masks; ten epochs too, and the learning rates of CNNs.
ESC50_CNN_MLP = ESC50_TINY.replace(name="esc50-cnn-mlp", network="cnn-mlp", init="scratch", lr=1e-3)
ESC50_PSLA = ESC50_TINY.replace(name="esc50-psla", network="psla", lr=5e-4)
# AudioSet's task in small: two or three clips of ESC-50 on top of each other, some classes rare.
MIXTURE_TINY = ESC50.replace(
    name="esc50-mixture-tiny", dataset="esc50-mixture", **TINY, epochs=6, warmup_steps=50, loss="bce", balanced=True,
    mixup=0.5, average=(3, 6), metric="mAP", selection="average",
)  # fmt: skip
# What one can train with nothing downloaded: the embedded synthetic set, with mean and std of its own log-mel values
# (padded to 512 frames; measured again by tests/test_recipes.py).
SYNTHETIC = ESC50_TINY.replace(name="synthetic", dataset="synthetic", epochs=3, mean=-5.047, std=3.769)
# People's own sounds: from the embedded model, which has heard ESC-50 already.
OWN_SOUNDS = ESC50_TINY.replace(name="own-sounds", dataset="folder", init="ast-tiny-esc50", lr=1e-4, batch=16)

PAPER = {recipe.name: recipe for recipe in (AUDIOSET, AUDIOSET_BALANCED, ESC50, ESC50_P, SPEECH_COMMANDS)}
RECIPES = {
    **PAPER,
    **VARIANTS,
    **{recipe.name: recipe for recipe in (
        ESC50_TINY, ESC50_ABLATION, ESC50_CNN_MLP, ESC50_PSLA, SC_TINY, MIXTURE_TINY, SYNTHETIC, OWN_SOUNDS)},
}


def recipe(name: str) -> Recipe:
    """A recipe by its name. Raises ValueError with the names that are meant, or all of them."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Recipes: {', '.join(RECIPES)}"
        raise ValueError(f"no recipe {name!r}. {hint}")
    return RECIPES[name]


# --- where every value comes from ------------------------------------------------------------------------

MODEL_FILE, TRAIN_FILE, RUN_FILE = "src/models/ast_models.py", "src/traintest.py", "src/run.py"
LOADER = "src/dataloader.py"
COMMON = {  # the same in all of the paper's recipes
    "model_size": f"{RUN_FILE}:133-135",
    **dict.fromkeys(("fstride", "tstride"), "paper section 2.1: overlap of 6; all scripts: 10"),
    "input_fdim": f"paper section 2.1; {MODEL_FILE}:47",
    "prefix_tokens": f"{MODEL_FILE}:164-187. The paper's section 2.2 can be read as one averaged token",
    "patch": f"paper section 2.1; {MODEL_FILE}:84",
    "fill": f"{LOADER}:132-142 and :186-199: 0 in the log-mel, before normalisation",
    "weights": f"paper table 3: DeiT-base distilled, 384; {MODEL_FILE}:60-69",
    "channels": f"{MODEL_FILE}:86 sums. The paper's section 2.2 says averaged",
    "position": f"paper table 4; {MODEL_FILE}:91-107",
    "betas": f"{TRAIN_FILE}:53",
    "weight_decay": f"{TRAIN_FILE}:53",
    "seed": f"the original sets none ({RUN_FILE}); 0 is ours",
    "fold": "all of them, one after the other, where there are folds",
    "network": "paper section 2.1",
}
ESC_SCRIPT, AS_SCRIPT, SC_SCRIPT = (f"egs/{path}" for path in (
    "esc50/run_esc.sh:19-46", "audioset/run.sh:24-63", "speechcommands/run_sc.sh:18-42"))  # fmt: skip
_ESC = {
    **dict.fromkeys(("dataset", "input_tdim", "mean", "std", "batch", "loss", "balanced", "mixup", "freqm", "timem",
                     "noise", "roll", "average", "metric"), ESC_SCRIPT),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{ESC_SCRIPT}: no warm-up"),
    **dict.fromkeys(("decay_from", "decay_every", "decay_until", "decay"), f"{TRAIN_FILE}:83-90; released log, lr"),
    "epochs": f"{ESC_SCRIPT} and the released log: 25. The paper says 20: esc50-paper-text",
    "selection": "ours: the last epoch. The original takes the epoch that is best on the mean of the five test folds "
    '(egs/esc50/get_esc_result.py:26-40): selection="paper"',
}  # fmt: skip
_AS = {
    **dict.fromkeys(("dataset", "input_tdim", "mean", "std", "lr", "batch", "epochs", "loss", "mixup", "freqm",
                     "timem", "noise", "roll", "metric", "init"), AS_SCRIPT),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{TRAIN_FILE}:119-124"),
    **dict.fromkeys(("decay_from", "decay_every", "decay_until", "decay"), f"{AS_SCRIPT}; released log, lr"),
    "selection": "paper table 1: weights averaged. Its row without: audioset-last-epoch",
}  # fmt: skip
_SC = {
    **dict.fromkeys(("dataset", "input_tdim", "mean", "std", "lr", "batch", "loss", "balanced", "freqm", "timem",
                     "noise", "roll", "average", "metric", "init"), SC_SCRIPT),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{SC_SCRIPT}: no warm-up"),
    **dict.fromkeys(("decay_from", "decay_every", "decay"), f"{TRAIN_FILE}:83-90; released log, lr"),
    "epochs": f"{SC_SCRIPT} and the released log: 30. The paper says 20 at most: speech-commands-paper-text",
    "decay_until": "released log, lr: frozen from epoch 26. Today's script goes on: speech-commands-script",
    "mixup": "released log of the 98.12 % run: 0.5. run_sc.sh:27 says 0.6: speech-commands-script",
    "selection": f"{RUN_FILE}:146-171: best on the validation part, then the test part once",
}  # fmt: skip
_PSLA = {
    **dict.fromkeys((field.name for field in fields(Recipe)), "psla at ad3ea6f: egs/audioset/run.sh, src/traintest.py"),
    **dict.fromkeys(("model_size", "fstride", "tstride", "prefix_tokens", "patch", "position"), "of an AST only"),
    **dict.fromkeys(("fold", "seed", "weights"), "ours"),
    "fill": "psla: src/dataloaders/audioset_dataset.py: zeros before normalisation",
    "std": "half of the 4.5699 in psla: egs/audioset/run.sh, by which its loader divides once",
    "channels": "ours, as in the AST; in psla the first convolution starts from random weights",
    "average": "psla: egs/audioset/run.sh; its src/traintest.py:validate_wa counts the first epoch twice",
}
SOURCES = {
    "audioset-psla": _PSLA,
    "esc50": {**COMMON, **_ESC, "lr": ESC_SCRIPT, "init": "paper section 3.2, AST-S"},
    "esc50-p": {**COMMON, **_ESC, "lr": ESC_SCRIPT, "init": "paper section 3.2, AST-P: the released 0.4593 model"},
    "audioset": {
        **COMMON, **_AS,
        "balanced": f"{AS_SCRIPT}; {RUN_FILE}:115-122",
        "average": f"{AS_SCRIPT}; paper section 3.1: from the first epoch",
    },
    "audioset-balanced": {
        **COMMON, **_AS,
        "dataset": f"{AS_SCRIPT}: with PSLA's enhanced labels. The original labels give slightly less, says its author",
        "balanced": f"{AS_SCRIPT}: plain shuffling",
        "average": f"{AS_SCRIPT}: epochs 6 to 25",
    },
    "speech-commands": {**COMMON, **_SC},
}  # fmt: skip


def describe(name: str):
    """Every value of a recipe, with its source in the original or the paper where it has one: an `astlib.ledger.Table`.

    Raises ValueError for an unknown name.
    """
    from .ledger import Table

    chosen, sources = recipe(name), {}
    if name in PAPER or name in VARIANTS:
        base = max((known for known in SOURCES if name.startswith(known)), key=len)
        sources = dict(SOURCES[base])
        for field in fields(chosen):
            if (there := getattr(RECIPES[base], field.name)) != getattr(chosen, field.name):
                sources[field.name] = f"this variant; {base} has {there}"
    rows = [
        [field.name, getattr(chosen, field.name), sources.get(field.name, "ours")]
        for field in fields(chosen)
        if field.name != "name"
    ]
    return Table(["value", chosen.name, "source"], rows)
