"""From a file to classes, in Python and on the command line."""

import copy
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from made_records import FIVE
from typer.testing import CliRunner

from astlib import AST, ASTConfig, metrics, paths, scores
from astlib.cli import app
from astlib.cli.training import parse
from astlib.data import parts
from astlib.errors import AstlibError, Diverged, Interrupted, InvalidInput, MissingPackage, NotFound
from astlib.frontend import LogMel, normalise
from astlib.predict import predict, probabilities, starts, timeline

CFG = ASTConfig(
    label_dim=3, labels=("a", "b", "c"), model_size="tiny224", fstride=16, tstride=16, input_tdim=128, multi_label=False
)
runner = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    AST(CFG).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "tone.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(44_100 * 2) / 44_100), 44_100)
    return path


def main(monkeypatch, *words):
    """The real entry point, so that errors take the way a person sees them."""
    import astlib.cli

    monkeypatch.setattr("sys.argv", ["astlib", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        astlib.cli.main()
    return stop.value.code


def test_probabilities_sum_to_one_for_one_of_many(model):
    values = probabilities(AST.from_pretrained(model), torch.randn(16_000) * 0.1)
    assert values.shape == (3,) and values.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_multi_label_model_gives_sigmoids():
    model = AST(CFG.replace(multi_label=True)).eval()
    values = probabilities(model, torch.randn(16_000) * 0.1)
    assert ((values > 0) & (values < 1)).all() and abs(values.sum().item() - 1) > 1e-3


@pytest.mark.parametrize("frames", [1, 127, 128, 129, 191, 192, 193, 256, 1000])
def test_windows_cover_every_frame_and_end_with_the_sound(frames):
    covered = {frame for start in starts(frames, 128) for frame in range(start, start + 128)}
    assert covered >= set(range(frames))
    assert max(covered) + 1 == max(frames, 128), "no window may reach past the end of a sound that fills one"


def test_a_long_recording_is_the_mean_of_its_windows(model):
    ast = AST.from_pretrained(model)
    clip = torch.randn(80_000) * 0.1
    long = probabilities(ast, clip)
    mel = LogMel()(clip)[0]
    parts = torch.stack([mel[start : start + 128] for start in starts(len(mel), 128)])
    with torch.no_grad():
        by_hand = ast(normalise(parts, CFG.mean, CFG.std)).softmax(-1).mean(0)
    torch.testing.assert_close(long, by_hand, rtol=1e-4, atol=1e-5)


def test_a_timeline_says_when(model):
    """Each window alone is what the model says of that stretch, and the spans cover the sound from end to end."""
    ast = AST.from_pretrained(model)
    clip = torch.randn(41_234) * 0.1
    spans, shares = timeline(ast, clip)
    assert spans[0, 0] == 0 and spans[-1, 1] <= 41_234 / 16_000 < spans[-1, 1] + 0.01  # but for less than a frame
    assert (spans[1:, 0] < spans[:-1, 1]).all() and shares.shape == (len(spans), 3)
    for (begin, end), row in zip((spans * 16_000).round().int().tolist(), shares, strict=True):
        torch.testing.assert_close(probabilities(ast, clip[begin:end]), row, rtol=1e-4, atol=1e-5)
    short, _ = timeline(ast, clip[:8000])
    assert short.tolist() == [[0, 0.5]]


def test_predict_is_sorted_and_named(model):
    found = predict(AST.from_pretrained(model), torch.randn(16_000) * 0.1, top=2)
    assert len(found) == 2 and found[0][1] >= found[1][1] and {label for label, _ in found} <= {"a", "b", "c"}


def test_cli_predict_as_text_and_json(model, clip):
    text = runner.invoke(app, ["predict", str(clip), "--model", str(model), "--top", "2"])
    assert text.exit_code == 0 and text.stdout.count("%") == 2
    line = runner.invoke(app, ["predict", str(clip), "--model", str(model), "--json"])
    found = json.loads(line.stdout)
    assert found["file"] == str(clip) and len(found["classes"]) == 3 and "windows" not in found


def test_cli_predict_says_when(model, tmp_path):
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(80_000), 16_000)
    words = ["predict", str(tmp_path / "long.wav"), "--model", str(model), "--top", "1", "--windows"]
    found = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert len(found["windows"]) == len(starts(498, 128)) and found["windows"][0]["begin_s"] == 0
    assert all(len(window["classes"]) == 1 for window in found["windows"])
    assert found["windows"][-1]["end_s"] <= found["seconds"] == 5
    text = runner.invoke(app, words).stdout.splitlines()
    assert len(text) == 2 + len(found["windows"]) and text[2].split()[:4] == ["0.00", "to", "1.29", "s"]


def test_what_is_no_sound_is_refused(model):
    ast = AST.from_pretrained(model)
    for waveform in (torch.zeros(399), torch.zeros(2, 16_000), np.zeros(0, dtype=np.float32)):
        with pytest.raises(ValueError, match="one mono sound of 25 ms or more"):
            predict(ast, waveform)
    assert predict(ast, np.zeros(400, dtype=np.float32))


def test_cli_names_the_file_that_is_too_short(model, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    result = runner.invoke(app, ["predict", str(tmp_path / "short.wav"), "--model", str(model)])
    assert result.exit_code == 1 and "short.wav" in result.stderr


def test_a_damaged_model_is_named(model, tmp_path):
    for name in ("config.json", "model.safetensors"):
        folder = tmp_path / name
        folder.mkdir()
        for file in model.iterdir():
            content = file.read_bytes()
            (folder / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            AST.from_pretrained(folder)


def test_cli_predict_goes_on_after_a_broken_file(model, clip, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not a sound")
    result = runner.invoke(app, ["predict", str(broken), str(clip), "--model", str(model)])
    assert result.exit_code == 1 and str(clip) in result.stdout and "broken.wav" in result.stderr
    assert "Traceback" not in result.output


def test_cli_mistakes_end_in_one_line(monkeypatch, capsys, tmp_path, clip):
    for words, expected in [
        (["predict", clip, "--model", tmp_path], "no model at"),
        (["train", "--recipe", "nope", "--out", tmp_path], "no recipe 'nope'. Recipes: audioset"),
        (["recipes", "esc50-tyni"], "Did you mean esc50-tiny"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--set", "epoch=1"], "has no epoch"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--set", "epochs"], "name=value"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--set", "epochs=two"], "must be a whole number"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--set", "init=scratch", "--set", "fold=9"], "1 to 5"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--precision", "fp8"], "must be auto or one of"),
        (["train", "--recipe", "synthetic", "--out", tmp_path, "--set", "weights=/none/x.pth"], "no weights at /none"),
        (["evaluate", "--data", "nope"], "no data set 'nope'"),
    ]:
        assert main(monkeypatch, *words) == 2
        error = capsys.readouterr().err
        assert expected in error and "Traceback" not in error and len(error.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def own_sounds(tmp_path_factory):
    """A person's folder: three classes, six short sounds in each."""
    root = tmp_path_factory.mktemp("sounds")
    for c, name in enumerate(("hum", "hiss", "whistle")):
        (root / name).mkdir()
        for i in range(6):
            tone = np.sin(2 * np.pi * 200 * (1 + 3 * c + 0.1 * i) * np.arange(8000) / 16_000)
            soundfile.write(root / name / f"{name}-{i}.wav", 0.3 * tone, 16_000)
    return root


def train_words(own_sounds, out, *changes):
    words = ["train", "--recipe", "own-sounds", "--data", str(own_sounds), "--out", str(out)]
    for change in ("epochs=1", "init=scratch", "input_tdim=64", "timem=8", *changes):
        words += ["--set", change]
    return words


def test_cli_train_runs_resumes_and_prints_where_things_are(own_sounds, tmp_path):
    words = train_words(own_sounds, tmp_path / "run")
    first = runner.invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "accuracy" in first.stdout and "run.json" in first.stdout
    again = runner.invoke(app, words)
    assert again.exit_code == 0 and first.stdout.endswith(again.stdout) and "epoch 1" not in again.stdout


def test_cli_measures_an_ensemble_of_two_runs(own_sounds, tmp_path):
    models, where = [], ["--data", "folder", "--root", str(own_sounds), "--json"]
    for seed in (0, 1):
        out = runner.invoke(app, train_words(own_sounds, tmp_path / str(seed), f"seed={seed}"))
        assert out.exit_code == 0, out.output
        models.append(["--model", str(tmp_path / str(seed) / "model")])
    found = [
        json.loads(runner.invoke(app, ["evaluate", *where, *chosen]).stdout)
        for chosen in (models[0], models[1], models[0] + models[1])
    ]
    together, _ = scores.ensemble([tmp_path / "0", tmp_path / "1"])
    test = parts("folder", root=own_sounds)[2]
    assert found[2]["mAP"] == pytest.approx(metrics.mean_average_precision(test.targets, together), abs=1e-6)
    assert len(found[2]["model"]) == 2 and found[0]["clips"] == found[2]["clips"] == len(test)


def test_ctrl_c_at_the_command_line_ends_with_130_and_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def interrupted(*_):
        raise Interrupted("stopped at epoch 1, step 2 of 3. The same command goes on from there")

    monkeypatch.setattr("astlib.train.fit", lambda *_, **__: interrupted())
    assert main(monkeypatch, "train", "--recipe", "synthetic", "--out", tmp_path) == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_cli_recipes_lists_and_explains():
    listed = runner.invoke(app, ["recipes"]).stdout
    assert "audioset-balanced" in listed and "own-sounds" in listed
    assert "egs/audioset/run.sh:24-63" in runner.invoke(app, ["recipes", "audioset"]).stdout


def test_cli_results():
    assert "AST-S (base, ImageNet)" in runner.invoke(app, ["results"]).stdout


@pytest.mark.parametrize(
    ("text", "value"),
    [("lr=1e-4", ("lr", 1e-4)), ("init=scratch", ("init", "scratch")), ("betas=(0.9, 0.99)", ("betas", (0.9, 0.99)))],
)
def test_changes_are_python_literals_or_words(text, value):
    assert parse(text) == value


# --- how the command line ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        AstlibError("expected this, found that"),
        InvalidInput("expected this, found that"),
        NotFound("no such thing"),
        MissingPackage('this needs more: pip install "astlib[hub]"'),
        Diverged("not finite"),
        FileNotFoundError(2, "No such file or directory", "/none/of/these.json"),
        PermissionError(13, "Permission denied", "/root"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_mistake_or_a_missing_file_ends_in_one_line_and_status_2(monkeypatch, capsys, error):
    def failing(*_):
        raise error

    monkeypatch.setattr("astlib.sources.describe", failing)
    assert main(monkeypatch, "recipes", "esc50") == 2
    written = capsys.readouterr().err
    said = str(error)
    if isinstance(error, FileNotFoundError | PermissionError) and error.filename:  # "[Errno 2]" says nothing
        said = f"{error.filename}: {error.strerror}"
    assert written == f"astlib: {said}\n" and "bug" not in written


@pytest.mark.parametrize(
    "error", [RuntimeError("from inside"), ValueError("from torch"), KeyError("x"), ImportError("no module")], ids=repr
)
def test_a_bug_keeps_its_traceback_below_a_sentence_how_to_report_it(error):
    """In a process of its own, because the interpreter prints the traceback."""
    code = (
        "import sys, astlib.sources\n"
        f"def failing(*_): raise {error!r}\n"
        "astlib.sources.describe = failing\n"
        "sys.argv = ['astlib', 'recipes', 'esc50']\n"
        "from astlib.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == ""
    assert lines[0].startswith("astlib: this is a bug in astlib. Please report it, with what follows, at https://")
    assert lines[2].startswith("Traceback") and "in failing" in done.stderr
    assert lines[-1].startswith(type(error).__name__) and str(error) in lines[-1]


def test_help_does_not_wait_for_torch():
    """The commands import what they need when they run, so that a mistake in a command costs no seconds."""
    code = "import sys, astlib.cli; sys.exit(bool({'torch', 'numpy', 'accelerate'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- the ledger on the command line -----------------------------------------------------------------------------------


@pytest.fixture
def tampered_ledger(tmp_path, monkeypatch):
    """A copy of the ledger with two records, of which one claims more than its run gave."""
    shutil.copytree(paths.results(), tmp_path / "results", ignore=shutil.ignore_patterns("runs"))
    good, bad = FIVE[0], copy.deepcopy(FIVE[1])
    bad.metrics["accuracy"] = 0.99
    for record in (good, bad):
        record.save(tmp_path / "results" / "runs")
    monkeypatch.setattr(paths, "results", lambda: tmp_path / "results")
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path / "runs"))
    return good, bad


def test_results_do_not_show_a_tampered_record_and_say_that_it_is_refused(tampered_ledger):
    good, bad = tampered_ledger
    result = runner.invoke(app, ["results"])
    assert result.exit_code == 0 and good.id in result.stdout
    assert bad.id not in result.stdout and "99.0 %" not in result.output
    assert f"refused: {bad.id}: its seal is broken" in result.stderr
    lines = [json.loads(line) for line in runner.invoke(app, ["results", "--json"]).stdout.splitlines()]
    assert [line["id"] for line in lines] == [good.id] and lines[0]["metrics"] == good.metrics


def test_results_name_a_file_that_is_no_record(tampered_ledger):
    (paths.results() / "runs" / "notes.json").write_text("not JSON")
    result = runner.invoke(app, ["results"])
    assert (
        result.exit_code == 0
        and "refused: notes: " in result.stderr
        and "notes.json is not a run record" in result.stderr
    )


def test_results_of_an_empty_ledger(tmp_path, monkeypatch, tampered_ledger):
    shutil.rmtree(paths.results() / "runs")
    assert "no run is recorded here" in runner.invoke(app, ["results"]).stdout


def test_training_on_the_command_line_does_not_begin_if_its_record_could_not_be_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(paths, "checkout", lambda: None)
    words = ["train", "--recipe", "synthetic", "--out", tmp_path / "run", "--record"]
    assert main(monkeypatch, *words) == 2
    assert "--record writes into results/ of a checkout" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_runs_that_failed_end_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    monkeypatch.setattr("astlib.reproduce.run_missing", lambda *_: 2)
    assert main(monkeypatch, "reproduce", "learning-rate", "--scale", "try") == 2
    assert "2 runs failed" in capsys.readouterr().err
