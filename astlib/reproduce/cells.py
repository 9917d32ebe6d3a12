"""The paper's tables as data: every cell is a recipe with its folds and seeds.

There are three scales: the paper's own, a tiny one, and one for trying out the machinery. Nothing runs here. The other
modules of `astlib.reproduce` estimate what a cell costs, carry out missing runs, and compare their results with the
published numbers of `results/paper.json`.

Chapter: notebooks/12_the_ablations.ipynb
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InvalidInput
from ..recipes import RECIPES, Metric, Recipe

Scale = Literal["paper", "tiny", "try"]
Rule = Literal["", "last", "best_on_test", "average"]

ALL_FOLDS = (1, 2, 3, 4, 5)
SEEDS = (0, 1, 2)
FIVE_SEEDS = (0, 1, 2, 3, 4)  # where all runs share one division of the data
RELEASED_MODEL = "MIT/ast-finetuned-audioset-10-10-0.4593"  # the authors' best model on AudioSet


@dataclass(frozen=True)
class Cell:
    """One number of a table, and the runs that it takes.

    Attributes:
        name: "table/cell".
        what: the setting in words.
        recipe: what is run, once for each fold and seed.
        chapter: the notebook that is executed.
        folds: the folds to test on.
        seeds: the seeds of the runs.
        published: id of the row of `results/paper.json` that it is compared with; "" if the paper has none.
        rule: which result of a record to show: "" for the recipe's selection, or "last", "best_on_test", "average".
        scale: "paper", "tiny" or "try".
    """

    name: str
    what: str
    recipe: Recipe
    chapter: str
    folds: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    published: str = ""
    rule: Rule = ""
    scale: Scale = "tiny"

    @property
    def table(self) -> str:
        """Name of the table that it belongs to."""
        return self.name.split("/")[0]

    @property
    def metric(self) -> Metric:
        """The metric that its number is."""
        return self.recipe.metric


@dataclass(frozen=True)
class Ensemble:
    """A number of a table that comes from the runs of other cells: the mean of their probabilities is measured.

    Source: original egs/audioset/ensemble.py.

    Attributes:
        name: "table/cell".
        what: its members in words.
        members: the cells whose runs it joins, with all their folds and seeds.
        chapter: the notebook that shows it.
        published: id of the row of `results/paper.json` that it is compared with; "" if the paper has none.
        scale: "paper", "tiny" or "try".
    """

    name: str
    what: str
    members: tuple[Cell, ...]
    chapter: str
    published: str = ""
    scale: Scale = "tiny"

    @property
    def table(self) -> str:
        """Name of the table that it belongs to."""
        return self.name.split("/")[0]

    @property
    def metric(self) -> Metric:
        """The metric that its number is."""
        return self.members[0].metric


AnyCell = Cell | Ensemble


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, or one of ours.

    Attributes:
        name: the part of its cells' names before the "/".
        title: a title for readers.
        source: which table of the paper it is, or "ours".
        reference: name of the cell that the others are compared with.
    """

    name: str
    title: str
    source: str
    reference: str


TABLES = {
    table.name: table
    for table in (
        PaperTable("audioset", "AudioSet", "table 1", "audioset/full"),
        PaperTable("pretraining", "Pretraining", "table 2", "pretraining/imagenet"),
        PaperTable("weights", "ImageNet weights", "table 3", "weights/deit-distilled"),
        PaperTable("position", "Position embedding", "table 4", "position/bilinear"),
        PaperTable("overlap", "Overlap of the patches", "table 5", "overlap/6"),
        PaperTable("patch", "Shape of the patches", "table 6", "patch/16x16"),
        PaperTable("esc50", "ESC-50", "table 7", "esc50/ast-s"),
        PaperTable("speech-commands", "Speech Commands", "table 7", "speech-commands/ast-s"),
        PaperTable("cnns", "CNNs beside it", "table 1", "cnns/ast"),
        PaperTable(
            "mixtures", "Several sounds at once", "ours: tables 1, 2 and 5 in small, on mixtures", "mixtures/imagenet"
        ),
        PaperTable(
            "from-scratch",
            "From random weights, five times as long",
            "ours: three learning rates for each network",
            "from-scratch/ast-3e-4",
        ),
        PaperTable(
            "channels",
            "From three colours to one channel",
            "ours: section 2.2 says average, the code sums",
            "channels/sum",
        ),
        PaperTable("fill", "What stands behind the end of a clip, and in the masks", "ours", "fill/zero"),
        PaperTable("fill-words", "What stands behind the end of a word, and in the masks", "ours", "fill-words/zero"),
        PaperTable("tokens", "One class token or two", "ours: the paper has no such row", "tokens/two"),
        PaperTable("normalisation", "Mean and standard deviation of the input", "ours", "normalisation/recipe"),
        PaperTable("learning-rate", "Learning rate", "ours: the paper has no such row", "learning-rate/3e-4"),
        PaperTable("teacher", "A teacher that has heard AudioSet", "ours: table 7 in small", "teacher/none"),
        PaperTable(
            "teacher-overlap", "The same, with overlapping patches", "ours: table 7 in small", "teacher-overlap/none"
        ),
    )
}
"""The tables of the paper and those of ours, by name, in the order in which they are shown."""

# What several tables share: chapters, recipes, and the values of a setting with their words.
AUDIOSET_CHAPTER, ABLATIONS, CNN_CHAPTER = "10_audioset", "12_the_ablations", "13_cnns_beside_it"
ESC_CHAPTER, WORDS_CHAPTER, TEACHER_CHAPTER = "09_esc50", "11_speech_commands", "18_a_larger_ear"
_BALANCED, _FULL, _ESC, _WORDS = (
    RECIPES[name] for name in ("audioset-balanced", "audioset", "esc50", "speech-commands")
)
POSITION = {"reinit": "re-initialised", "nearest": "nearest neighbour", "bilinear": "bilinear"}
PATCHES = ((128, 2), (16, 16), (32, 32))  # mel bins x frames


def _stride(step: int) -> dict[str, Any]:
    """Patches every `step` mel bins and frames; of 16 x 16 they overlap by 16 - step."""
    return {"fstride": step, "tstride": step}


def _patch(height: int, width: int) -> dict[str, Any]:
    """Patches of another shape, without overlap. No ImageNet weights fit them."""
    return {"init": "scratch", "patch": (height, width), "fstride": height, "tstride": width}


def _by_name(cells: Iterable[AnyCell]) -> dict[str, AnyCell]:
    return {cell.name: cell for cell in cells}


# --- the paper's scale: base384, the released recipes, public weights ---------------------------------------


def _paper(
    name: str,
    what: str,
    recipe: Recipe,
    published: str = "",
    chapter: str = ABLATIONS,
    folds: tuple[int, ...] = (1,),
    seeds: tuple[int, ...] = (0,),
    rule: Rule = "",
    **changes: Any,
) -> Cell:
    return Cell(name, what, recipe.replace(**changes), chapter, folds, seeds, published, rule, scale="paper")


def _paper_ensemble(name: str, what: str, members: tuple[Cell, ...], published: str) -> Ensemble:
    return Ensemble(name, what, members, AUDIOSET_CHAPTER, published, scale="paper")


# One row per cell.
# fmt: off
PAPER_FULL = _paper("audioset/full", "all of it, weights averaged", _FULL, "audioset-full", AUDIOSET_CHAPTER,
                    seeds=SEEDS)
PAPER_OVERLAP_0 = _paper("overlap/0-full", "overlap 0, all of AudioSet", _FULL, "overlap-0-full", **_stride(16))
PAPER_OVERLAP_2 = _paper("overlap/2-full", "overlap 2, all of AudioSet", _FULL, "overlap-2-full", **_stride(14))
PAPER_OVERLAP_4 = _paper("overlap/4-full", "overlap 4, all of AudioSet", _FULL, "overlap-4-full", **_stride(12))
PAPER_CELLS: tuple[AnyCell, ...] = (
    _paper("audioset/balanced", "balanced part, weights averaged", _BALANCED, "audioset-balanced", AUDIOSET_CHAPTER,
           seeds=SEEDS),
    PAPER_FULL,
    _paper("audioset/last-epoch", "all of it, last epoch", _FULL, "audioset-full-last-epoch", AUDIOSET_CHAPTER,
           seeds=SEEDS, rule="last"),
    _paper_ensemble("audioset/ensemble-s", "three runs with other seeds", (PAPER_FULL,), "audioset-full-ensemble-s"),
    _paper_ensemble("audioset/ensemble-m", "the three, and strides 12, 14 and 16", (PAPER_FULL, PAPER_OVERLAP_4,
                    PAPER_OVERLAP_2, PAPER_OVERLAP_0), "audioset-full-ensemble-m"),
    _paper("cnns/psla", "PSLA, all of AudioSet, weights averaged", RECIPES["audioset-psla"], "audioset-psla-full",
           CNN_CHAPTER),
    _paper("cnns/psla-balanced", "PSLA, balanced part, weights averaged", RECIPES["audioset-psla-balanced"],
           "audioset-psla-balanced", CNN_CHAPTER),
    _paper("pretraining/none-balanced", "random weights, balanced AudioSet", _BALANCED, "pretraining-none-balanced",
           init="scratch"),
    _paper("pretraining/none-full", "random weights, all of AudioSet", _FULL, "pretraining-none-full", init="scratch"),
    _paper("pretraining/imagenet-balanced", "ImageNet, balanced AudioSet", _BALANCED, "pretraining-imagenet-balanced"),
    _paper("pretraining/imagenet-full", "ImageNet, all of AudioSet", _FULL, "pretraining-imagenet-full"),
    _paper("weights/vit-base", "ViT-B", _BALANCED, "weights-vit-base", weights="vit_base_patch16_384"),
    _paper("weights/vit-large", "ViT-L, no overlap", _BALANCED, "weights-vit-large", weights="vit_large_patch16_384",
           model_size="large384", **_stride(16)),
    _paper("weights/deit", "DeiT without distillation", _BALANCED, "weights-deit", weights="deit_base_patch16_384"),
    _paper("weights/deit-distilled", "DeiT with distillation", _BALANCED, "weights-deit-distilled",
           weights="deit_base_distilled_patch16_384"),
    *(_paper(f"position/{mode}", words, _BALANCED, f"position-{mode}", position=mode) for mode, words in
      POSITION.items()),
    _paper("overlap/0-balanced", "overlap 0, balanced AudioSet", _BALANCED, "overlap-0-balanced", **_stride(16)),
    PAPER_OVERLAP_0,
    _paper("overlap/2-balanced", "overlap 2, balanced AudioSet", _BALANCED, "overlap-2-balanced", **_stride(14)),
    PAPER_OVERLAP_2,
    _paper("overlap/4-balanced", "overlap 4, balanced AudioSet", _BALANCED, "overlap-4-balanced", **_stride(12)),
    PAPER_OVERLAP_4,
    _paper("overlap/6-balanced", "overlap 6, balanced AudioSet", _BALANCED, "overlap-6-balanced", **_stride(10)),
    _paper("overlap/6-full", "overlap 6, all of AudioSet", _FULL, "overlap-6-full", **_stride(10)),
    _paper("patch/128x2", "128 x 2, random weights", _BALANCED, "patch-128x2-none", **_patch(128, 2)),
    _paper("patch/16x16", "16 x 16, random weights", _BALANCED, "patch-16x16-none", **_patch(16, 16)),
    _paper("patch/32x32", "32 x 32, random weights", _BALANCED, "patch-32x32-none", **_patch(32, 32)),
    _paper("patch/16x16-imagenet", "16 x 16, ImageNet", _BALANCED, "patch-16x16-imagenet", **_stride(16)),
    _paper("esc50/ast-s", "AST-S, ImageNet", _ESC, "esc50-ast-s", ESC_CHAPTER, ALL_FOLDS, SEEDS),
    _paper("esc50/ast-p", "AST-P, ImageNet and AudioSet", RECIPES["esc50-p"], "esc50-ast-p", ESC_CHAPTER, ALL_FOLDS,
           SEEDS),
    _paper("esc50/scratch", "random weights", _ESC, "", ESC_CHAPTER, ALL_FOLDS, init="scratch"),
    _paper("speech-commands/ast-s", "AST-S, ImageNet", _WORDS, "sc-ast-s", WORDS_CHAPTER, seeds=SEEDS),
    _paper("speech-commands/ast-p", "AST-P, ImageNet and AudioSet", _WORDS, "sc-ast-p", WORDS_CHAPTER, seeds=SEEDS,
           init=RELEASED_MODEL),
)
# fmt: on

# --- the tiny scale: AST-Tiny on ESC-50, all of it within the hour on one large card -----------------------

REFERENCE, NINE_WORDS = RECIPES["esc50-ablation"], RECIPES["speech-commands-tiny"]
PLAIN, TAUGHT = RECIPES["esc50-tiny"], RECIPES["esc50-taught"]
THREE_EPOCHS = NINE_WORDS.replace(epochs=3)
RATES = ("1e-4", "3e-4", "1e-3")
FILL_WORDS = {
    "zero": "0 in the log-mel, as the original",
    "silence": "the floor of the log-mel",
    "mean": "the mean of the log-mel",
}


def _tiny(
    name: str,
    what: str,
    published: str = "",
    recipe: Recipe = REFERENCE,
    chapter: str = ABLATIONS,
    seeds: tuple[int, ...] = (0,),
    rule: Rule = "",
    **changes: Any,
) -> Cell:
    folds = ALL_FOLDS if recipe.dataset == "esc50" else (1,)
    return Cell(name, what, recipe.replace(**changes), chapter, folds, seeds, published, rule, scale="tiny")


def _near(
    name: str, what: str, published: str = "", recipe: Recipe = REFERENCE, chapter: str = ABLATIONS, **changes: Any
) -> Cell:
    """A setting so near to its reference that one seed cannot tell them apart; `results/protocol.json` lists them."""
    return _tiny(name, what, published, recipe, chapter, SEEDS, **changes)


def _mixture(name: str, what: str, rule: Rule = "", **changes: Any) -> Cell:
    recipe = RECIPES["esc50-mixture-tiny"]
    return _tiny(f"mixtures/{name}", what, "", recipe, AUDIOSET_CHAPTER, FIVE_SEEDS, rule, **changes)


def _long(name: str, what: str, recipe: Recipe, lr: str, **changes: Any) -> Cell:
    """A network from random weights, trained five times as long as in the other tables, at one learning rate."""
    longer: dict[str, Any] = {"init": "scratch", "epochs": 50, "decay_from": 20, "lr": float(lr)}
    return _tiny(f"from-scratch/{name}-{lr}", f"{what}, {lr}", "", recipe, CNN_CHAPTER, **longer | changes)


# One row per cell.
# fmt: off
MIXED, MIXED_OVERLAP = _mixture("imagenet", "ImageNet"), _mixture("overlap-6", "ImageNet, overlap 6", **_stride(10))
TINY_CELLS: tuple[AnyCell, ...] = (
    _near("esc50/ast-s", "AST-Tiny, ImageNet, no overlap", "esc50-ast-s", PLAIN, ESC_CHAPTER),
    _tiny("speech-commands/scratch", "AST-Tiny, random weights, nine words", "", NINE_WORDS, WORDS_CHAPTER, FIVE_SEEDS,
          init="scratch"),
    _tiny("speech-commands/ast-s", "AST-Tiny, ImageNet, nine words", "sc-ast-s", NINE_WORDS, WORDS_CHAPTER,
          FIVE_SEEDS),
    _tiny("speech-commands/ast-p", "AST-Tiny, ImageNet and ESC-50, nine words", "sc-ast-p", NINE_WORDS, WORDS_CHAPTER,
          FIVE_SEEDS, init="ast-tiny-esc50"),
    _tiny("pretraining/none", "random weights", "pretraining-none-balanced", init="scratch"),
    _near("pretraining/imagenet", "ImageNet", "pretraining-imagenet-balanced"),
    _tiny("position/reinit", POSITION["reinit"], "position-reinit", position="reinit"),
    _near("position/nearest", POSITION["nearest"], "position-nearest", position="nearest"),
    _near("position/bilinear", POSITION["bilinear"], "position-bilinear", position="bilinear"),
    _near("overlap/0", "overlap 0", "overlap-0-balanced", **_stride(16)),
    _near("overlap/2", "overlap 2", "overlap-2-balanced", **_stride(14)),
    _near("overlap/4", "overlap 4", "overlap-4-balanced", **_stride(12)),
    _near("overlap/6", "overlap 6", "overlap-6-balanced", **_stride(10)),
    _tiny("patch/128x2", "128 x 2, random weights", "patch-128x2-none", **_patch(128, 2)),
    _tiny("patch/16x16", "16 x 16, random weights", "patch-16x16-none", **_patch(16, 16)),
    _tiny("patch/32x32", "32 x 32, random weights", "patch-32x32-none", **_patch(32, 32)),
    _near("weights/vit", "ViT-Ti", "weights-vit-base", weights="vit_tiny_patch16_224"),
    _near("weights/deit", "DeiT-Ti without distillation", "weights-deit", weights="deit_tiny_patch16_224"),
    _near("weights/deit-distilled", "DeiT-Ti with distillation", "weights-deit-distilled",
          weights="deit_tiny_distilled_patch16_224"),
    _tiny("cnns/ast", "AST-Tiny, random weights", "", REFERENCE, CNN_CHAPTER, init="scratch"),
    _tiny("cnns/cnn-mlp", "CNN + MLP, random weights", "", RECIPES["esc50-cnn-mlp"], CNN_CHAPTER, init="scratch"),
    _tiny("cnns/psla", "PSLA, random weights", "", RECIPES["esc50-psla"], CNN_CHAPTER, init="scratch"),
    _tiny("cnns/psla-imagenet", "PSLA, ImageNet", "", RECIPES["esc50-psla"], CNN_CHAPTER, init="imagenet"),
    *(_long("ast", "AST-Tiny, squares", REFERENCE, lr) for lr in RATES),
    *(_long("slices", "AST-Tiny, slices", REFERENCE, lr, **_patch(128, 2)) for lr in RATES),
    *(_long("cnn-mlp", "CNN + MLP", RECIPES["esc50-cnn-mlp"], lr) for lr in RATES),
    *(_long("psla", "PSLA", RECIPES["esc50-psla"], lr) for lr in RATES),
    _mixture("scratch", "random weights", init="scratch"),
    MIXED,
    _mixture("last-epoch", "ImageNet, last epoch instead of averaged weights", rule="last"),
    MIXED_OVERLAP,
    Ensemble("mixtures/ensemble-s", "five runs with other seeds", (MIXED,), AUDIOSET_CHAPTER),
    Ensemble("mixtures/ensemble-m", "the five, and five of overlap 6", (MIXED, MIXED_OVERLAP), AUDIOSET_CHAPTER),
    _near("channels/sum", "summed, as the code does"),
    _near("channels/mean", "averaged, as the paper says", channels="mean"),
    *(_near(f"fill/{fill}", what, fill=fill) for fill, what in FILL_WORDS.items()),
    *(_tiny(f"fill-words/{fill}", what, "", THREE_EPOCHS, WORDS_CHAPTER, fill=fill) for fill, what in
      FILL_WORDS.items()),
    _near("tokens/two", "class and distillation token"),
    _near("tokens/one", "class token alone", prefix_tokens=1),
    _near("normalisation/recipe", "ESC-50's, as published", mean=REFERENCE.mean, std=REFERENCE.std),
    _near("normalisation/audioset", "AudioSet's", mean=_BALANCED.mean, std=_BALANCED.std),
    _tiny("normalisation/none", "none: the log-mel as it is", mean=0.0, std=0.5),
    _near("learning-rate/1e-4", "1e-4, the paper's for base", lr=1e-4),
    _near("learning-rate/3e-4", "3e-4, the recipe's", lr=3e-4),
    _tiny("learning-rate/1e-3", "1e-3", lr=1e-3),
    # What the teacher brings is the difference to "labels": mixtures and patch-out are in both.
    _near("teacher/none", "ImageNet, no teacher", "esc50-ast-s", PLAIN, TEACHER_CHAPTER),
    _near("teacher/labels", "the labels alone, with its mixtures and patch-out", "", TAUGHT, TEACHER_CHAPTER,
          teacher_classes=0.0, teacher_features=0.0),
    _near("teacher/mn04", "taught by EfficientAT mn04", "esc50-ast-p", TAUGHT, TEACHER_CHAPTER),
    _tiny("teacher/mn04-long", "taught for longer, by twice as many mixtures", "esc50-ast-p",
          RECIPES["esc50-taught-long"], TEACHER_CHAPTER),
    _near("teacher-overlap/none", "ImageNet, no teacher, overlap 6", "esc50-ast-s", REFERENCE, TEACHER_CHAPTER),
    _near("teacher-overlap/mn04", "taught by EfficientAT mn04, overlap 6", "esc50-ast-p", TAUGHT, TEACHER_CHAPTER,
          **_stride(10)),
)
# fmt: on

# --- a try: the whole way in minutes, on sounds made in code. Its records stay out of the ledger -------------

TRIAL = RECIPES["synthetic"].replace(init="scratch", epochs=1, fstride=32, tstride=32, batch=16)
TRY_CELLS: tuple[AnyCell, ...] = (
    Cell("learning-rate/3e-4", "3e-4", TRIAL, ABLATIONS, (1, 2), scale="try"),
    Cell("learning-rate/1e-3", "1e-3", TRIAL.replace(lr=1e-3), ABLATIONS, (1, 2), scale="try"),
)

SCALES: dict[Scale, dict[str, AnyCell]] = {
    "paper": _by_name(PAPER_CELLS),
    "tiny": _by_name(TINY_CELLS),
    "try": _by_name(TRY_CELLS),
}
"""Every cell of each scale, by name, in the order of the tables."""


def select(table: str = "all", cell: str = "", scale: str = "tiny") -> list[AnyCell]:
    """List the cells of a table, of all tables, or one of them: `select("position", "nearest")`.

    Args:
        table: name of a table, or "all".
        cell: name of a cell, with or without its table; "" for all cells of the table.
        scale: "paper", "tiny" or "try".

    Returns:
        The cells in the order of the table.

    Raises:
        InvalidInput: an unknown scale, table or cell; the message says what there is.
    """
    known = next((cells for name, cells in SCALES.items() if name == scale), None)
    if known is None:
        raise InvalidInput(f"scale must be one of {', '.join(SCALES)}; found {scale!r}")
    if table == "all" and not cell:
        return list(known.values())
    there = [found for found in known.values() if found.table == table]
    if not there:
        names = list(dict.fromkeys(found.table for found in known.values()))
        hint = difflib.get_close_matches(table, names, n=1) or names
        raise InvalidInput(
            f"no table {table!r} at scale {scale}; there {'is' if len(hint) == 1 else 'are'}: {', '.join(hint)}"
        )
    wanted = [found for found in there if cell in ("", found.name, found.name.split("/")[1])]
    if not wanted:
        raise InvalidInput(
            f"table {table} has no cell {cell!r}; it has {', '.join(c.name.split('/')[1] for c in there)}"
        )
    return wanted
