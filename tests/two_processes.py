"""Run by tests/test_train.py, once alone and once as two processes: a short run without random augmentation."""

import sys
from pathlib import Path

from astlib.data import Synthetic
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import fit

labels = Synthetic().labels[:3]
train = Synthetic(split="train").select(labels=labels, limit_per_class=8)  # 24 clips: four whole batches
test = Synthetic(split="test").select(labels=labels, limit_per_class=5)  # 15: an odd number to share
recipe = RECIPES["synthetic"].replace(init="scratch", epochs=2, batch=6, input_tdim=64, freqm=0, timem=0, lr=1e-4)
out = Path(sys.argv[1])
fit(recipe, out, train, test, progress=False)
AST.from_pretrained(out / "model")  # on every process: whoever returns may read the model at once
