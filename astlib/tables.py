"""The paper's tables as data: every cell is a recipe with its folds and seeds, at the paper's scale, at a tiny one,
and at one for trying the machinery out.

Nothing runs here. `astlib.reproduce` says what a cell costs, runs what is missing and sets the results beside the
published numbers of `results/paper.json`.

Chapter: notebooks/12_the_ablations.ipynb
"""

import difflib
from dataclasses import dataclass

from .recipes import RECIPES, Recipe

FOLDS = (1, 2, 3, 4, 5)
SEEDS = (0, 1, 2)
RELEASED = "MIT/ast-finetuned-audioset-10-10-0.4593"


@dataclass(frozen=True)
class Cell:
    """One number of a table, and the runs behind it.

    name: "table/cell". recipe: what is run, once for each fold and seed; None for an ensemble.
    published: the row of `results/paper.json` that it is compared with, "" if the paper has none.
    take: which rule's metric counts, "" for the recipe's own, or one that a record reports beside it ("last").
    members: of an ensemble, the cells whose runs it joins: the mean of their probabilities (original:
    egs/audioset/ensemble.py). chapter: the notebook that is executed.
    """

    name: str
    what: str
    recipe: Recipe | None
    chapter: str
    folds: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    published: str = ""
    take: str = ""
    members: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class PaperTable:
    """A table: its title, where it stands in the paper, and the cell that the others are compared with."""

    name: str
    title: str
    source: str
    reference: str


def _table(name, title, source, reference):
    return name, PaperTable(name, title, source, f"{name}/{reference}")


TABLES = dict([
    _table("audioset", "AudioSet", "table 1", "full"),
    _table("pretraining", "Pretraining", "table 2", "imagenet"),
    _table("weights", "ImageNet weights", "table 3", "deit-distilled"),
    _table("position", "Position embedding", "table 4", "bilinear"),
    _table("overlap", "Overlap of the patches", "table 5", "6"),
    _table("patch", "Shape of the patches", "table 6", "16x16"),
    _table("esc50", "ESC-50", "table 7", "ast-s"),
    _table("speech-commands", "Speech Commands", "table 7", "ast-s"),
    _table("cnns", "CNNs beside it", "table 1", "ast"),
    _table("channels", "From three colours to one channel", "ours: section 2.2 says average, the code sums", "sum"),
    _table("fill", "What stands behind the end of a clip, and in the masks", "ours", "zero"),
    _table("fill-words", "What stands behind the end of a word, and in the masks", "ours", "zero"),
    _table("tokens", "One class token or two", "ours: the paper has no such row", "two"),
    _table("normalisation", "Mean and standard deviation of the input", "ours", "recipe"),
    _table("learning-rate", "Learning rate", "ours: the paper has no such row", "3e-4"),
])  # fmt: skip

# --- the paper's scale: base384, the released recipes, public weights ---------------------------------------

BALANCED, FULL, ESC = RECIPES["audioset-balanced"], RECIPES["audioset"], RECIPES["esc50"]
PLAIN = dict(fstride=16, tstride=16)  # no overlap


def _both(name: str, what: str, chapter: str, published: str, **changes) -> list[Cell]:
    """A cell on the balanced part and one on all of AudioSet, as tables 2 and 5 have them."""
    return [
        Cell(f"{name}-{part}", f"{what}, {words} AudioSet", recipe.replace(**changes), chapter,
             published=f"{published}-{part}")
        for part, words, recipe in (("balanced", "balanced", BALANCED), ("full", "all of", FULL))
    ]  # fmt: skip


def _paper() -> list[Cell]:
    ten, twelve = "10_audioset", "12_the_ablations"
    full, stride = "audioset/full", {o: dict(fstride=16 - o, tstride=16 - o) for o in (0, 2, 4, 6)}
    return [
        Cell("audioset/balanced", "balanced part, weights averaged", BALANCED, ten, seeds=SEEDS,
             published="audioset-balanced"),
        Cell(full, "all of it, weights averaged", FULL, ten, seeds=SEEDS, published="audioset-full"),
        Cell("audioset/last-epoch", "all of it, last epoch", FULL, ten, seeds=SEEDS, take="last",
             published="audioset-full-last-epoch"),
        Cell("audioset/ensemble-s", "three runs with other seeds", None, ten, published="audioset-full-ensemble-s",
             take="last", members=(full,)),
        Cell("audioset/ensemble-m", "the three, and strides 12, 14 and 16", None, ten, take="last",
             published="audioset-full-ensemble-m",
             members=(full, "overlap/4-full", "overlap/2-full", "overlap/0-full")),
        Cell("cnns/psla", "PSLA, all of AudioSet, weights averaged", RECIPES["audioset-psla"], "13_cnns_beside_it",
             published="audioset-psla-full"),
        Cell("cnns/psla-balanced", "PSLA, balanced part, weights averaged", RECIPES["audioset-psla-balanced"],
             "13_cnns_beside_it", published="audioset-psla-balanced"),
        *_both("pretraining/none", "random weights", twelve, "pretraining-none", init="scratch"),
        *_both("pretraining/imagenet", "ImageNet", twelve, "pretraining-imagenet"),
        Cell("weights/vit-base", "ViT-B", BALANCED.replace(weights="vit_base_patch16_384"), twelve,
             published="weights-vit-base"),
        Cell("weights/vit-large", "ViT-L, no overlap",
             BALANCED.replace(weights="vit_large_patch16_384", model_size="large384", **PLAIN), twelve,
             published="weights-vit-large"),
        Cell("weights/deit", "DeiT without distillation", BALANCED.replace(weights="deit_base_patch16_384"), twelve,
             published="weights-deit"),
        Cell("weights/deit-distilled", "DeiT with distillation",
             BALANCED.replace(weights="deit_base_distilled_patch16_384"), twelve, published="weights-deit-distilled"),
        *(Cell(f"position/{mode}", what, BALANCED.replace(position=mode), twelve, published=f"position-{mode}")
          for mode, what in POSITION.items()),
        *(cell for overlap in stride for cell in
          _both(f"overlap/{overlap}", f"overlap {overlap}", twelve, f"overlap-{overlap}", **stride[overlap])),
        *(Cell(f"patch/{height}x{width}", f"{height} x {width}, random weights",
               BALANCED.replace(init="scratch", patch=(height, width), fstride=height, tstride=width), twelve,
               published=f"patch-{height}x{width}-none") for height, width in PATCHES),
        Cell("patch/16x16-imagenet", "16 x 16, ImageNet", BALANCED.replace(**PLAIN), twelve,
             published="patch-16x16-imagenet"),
        Cell("esc50/ast-s", "AST-S, ImageNet", ESC, "09_esc50", FOLDS, SEEDS, "esc50-ast-s"),
        Cell("esc50/ast-p", "AST-P, ImageNet and AudioSet", RECIPES["esc50-p"], "09_esc50", FOLDS, SEEDS,
             "esc50-ast-p"),
        Cell("esc50/scratch", "random weights", ESC.replace(init="scratch"), "09_esc50", FOLDS),
        Cell("speech-commands/ast-s", "AST-S, ImageNet", RECIPES["speech-commands"], "11_speech_commands",
             seeds=SEEDS, published="sc-ast-s"),
        Cell("speech-commands/ast-p", "AST-P, ImageNet and AudioSet",
             RECIPES["speech-commands"].replace(init=RELEASED), "11_speech_commands", seeds=SEEDS,
             published="sc-ast-p"),
    ]  # fmt: skip


# --- the tiny scale: AST-Tiny on ESC-50, all of it within the hour on one large card -----------------------

POSITION = {"reinit": "drawn anew", "nearest": "nearest neighbour", "bilinear": "bilinear"}
PATCHES = ((128, 2), (16, 16), (32, 32))
FILLS = {"zero": "0 in the log-mel, as the original", "silence": "the floor of the log-mel",
         "mean": "the mean of the log-mel"}  # fmt: skip
TINY = RECIPES["esc50-ablation"]
WORDS = RECIPES["speech-commands-tiny"]


def _tiny() -> list[Cell]:
    def cell(name, what, published="", recipe=TINY, **changes):
        folds, chapter = (FOLDS, "12_the_ablations") if recipe.dataset == "esc50" else ((1,), "11_speech_commands")
        return Cell(name, what, recipe.replace(**changes), chapter, folds, published=published)

    return [
        Cell("esc50/ast-s", "AST-Tiny, ImageNet, no overlap", RECIPES["esc50-tiny"], "09_esc50", FOLDS,
             published="esc50-ast-s"),
        Cell("speech-commands/ast-s", "AST-Tiny, ImageNet, nine words", WORDS, "11_speech_commands",
             published="sc-ast-s"),
        cell("pretraining/none", "random weights", "pretraining-none-balanced", init="scratch"),
        cell("pretraining/imagenet", "ImageNet", "pretraining-imagenet-balanced"),
        *(cell(f"position/{mode}", what, f"position-{mode}", position=mode) for mode, what in POSITION.items()),
        *(cell(f"overlap/{overlap}", f"overlap {overlap}", f"overlap-{overlap}-balanced", fstride=16 - overlap,
               tstride=16 - overlap) for overlap in (0, 2, 4, 6)),
        *(cell(f"patch/{height}x{width}", f"{height} x {width}, random weights", f"patch-{height}x{width}-none",
               init="scratch", patch=(height, width), fstride=height, tstride=width) for height, width in PATCHES),
        *(cell(f"weights/{name}", what, f"weights-{published}", weights=weights)
          for name, what, published, weights in (
              ("vit", "ViT-Ti", "vit-base", "vit_tiny_patch16_224"),
              ("deit", "DeiT-Ti without distillation", "deit", "deit_tiny_patch16_224"),
              ("deit-distilled", "DeiT-Ti with distillation", "deit-distilled", "deit_tiny_distilled_patch16_224"))),
        *(Cell(f"cnns/{name}", what, recipe.replace(init=init), "13_cnns_beside_it", FOLDS)
          for name, what, recipe, init in (
              ("ast", "AST-Tiny, random weights", TINY, "scratch"),
              ("cnn-mlp", "CNN + MLP, random weights", RECIPES["esc50-cnn-mlp"], "scratch"),
              ("psla", "PSLA, random weights", RECIPES["esc50-psla"], "scratch"),
              ("psla-imagenet", "PSLA, ImageNet", RECIPES["esc50-psla"], "imagenet"))),
        cell("channels/sum", "summed, as the code does"),
        cell("channels/mean", "averaged, as the paper says", channels="mean"),
        *(cell(f"{table}/{fill}", what, recipe=recipe, fill=fill)
          for table, recipe in (("fill", TINY), ("fill-words", WORDS.replace(epochs=3)))
          for fill, what in FILLS.items()),
        cell("tokens/two", "class and distillation token"),
        cell("tokens/one", "class token alone", prefix_tokens=1),
        *(cell(f"normalisation/{name}", what, mean=mean, std=std) for name, what, mean, std in (
            ("recipe", "ESC-50's, as published", TINY.mean, TINY.std),
            ("audioset", "AudioSet's", BALANCED.mean, BALANCED.std),
            ("none", "none: the log-mel as it is", 0.0, 0.5))),
        *(cell(f"learning-rate/{lr}", what, lr=float(lr)) for lr, what in (
            ("1e-4", "1e-4, the paper's for base"), ("3e-4", "3e-4, the recipe's"), ("1e-3", "1e-3"))),
    ]  # fmt: skip


# --- a try: the whole way in minutes, on sounds made in code. Its records stay out of the ledger -------------

TRY = RECIPES["synthetic"].replace(init="scratch", epochs=1, fstride=32, tstride=32, batch=16)


def _try() -> list[Cell]:
    return [
        Cell("learning-rate/3e-4", "3e-4", TRY, "12_the_ablations", (1, 2)),
        Cell("learning-rate/1e-3", "1e-3", TRY.replace(lr=1e-3), "12_the_ablations", (1, 2)),
    ]


SCALES: dict[str, dict[str, Cell]] = {
    "paper": {cell.name: cell for cell in _paper()},
    "tiny": {cell.name: cell for cell in _tiny()},
    "try": {cell.name: cell for cell in _try()},
}


def cells(table: str = "all", cell: str = "", scale: str = "tiny") -> list[Cell]:
    """The cells of a table, of all tables ("all"), or one of them: `cells("position", "nearest")`.

    Raises ValueError with what there is for an unknown scale, table or cell.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}; found {scale!r}")
    known = SCALES[scale]
    if table == "all" and not cell:
        return list(known.values())
    there = [found for found in known.values() if found.table == table]
    if not there:
        names = list(dict.fromkeys(found.table for found in known.values()))
        hint = difflib.get_close_matches(table, names, n=1) or names
        raise ValueError(f"no table {table!r} at scale {scale}; there {'is' if len(hint) == 1 else 'are'}: "
                         f"{', '.join(hint)}")  # fmt: skip
    wanted = [found for found in there if cell in ("", found.name, found.name.split("/")[1])]
    if not wanted:
        raise ValueError(f"table {table} has no cell {cell!r}; it has {', '.join(c.name.split('/')[1] for c in there)}")
    return wanted
