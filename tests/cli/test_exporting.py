"""`astlib export`: what it writes, and what it says where it cannot."""

import json
import sys

import pytest
import torch
from typer.testing import CliRunner

from astlib import AST, ASTConfig
from astlib.cli import app
from astlib.cnn import CNN, CNNConfig
from astlib.decisions import Decision
from astlib.errors import InvalidInput, MissingPackage
from astlib.networks import open_model

CFG = ASTConfig(label_dim=3, labels=("a", "b", "c"), model_size="tiny224", fstride=16, tstride=16, input_tdim=64)
DECISION = Decision(temperature=2.0, thresholds=(0.3, 0.4, 0.5), note="by hand")
runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, with a model and its decision in it."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = AST(CFG).eval()
    model.decision = DECISION
    model.save_pretrained(folder / "model")
    (folder / "run.json").write_text("{}")
    return folder


def export(*words):
    return runner.invoke(app, ["export", *map(str, words)])


@torch.inference_mode()
def test_a_run_becomes_a_hugging_face_folder_that_opens_with_its_decision(run, tmp_path):
    done = export(run, tmp_path / "hf")
    assert done.exit_code == 0 and "audio-classification" in done.stdout, done.output
    there = open_model(tmp_path / "hf")
    mel = torch.randn(2, 64, 128)
    torch.testing.assert_close(there(mel), open_model(run / "model")(mel), rtol=1e-4, atol=1e-5)
    assert there.decision == DECISION


@pytest.mark.parametrize(
    ("words", "waveform", "dtype"),
    [((), True, torch.float32), (("--mel", "--half"), False, torch.float16), (("--to", "onnx"), True, torch.float32)],
)
def test_what_is_asked_for_reaches_the_exporter(run, tmp_path, monkeypatch, words, waveform, dtype):
    """The file itself is tested in test_export.py; tracing takes a while."""

    def written(model, path, **asked):
        assert asked == {"waveform": waveform, "dtype": dtype} and model.decision == DECISION
        path.write_bytes(b"a graph")

    monkeypatch.setattr("astlib.export.to_onnx", written)
    done = export(run, tmp_path / "model.onnx", *words)
    assert done.exit_code == 0 and "output logits (batch, 3)" in done.stdout, done.output


def test_a_missing_package_is_named_with_the_extra(run, tmp_path, monkeypatch):
    for package, out, extra in (("transformers", "hf", "astlib[hf]"), ("onnxscript", "a.onnx", "astlib[onnx]")):
        monkeypatch.setitem(sys.modules, package, None)
        error = export(run, tmp_path / out).exception
        assert isinstance(error, MissingPackage) and extra in str(error) and not (tmp_path / out).exists()


def test_what_cannot_be_exported_is_said(run, tmp_path):
    CNN.from_config(CNNConfig(network="cnn-mlp", label_dim=3)).save_pretrained(tmp_path / "cnn")
    (tmp_path / "file").write_text("")
    for words, message in (
        ((tmp_path / "cnn", tmp_path / "cnn.onnx"), "only ASTs can be exported"),
        ((run, tmp_path / "hf", "--half"), "are for ONNX files"),
        ((run, tmp_path, "--to", "onnx"), f"give a path such as {tmp_path / 'model.onnx'}"),
        ((run, tmp_path / "file"), "Hugging Face's format is a folder"),
    ):
        error = export(*words).exception
        assert isinstance(error, InvalidInput) and message in str(error)
    assert json.loads((run / "model" / "decision.json").read_text())["note"] == "by hand"
