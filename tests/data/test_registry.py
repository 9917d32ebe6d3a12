"""Data sets by name: what is known, how each is divided, and what is refused."""

import numpy as np
import pytest
import soundfile

from astlib import data
from astlib.data import DATASETS, AudioStream, Parts, Synthetic, data_source
from astlib.errors import DataNotFound, InvalidInput


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A machine without any data."""
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_folder(root, **clips):
    for label, count in clips.items():
        (root / label).mkdir(parents=True)
        for i in range(count):
            soundfile.write(root / label / f"{i}.wav", np.full(800, 0.1 + i / 100), 16_000)
    return root


def test_a_name_that_is_not_known():
    with pytest.raises(InvalidInput, match="no data set 'esc-50'. Known: synthetic, esc50, esc50-mixture, speech-comm"):
        data_source("esc-50")
    with pytest.raises(InvalidInput, match="no data set 'esc-50'"):
        data.parts("esc-50")


@pytest.mark.parametrize("name", DATASETS)
def test_every_source_says_what_it_is_and_how_to_get_it(name, no_data):
    source = data_source(name)
    assert source is DATASETS[name] and source.what and "\n" not in source.what and source.get
    assert source.place() is None
    assert (source.frames is None) == (name == "folder")


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("synthetic", "folder")])
def test_what_is_not_here_is_not_here(name, no_data):
    with pytest.raises(DataNotFound, match="is not on this machine"):
        data.parts(name)
    with pytest.raises(DataNotFound, match="is not on this machine"):
        data_source(name).everything(None, None)


def test_parts_have_names_and_can_be_unpacked():
    parts = data.parts("synthetic", 2)
    train, validation, test = parts
    assert isinstance(parts, Parts) and parts.train is train and parts.test is test and validation is None
    assert list(parts._asdict()) == ["train", "validation", "test"]
    assert not isinstance(train, AudioStream) and set(test.folds) == {2} and set(train.folds) == {1, 3, 4, 5}


@pytest.mark.parametrize("fold", range(1, 6))
def test_the_next_fold_is_held_out(fold):
    parts = data.parts("synthetic", fold, validation=True)
    held_out = fold % 5 + 1
    assert set(parts.test.folds) == {fold} and set(parts.validation.folds) == {held_out}
    assert set(parts.train.folds) == {1, 2, 3, 4, 5} - {fold, held_out}
    names = [*parts.train.names, *parts.validation.names, *parts.test.names]
    assert sorted(names) == sorted(Synthetic(split="all").names)


def test_everything_is_all_clips_or_those_of_a_fold(tmp_path):
    assert [len(part) for part in data_source("synthetic").everything(None, None)] == [400]
    (fold,) = data_source("synthetic").everything(None, 3)
    assert set(fold.folds) == {3}
    root = write_folder(tmp_path, dog=5, cat=5)
    assert [len(part) for part in data_source("folder").everything(root, None)] == [10]
    assert [len(part) for part in data_source("folder").everything(str(root), 1)] == [2]


def test_everything_of_the_mixture_is_its_training_and_test_part(esc50_root):
    train, test = data_source("esc50-mixture").everything(None, None)
    parts = data.parts("esc50-mixture")
    assert (len(train), len(test)) == (2000, 500) and parts.validation is None
    assert train.manifest_hash() == parts.train.manifest_hash() and test.names == parts.test.names


def test_a_folder_of_your_own(tmp_path):
    root = write_folder(tmp_path / "three", dog=6, cat=6, lone=1)
    train, validation, test = data.parts("folder", 5, True, root)
    assert set(test.folds) == {5} and set(validation.folds) == {1} and set(train.folds) == {0, 2, 3, 4}
    assert "lone/0.wav" in train.names
    two = tmp_path / "two"
    write_folder(two, dog=2, cat=2)
    (two / "list.csv").write_text("file,label,fold\ndog/0.wav,d,1\ncat/0.wav,c,1\ndog/1.wav,d,2\ncat/1.wav,c,2\n")
    assert [part and len(part) for part in data.parts("folder", 1, False, two)] == [2, None, 2]
    with pytest.raises(InvalidInput, match="there is none to choose a model by"):
        data.parts("folder", 1, True, two)
    with pytest.raises(InvalidInput, match="say where it is"):
        data.parts("folder")


def test_groups_and_folds_are_for_your_own_sounds(tmp_path):
    root = tmp_path / "sounds"
    write_folder(root, dog=8, cat=8)
    train, validation, test = data.parts("folder", 4, True, root, group="/([0-9])", folds=4)
    assert set(test.folds) == {4} and set(validation.folds) == {1} and set(train.folds) == {2, 3}
    together = [{name[-5] for name in part.names} for part in (train, validation, test)]
    assert not together[0] & together[1] | together[0] & together[2] | together[1] & together[2]
    assert [len(part) for part in data.everything("folder", None, root, "/([0-9])", 4)] == [16]
    for open_it in (data.parts, lambda name, **how: data.everything(name, **how)):
        with pytest.raises(InvalidInput, match="group and folds are for sounds of your own"):
            open_it("synthetic", group="x")
        with pytest.raises(InvalidInput, match="group and folds are for sounds of your own"):
            open_it("synthetic", folds=10)


def test_what_is_left_out_counts_when_a_validation_part_is_held_out(tmp_path):
    root = write_folder(tmp_path / "mixed", dog=5, cat=5)
    (root / "dog" / "new.m4a").touch()
    train, validation, test = data.parts("folder", 1, True, root)
    assert list(train.report.problems) == ["dog/new.m4a"] and train.report.expected == len(train) + 1
    assert not validation.report.problems and not test.report.problems


def test_sounds_made_in_code_have_no_folder(tmp_path):
    with pytest.raises(InvalidInput, match="is made in code and has no folder"):
        data.parts("synthetic", root=tmp_path)


@pytest.mark.parametrize("name", ["audioset", "audioset-balanced"])
def test_audioset_has_nothing_to_choose_a_model_by(name, no_data):
    with pytest.raises(InvalidInput, match="AudioSet has no validation part"):
        data.parts(name, validation=True)


def test_googles_lists_alone_are_no_place(tmp_path, monkeypatch, no_data):
    folder = tmp_path / "audioset"
    folder.mkdir()
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
    for name in ("eval_segments.csv", "ontology.json", "README.txt"):
        (folder / name).touch()
        assert data_source("audioset").place() is None
    (folder / "abcdefghijk.flac").touch()
    assert data_source("audioset").place() == data_source("audioset-balanced").place() == folder
