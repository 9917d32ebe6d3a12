"""The model that comes with astlib: small enough, what its card says, and right on clips that it never heard."""

import re
from pathlib import Path

import pytest

from astlib import AST, audio
from astlib.data import ESC50
from astlib.ledger import Ledger
from astlib.measure import evaluate
from astlib.predict import predict

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "models" / "ast-tiny-esc50"


@pytest.fixture(scope="module")
def record():
    run_id = re.search(r"\| run \| `(.+?)` \|", (FOLDER / "README.md").read_text(encoding="utf-8"))[1]
    return next(record for record in Ledger().records if record.id == run_id)


def test_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12_000_000


def test_its_card_says_what_the_record_says(record):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"accuracy {100 * record.metrics['accuracy']:.1f} % on fold {record.parameters['fold']}" in card
    assert record.commit in card and record.data["train"]["hash"] in card and record.weights["hash"] in card
    assert "CC BY-NC 3.0" in card


def test_its_configuration_is_that_of_the_run(record):
    cfg = AST.from_pretrained("ast-tiny-esc50").cfg
    for name in ("model_size", "fstride", "tstride", "input_tdim", "prefix_tokens", "mean", "std"):
        assert getattr(cfg, name) == record.parameters[name]
    assert len(cfg.labels) == 50 and not cfg.multi_label


@pytest.mark.slow
def test_it_repeats_its_result_on_the_fold_it_never_heard(record, esc50_root):
    """Half precision may turn a clip or two of 400 that stand on the edge, and no more."""
    model = AST.from_pretrained("ast-tiny-esc50")
    test = ESC50(esc50_root, fold=record.parameters["fold"], split="test")
    found = evaluate(model, test, progress=False).metrics["accuracy"]
    assert abs(found - record.metrics["accuracy"]) <= 2 / 400


def test_it_names_real_clips(esc50_root):
    model, test = AST.from_pretrained("ast-tiny-esc50"), ESC50(esc50_root, fold=1, split="test")
    wanted = {"1-100032-A-0": "dog", "1-100210-A-36": "vacuum_cleaner", "1-17367-A-10": "rain"}
    for name, label in wanted.items():
        waveform = audio.load(test.sources[test.names.index(name)])
        assert predict(model, waveform, top=1)[0][0] == label
