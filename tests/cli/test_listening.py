"""`astlib predict` as people use it: folders, nights, tables for other programs, a batch that was stopped."""

import csv
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from astlib import AST, ASTConfig, cli
from astlib.answers import Answer, Failure, Request, answers, find_sounds
from astlib.cli import app
from astlib.decisions import Decision
from astlib.errors import Interrupted, InvalidInput, NotFound
from astlib.events import Event, Merging
from astlib.outputs import Places, answer_all

CFG = ASTConfig(
    label_dim=3, labels=("a", "b", "c"), model_size="tiny224", fstride=16, tstride=16, input_tdim=64, multi_label=False
)
runner = CliRunner()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = AST(CFG).eval()
    with torch.no_grad():
        network.mlp_head[1].weight.mul_(8)  # answers that differ from sound to sound
    return network


@pytest.fixture(scope="module")
def model(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp("model")
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def sounds(tmp_path):
    """A folder with a night of 4 s, two short clips in a folder below, a broken one, a hidden one, and a phone's."""
    root = tmp_path / "sounds"
    (root / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    soundfile.write(root / "night.flac", 0.2 * rng.standard_normal(64_000) * np.linspace(0, 1, 64_000), 16_000)
    for i in (1, 2):
        soundfile.write(root / "below" / f"{i}.wav", 0.3 * np.sin(np.arange(12_000) * i / 20), 16_000)
    (root / "broken.wav").write_bytes(b"not a sound")
    (root / "._night.flac").write_bytes(b"what a Mac leaves")
    (root / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (root / "notes.txt").write_text("nothing")
    return root


def predict(model, *words, stdin=None):
    return runner.invoke(app, ["predict", *map(str, words), "--model", str(model), "--device", "cpu"], input=stdin)


def test_a_folder_is_its_sounds_and_what_failed_is_counted(model, sounds):
    result = predict(model, sounds, "--top", 1)
    assert result.exit_code == 1 and "Traceback" not in result.output
    listed = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert listed == [str(sounds / name) for name in ("below/1.wav", "below/2.wav", "night.flac")]
    assert f"{sounds / 'broken.wav'}: is not a sound file" in result.stderr
    assert "1 .m4a file left out" in result.stderr and "ffmpeg -i" in result.stderr
    assert (
        "3 of 4 files, 5.5 s of sound" in result.stderr and f"failed: 1 file: {sounds / 'broken.wav'}" in result.stderr
    )
    (sounds / "broken.wav").unlink()
    assert predict(model, sounds).exit_code == 0


def test_a_folder_without_sounds_says_what_it_holds(sounds, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.m4a").touch()
    with pytest.raises(NotFound, match=r"holds no sound file that libsndfile reads \(but 1 .m4a file; convert"):
        find_sounds([tmp_path / "empty"])
    found = find_sounds([sounds / "night.flac", sounds, Path("nowhere.wav")])
    assert [file.name for file in found.files] == ["night.flac", "1.wav", "2.wav", "broken.wav", "nowhere.wav"]


def test_files_are_answered_as_each_alone(network, sounds):
    files = find_sounds([sounds]).files
    together = list(answers(network, files, Request(windows=True)))
    for file, found in zip(files, together, strict=True):
        (alone,) = answers(network, [file], Request(windows=True))
        if isinstance(alone, Failure):
            assert found == alone
            continue
        assert (found.file, found.seconds, found.notes) == (alone.file, alone.seconds, alone.notes)
        assert [w[:2] for w in found.windows] == [w[:2] for w in alone.windows]
        for ours, theirs in zip(found.classes, alone.classes, strict=True):
            assert ours.label == theirs.label and ours.probability == pytest.approx(theirs.probability, abs=1e-4)


def test_events_are_the_windows_over_the_threshold(network, sounds):
    night = sounds / "night.flac"
    (found,) = answers(network, [night], Request(top=3, threshold=0.4, windows=True, merging=Merging()))
    over = {(w.begin_s, w.end_s, named.label) for w in found.windows for named in w.classes}
    assert over and all(named.probability >= 0.4 for w in found.windows for named in w.classes)
    for begin, end, label in over:
        assert any(e.begin_s <= begin and end <= e.end_s and e.label == label for e in found.events)
    assert all(0 <= e.begin_s < e.end_s <= found.seconds for e in found.events)
    assert found.rows() == list(found.events)


def test_thresholds_of_the_model_are_obeyed_and_a_number_overrides_them(network, sounds, monkeypatch):
    night = [sounds / "night.flac"]
    (plain,) = answers(network, night, Request(merging=Merging(), threshold=0.0))
    assert {event.label for event in plain.events} == {"a", "b", "c"}
    monkeypatch.setattr(network, "decision", Decision(thresholds=(0.0, 1.0, 1.0)))
    (chosen,) = answers(network, night, Request(merging=Merging()))
    assert {event.label for event in chosen.events} == {"a"}
    (number,) = answers(network, night, Request(merging=Merging(), threshold=0.0))
    assert number.events == plain.events


def test_none_of_the_classes_is_said(network, model, sounds, tmp_path, monkeypatch):
    folder = tmp_path / "careful"
    monkeypatch.setattr(network, "decision", Decision(none_score="max_logit", none_threshold=1e6))
    network.save_pretrained(folder)
    night = sounds / "night.flac"
    text = predict(folder, night, "--windows", "--top", 1).stdout.splitlines()
    assert text[1].startswith("  none of the model's classes; nearest: ") and "none of the classes (" in text[-1]
    found = json.loads(predict(folder, night, "--windows", "--events", "--json").stdout)
    assert found["none"] is True and all(w["none"] for w in found["windows"]) and found["events"] == []
    assert len(found["classes"]) == 3, "the nearest are still there"
    table = tmp_path / "none.csv"
    predict(folder, sounds / "below", "--csv", table)
    assert table.read_text().count("\n") == 1, "no row but the header"
    assert json.loads(predict(model, night, "--json").stdout)["none"] is False


def test_a_model_that_errs_about_its_labels_can_be_corrected(model, sounds):
    """As a Hugging Face folder without problem_type, which may be either."""
    night = sounds / "night.flac"
    one, several = (
        json.loads(predict(model, night, "--json", option).stdout)["classes"]
        for option in ("--single-label", "--multi-label")
    )
    assert sum(row["probability"] for row in one) == pytest.approx(1, abs=1e-4)
    assert sum(row["probability"] for row in several) != pytest.approx(1, abs=1e-2)


def test_what_makes_an_answer_doubtful_is_noted(model, tmp_path):
    soundfile.write(tmp_path / "short.wav", 0.1 * np.ones(3200), 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    tone = 0.3 * np.sin(np.arange(16_000) / 9)
    soundfile.write(tmp_path / "inverted.wav", np.stack([tone, -tone], axis=1), 16_000)
    soundfile.write(tmp_path / "good.wav", tone, 16_000)
    for name, expected in {
        "short": ["0.2 s of sound in a window of 0.6 s"],
        "silent": ["silence"],
        "inverted": ["the channels cancel each other", "silence"],
        "good": [],
    }.items():
        found = json.loads(predict(model, tmp_path / f"{name}.wav", "--json").stdout)
        assert len(found.get("notes", [])) == len(expected)
        assert all(note.startswith(start) for note, start in zip(found.get("notes", []), expected, strict=True))
    assert "  note: 0.2 s of sound" in predict(model, tmp_path / "short.wav").stdout


def test_standard_input(model, sounds):
    content = (sounds / "night.flac").read_bytes()
    piped, named = predict(model, "-", "--json", stdin=content), predict(model, sounds / "night.flac", "--json")
    assert {**json.loads(named.stdout), "file": "-"} == json.loads(piped.stdout)
    assert "-: is empty" in predict(model, "-", stdin=b"").stderr


def test_tables_for_other_programs(model, sounds, tmp_path):
    out = tmp_path / "out"
    result = predict(
        model,
        sounds,
        "--threshold",
        0,
        "--csv",
        out / "all.csv",
        "--audacity",
        out / "labels",
        "--raven",
        out / "raven",
    )
    assert result.exit_code == 1 and result.stdout == ""
    assert f"written: {out / 'all.csv'}" in result.stderr
    with (out / "all.csv").open(newline="") as file:
        rows = [Event(r["file"], float(r["begin_s"]), float(r["end_s"]), r["label"], float(r["score"]))
                for r in csv.DictReader(file)]  # fmt: skip
    assert {(row.file, row.label) for row in rows} == {
        (str(sounds / name), label) for name in ("below/1.wav", "below/2.wav", "night.flac") for label in "abc"
    }
    tables = sorted(str(path.relative_to(out)) for path in out.rglob("*.txt"))
    assert tables == [
        "labels/below/1.wav.txt", "labels/below/2.wav.txt", "labels/night.flac.txt",
        "raven/below/1.wav.selections.txt", "raven/below/2.wav.selections.txt", "raven/night.flac.selections.txt",
    ]  # fmt: skip
    for line in (out / "labels" / "night.flac.txt").read_text().splitlines():
        begin, end, label = line.split("\t")
        assert 0 <= float(begin) < float(end) <= 4 and label[0] in "abc"


def test_what_is_there_is_not_replaced_unless_asked(model, sounds, tmp_path):
    table, clip = tmp_path / "all.csv", sounds / "below" / "1.wav"
    table.write_text("the work of a week")
    result = predict(model, clip, "--csv", table)
    assert isinstance(result.exception, InvalidInput) and "all.csv exists. Give another place, or --overwrite" in str(
        result.exception
    )
    assert table.read_text() == "the work of a week"
    assert predict(model, clip, "--csv", table, "--overwrite").exit_code == 0
    assert table.read_text().startswith("file,begin_s")
    result = predict(model, sounds, "--audacity", tmp_path / "one.txt")
    assert "would have to hold 4 sounds; give a folder" in str(result.exception)


def test_a_batch_that_was_stopped_goes_on(network, sounds, tmp_path, monkeypatch):
    """Ctrl-C after two files, and a kill that cut a line off; then the same command gives what it gives undisturbed."""
    files, request = find_sounds([sounds]).files, Request(merging=Merging(), threshold=0.0)
    heard = []

    def stop_after_two(found):
        heard.append(found)
        if len(heard) == 2:
            raise KeyboardInterrupt

    places = Places(jsonl=tmp_path / "a.jsonl", csv=tmp_path / "a.csv", raven=tmp_path / "raven")
    with pytest.raises(Interrupted, match="stopped after 2 of 4 files. The same command goes on"):
        answer_all(network, files, request, places, show=stop_after_two)
    with places.jsonl.open("a") as file:
        file.write('{"file": "half a li')
    again = []
    summary = answer_all(network, files, request, places, show=again.append)
    assert summary.before == 2 and len(again) == 2 and summary.answered == 3 and len(summary.failures) == 1
    whole = Places(jsonl=tmp_path / "b.jsonl", csv=tmp_path / "b.csv", raven=tmp_path / "raven2")
    undisturbed = answer_all(network, files, request, whole)
    assert (summary.labels, summary.seconds) == (undisturbed.labels, undisturbed.seconds)
    assert len(places.csv.read_text().splitlines()) == len(whole.csv.read_text().splitlines())
    rows = [[json.loads(line) for line in path.read_text().splitlines()] for path in (places.jsonl, whole.jsonl)]
    assert [row["file"] for row in rows[0]] == [row["file"] for row in rows[1]]
    with pytest.raises(InvalidInput, match=r"another command \(other threshold\)"):
        answer_all(network, files, Request(merging=Merging(), threshold=0.5), places)
    with pytest.raises(Interrupted, match="With --jsonl FILE it could go on"):
        heard.clear()
        answer_all(network, files, request, Places(), show=stop_after_two)


def test_an_answer_is_read_back_as_it_was(network, sounds):
    for request in (Request(), Request(windows=True, merging=Merging(), threshold=0.0)):
        for found in answers(network, [sounds / "night.flac"], request):
            assert Answer.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_names_that_the_console_cannot_show_stop_nothing(model, sounds, monkeypatch):
    """What Windows does when the output goes to a file: cp1252."""
    odd = sounds / "below" / "Ü絆.wav"
    (sounds / "below" / "1.wav").rename(odd)
    output = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main() replaces it
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(
        sys, "argv", ["astlib", "predict", str(odd), str(sounds / "below" / "2.wav"), "--model", str(model)]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    output.flush()
    shown = output.buffer.getvalue()
    assert stop.value.code == 0 and b"\xdc\\u7d46.wav" in shown and b"2.wav" in shown
