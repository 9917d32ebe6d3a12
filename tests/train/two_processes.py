"""Run by test_steps.py, once alone and once as two processes: every kind of augmentation, small last steps.

Arguments: a folder, a saved network, and the runs to be done as NAME=CLIPS, with the clips of a micro-batch (0: all).
Each is a run of an AST and one of a CNN. Of two processes the second gets SIGTERM in the first epoch of the AST, as
from a scheduler; both stop, and both go on.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from astlib.data import Synthetic
from astlib.devices import new_accelerator
from astlib.errors import Interrupted
from astlib.measure import evaluate
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import fit

folder, saved, rank = Path(sys.argv[1]), sys.argv[2], os.environ.get("RANK", "0")
torch.set_num_threads(1)
labels = Synthetic().labels[:3]
train = Synthetic(split="train").select(labels=labels, limit_per_class=7)  # 21 clips: the last step has 1, for two
test = Synthetic(split="test").select(labels=labels, limit_per_class=5)  # 15: an odd number to share
recipe = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=5, input_tdim=64, lr=1e-4, mixup=0.5, noise=0.1, roll=10, average=(1, 2)
)
cnn = recipe.replace(network="cnn-mlp", batch=4)  # two processes have two clips each, and at last one has one


def stop(training):
    if rank == "1" and (training.epoch, training.step) == (1, 2):
        signal.raise_signal(signal.SIGTERM)


for name, micro in (run.split("=") for run in sys.argv[3:]):
    out = folder / name
    try:
        fit(recipe, out / "ast", train, test, micro_batch=int(micro), progress=False, after_step=stop)
    except Interrupted as stopped:
        kept = [path.name for path in (out / "ast").glob("checkpoint-*")]
        (folder / f"stopped-{rank}.json").write_text(json.dumps([str(stopped), kept]))
        fit(recipe, out / "ast", train, test, micro_batch=int(micro), progress=False)
    AST.from_pretrained(out / "ast" / "model")  # on every process: whoever returns may read the model at once
    fit(cnn, out / "cnn", train, test, micro_batch=int(micro), progress=False)
    fixed = evaluate(AST.from_pretrained(saved), test, batch=4, accelerator=new_accelerator(), progress=False)
    if rank == "0":
        metrics = {key: fixed.metrics[key] for key in ("mAP", "mAUC", "d_prime", "accuracy", "loss")}
        (out / "fixed.json").write_text(json.dumps({**metrics, "names": fixed.names}))
