"""Make a finished run the embedded model: `python ci/export_model.py RUN_FOLDER NAME`.

Writes models/NAME with float16 weights, the configuration with its labels, and a model card in which every number
comes from the run's record. The record must be in the ledger already (`astlib train --record`).
"""

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from astlib import AST
from astlib.files import write_json
from astlib.ledger import Run, results_folder

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 12_000_000  # bytes: what a checkout and a wheel should carry at most

CARD = """---
license: cc-by-nc-3.0
library_name: astlib
pipeline_tag: audio-classification
---
# {name}

An Audio Spectrogram Transformer of size {model_size} ({parameters:.2f} M parameters) that tells the {classes} classes
of ESC-50 apart. Trained by this project, with its own recipe; it is what `astlib predict` uses if no model is named.

| | |
|---|---|
| result | accuracy {accuracy:.1f} % on fold {fold} ({test_clips} clips), {rule} |
| trained on | the other four folds of ESC-50 ({train_clips} clips), {epochs} epochs |
| start | {source} |
| input | mono sound at 16 kHz; {frames} frames of 10 ms, {mels} mel bins; strides {fstride} x {tstride} |
| run | `{id}` |
| commit | `{commit}` |
| data | `{data_hash}` (training part) |
| start weights | `{weights_hash}` |
| time | {minutes:.0f} minutes on {hardware}, {cores} cores |

The weights here are rounded to float16; the result is that of the run, in {precision}.

```python
import astlib
from astlib.predict import predict

model = astlib.AST.from_pretrained("{name}")
print(predict(model, astlib.audio.load("a_sound.wav")))
```

## What it is not for

It always names one of its {classes} classes, also for a sound that is none of them. It has heard {train_clips} clips of
five seconds, so treat its probabilities as rough. Fold {fold} was never trained on; clips of the other folds were, so
only fold {fold} may be used to measure it.

## Licence

ESC-50 (K. J. Piczak, 2015) is published under CC BY-NC 3.0, and a model trained on it follows: these weights are for
non-commercial use, CC BY-NC 3.0. The ImageNet weights that it started from are Apache-2.0 (timm). The code of
astlib is MIT.
"""


def main(run_folder: str, name: str) -> None:
    run = Run.load(Path(run_folder) / "run.json")
    recorded = results_folder() / "runs" / f"{run.id}.json"
    if not recorded.is_file() or Run.load(recorded) != run:
        raise SystemExit(f"{run.id} is not in the ledger: copy {run_folder}/run.json to {recorded} first")
    model = AST.from_pretrained(Path(run_folder) / "model")
    folder = ROOT / "models" / name
    model.save_pretrained(folder, dtype=torch.float16)
    write_json(folder / "run.json", asdict(run))
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LIMIT:
        raise SystemExit(f"{folder} has {size:,} bytes, more than {LIMIT:,}")
    card = CARD.format(
        name=name,
        id=run.id,
        model_size=model.cfg.model_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        classes=model.cfg.label_dim,
        accuracy=100 * run.metrics["accuracy"],
        rule=run.metrics["rule"],
        fold=run.parameters["fold"],
        test_clips=run.data["test"]["clips"],
        train_clips=run.data["train"]["clips"],
        epochs=run.parameters["epochs"],
        source=run.weights["source"],
        frames=model.cfg.input_tdim,
        mels=model.cfg.input_fdim,
        fstride=model.cfg.fstride,
        tstride=model.cfg.tstride,
        commit=run.commit,
        data_hash=run.data["train"]["hash"],
        weights_hash=run.weights["hash"],
        minutes=run.wall_seconds / 60,
        hardware=run.hardware["name"],
        cores=run.hardware["cores"],
        precision=run.hardware["precision"],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"{folder}: {size / 1e6:.1f} MB, {run.id}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
