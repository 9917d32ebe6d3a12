"""Make a finished run the embedded model: `python ci/export_model.py RUN_FOLDER NAME`.

It writes models/NAME with float16 weights, the configuration with its labels, and a model card in which every number
comes from the record of the run. The record must be in the ledger already (`astlib train --record`). A decision about
other weights is removed: `python ci/decide.py NAME` makes the new one and writes the card again.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from astlib import AST, paths
from astlib.files import write_json
from astlib.ledger import Record
from astlib.saved import weights_hash

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 12_000_000  # bytes: the most that a checkout and a wheel should carry

CARD = """---
license: cc-by-nc-3.0
library_name: astlib
pipeline_tag: audio-classification
---
# {name}

An Audio Spectrogram Transformer of size {model_size} ({parameters:.2f} M parameters) that classifies sounds into the
{classes} classes of ESC-50. It was trained by this project, with its own recipe; `astlib predict` uses it if no model
is named.

| | |
|---|---|
| result | accuracy {accuracy:.1f} % on fold {fold} ({test_clips} clips), {rule} |
| trained on | the other four folds of ESC-50 ({train_clips} clips), {epochs} epochs |
| start | {source} |
{teacher}| input | mono sound at 16 kHz; {frames} frames of 10 ms, {mels} mel bins; strides {fstride} x {tstride} |
| run | `{id}` |
| commit | `{commit}` |
| data | `{data_hash}` (training part) |
| start weights | `{weights_hash}` |
| time | {minutes:.0f} minutes on {hardware}, {cores} {unit} |

The weights are stored in float16; the result above was measured with the original weights, in {precision}.

```python
import astlib
from astlib.predict import predict

model = astlib.AST.from_pretrained("{name}")
print(predict(model, astlib.audio.load("a_sound.wav")))
```

{decision}
## Limitations

It was trained on {train_clips} clips of five seconds, so its probabilities are only approximate. The clips of fold
{fold} were not used for training, those of the other folds were: evaluate the model on fold {fold} only.

## Licence

ESC-50 (K. J. Piczak, 2015) is published under CC BY-NC 3.0, and these weights, which were trained on it, are published
under the same licence, for non-commercial use. The ImageNet weights that the training started from are under Apache-2.0
(timm). {lineage}The code of astlib is under the MIT License.
"""

TEACHER = """| teacher | {name}, `{hash}`; it heard the training clips and {mixtures:,} mixtures of each training fold |
"""

LINEAGE = """The teacher (F. Schmid, K. Koutini, G. Widmer, ICASSP 2023) is under the MIT licence. It has heard AudioSet
(J. Gemmeke et al., ICASSP 2017), and by way of it this network has AudioSet in it: its accuracy is not one "without
extra audio data". """

UNDECIDED = """## Sounds of none of its classes

The model always names one of its {classes} classes, even for a sound that belongs to none of them.
"""

DECISION = """## Sounds of none of its classes

The network gives its {classes} classes probabilities for any sound. `decision.json` says how to read them, and `astlib
predict` and the page in the browser obey it:
{score}.
It was chosen by clips of fold {fold} and by {choose}. The
protocol and every number are in `results/decisions.json`.

| | |
|---|---|
{rows}

Sounds of other kinds were not tested. What is measured on fold {fold} with the decision is a little too good, because
the decision was chosen there.
"""
NAMES = {
    "words": "spoken words",
    "melodies": "melodies made in code",
    "quiet": "quiet recordings made in code",
}
SCORES = {
    "": "every sound gets a class",
    "background": "a sound belongs to none of the classes if a weighted sum of its logits is below a threshold",
    "max_logit": "a sound belongs to none of the classes if its highest logit is below a threshold",
    "max_softmax": "a sound belongs to none of the classes if its highest probability is below a threshold",
    "energy": "a sound belongs to none of the classes if the log sum exp of its logits is below a threshold",
}


def main(run_folder: str, name: str) -> None:
    record = Record.load(Path(run_folder) / "run.json")
    recorded = paths.results() / "runs" / f"{record.id}.json"
    if not recorded.is_file() or Record.load(recorded) != record:
        raise SystemExit(f"{record.id} is not in the ledger: copy {run_folder}/run.json to {recorded} first")
    model = AST.from_pretrained(Path(run_folder) / "model")
    folder = ROOT / "models" / name
    model.save_pretrained(folder, dtype=torch.float16)
    write_json(folder / "run.json", asdict(record))
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LIMIT:
        raise SystemExit(f"{folder} has {size:,} bytes, more than {LIMIT:,}")
    write_card(folder)
    print(f"{folder}: {size / 1e6:.1f} MB, {record.id}")


def write_card(folder: Path) -> None:
    """Write README.md of an embedded model from its run, its configuration and what is known of its decision."""
    record, model = Record.load(folder / "run.json"), AST.from_pretrained(folder)
    recipe = record.as_recipe()
    teacher = ""
    if recipe.teacher:
        teacher = TEACHER.format(name=recipe.teacher, hash=record.weights["teacher"], mixtures=recipe.mixtures)
    card = CARD.format(
        name=folder.name,
        id=record.id,
        model_size=model.cfg.model_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        classes=model.cfg.label_dim,
        accuracy=100 * record.metrics["accuracy"],
        rule=record.metrics["rule"],
        fold=record.parameters["fold"],
        test_clips=record.data["test"]["clips"],
        train_clips=record.data["train"]["clips"] - 4 * recipe.mixtures,
        epochs=record.parameters["epochs"],
        source=record.weights["source"],
        teacher=teacher,
        lineage=LINEAGE if recipe.teacher else "",
        frames=model.cfg.input_tdim,
        mels=model.cfg.input_fdim,
        fstride=model.cfg.fstride,
        tstride=model.cfg.tstride,
        commit=record.commit,
        data_hash=record.data["train"]["hash"],
        weights_hash=record.weights["hash"],
        minutes=record.wall_seconds / 60,
        hardware=record.hardware["name"],
        cores=record.hardware["cores"],
        unit="core" if record.hardware["cores"] == 1 else "cores",
        precision=record.hardware["precision"],
        decision=decision_section(model),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def decision_section(model: AST) -> str:
    """What the card says about sounds of no class; the numbers are those of ci/decide.py for these very weights."""
    path = paths.results() / "decisions.json"
    study = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if study is None or study["model"]["weights"] != weights_hash(model.state_dict()):
        return UNDECIDED.format(classes=model.cfg.label_dim)
    shipped, counts = study["shipped"], study["protocol"]["counts"]["choose"]
    score, kinds = shipped["decision"]["none_score"], list(counts)
    rows = []
    for kind, found in shipped["false_alarms"].items():
        low, high = (100 * end for end in found["interval"])
        share = 100 * found["passed"] / found["sounds"]
        rows.append(
            f"| false alarms: {found['sounds']} other {NAMES[kind]} | {share:.1f} % get a class (95 %: {low:.1f} to "
            f"{high:.1f} %); without the decision {100 * shipped['without'][kind]:.1f} % got one with p > 0.5 |"
        )
    for row in study["scores"]:
        if row["score"] == score and row["chosen_by"] == kinds:
            low, high = (100 * end for end in row["kept_interval"])
            rows.append(
                f"| clips that were named rightly | {100 * row['kept']:.1f} % keep their name (95 %: {low:.1f} to "
                f"{high:.1f} %), chosen on one half of the fold and measured on the other |"
            )
    rows.append(f"| temperature | {shipped['decision']['temperature']:.2f} |")
    return DECISION.format(
        classes=model.cfg.label_dim,
        score=SCORES[score],
        fold=study["model"]["fold"],
        choose=", ".join(f"{count} {NAMES[kind]}" for kind, count in counts.items()),
        rows="\n".join(rows),
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
