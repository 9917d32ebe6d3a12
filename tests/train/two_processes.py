"""Run by test_steps.py, once alone and once as two processes: every kind of augmentation, small last steps."""

import json
import os
import sys
from pathlib import Path

import torch

from astlib.data import Synthetic
from astlib.devices import new_accelerator
from astlib.measure import evaluate
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import fit

torch.set_num_threads(1)
labels = Synthetic().labels[:3]
train = Synthetic(split="train").select(labels=labels, limit_per_class=7)  # 21 clips: the last step has 1, for two
test = Synthetic(split="test").select(labels=labels, limit_per_class=5)  # 15: an odd number to share
recipe = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=5, input_tdim=64, lr=1e-4, mixup=0.5, noise=0.1, roll=10, average=(1, 2)
)
out = Path(sys.argv[1])
fit(recipe, out, train, test, micro_batch=int(sys.argv[2]), progress=False)
AST.from_pretrained(out / "model")  # on every process: whoever returns may read the model at once
fixed = evaluate(AST.from_pretrained(sys.argv[3]), test, batch=4, accelerator=new_accelerator(), progress=False)
if os.environ.get("RANK", "0") == "0":
    metrics = {key: fixed.metrics[key] for key in ("mAP", "mAUC", "d_prime", "accuracy", "loss")}
    (out / "fixed.json").write_text(json.dumps({**metrics, "names": fixed.names}))
