"""The source of every value of the paper's recipes: a file and line of the original, or a section of the paper.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import ast
import inspect
import re
from dataclasses import fields
from itertools import pairwise

from .recipes import PAPER, RECIPES, VARIANTS, Recipe, recipe
from .table import Table

MODEL_FILE, TRAIN_FILE, RUN_FILE = "src/models/ast_models.py", "src/traintest.py", "src/run.py"
LOADER = "src/dataloader.py"
_NO_TEACHER = dict.fromkeys(
    ("keep", "teacher", "mixtures", "teacher_classes", "teacher_features"),
    "not in the original",
)
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
    "windows": f"{LOADER}:132-142: the end of a longer clip is cut off",
    **dict.fromkeys(("folds", "group"), "of folders only"),
    **_NO_TEACHER,
}
ESC_SCRIPT, AS_SCRIPT, SC_SCRIPT = (
    f"egs/{path}" for path in ("esc50/run_esc.sh:19-46", "audioset/run.sh:24-63", "speechcommands/run_sc.sh:18-42")
)
_ESC = {
    **dict.fromkeys(
        (
            "dataset",
            "input_tdim",
            "mean",
            "std",
            "batch",
            "loss",
            "balanced",
            "mixup",
            "freqm",
            "timem",
            "noise",
            "roll",
            "average",
            "metric",
        ),
        ESC_SCRIPT,
    ),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{ESC_SCRIPT}: no warm-up"),
    **dict.fromkeys(("decay_from", "decay_every", "decay_until", "decay"), f"{TRAIN_FILE}:83-90; released log, lr"),
    "epochs": f"{ESC_SCRIPT} and the released log: 25. The paper says 20: esc50-paper-text",
    "selection": "ours: the last epoch. The original takes the epoch that is best on the mean of the five test folds "
    '(egs/esc50/get_esc_result.py:26-40): selection="paper"',
}
_AS = {
    **dict.fromkeys(
        (
            "dataset",
            "input_tdim",
            "mean",
            "std",
            "lr",
            "batch",
            "epochs",
            "loss",
            "mixup",
            "freqm",
            "timem",
            "noise",
            "roll",
            "metric",
            "init",
        ),
        AS_SCRIPT,
    ),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{TRAIN_FILE}:119-124"),
    **dict.fromkeys(("decay_from", "decay_every", "decay_until", "decay"), f"{AS_SCRIPT}; released log, lr"),
    "selection": "paper table 1: weights averaged. Its row without: audioset-last-epoch",
}
_SC = {
    **dict.fromkeys(
        (
            "dataset",
            "input_tdim",
            "mean",
            "std",
            "lr",
            "batch",
            "loss",
            "balanced",
            "freqm",
            "timem",
            "noise",
            "roll",
            "average",
            "metric",
            "init",
        ),
        SC_SCRIPT,
    ),
    **dict.fromkeys(("warmup_steps", "warmup_every"), f"{SC_SCRIPT}: no warm-up"),
    **dict.fromkeys(("decay_from", "decay_every", "decay"), f"{TRAIN_FILE}:83-90; released log, lr"),
    "epochs": f"{SC_SCRIPT} and the released log: 30. The paper says 20 at most: speech-commands-paper-text",
    "decay_until": "released log, lr: frozen from epoch 26. Today's script goes on: speech-commands-script",
    "mixup": "released log of the 98.12 % run: 0.5. run_sc.sh:27 says 0.6: speech-commands-script",
    "selection": f"{RUN_FILE}:146-171: best on the validation part, then the test part once",
}
_PSLA = {
    **dict.fromkeys((field.name for field in fields(Recipe)), "psla at ad3ea6f: egs/audioset/run.sh, src/traintest.py"),
    **dict.fromkeys(("model_size", "fstride", "tstride", "prefix_tokens", "patch", "position"), "of an AST only"),
    **dict.fromkeys(("fold", "seed", "weights"), "ours"),
    **dict.fromkeys(("folds", "group"), "of folders only"),
    **_NO_TEACHER,
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
        **COMMON,
        **_AS,
        "balanced": f"{AS_SCRIPT}; {RUN_FILE}:115-122",
        "average": f"{AS_SCRIPT}; paper section 3.1: from the first epoch",
    },
    "audioset-balanced": {
        **COMMON,
        **_AS,
        "dataset": f"{AS_SCRIPT}: with PSLA's enhanced labels. The original labels give slightly less, says its author",
        "balanced": f"{AS_SCRIPT}: plain shuffling",
        "average": f"{AS_SCRIPT}: epochs 6 to 25",
    },
    "speech-commands": {**COMMON, **_SC},
}


def meanings() -> dict[str, str]:
    """Read what each field of a recipe does, from the text below it in `astlib.recipes`.

    Returns:
        Field to its first sentence.
    """
    definition, found = ast.parse(inspect.getsource(Recipe)).body[0], {}
    for field, text in pairwise(definition.body if isinstance(definition, ast.ClassDef) else []):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            words = " ".join(str(ast.literal_eval(text.value)).split())
            found[field.target.id] = re.split(r"(?<=\w)\. |\.$", words)[0]
    return found


def describe(name: str) -> Table:
    """List every value of a recipe: of the paper's recipes and their variants with its source, of ours with its use.

    Args:
        name: of the recipe.

    Returns:
        A table with the columns value, the recipe's name, and source (in the original or the paper) or what it does.

    Raises:
        InvalidInput: there is no recipe of this name.
    """
    chosen = recipe(name)
    published = name in PAPER or name in VARIANTS
    about = _sources(chosen) if published else meanings()
    names = [field.name for field in fields(chosen) if field.name != "name"]
    rows = [[value, getattr(chosen, value), about.get(value, "ours")] for value in names]
    return Table(["value", chosen.name, "source" if published else "what it does"], rows)


def _sources(chosen: Recipe) -> dict[str, str]:
    """The source of each value of a recipe of the paper or of a variant of one."""
    base = max((known for known in SOURCES if chosen.name.startswith(known)), key=len)
    found = dict(SOURCES[base])
    for field in fields(chosen):
        if (there := getattr(RECIPES[base], field.name)) != getattr(chosen, field.name):
            found[field.name] = f"this variant; {base} has {there}"
    return found
