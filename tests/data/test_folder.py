"""People's own sounds: folders and lists as people make them, and errors that tell them what to change."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from astlib import data
from astlib.cli import app
from astlib.data import ESC50, Problem
from astlib.data.folder import Folder
from astlib.data.folds import deal
from astlib.errors import DataIncomplete, DataNotFound


def put(root: Path, *names: str, rate: int = 16_000) -> Path:
    """Sound files of a second: noise of their own, in the format of their name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name))
        kind = {".oga": "ogg", ".aif": "aiff"}.get(path.suffix.lower(), path.suffix[1:])
        soundfile.write(path, 0.1 * rng.standard_normal(rate), rate, format=kind)
    return root


def write_list(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def animals(tmp_path):
    """10 dogs, 10 cats, 5 birds."""
    names = [f"{kind}/{kind} {i}.wav" for kind, n in (("dog", 10), ("cat", 10), ("bird", 5)) for i in range(n)]
    return put(tmp_path / "animals", *names)


# --- one folder for each class -------------------------------------------------------------------------


def test_folds_are_even_in_every_class_and_cover_all(animals):
    whole = Folder(animals, split="all")
    assert whole.labels == ["bird", "cat", "dog"] and not whole.multi_label and not whole.is_synthetic
    assert len(whole) == 25 and whole.names[0] == "bird/bird 0.wav" and whole.report.usable == 1
    tested = []
    for fold in range(1, 6):
        train, test = Folder(animals, fold), Folder(animals, fold, "test")
        assert test.counts() == {"bird": 1, "cat": 2, "dog": 2} and len(train) == 20
        assert sorted([*train.names, *test.names]) == sorted(whole.names)
        assert train.labels == test.labels == whole.labels and set(test.folds) == {fold}
        tested += test.names
    assert sorted(tested) == sorted(whole.names)
    for i, name in enumerate(whole.names):
        assert whole.labels[whole[i]["target"].argmax()] == name.split("/")[0]
        assert whole.waveform(i).shape == (16_000,)
    assert whole.durations().tolist() == [1.0] * 25 and whole.check(progress=False).usable == 1


def test_the_split_follows_from_the_seed_alone(animals, tmp_path):
    shutil.copytree(animals, tmp_path / "elsewhere")
    test, again = Folder(animals, 2, "test", seed=1), Folder(str(tmp_path / "elsewhere"), 2, "test", seed=1)
    assert test.names == again.names and test.manifest_hash() == again.manifest_hash()
    assert test.names != Folder(animals, 2, "test").names
    put(tmp_path / "elsewhere", "dog/dog 0.wav", rate=8_000)
    assert Folder(tmp_path / "elsewhere", split="all").manifest_hash() != Folder(animals, split="all").manifest_hash()


@settings(max_examples=100)
@given(sizes=st.lists(st.integers(1, 17), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_folds_are_assigned_evenly(sizes, seed):
    labels = [(str(label),) for label, size in enumerate(sizes) for i in range(size)]
    folds = deal(labels, 5, seed)
    for label, size in enumerate(sizes):
        mine = Counter(fold for name, fold in zip(labels, folds, strict=True) if name == (str(label),))
        if size == 1:
            assert mine == {0: 1}
        else:  # in every fold one fifth of a class, and never all of it
            assert 0 not in mine and all(size // 5 <= mine[fold] <= -(-size // 5) for fold in range(1, 6))
            assert len(mine) > 1 and mine[1]
    large = Counter(fold for (label,), fold in zip(labels, folds, strict=True) if sizes[int(label)] >= 5)
    assert max(large.values(), default=0) - min((large[fold] for fold in range(1, 6)), default=0) <= 1


def test_any_suffix_and_nothing_hidden(tmp_path):
    names = ["a.wav", "b.FLAC", "c.ogg", "d.oga", "e.mp3", "f.Aif", "deeper/g.wav", "B.wav"]
    root = put(tmp_path, *(f"class one/{name}" for name in names), "Zwei/ä ♪.wav", "Zwei/2.wav")
    put(root, ".hidden/x.wav", "class one/.x.wav", "class one/.cache/x.wav", "__notes__.wav")
    (root / "class one" / "readme.txt").write_text("who, when, where")
    dataset = Folder(root, split="all")
    assert dataset.labels == ["Zwei", "class one"]
    assert dataset.names == ["Zwei/2.wav", "Zwei/ä ♪.wav", *(f"class one/{name}" for name in sorted(names))]
    assert dataset.report.notes == ["Files left out because they are no sound: 1 (.txt)."]
    assert dataset.check(progress=False).usable == 1


def test_a_class_of_one_clip_is_trained_on_and_said_so(tmp_path):
    root = put(tmp_path, "many/1.wav", "many/2.wav", "lone/1.wav")
    for fold in (1, 2):
        assert "lone/1.wav" in Folder(root, fold=fold).names
    assert Folder(root, split="test").counts() == {"lone": 0, "many": 1}
    (note,) = data.notes_of(data.parts("folder", root=root))
    assert note.kind == "not tested" and str(note).startswith("No clip for testing has the label lone")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "neither folders nor sound files.*one folder for each class"),
        (["1.wav", "2.wav"], "has 2 sound files, but no folders.*one folder for each class.*CSV"),
        (["dog/1.wav", "cat/"], "class 'cat' has no clip"),
        (
            ["dog/1.wav", "cat/1.m4a"],
            r"class 'cat' has no clip.*only \.m4a files; convert them: for f in \*\.m4a; do ffmpeg",
        ),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, names, message):
    for name in names:
        if name.endswith(".wav"):
            put(tmp_path, name)
        else:
            (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).parent.mkdir(exist_ok=True)
            name.endswith("/") or (tmp_path / name).touch()
    with pytest.raises(DataNotFound, match=message):
        Folder(tmp_path)


def test_wrong_arguments(animals, tmp_path):
    with pytest.raises(DataNotFound, match="there is no folder .*nowhere"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="train, validation, test, all"):
        Folder(animals, split="valid")
    for fold in (0, 6):
        with pytest.raises(ValueError, match=f"fold must be one of 1, 2, 3, 4, 5, got {fold}"):
            Folder(animals, fold=fold)
    with pytest.raises(ValueError, match="no part for validation.*select"):
        Folder(animals, split="validation")


# --- train, test, validation ---------------------------------------------------------------------------


@pytest.mark.parametrize("validation", [None, "validation", "valid", "Val"])
def test_folders_for_training_and_testing(tmp_path, validation):
    root = put(tmp_path, "Train/dog/1.wav", "Train/cat/1.wav", "Train/cat/2.wav", "test/dog/1.wav")
    if validation:
        put(root, f"{validation}/cat/1.wav")
    train, test = Folder(root), Folder(root, split="test")
    assert train.names == ["Train/cat/1.wav", "Train/cat/2.wav", "Train/dog/1.wav"] and train.folds is None
    assert test.names == ["test/dog/1.wav"] and test.labels == train.labels == ["cat", "dog"]
    assert len(Folder(root, split="all")) == 4 + bool(validation)
    if validation:
        assert Folder(root, split="validation").names == [f"{validation}/cat/1.wav"]
    else:
        with pytest.raises(ValueError, match="no part for validation, only test, train"):
            Folder(root, split="validation")
    with pytest.raises(ValueError, match="fixed split into .*so there is no fold 2"):
        Folder(root, fold=2)


def test_without_a_part_for_testing_the_validation_part_is_for_it(tmp_path):
    root = put(tmp_path, "train/dog/1.wav", "train/cat/1.wav", "val/dog/1.wav", "val/cat/1.wav")
    train, none, test = data.parts("folder", root=root)
    assert none is None and test.names == ["val/cat/1.wav", "val/dog/1.wav"] and len(train) == 2
    assert "the validation part is for testing" in str(test.report)
    with pytest.raises(ValueError, match="no part for validation"):
        Folder(root, split="validation")
    (root / "train").rename(root / "eval")
    with pytest.raises(ValueError, match="folders eval and val, but none with a train part"):
        Folder(root)


def test_the_hashes_of_a_fixed_split(tmp_path):
    root = put(tmp_path, "train/dog/1.wav", "train/cat/1.wav", "test/dog/1.wav", "test/cat/1.wav")
    assert [set(parts) for parts in hashes(root)] == [{"train", "test"}]
    put(root, "val/dog/1.wav")
    plain, held = hashes(root)
    assert set(plain) == {"train", "test"} and held == {**plain, "validation": held["validation"]}


def hashes(root):
    done = CliRunner().invoke(app, ["data", "hash", str(root)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("more", [["rain/1.wav", "rain/2.wav"], []])
def test_train_may_be_a_class(tmp_path, more):
    root = put(tmp_path, "train/1.wav", "train/2.wav", "test/1.wav", "test/2.wav", *more)
    assert Folder(root).labels == ["rain", "test", "train"][not more :]


def test_a_label_that_is_only_tested_is_pointed_out(tmp_path):
    root = put(tmp_path, "train/dog/1.wav", "train/cat/1.wav", "test/Dog/1.wav", "test/cat/1.wav")
    notes = [note for note in data.notes_of(data.parts("folder", root=root)) if note.kind == "not trained"]
    assert [str(note) for note in notes] == [
        "No clip for training has the label Dog: it cannot be learned. Check the spelling."
    ]


# --- lists ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comma", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["|", ";", ","])
@pytest.mark.parametrize("names", [("file", "labels"), ("Filename", "Labels"), ("path", "labels")])
def test_lists_of_several_labels(tmp_path, comma, mark, names):
    root = put(tmp_path, "1.wav", "sub/2.flac", "audio/3.ogg")
    lines = [("1.wav", "dog"), ("sub/2.flac", f"cat{mark} dog"), ("3.ogg", f"bird{mark}cat{mark}bird")]
    with open(root / "list.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=comma)
        writer.writerows([names, *lines])
    for place in (root, root / "list.csv"):
        dataset = Folder(place, split="all", fold=1)
        assert dataset.multi_label and dataset.labels == ["bird", "cat", "dog"]
        assert dataset.targets.tolist() == [[0, 0, 1], [0, 1, 1], [1, 1, 0]]
        assert dataset.names == ["1.wav", "sub/2.flac", "3.ogg"] and dataset.check(progress=False).usable == 1


@pytest.mark.parametrize("column", ["label", "category"])
def test_one_label_may_have_a_comma(tmp_path, column):
    root = put(tmp_path, "1.wav", "2.wav")
    write_list(root / "list.csv", f"file,{column}", '1.wav,"Speech, whispered"', "2.wav,Speech")
    dataset = Folder(root, split="all")
    assert dataset.labels == ["Speech", "Speech, whispered"] and not dataset.multi_label


def test_a_list_with_a_split(tmp_path):
    names = [f"{i}.wav" for i in range(6)]
    parts = ["train", "Training", "val", "validation", "test", "evaluation"]
    lines = [f"{name},{'ab'[i % 2]},{part},9" for i, (name, part) in enumerate(zip(names, parts, strict=True))]
    root = put(tmp_path, *names)
    write_list(root / "list.csv", "file,label,split,fold", *lines)
    for split, found in (("train", names[:2]), ("validation", names[2:4]), ("test", names[4:])):
        assert Folder(root, split=split).names == found and Folder(root, split=split).labels == ["a", "b"]


def test_a_list_with_folds(tmp_path):
    """Recordings stay together: that is what the column is for."""
    names = [f"recording {i % 3}-{i}.wav" for i in range(9)]
    root = put(tmp_path, *names)
    lines = (f"{name},{'ab'[i % 2]},{i % 3 + 1}" for i, name in enumerate(names))
    write_list(root / "list.csv", "file,label,fold", *lines)
    test = Folder(root, fold=3, split="test")
    assert test.names == names[2::3] and set(test.folds) == {3} and len(Folder(root, fold=3)) == 6
    with pytest.raises(ValueError, match="fold must be one of 1, 2, 3, got 4"):
        Folder(root, fold=4)
    assert len(Folder(root).select(folds=2)) == 3


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "must have the columns file and labels.*found nothing"),
        (["file,labels"], "found the columns file, labels and 0 lines"),
        (["a,b", "1.wav,dog"], "found the columns a, b and 1 lines. Rename .* to file"),
        (["file,b", "1.wav,dog"], "Rename the column with the classes to label"),
        (["1.wav,dog,3", "2.wav,cat,4"], "Its first line is no header: add one"),
        ([",".join(f"column {i}" for i in range(3000)), "1.wav"], "column 7 and 2992 more and 1 lines"),
        (["file,label", "1.wav,dog", "", "2.wav,"], "line 4: 2.wav has no label"),
        (["file,label", ",dog"], "line 2: there is no file"),
        (["file,label", "1.wav"], "line 2: 1.wav has no label"),
        (["file,label", "1.wav,dog", "2.wav,dog", "1.wav,cat"], r"1\.wav is listed twice, in lines 2 and 4"),
        (["file,label,split", "1.wav,dog,traim"], "line 2: the split is train, validation or test, found 'traim'"),
        (["file,label,split", "1.wav,dog"], "line 2: the split is .* found None"),
        (["file,label,fold", "1.wav,dog,1", "2.wav,dog,"], "line 3: the fold is a whole number, found ''"),
        (["file,label,fold", "1.wav,dog,1.5"], "the fold is a whole number, found '1.5'"),
        (["file,labels", "1.wav,dog", "2.wav,dog,rain"], "line 3 has more fields than the 2 columns, from 'rain' on"),
        (["file,label", "1.wav," + "x" * 140_000], "cannot be read as a CSV beyond line 1: field larger"),
    ],
)
def test_lists_that_cannot_be_understood(tmp_path, lines, message):
    put(tmp_path, "1.wav", "2.wav")
    with pytest.raises(ValueError, match=message):
        Folder(write_list(tmp_path / "list.csv", *lines))


def test_which_list(tmp_path):
    root = put(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    write_list(root / "notes.csv", "who,when", "me,today")
    assert len(Folder(root, split="all")) == 4  # not a list of files
    write_list(root / "list.csv", "file,label", "dog/1.wav,woof", "dog/2.wav,woof")
    assert Folder(root, split="all").labels == ["woof"]
    write_list(root / "list 2.csv", "file,label", "dog/1.wav,wow", "dog/2.wav,wow")
    with pytest.raises(ValueError, match=r"several lists of files: list 2\.csv, list\.csv.*path of one"):
        Folder(root)
    assert Folder(root / "list 2.csv", split="all").labels == ["wow"]
    with pytest.raises(ValueError, match="must have the columns|not a CSV"):
        Folder(root / "dog" / "1.wav")


def test_files_that_are_listed_and_missing(tmp_path):
    root = put(tmp_path, "1.wav", "2.wav", "sub/3.wav")
    write_list(root / "list.csv", "file,label", "1.wav,a", "2.wav,b", r"sub\3.wav,a", "4.wav,b", "5.wav,a")
    dataset = Folder(root, split="all")
    assert dataset.names == ["1.wav", "2.wav", "sub/3.wav"] and dataset.report.expected == 5
    assert dataset.report.problems["4.wav"] == Problem("4.wav", "missing", f"there is no file {root / '4.wav'}")
    with pytest.raises(DataIncomplete, match="3 of 5 clips.*2 missing: 4.wav, 5.wav"):
        dataset.report.require(0.9)
    write_list(root / "list.csv", "file,label", "x.wav,a", "y.wav,b")
    with pytest.raises(DataNotFound, match="0 of 2 clips.*Paths are relative to"):
        Folder(root, split="all")


def test_bad_files_are_found_by_checking(animals):
    (animals / "dog" / "dog 3.wav").write_bytes(b"RIFF")
    (animals / "dog" / "dog 4.wav").write_bytes(b"")
    soundfile.write(animals / "cat" / "cat 0.wav", np.ones(0), 16_000)
    soundfile.write(animals / "cat" / "cat 1.wav", np.full(999, np.nan), 16_000, "FLOAT")
    report = Folder(animals, split="all").check(progress=False)
    assert {name: problem.kind for name, problem in report.problems.items()} == {
        "cat/cat 0.wav": "empty",
        "cat/cat 1.wav": "unreadable",
        "dog/dog 3.wav": "unreadable",
        "dog/dog 4.wav": "empty",
    }


def test_files_in_other_formats_are_counted_until_they_are_converted(tmp_path):
    """A folder of a phone's recordings, half of them copied as they are."""
    root = put(tmp_path, *(f"{kind}/{i}.wav" for kind in ("dog", "cat") for i in range(6)))
    plain = Folder(root).manifest_hash()
    for i in range(10, 16):
        (root / "dog" / f"{i}.m4a").touch()
        (root / "cat" / f"{i}.MP4").touch()
    train, test = Folder(root), Folder(root, split="test")
    assert train.manifest_hash() == plain and not test.report.problems
    assert len(train.report.problems) == 12 and train.report.expected == len(train) + 12
    assert train.report.problems["dog/10.m4a"].reason.endswith("dog/10.m4a: libsndfile does not read .m4a files")
    with pytest.raises(DataIncomplete) as error:
        train.report.require(0.95)
    for line in ('for f in *.m4a; do ffmpeg -i "$f" -vn "${f%.m4a}.flac"; done', '"${f%.MP4}.flac"'):
        assert line in str(error.value)
    put(root, *(f"dog/{i}.flac" for i in range(10, 16)), *(f"cat/{i}.flac" for i in range(10, 16)))
    assert Folder(root, split="all").report.usable == 1 and len(Folder(root, split="all")) == 24


def test_files_in_other_formats_of_a_fixed_split(tmp_path):
    root = put(tmp_path, *(f"{part}/{kind}/1.wav" for part in ("train", "test") for kind in ("dog", "cat")))
    (root / "test" / "dog" / "2.webm").touch()
    assert not Folder(root).report.problems and list(Folder(root, split="test").report.problems) == ["test/dog/2.webm"]
    assert list(Folder(root, split="all").check(progress=False).counts().values()) == [0, 1, 0]


def test_results_of_training_are_no_class(animals):
    before = Folder(animals).manifest_hash()
    for name in ("run/start.json", "run/checkpoint-001-0000000/state.pt", "folds/fold-1/run.json"):
        (animals / name).parent.mkdir(parents=True)
        (animals / name).touch()
    assert Folder(animals).manifest_hash() == before
    (animals / "notes").mkdir()
    with pytest.raises(DataNotFound, match="class 'notes' has no clip"):
        Folder(animals)
    put(animals, "run/1.wav")  # a class after all
    (animals / "notes").rmdir()
    assert "run" in Folder(animals, split="all").labels


def test_one_clip_of_each_class_cannot_be_tested(tmp_path):
    root = put(tmp_path, "dog/1.wav", "cat/1.wav", "owl/1.wav")
    for split in ("train", "test"):
        with pytest.raises(
            ValueError, match="nothing of .* can be tested: each class has one clip only.*at least five"
        ):
            Folder(root, split=split)
    assert len(Folder(root, split="all")) == 3


@pytest.mark.parametrize("samples", [1, 399, 400, 401])
def test_clips_below_25_ms_are_padded_with_silence(tmp_path, samples):
    root = put(tmp_path, "dog/1.wav", "dog/2.wav")
    soundfile.write(root / "dog" / "1.wav", np.full(samples, 0.5), 16_000)
    dataset = Folder(root, split="all")
    assert dataset.check(progress=False).usable == 1
    waveform = dataset.waveform(0)
    assert len(waveform) == max(400, samples) and waveform[:samples].min() == waveform.max() == 0.5
    assert not waveform[samples:].any()


def test_ten_folds(tmp_path):
    root = put(tmp_path, *(f"{kind}/{i}.wav" for kind in ("dog", "cat") for i in range(10)))
    tests = [Folder(root, fold, "test", folds=10) for fold in range(1, 11)]
    assert all(part.counts() == {"cat": 1, "dog": 1} for part in tests)
    assert len({name for part in tests for name in part.names}) == 20
    with pytest.raises(ValueError, match="folds must be 2 or more"):
        Folder(root, folds=1)


def test_real_clips_as_folders(esc50_root, tmp_path):
    """ESC-50 as one folder for each class is the same clips with the same labels."""
    real = ESC50(esc50_root, split="test").select(labels=["dog", "rooster", "hand_saw"])
    for i, source in enumerate(real.sources):
        folder = tmp_path / real.labels[real[i]["target"].argmax()]
        folder.mkdir(exist_ok=True)
        (folder / source.name).symlink_to(source)
    ours = Folder(tmp_path, split="all")
    assert ours.labels == sorted(real.labels) and ours.counts() == real.counts()
    for i, name in enumerate(ours.names):
        j = [source.name for source in real.sources].index(name.split("/")[1])
        assert torch.equal(ours.waveform(i), real.waveform(j))
    assert [len(Folder(tmp_path, fold=fold, split="test")) for fold in range(1, 6)] == [5, 5, 5, 5, 4]
