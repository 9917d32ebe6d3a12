"""`astlib data list | fetch | check`, and the parts that recipes ask for by name."""

import csv
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from astlib import data
from astlib.cli import app, main
from astlib.data import DATASETS, ESC50, SpeechCommands, Synthetic, parts
from astlib.errors import InvalidInput, NotFound

runner = CliRunner()


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A machine without any data."""
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def commands(tmp_path):
    """A folder in the layout of Speech Commands: 3 words, 12 speakers, one clip broken, one empty, one missing."""
    root = tmp_path / "commands"
    rng = np.random.default_rng(0)
    names = [(word, f"{speaker:08x}_nohash_0") for word in ("up", "down", "left") for speaker in range(12)]
    for word, name in names:
        (root / word).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / word / f"{name}.wav", 0.1 * rng.standard_normal(8000), 16_000)
    lines = [f"{word}/{name}.wav" for word, name in names]
    (root / "validation_list.txt").write_text("\n".join(lines[::4]))
    (root / "testing_list.txt").write_text("\n".join(lines[1::4]))
    (root / lines[0]).unlink()
    (root / lines[5]).write_bytes((root / lines[5]).read_bytes()[:3000])
    (root / lines[30]).write_bytes(b"")
    return root, [lines[i].removesuffix(".wav") for i in (0, 5, 30)]


def run(*words):
    result = runner.invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_list_says_of_each_how_to_get_it_or_where_it_is(no_data, monkeypatch):
    status, text = run("data", "list")
    assert status == 0
    assert [line.split()[0] for line in text.splitlines()[::2]] == list(DATASETS)
    for name in ("esc50", "speech-commands", "audioset-balanced"):
        assert f"astlib data fetch {name}" in text
    assert "found in" not in text
    for folder, file in (("esc50", "audio"), ("speech_commands_v0.02", "yes"), ("audioset", "eval_segments.csv")):
        (no_data / "data" / folder / file).mkdir(parents=True)
    (no_data / "data" / "audioset" / "eval_segments.csv").rmdir()
    (no_data / "data" / "audioset" / "eval_segments.csv").touch()
    monkeypatch.setenv("ASTLIB_DATA", str(no_data / "data"))
    found = run("data", "list")[1].splitlines()
    places = dict(zip((line.split()[0] for line in found[::2]), found[1::2], strict=True))
    assert places["esc50"].endswith(f"found in {no_data / 'data' / 'esc50'}")
    assert places["speech-commands"].endswith("speech_commands_v0.02")
    assert "fetch audioset-balanced" in places["audioset-balanced"], "lists alone are no sound"
    (no_data / "data" / "audioset" / "data").mkdir()
    assert "found in" in run("data", "list")[1].splitlines()[2 * list(DATASETS).index("audioset") + 1]


def test_fetch_says_that_nothing_was_downloaded(no_data, monkeypatch):
    (no_data / "data" / "esc50" / "audio").mkdir(parents=True)
    monkeypatch.setenv("ASTLIB_DATA", str(no_data / "data"))
    status, text = run("data", "fetch", "esc50")
    assert status == 0 and f"esc50 is in {no_data / 'data' / 'esc50'}" in text and "unset ASTLIB_DATA" in text


def test_check_of_whole_data():
    status, text = run("data", "check", "synthetic", "--stats", "--frames", "200")
    assert status == 0
    assert "400 of 400 clips can be used (100.00%)" in text
    assert "clips of a class: 40 at least, median 40, 40 at most; 10 classes" in text
    assert (
        "seconds of a clip: 5.00 at least, median 5.00, mean 5.00, 95 % up to 5.00, 5.00 at most; 0.56 hours in all"
        in text
    )
    assert "log-mels of 200 frames: mean -" in text and re.search(
        r"--set mean=-\d+\.\d{4} --set std=\d+\.\d{4}$", text, re.M
    )
    status, text = run("data", "check", "synthetic", "--fold", "2")
    assert status == 0 and "80 of 80 clips" in text and "log-mels" not in text


def test_check_finds_what_cannot_be_used_and_writes_it_down(commands, tmp_path):
    root, bad = commands
    status, text = run("data", "check", "speech-commands", "--data", root, "--report", tmp_path / "bad.csv")
    assert status == 1
    assert "33 of 36 clips can be used (91.67%); 1 missing, 1 unreadable, 1 empty" in text
    assert all(name in text for name in bad) and "truncated" in text
    assert f"the list is in {tmp_path / 'bad.csv'}" in text
    assert "10 at least, median 11, 12 at most; 3 classes, the rarest: up 10, left 11, down 12" in text
    assert "seconds of a clip: 0.50 at least" in text, "a clip that was cut does not count"
    with (tmp_path / "bad.csv").open() as file:
        rows = {row["clip"]: row["kind"] for row in csv.DictReader(file)}
    assert rows == dict(zip(bad, ("missing", "unreadable", "empty"), strict=True))


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_decoded(commands, tmp_path, monkeypatch):
    root, _ = commands
    decoded = []
    monkeypatch.setattr(SpeechCommands, "read", lambda self, source: decoded.append(source) or torch.zeros(16_000))
    for place, words in ((tmp_path / "no" / "such" / "dir.csv", "there is no folder"), (tmp_path, "is a folder")):
        result = runner.invoke(app, ["data", "check", "speech-commands", "--data", str(root), "--report", str(place)])
        assert isinstance(result.exception, NotFound | InvalidInput) and words in str(result.exception)
        assert not decoded and result.stdout == ""
    run("data", "check", "speech-commands", "--data", root, "--report", tmp_path / "dir.csv")
    assert decoded


def test_workers_find_the_same(commands):
    root, _ = commands
    words = ("data", "check", "speech-commands", "--data", root)
    alone, together = run(*words), run(*words, "--workers", 2)
    assert alone[1].splitlines()[-6:] == together[1].splitlines()[-6:]


def test_many_problems_are_counted_and_the_first_shown(commands):
    root, _ = commands
    for file in root.glob("down/*.wav"):
        file.write_bytes(b"RIFF")
    status, text = run("data", "check", "speech-commands", "--data", root)
    assert status == 1 and "... and 5 more: --report FILE.csv lists them" in text
    for file in root.glob("*/*.wav"):
        file.write_bytes(b"RIFF")
    status, text = run("data", "check", "speech-commands", "--data", root)
    assert status == 1 and "0 of 36 clips can be used" in text and "of a class" not in text


def test_check_of_esc50(esc50_root, tmp_path):
    """A copy of the real files with one clip cut short and one empty; then with one gone."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    shutil.copy(esc50_root / "meta" / "esc50.csv", tmp_path / "meta")
    files = sorted(file for file in (esc50_root / "audio").iterdir() if file.name.startswith("3-"))
    for file in files[2:]:
        (tmp_path / "audio" / file.name).symlink_to(file)
    cut = files[0].read_bytes()
    (tmp_path / "audio" / files[0].name).write_bytes(cut[: len(cut) * 2 // 3])
    (tmp_path / "audio" / files[1].name).touch()
    status, text = run("data", "check", "esc50", "--data", tmp_path, "--fold", 3)
    assert status == 1 and "398 of 400 clips can be used (99.50%); 1 unreadable, 1 empty" in text
    assert files[0].name in text and files[1].name in text and "50 classes" in text
    (tmp_path / "audio" / files[2].name).unlink()
    result = runner.invoke(app, ["data", "check", "esc50", "--data", str(tmp_path), "--fold", "3"])
    assert f"lacks 1 of 400 clips of ESC-50 ({files[2].stem})" in str(result.exception)


@pytest.fixture
def own(tmp_path):
    """Sounds of one's own: 3 classes of 7, 10 and 1 clips, of different lengths."""
    root = tmp_path / "own"
    for label, clips in (("kettle", 7), ("door", 10), ("owl", 1)):
        (root / label).mkdir(parents=True)
        for i in range(clips):
            soundfile.write(root / label / f"{i}.wav", 0.1 * np.sin(np.arange(8000 * (1 + i % 3))), 16_000)
    return root


def test_check_of_own_sounds(own):
    (own / "door" / "3.wav").write_bytes((own / "door" / "3.wav").read_bytes()[:9000])
    status, text = run("data", "check", "folder", "--data", own, "--stats")
    assert status == 1 and "17 of 18 clips can be used (94.44%); 1 unreadable: door/3.wav" in text
    assert "1 at least, median 7, 9 at most; 3 classes, the rarest: owl 1, kettle 7, door 9" in text
    assert "1.50 at most" in text and "log-mels of 200 frames" in text, "as long as the longest clip"


def test_a_folder_is_checked_by_its_path_with_folds_groups_and_notes(own):
    for words in ((own,), ("folder", "--data", own), ("folder", "--root", own)):
        status, text = run("data", "check", *words)
        lines = [line.split() for line in text.splitlines()]
        assert status == 0 and "95 % up to 1.50, 1.50 at most" in text
        assert [
            "clips",
            "only",
            "training",
            "fold",
            "1",
            "fold",
            "2",
            "fold",
            "3",
            "fold",
            "4",
            "fold",
            "5",
            "all",
        ] in lines
        assert ["owl", "1", "0", "0", "0", "0", "0", "1"] in lines and ["door", "0", *"22222", "10"] in lines
        assert "! No clip for testing has the label owl" in text
        assert "recipe own-sounds: clips: median 1.0 s, 95 % up to 1.5 s: input_tdim=160" in text
    status, text = run("data", "check", own, "--group", "/([0-9])", "--folds", 3, "--fold", 2)
    assert status == 0 and "groups by /([0-9]): 10, the largest: 0 3" in text and "fold 1" not in text
    result = runner.invoke(app, ["data", "check", str(own), "--data", str(own)])
    assert isinstance(result.exception, InvalidInput) and "one too many" in str(result.exception)


def test_the_sixth_fold_of_a_list(own):
    rows = [f"door/{i}.wav,{'ab'[i % 2]},{i // 2 + 2}" for i in range(10)]
    (own / "list.csv").write_text("file,label,fold\n" + "\n".join(rows))
    status, text = run("data", "check", own, "--fold", 6)
    assert status == 0 and "2 of 2 clips" in text
    assert run("data", "check", own)[0] == 0, "there is no fold 1"
    assert len(json.loads(run("data", "hash", own)[1])) == 10


def test_what_cannot_be_tested_or_read_is_no_usable_data(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "1.wav", 0.1 * np.sin(np.arange(8000)), 16_000)
    status, text = run("data", "check", tmp_path)
    assert status == 1 and "2 of 2 clips can be used" in text and "! nothing of" in text
    soundfile.write(tmp_path / "a" / "2.wav", 0.1 * np.sin(np.arange(8000)), 16_000)
    (tmp_path / "b" / "2.m4a").touch()
    status, text = run("data", "check", tmp_path)
    assert status == 1 and "3 of 4 clips can be used" in text and "ffmpeg" in text


def test_names_that_a_console_cannot_write(own, monkeypatch):
    """A console or a pipe of Windows has one old encoding; the name is then shown by its numbers, and nothing stops."""
    (own / "door").rename(own / "犬")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    monkeypatch.setattr(sys, "argv", ["astlib", "data", "check", str(own)])
    with pytest.raises(SystemExit) as stop:
        main()
    sys.stdout.flush()
    assert stop.value.code == 0 and rb"\u72ac" in written.getvalue()


def test_check_of_audioset_counts_what_has_vanished(tmp_path):
    root = tmp_path / "audioset"
    (root / "audio").mkdir(parents=True)
    (root / "class_labels_indices.csv").write_text('index,mid,display_name\n0,/m/a,"Speech"\n1,/m/b,"Dog, barking"\n')
    for name, letter, clips in (("balanced_train", "b", 4), ("eval", "e", 3)):
        lines = ["# made", f"# num_ytids={clips}, num_segs={clips}, num_unique_labels=2", "# YTID, start, end, labels"]
        for i in range(clips):
            lines.append(f'{letter * 10}{i}, 0.000, 10.000, "/m/a,/m/b"')
            if i:
                soundfile.write(root / "audio" / f"{letter * 10}{i}.flac", np.zeros(16_000), 16_000)
        (root / f"{name}_segments.csv").write_text("\n".join(lines) + "\n")
    status, text = run("data", "check", "audioset-balanced", "--data", root, "--report", tmp_path / "gone.csv")
    assert status == 1
    assert "audioset-balanced: 3 of 4 clips can be used (75.00%); 1 missing: bbbbbbbbbb0" in text
    assert "audioset-eval: 2 of 3 clips can be used (66.67%); 1 missing: eeeeeeeeee0" in text
    assert len((tmp_path / "gone.csv").read_text().splitlines()) == 3
    train, none, test = parts("audioset-balanced", 3, root=root)
    assert (len(train), none, len(test)) == (3, None, 2) and train.labels == ["Speech", "Dog, barking"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "imagenet"], "no data set 'imagenet'. Known: synthetic, esc50"),
        (["check", "imagenet"], "or the path of a folder that exists"),
        (["check", "esc50"], "ESC-50 is not on this machine"),
        (["check", "speech-commands"], "Speech Commands is not on this machine"),
        (["check", "audioset-balanced"], "AudioSet is not on this machine"),
        (["check", "folder"], "--data FOLDER"),
        (["check", "synthetic", "--data", "/tmp"], "made in code"),
        (["fetch", "imagenet"], "Known: esc50, speech-commands, speech-commands-v1, audioset-balanced"),
    ],
)
def test_mistakes_end_in_one_line(no_data, monkeypatch, capsys, words, message):
    import astlib.cli

    monkeypatch.setattr("sys.argv", ["astlib", "data", *words])
    with pytest.raises(SystemExit) as stop:
        astlib.cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and len(error.strip().splitlines()) == 1


# --- parts by name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [1, 4, 5])
def test_parts_by_folds(fold):
    train, none, test = parts("synthetic", fold)
    assert none is None and (train.names, test.names) == (Synthetic(fold).names, Synthetic(fold, "test").names)
    assert train.manifest_hash() == Synthetic(fold).manifest_hash()
    smaller, validation, same = parts("synthetic", fold, validation=True)
    assert set(validation.folds) == {fold % 5 + 1} and same.names == test.names
    assert set(smaller.folds) == {1, 2, 3, 4, 5} - {fold, fold % 5 + 1}
    assert sorted(smaller.names + validation.names) == sorted(train.names)
    assert not set(smaller.names) & set(validation.names)


def test_parts_of_esc50_are_the_official_ones(esc50_root):
    train, _, test = parts("esc50", 2, root=esc50_root)
    assert (train.names, test.names) == (ESC50(fold=2).names, ESC50(fold=2, split="test").names)


def test_unknown_names_and_parts_are_refused(no_data):
    with pytest.raises(ValueError, match="no data set 'ecs50'. Known: synthetic"):
        parts("ecs50")
    with pytest.raises(ValueError, match="fold must be 1 to 5"):
        parts("synthetic", 6)
    with pytest.raises(ValueError, match="no validation part"):
        parts("audioset-balanced", validation=True)


def test_speech_commands_ignores_the_fold(commands):
    root, _ = commands
    for fold in (1, 5):
        train, validation, test = parts("speech-commands", fold, validation=True, root=root)
        assert [len(part) for part in (train, validation, test)] == [18, 8, 9]
    assert torch.equal(train.targets, SpeechCommands(root).targets)


def test_parts_of_own_sounds(own):
    """The clip that is alone in its class trains; without folds, what the folder has decides."""
    train, none, test = parts("folder", 2, root=own)
    assert none is None and set(test.folds) == {2} and set(train.folds) == {0, 1, 3, 4, 5}
    smaller, validation, same = parts("folder", 5, validation=True, root=own)
    assert (set(smaller.folds), set(validation.folds), set(same.folds)) == ({0, 2, 3, 4}, {1}, {5})
    assert smaller.labels == validation.labels == same.labels == ["door", "kettle", "owl"]
    for part in ("train", "test"):
        (own / part).mkdir()
    for label in ("kettle", "door", "owl"):
        shutil.copytree(own / label, own / "test" / label)
        shutil.move(own / label, own / "train" / label)
    train, none, test = parts("folder", root=own)
    assert none is None and len(train) == len(test) == 18
    with pytest.raises(ValueError, match="no part for validation"):
        parts("folder", validation=True, root=own)
    with pytest.raises(ValueError, match="say where it is"):
        parts("folder")


def test_what_is_exported_is_there():
    assert all(hasattr(data, name) for name in data.__all__) and len(set(data.__all__)) == len(data.__all__)
    for name in ("AudioSet", "SpeechCommands", "Folder", "Mixture", "Synthetic", "ESC50", "Targets", "Loadable"):
        assert name in data.__all__
