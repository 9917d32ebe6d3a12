"""`astlib calibrate`: a decision beside the weights, from held-out clips and from sounds of none of the classes."""

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from astlib import AST, ASTConfig
from astlib.calibrate import calibrate
from astlib.cli import app
from astlib.data import parts
from astlib.decisions import Decision
from astlib.errors import InvalidInput, NotFound
from astlib.measure import evaluate

CFG = ASTConfig(
    label_dim=2, labels=("high", "low"), model_size="tiny224", fstride=16, tstride=16, input_tdim=64, multi_label=False
)
runner = CliRunner()


def write(path, sound):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound.astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two classes of tones, fifteen clips each; forty noises, and one file that is no sound."""
    folder, rng, t = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0), np.arange(9_000) / 16_000
    for i in range(15):
        for label, pitch in (("low", 200), ("high", 3000)):
            write(folder / "mine" / label / f"{i}.wav", 0.3 * np.sin(2 * np.pi * (pitch + 20 * i) * t))
    for i in range(40):
        write(folder / "noises" / f"{i}.wav", 0.05 * rng.standard_normal(9_000))
    (folder / "noises" / "broken.wav").write_bytes(b"not a sound")
    return folder


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    AST(CFG).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def run(*words):
    return runner.invoke(app, ["calibrate", *map(str, words)])


def test_what_is_found_is_written_beside_the_weights(model, sounds):
    done = run("--model", model, "--data", sounds / "mine", "--none-from", sounds / "noises", "--keep", 0)
    assert done.exit_code == 0, done.output
    network = AST.from_pretrained(model)
    test = parts("folder", 1, root=sounds / "mine").test
    found = evaluate(AST.from_pretrained(model), test, progress=False)
    chosen = calibrate(found.logits, test.targets.float(), False).decision
    assert network.decision.temperature == pytest.approx(chosen.temperature)
    assert network.decision.thresholds == chosen.thresholds
    assert network.decision.none_score in done.output and "names kept" in done.output
    assert "1 of 41 sounds could not be used" in done.output
    assert "noises" in network.decision.note and str(model / "decision.json") in done.output

    again = run("--model", model, "--data", sounds / "mine")
    assert again.exit_code == 0
    later = AST.from_pretrained(model).decision
    assert later.none_score == network.decision.none_score and later.none_threshold == network.decision.none_threshold
    assert "names kept" not in again.output


def test_the_embedded_model_keeps_its_own(sounds, monkeypatch, model):
    monkeypatch.setattr("astlib.paths.models", lambda: model.parent)
    done = run("--model", "model", "--data", sounds / "mine")
    assert done.exit_code == 0 and "comes with astlib" in done.output
    assert Decision.load(model) is None


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--none-from", "nowhere"], NotFound, "no such folder, file or data set"),
        (["--none-from", "{sounds}/noises", "--none-most", 10], InvalidInput, "give 32 or more"),
        (["--none-from", "{sounds}/noises/broken.wav"], InvalidInput, "could be used"),
        (["--precision", 90], InvalidInput, "between 0 and 1"),
    ],
)
def test_mistakes_end_in_a_sentence(model, sounds, words, error, says):
    words = [str(word).format(sounds=sounds) for word in words]
    done = run("--model", model, "--data", sounds / "mine", *words)
    assert isinstance(done.exception, error) and says in str(done.exception)
    assert Decision.load(model) is None
