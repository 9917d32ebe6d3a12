"""Give the network of a taught run the 527 classes of AudioSet: `python ci/ear.py RUN_FOLDER NAME`.

    ASTLIB_DATA=... ASTLIB_WEIGHTS=... python ci/ear.py _runs/taught ast-tiny-audioset     # minutes of one CPU core

It writes models/NAME, an encoder with a head of 527 classes whose probabilities are independent of one another, its
card, and `results/ear.json`. The protocol, written before the first run:

- The body is the network of the run, frozen. The head is a norm and a linear layer. It learns the probabilities that
  the teacher, EfficientAT mn04, gives to the clips that the run was trained on: four folds of ESC-50 and mixtures.
- Its loss is binary cross-entropy, the mean over clips and classes, plus a penalty on the squares of the weights. The
  penalty is chosen among PENALTIES: the head is fitted to three of the four folds, with their mixtures, and the clips
  of the lowest fold decide. Then it is fitted to all four.
- Quality is measured on the clips of the test fold, which neither body nor head ever heard, against the teacher's
  answers: how often the teacher's most probable class is the head's most probable one, or among its five; mean average
  precision over the classes to which the teacher gives a probability of 0.5 or more in five clips or more; and the
  share of the teacher's cross-entropy that is explained, 1 - KL(teacher, head) / KL(teacher, mean of the training
  clips). The intervals draw the clips anew.
- The same is done with the first weights of the recipe, AST-Tiny from ImageNet, which no teacher taught.
- The weights are stored as float16. What is measured is the network as it is stored.
"""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from astlib import AST, data, metrics, paths
from astlib.data.audioset.lists import label_table
from astlib.data.base import AudioDataset
from astlib.data.joined import Joined
from astlib.efficientat import CLASSES, NAME, WEIGHTS_HASH, Answers
from astlib.encoders import ASTEncoder
from astlib.files import write_json
from astlib.ledger import provenance
from astlib.ledger.record import Record
from astlib.train.distillation import hear, with_mixtures
from astlib.train.start import build_model
from common import ROOT, fail

PENALTIES = (1e-7, 1e-6, 1e-5, 1e-4)
SURE, ENOUGH = 0.5, 5  # a class counts if the teacher gives it this probability in this many clips
DRAWS = 1000
AT_ONCE = 50  # clips

CARD = """---
license: cc-by-nc-3.0
library_name: astlib
pipeline_tag: audio-classification
---
# {name}

An Audio Spectrogram Transformer of size {size} ({parameters:.2f} M parameters) with AudioSet's {classes} classes. It
has not heard AudioSet itself. Its body is that of the run below, which was taught by {teacher}. Its head has learned
which probabilities the same teacher gives to ESC-50's training clips and their mixtures. Use it as an encoder (`astlib
embed --encoder {name}`), as the start of a training on your own sounds, or to name sounds that ESC-50 has no class for.
Of the {classes} classes it can know only those that occur in ESC-50's clips.

Quality was measured on the {test} clips of fold {fold}, which the network never heard, against its teacher's answers:

| | this network | a head on ImageNet's weights |
|---|---|---|
{rows}

| | |
|---|---|
| learned from | {train} clips and mixtures of the other four folds of ESC-50 |
| teacher | {teacher}, `{teacher_hash}` |
| body | run `{id}` |
| weight penalty | {penalty:g} |
| commit | `{commit}` |

The protocol and every number are in `results/ear.json`.

## Licence

Its sounds are those of ESC-50 (K. J. Piczak, 2015; CC BY-NC 3.0), and these weights are published under the same
licence, for non-commercial use. The teacher (F. Schmid, K. Koutini, G. Widmer, ICASSP 2023) is under the MIT licence;
it has heard AudioSet (J. Gemmeke et al., ICASSP 2017), and by way of it this network has AudioSet in it. The ImageNet
weights that the body started from are under Apache-2.0 (timm). The code of astlib is under the MIT License.
"""
WORDS = {
    "first": "the teacher's first class is the first",
    "five": "the teacher's first class is among the first five",
    "map": "mean average precision, {classes} classes",
    "explained": "share of the teacher's cross-entropy explained",
}


@torch.inference_mode()
def vectors(encoder: ASTEncoder, clips: AudioDataset) -> Tensor:
    """`(clips, dim)` float32, the vector of every clip."""
    found = []
    for first in range(0, len(clips), AT_ONCE):
        rows = range(first, min(first + AT_ONCE, len(clips)))
        found.append(encoder.embed(torch.stack([clips.waveform(i) for i in rows])))
        print(f"\r{encoder.name}: {rows.stop} of {len(clips)} clips ", end="", flush=True)
    print()
    return torch.cat(found)


def fit_head(x: Tensor, targets: Tensor, penalty: float) -> nn.Sequential:
    """Fit LayerNorm and Linear to probabilities, by L-BFGS.

    Args:
        x: `(clips, dim)`.
        targets: `(clips, 527)`, probabilities.
        penalty: of the mean square of the weights, as a sum over them.
    """
    head = nn.Sequential(nn.LayerNorm(x.shape[1]), nn.Linear(x.shape[1], targets.shape[1])).double()
    linear = head[1]
    nn.init.zeros_(linear.weight)
    with torch.no_grad():
        linear.bias.copy_(targets.mean(dim=0).clamp(min=1e-7).logit())
    normed, wanted = F.layer_norm(x.double(), x.shape[1:]), targets.double()
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(linear(normed), wanted) + penalty * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.float().eval()


def divergence(targets: Tensor, probabilities: Tensor) -> Tensor:
    """`(clips,)`: the sum over the classes of KL(teacher, answer), each class a coin of its own."""
    p, q = targets.double().clamp(1e-9, 1 - 1e-9), probabilities.double().clamp(1e-9, 1 - 1e-9)
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(dim=1)


def quality(targets: Tensor, probabilities: Tensor, mean: Tensor) -> dict[str, float]:
    """The four numbers of the protocol.

    Args:
        targets: `(clips, 527)`, the teacher's probabilities.
        probabilities: `(clips, 527)`, those of the network.
        mean: `(527,)`, the teacher's mean over the training clips.
    """
    best, five = targets.argmax(dim=1, keepdim=True), probabilities.topk(5, dim=1).indices
    there = (targets >= SURE).sum(dim=0) >= ENOUGH
    truth = (targets[:, there] >= SURE).float()
    alone = divergence(targets, mean.expand_as(targets))
    return {
        "first": (five[:, :1] == best).double().mean().item(),
        "five": (five == best).any(dim=1).double().mean().item(),
        "map": metrics.mean_average_precision(truth, probabilities[:, there]),
        "explained": (1 - divergence(targets, probabilities).sum() / alone.sum()).item(),
    }


def with_intervals(targets: Tensor, probabilities: Tensor, mean: Tensor) -> dict[str, list[float]]:
    """The four numbers, each with its 95 % interval over drawings of the clips.

    The classes that count for the mean average precision are those of the drawing.
    """
    rng, found = np.random.default_rng(0), quality(targets, probabilities, mean)
    draws = []
    for _ in range(DRAWS):
        rows = torch.from_numpy(rng.integers(0, len(targets), len(targets)))
        draws.append(list(quality(targets[rows], probabilities[rows], mean).values()))
    low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
    return {name: [value, low[k], high[k]] for k, (name, value) in enumerate(found.items())}


def chosen_penalty(x: Tensor, targets: Tensor, train: Joined, folds: list[int]) -> tuple[float, dict[str, float]]:
    """The penalty with the lowest divergence on the clips of the lowest fold, and that of every penalty."""
    part = torch.tensor([place.part for place in train.sources])
    clips = part == 0  # of the lowest fold
    others = ~(clips | (part == len(folds)))  # neither its clips nor its mixtures
    found = {}
    for penalty in PENALTIES:
        with torch.no_grad():
            answers = fit_head(x[others], targets[others], penalty)(x[clips]).sigmoid()
        found[f"{penalty:g}"] = divergence(targets[clips], answers).mean().item()
        print(f"penalty {penalty:g}: divergence {found[f'{penalty:g}']:.4f} on fold {folds[0]}", flush=True)
    best = min(found, key=found.__getitem__)
    return float(best), found


def main(run_folder: Path, name: str) -> None:
    commit, dirty = provenance.git_state()
    if dirty:
        fail("the checkout has changes that are not committed: what is measured could not be repeated")
    record = Record.load(run_folder / "run.json")
    recorded = paths.results() / "runs" / f"{record.id}.json"
    if not recorded.is_file() or Record.load(recorded) != record:
        fail(f"{record.id} is not in the ledger: copy {run_folder}/run.json to {recorded} first")
    recipe = record.as_recipe()
    parts = with_mixtures(data.parts("esc50", recipe.fold), recipe.mixtures, recipe.seed)
    train, test = parts.train, parts.test
    folds = [fold for fold in range(1, 6) if fold != recipe.fold]
    if len(train.parts) != 2 * len(folds):
        fail(f"{record.id} was not taught with mixtures of {len(folds)} folds")
    taught = hear(train).logits.sigmoid()
    mean, settings, networks = taught.mean(dim=0), {}, {}
    bodies = {"taught": AST.from_pretrained(run_folder / "model"), "imagenet": build_model(recipe, test.labels)[0]}
    labels = tuple(label_table()[1])
    for key, body in bodies.items():
        x = vectors(ASTEncoder(body, key), train)
        penalty, tried = chosen_penalty(x, taught, train, folds)
        head = fit_head(x, taught, penalty)
        model = AST(body.cfg.replace(label_dim=CLASSES, labels=labels, multi_label=True))
        model.load_state_dict({k: v for k, v in body.state_dict().items() if not k.startswith(AST.head)}, strict=False)
        model.mlp_head = head
        networks[key], settings[key] = model.half().float().eval(), {"penalty": penalty, "tried": tried}
    # Only now the teacher hears the test fold: everything is fitted.
    wanted: Answers = hear(Joined([test]))
    targets, found = wanted.logits.sigmoid(), {}
    for key, model in networks.items():
        with torch.no_grad():
            answers = model.mlp_head(vectors(ASTEncoder(model, key), test)).sigmoid()
        found[key] = with_intervals(targets, answers, mean)
    counted = int(((targets >= SURE).sum(dim=0) >= ENOUGH).sum())
    study = {
        "made": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit,
        "hardware": provenance.hardware(torch.device("cpu")),
        "versions": provenance.versions(),
        "protocol": {"penalties": PENALTIES, "sure": SURE, "enough": ENOUGH, "draws": DRAWS},
        "teacher": {"name": NAME, "weights": WEIGHTS_HASH},
        "run": record.id,
        "fold": recipe.fold,
        "clips": {"train": len(train), "test": len(test)},
        "classes_that_count": counted,
        "settings": settings,
        "quality": found,
    }
    write_json(paths.results() / "ear.json", study)
    networks["taught"].save_pretrained(ROOT / "models" / name, dtype=torch.float16)
    write_json(ROOT / "models" / name / "run.json", asdict(record))
    write_card(name, study)


def write_card(name: str, study: dict) -> None:
    """Write the model card from what was measured."""
    folder = ROOT / "models" / name
    model = AST.from_pretrained(folder)
    rows = []
    for key, words in WORDS.items():
        cells = [
            f"{study['quality'][body][key][0]:.3f} ({study['quality'][body][key][1]:.3f} to "
            f"{study['quality'][body][key][2]:.3f})"
            for body in ("taught", "imagenet")
        ]
        rows.append(f"| {words.format(classes=study['classes_that_count'])} | {cells[0]} | {cells[1]} |")
    card = CARD.format(
        name=name,
        size=model.cfg.model_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        classes=model.cfg.label_dim,
        fold=study["fold"],
        train=study["clips"]["train"],
        test=study["clips"]["test"],
        teacher="EfficientAT mn04",
        teacher_hash=study["teacher"]["weights"],
        id=study["run"],
        penalty=study["settings"]["taught"]["penalty"],
        commit=study["commit"],
        rows="\n".join(rows),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB\n{json.dumps(study['quality'], indent=1)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path, help="a finished run of the recipe esc50-taught")
    parser.add_argument("name", help="of the folder in models/")
    given = parser.parse_args()
    main(given.run_folder, given.name)
