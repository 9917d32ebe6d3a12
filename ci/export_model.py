"""Make a finished run the embedded model: `python ci/export_model.py RUN_FOLDER NAME`.

It writes models/NAME with float16 weights, the configuration with its labels, and a model card in which every number
comes from the record of the run. The record must be in the ledger already (`astlib train --record`).
"""

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from astlib import AST, paths
from astlib.files import write_json
from astlib.ledger import Record

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
| input | mono sound at 16 kHz; {frames} frames of 10 ms, {mels} mel bins; strides {fstride} x {tstride} |
| run | `{id}` |
| commit | `{commit}` |
| data | `{data_hash}` (training part) |
| start weights | `{weights_hash}` |
| time | {minutes:.0f} minutes on {hardware}, {cores} cores |

The weights are stored in float16; the result above was measured with the original weights, in {precision}.

```python
import astlib
from astlib.predict import predict

model = astlib.AST.from_pretrained("{name}")
print(predict(model, astlib.audio.load("a_sound.wav")))
```

## Limitations

The model always names one of its {classes} classes, even for a sound that belongs to none of them. It was trained on
{train_clips} clips of five seconds, so its probabilities are only approximate. The clips of fold {fold} were not used
for training, those of the other folds were: evaluate the model on fold {fold} only.

## Licence

ESC-50 (K. J. Piczak, 2015) is published under CC BY-NC 3.0, and these weights, which were trained on it, are published
under the same licence, for non-commercial use. The ImageNet weights that the training started from are under Apache-2.0
(timm). The code of astlib is under the MIT License.
"""


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
    card = CARD.format(
        name=name,
        id=record.id,
        model_size=model.cfg.model_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        classes=model.cfg.label_dim,
        accuracy=100 * record.metrics["accuracy"],
        rule=record.metrics["rule"],
        fold=record.parameters["fold"],
        test_clips=record.data["test"]["clips"],
        train_clips=record.data["train"]["clips"],
        epochs=record.parameters["epochs"],
        source=record.weights["source"],
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
        precision=record.hardware["precision"],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"{folder}: {size / 1e6:.1f} MB, {record.id}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
