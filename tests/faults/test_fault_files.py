"""Files that astlib wrote, and somebody changed or a disk damaged: each is named, and nothing else is lost."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
import torch
from made_records import FILES, small_record

from astlib import audio, embeddings, paths, scores
from astlib.cli.main import main
from astlib.cli.training import parse
from astlib.data.tables import read_list
from astlib.errors import CheckpointError, InvalidInput
from astlib.ledger import Record, audit, published
from astlib.ledger.record import earlier_record
from astlib.typed import read_json, typed

PLAN = embeddings.Plan("encoder", "0" * 64, 192, 5.12, 2.56, "sounds")
ODD = (None, "5", 5.5, -1, 10**30, [], {}, True)


def command(monkeypatch, *words):
    """The exit status of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["astlib", *words])
    with pytest.raises(SystemExit) as error:
        main()
    return error.value.code


# --- features


@pytest.mark.parametrize("field", ["dim", "window_s", "hop_s", "encoder"])
def test_a_plan_with_odd_values(tmp_path, field):
    for value in (*ODD, "x" * 10**5):
        if isinstance(value, str) and field == "encoder":
            continue
        (tmp_path / "encoder.json").write_text(json.dumps({**asdict(PLAN), field: value}))
        if field != "dim" and value == 5.5:
            continue
        with pytest.raises(InvalidInput, match=f"encoder.json is damaged: {field} must be"):
            embeddings.read_plan(tmp_path)


@pytest.mark.parametrize("field", ["size", "changed_ns", "row", "begin", "windows"])
def test_a_stretch_with_odd_values(tmp_path, field):
    whole = {"file": "a.wav", "size": 1, "changed_ns": 1, "row": 0, "begin": 0, "windows": 1}
    for value in ODD:
        if field == "changed_ns" and value in (-1, 10**30) and type(value) is int:
            continue
        (tmp_path / "files.jsonl").write_text(json.dumps({**whole, field: value}) + "\n")
        with pytest.raises(InvalidInput, match=f"files.jsonl is damaged: {field} must be"):
            embeddings.read_stretches(tmp_path)


@pytest.mark.parametrize("line", ["null", "5", "[1]", '{"file": "a"}', "[" * 100_000, "\x00"])
def test_a_line_that_is_no_stretch(tmp_path, line):
    (tmp_path / "files.jsonl").write_text(line + "\n")
    with pytest.raises(InvalidInput, match=r"files\.jsonl is damaged"):
        embeddings.read_stretches(tmp_path)


# --- scores


def lying(folder, shape, data=b"\0" * 8):
    """A file of scores whose array claims a shape."""
    scores.save_scores(folder / "scores.npz", torch.zeros(2, 3), ["a", "b"], False)
    with zipfile.ZipFile(folder / "scores.npz") as whole:
        entries = {name: whole.read(name) for name in whole.namelist()}
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    entries["logits.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
    with zipfile.ZipFile(folder / "scores.npz", "w") as changed:
        for name, content in entries.items():
            changed.writestr(name, content)
    return folder / "scores.npz"


@pytest.mark.parametrize("shape", ["(10**6, 10**9)", "(1000000000, 1000000000)", "(-1,)", "(2,)", "(0, 0)", "()", "5"])
def test_scores_that_claim_more_than_there_is(tmp_path, shape):
    with pytest.raises(CheckpointError, match=r"scores\.npz is not a file of scores"):
        scores.load_logits(lying(tmp_path, shape))


def test_scores_with_code_inside_are_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    np.savez(tmp_path / "scores.npz", logits=np.zeros((1, 1)), names=np.array([Trap()], object), multi_label=True)
    with pytest.raises(CheckpointError, match=r"scores\.npz is not a file of scores"):
        scores.load_logits(tmp_path / "scores.npz")
    assert not (tmp_path / "executed").exists()


def test_scores_that_are_cut_at_every_tenth(tmp_path):
    scores.save_scores(tmp_path / "scores.npz", torch.zeros(2, 3), ["a", "b"], False)
    whole = (tmp_path / "scores.npz").read_bytes()
    for tenth in range(10):
        (tmp_path / "scores.npz").write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(CheckpointError, match=r"scores\.npz is not a file of scores"):
            scores.load_logits(tmp_path / "scores.npz")


# --- the lists beside the records


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", "[" * 100_000, '{"rows": [{"id": 1}]}', '{"rows": 5}'])
def test_the_published_numbers_are_damaged(tmp_path, monkeypatch, text):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    (tmp_path / "paper.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"paper\.json is damaged: .* Copy it again"):
        published.paper()


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", "[" * 100_000])
def test_the_list_of_known_copies_is_damaged(tmp_path, monkeypatch, text):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"data\.json is damaged: .* Copy it again"):
        audit.known_data()


# --- runs


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", "[" * 100_000])
def test_the_beginning_of_an_unfinished_run_is_damaged(tmp_path, text):
    (tmp_path / "checkpoint-001-0000001").mkdir()
    (tmp_path / "checkpoint-001-0000001" / "state.json").touch()
    (tmp_path / "start.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"start\.json is not a run record"):
        earlier_record(tmp_path, small_record(), resume=True)


@pytest.mark.parametrize("field", ["fold", "dataset", "name", "metric", "selection"])
def test_evaluate_with_a_record_that_lacks_a_parameter(tmp_path, monkeypatch, capsys, field):
    shutil.copytree(paths.models() / "ast-tiny-esc50", tmp_path / "model")
    record = json.loads(FILES[0].read_text())
    del record["parameters"][field]
    (tmp_path / "model" / "run.json").write_text(json.dumps(record))
    assert command(monkeypatch, "evaluate", "--model", str(tmp_path / "model"), "--data", "synthetic") == 2
    said = capsys.readouterr().err
    assert "run.json is not a run record: parameters: " + field in said and said.count("\n") == 1


def test_a_record_of_an_older_run_is_read_as_ever():
    assert all(Record.load(file).id == file.stem for file in FILES)


# --- the command line


@pytest.mark.parametrize("text", ["(" * 100_000, "[" * 5000 + "]" * 5000, "9" * 10_000, "x" * 10**6])
def test_a_value_of_a_hundred_thousand_signs(monkeypatch, capsys, tmp_path, text):
    name, value = parse(f"epochs={text}")
    assert name == "epochs" and value is not None
    words = ("train", "--recipe", "synthetic", "--out", str(tmp_path / "run"), "--set", f"epochs={text}")
    assert command(monkeypatch, *words) == 2
    said = capsys.readouterr().err
    assert "epochs must be" in said and len(said) < 300 and not (tmp_path / "run").exists()


def test_what_the_system_says_has_no_number(monkeypatch, capsys, tmp_path):
    """[Errno 17] means nothing to a person."""
    (tmp_path / "run").touch()
    assert (
        command(monkeypatch, "train", "--recipe", "synthetic", "--set", "init=scratch", "--out", str(tmp_path / "run"))
        == 2
    )
    said = capsys.readouterr().err
    assert "Errno" not in said and str(tmp_path / "run") in said


def test_full_memory_ends_in_a_sentence(monkeypatch, capsys, tmp_path):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(audio, "seconds", full)
    monkeypatch.setattr("astlib.networks.open_model", full)
    (tmp_path / "a.wav").touch()
    assert command(monkeypatch, "predict", str(tmp_path / "a.wav")) == 2
    assert "astlib: the memory is full" in capsys.readouterr().err


def test_a_json_list_of_clips_with_a_hundred_thousand_brackets(tmp_path):
    (tmp_path / "clips.json").write_text("[" * 100_000)
    with pytest.raises(InvalidInput, match="clips.json is not valid JSON: it is nested too deeply"):
        read_list(tmp_path / "clips.json")


# --- values


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, (5, np.int64(5)), ("5", 5.0, True, None)),
        (float, (5, 5.0, np.float32(5)), ("5", True, None, float("inf"), 10**400)),
        (str, ("5", np.str_("5")), (5, None, b"5")),
        (bool, (True, np.bool_(False)), (1, "true", None)),
        (tuple[int, int], ((1, 2), [1, 2]), ((1,), (1, 2, 3), "12", {1: 2}, ("1", 2))),
        (tuple[str, ...] | None, (None, (), ["a"]), ("a", ["a", 1], {"a"})),
    ],
    ids=str,
)
def test_a_value_has_the_type_of_its_field(hint, good, bad):
    for value in good:
        typed("field", hint, value)
    for value in bad:
        with pytest.raises(InvalidInput, match="field must be"):
            typed("field", hint, value)


def test_json_is_utf_8_and_not_deep():
    assert read_json(b'{"a": [1]}') == {"a": [1]}
    for text in (b"\xff", b"{", b"[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            read_json(text)


def test_python_itself_is_not_hurt_by_a_deep_file(tmp_path):
    """In a process of its own: a broken stack would end it without a word."""
    code = "from astlib.typed import read_json\ntry:\n read_json('[' * 10**7)\nexcept ValueError as e: print('fine', e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "fine it is nested too deeply" in done.stdout
