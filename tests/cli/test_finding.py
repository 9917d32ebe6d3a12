"""embed, label, head, find and predict, one after the other, as a person types them."""

import csv

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from astlib import AST, ASTConfig
from astlib.cli import app

SMALL = ASTConfig(label_dim=2, model_size="tiny224", fstride=16, tstride=16, input_tdim=96, multi_label=False)


def run(*words, code=0):
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == code, found.output
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two recordings of 12 s with beeps in noise, an example of a beep, and an untrained network."""
    folder, random = tmp_path_factory.mktemp("work"), np.random.default_rng(0)
    beep = 0.3 * np.sin(2 * np.pi * 2500 * np.arange(8000) / 16_000)
    (folder / "sounds").mkdir()
    for name in ("one", "two"):
        sound = 0.01 * random.standard_normal(12 * 16_000)
        for begin in (2, 7):
            sound[begin * 16_000 :][:8000] += beep
        soundfile.write(folder / "sounds" / f"{name}.wav", sound, 16_000)
    soundfile.write(folder / "beep.wav", np.pad(beep, 3000) + 0.01 * random.standard_normal(14_000), 16_000)
    torch.manual_seed(0)
    AST(SMALL).save_pretrained(folder / "start")
    return folder


def test_from_hours_to_a_model(work, monkeypatch):
    monkeypatch.chdir(work)
    said = run("embed", "sounds", "--out", "features", "--encoder", "start")
    assert "2 files embedded" in said and "astlib find EXAMPLE --in features" in said
    (work / "sounds" / "broken.wav").write_bytes(b"RIFF")
    (work / "sounds" / "phone.m4a").write_bytes(b"....ftypM4A ")
    said = run("embed", "sounds", "--out", "features", "--encoder", "start", code=1)
    assert "broken.wav" in said and "ffmpeg" in said and "2 unchanged, 1 not readable" in said

    said = run("find", "beep.wav", "--in", "features", "--top", 4, "--csv", "found.csv", "--audacity", "tracks")
    assert said.startswith("4 found in")
    with open("found.csv", newline="") as file:
        found = [(row["file"], float(row["begin_s"])) for row in csv.DictReader(file)]
    assert len(found) == 4 and (work / "tracks" / "one.wav.txt").is_file()

    said = run("label", "features", "--out", "page.html", "--class", "beep", "--like", "sounds/one.wav@2.2", "-n", 3)
    assert "open page.html in a browser" in said and (work / "page.html").stat().st_size > 10_000

    rows = ["file,begin_s,end_s,label"]
    for name in ("one.wav", "two.wav"):
        rows += [f"{name},{second},{second + 1},beep" for second in (1.8, 6.8)]
        rows += [f"{name},{second},{second + 1},background" for second in (0, 4, 9, 10)]
    (work / "labels.csv").write_text("\n".join(rows) + "\n")
    run("label", "features", "--out", "more.html", "--class", "beep", "--labels", "labels.csv", "-n", 2)
    said = run("head", "features", "labels.csv", "--out", "mine")
    assert "labels right when held out" in said and "astlib predict FILE --model mine" in said

    said = run("find", "--model", "mine", "--in", "features", "--raven", "tables")
    assert "beep" in said and "background" not in said
    assert (work / "tables" / "two.wav.selections.txt").read_text().count("beep") >= 2
    assert "beep" in run("predict", "beep.wav", "--model", "mine")


def test_mistakes_end_in_a_sentence(work, monkeypatch):
    monkeypatch.chdir(work)

    def refused(*words):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert found.exit_code != 0
        return str(found.exception) + found.output

    assert "astlib embed SOUNDS" in refused("find", "beep.wav", "--in", "nothing")
    assert "one of the two" in refused("find")
    assert "neither a folder nor a file" in refused("embed", "nowhere", "--out", "f", "--encoder", "start")
    run("embed", "sounds/one.wav", "--out", "other", "--encoder", "start")
    assert "there is no table" in refused("head", "other", "nothing.csv", "--out", "m")
    words = ("label", "other", "--out", "p.html", "--class", "x", "--labels", "labels.csv")
    assert "likely; found 'best'" in refused(*words, "--how", "best")
    AST(SMALL).save_pretrained(work / "start")
    assert "another start" in refused("find", "beep.wav", "--in", "other")
    assert "another encoder" in refused("find", "--model", "start", "--in", "other")
