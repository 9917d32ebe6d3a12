"""Speech Commands: the official parts by the lists, by the rule, and by a table; what is missing is reported."""

import csv

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from astlib import data
from astlib.data import SpeechCommands
from astlib.data.speech_commands import NEW_WORDS, WORDS, part_of, read_index
from astlib.errors import DataNotFound
from astlib.paths import find_data

OLD_WORDS = sorted(set(WORDS) - NEW_WORDS)
CODES = [f"{i:08x}" for i in range(40)]


def make_archive(root, words, lists: bool, takes: int = 4, suffix: str = ".wav"):
    """The official layout with `takes` speakers a word. The lists, if any, put other clips aside than the rule does."""
    rng = np.random.default_rng(0)
    listed = {"validation_list.txt": [], "testing_list.txt": []}
    for w, word in enumerate(words):
        (root / word).mkdir(parents=True)
        for take in range(takes):
            file = f"{CODES[(w + take) % len(CODES)]}_nohash_{take}"
            soundfile.write(root / word / f"{file}{suffix}", 0.1 * rng.standard_normal(1600), 16_000)
            if take < 2:
                listed[list(listed)[take]].append(f"{word}/{file}.wav")
    (root / "_background_noise_").mkdir()
    soundfile.write(root / "_background_noise_" / "running_tap.wav", np.zeros(1600), 16_000)
    (root / "README.md").write_text("about")
    for name, lines in listed.items() if lists else ():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def real():
    root = find_data("speech_commands")
    if root is None:
        pytest.skip("Speech Commands not found: set ASTLIB_DATA")
    return root


def test_the_rule_gives_the_official_part_of_every_real_clip(real):
    """The table's split column was made by others; torchaudio and TensorFlow are not needed for it."""
    if not (real / "meta.csv").is_file():
        pytest.skip("this copy has no table of parts")
    with (real / "meta.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts = {"training": "train", "validation": "validation", "testing": "test"}
    assert len(rows) == 5000
    assert [part_of(row["clip"]) for row in rows] == [parts[row["split"]] for row in rows]


def test_real_clips(real):
    everything = SpeechCommands(split="all")
    assert everything.folds is None and not everything.multi_label
    for clip in (everything[0], everything[len(everything) - 1]):
        assert 1600 < len(clip["waveform"]) <= 16_000 and clip["target"].sum() == 1
    assert everything.durations()[:200].max() <= 1
    assert not everything.report.problems
    if (real / "meta.csv").is_file():
        train, validation, test = data.parts("speech-commands")
        assert (len(train), validation, len(test)) == (4500, None, 500) and train.labels == sorted(train.labels)
        assert not {name.split("/")[1][:8] for name in train.names} & {name.split("/")[1][:8] for name in test.names}
        with pytest.raises(ValueError, match="no testing part"):
            data.parts("speech-commands", validation=True)
        with pytest.raises(DataNotFound, match="no clips of the part 'test'"):
            SpeechCommands(split="test")


@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 9), st.sampled_from(WORDS))
def test_a_speaker_is_in_one_part_whatever_is_said(speaker, take, word):
    assert part_of(f"{word}/{speaker}_nohash_{take}") == part_of(f"dog/{speaker}_nohash_0.wav")


def test_the_rule_puts_a_tenth_aside_twice():
    parts = [part_of(f"dog/{i:08x}_nohash_0") for i in range(20_000)]
    for part in ("validation", "test"):
        assert parts.count(part) / len(parts) == pytest.approx(0.1, abs=0.01)


def test_an_archive_with_lists(tmp_path):
    root = make_archive(tmp_path / "sc", WORDS, lists=True)
    sets = {split: SpeechCommands(root, split) for split in ("train", "validation", "test", "all")}
    assert [len(dataset) for dataset in sets.values()] == [70, 35, 35, 140]
    assert all(dataset.labels == list(WORDS) for dataset in sets.values()), "the original's order"
    assert WORDS[0] == "backward" and WORDS[34] == "one" and len(WORDS) == 35
    assert {name.rpartition("_")[2] for name in sets["validation"].names} == {"0"}
    assert {name.rpartition("_")[2] for name in sets["test"].names} == {"1"}
    names = [name for split in ("train", "validation", "test") for name in sets[split].names]
    assert sorted(names) == sets["all"].names, "nothing twice, nothing left out, no background noise"
    clip = sets["train"][5]
    assert clip["target"][list(WORDS).index(sets["train"].names[5].partition("/")[0])] == 1
    assert sets["all"].durations() == pytest.approx(0.1)
    train, validation, test = data.parts("speech-commands", fold=3, validation=True, root=root)
    assert (train.names, validation.names, test.names) == tuple(sets[s].names for s in ("train", "validation", "test"))
    assert data.parts("speech-commands", root=root)[1] is None


def test_an_archive_without_lists_follows_the_rule(tmp_path):
    root = make_archive(tmp_path / "sc", OLD_WORDS, lists=False, takes=30)
    sets = {split: SpeechCommands(root, split) for split in ("train", "validation", "test")}
    assert all(part_of(name) == split for split, dataset in sets.items() for name in dataset.names)
    assert sum(map(len, sets.values())) == 900 and all(map(len, sets.values()))
    assert sets["train"].labels == OLD_WORDS, "alphabetical, as they are not the 35"


def test_the_real_table_survives_as_an_archive(real, tmp_path):
    """The same clips in the official layout, without lists: the same names and parts."""
    if not (real / "meta.csv").is_file():
        pytest.skip("this copy is an archive already")
    for word in (real / "audio").iterdir():
        (tmp_path / word.name).symlink_to(word)
    strip = [row[:3] for row in read_index(real)]
    assert [row[:3] for row in read_index(tmp_path)] == strip
    assert SpeechCommands(tmp_path).manifest_hash() == SpeechCommands(real).manifest_hash()


def test_missing_clips_are_reported_and_the_rest_is_used(tmp_path):
    root = make_archive(tmp_path / "sc", ("yes", "no"), lists=True)
    gone = sorted(root.glob("yes/*_nohash_1.wav"))[0]
    gone.unlink()
    test = SpeechCommands(root, "test")
    assert len(test) == 1 and test.report.expected == 2 and test.report.counts()["missing"] == 1
    assert list(test.report.problems) == [f"yes/{gone.stem}"] and str(gone.stem) in str(test.report)
    assert not SpeechCommands(root, "train").report.problems


def test_broken_clips_are_found_by_check(tmp_path):
    root = make_archive(tmp_path / "sc", ("yes", "no"), lists=True)
    files = sorted(root.glob("*/*_nohash_3.wav"))
    files[0].write_bytes(files[0].read_bytes()[:2000])
    files[1].write_bytes(b"")
    report = SpeechCommands(root, "all").check(progress=False)
    assert report.counts() == {"missing": 0, "unreadable": 1, "empty": 1}


def test_other_formats_and_rates(tmp_path):
    root = make_archive(tmp_path / "sc", ("yes", "no"), lists=True, suffix=".flac")
    soundfile.write(root / "yes" / "ffffffff_nohash_0.WAV", 0.1 * np.ones(4410), 44_100, format="WAV")
    train = SpeechCommands(root)
    assert len(train) == 5
    assert len(train.waveform(train.names.index("yes/ffffffff_nohash_0"))) == 1600


def test_some_of_the_words(tmp_path):
    root = make_archive(tmp_path / "sc", WORDS, lists=True)
    some = SpeechCommands(root, words=["yes", "no"])
    assert some.labels == ["no", "yes"] and len(some) == 4 and some.targets.sum(0).tolist() == [2, 2]
    assert some.report.expected == 4
    with pytest.raises(ValueError, match="has no word maybe. It has: backward"):
        SpeechCommands(root, words=["maybe", "yes"])


def test_versions(tmp_path, monkeypatch):
    """Each version has a folder of its own; one that is not what its folder says is refused."""
    new = make_archive(tmp_path / "data" / "speech_commands", WORDS, lists=True)
    old = make_archive(tmp_path / "data" / "speech_commands_v0.01", OLD_WORDS, lists=False)
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(SpeechCommands(split="all").labels) == len(SpeechCommands(split="all", version="v0.02").labels) == 35
    assert len(SpeechCommands(split="all", version="v0.01").labels) == 30
    with pytest.raises(DataNotFound, match="is v0.02 of Speech Commands, v0.01 was asked for"):
        SpeechCommands(new, version="v0.01")
    with pytest.raises(DataNotFound, match="is v0.01 of Speech Commands, v0.02 was asked for"):
        SpeechCommands(old, version="v0.02")
    with pytest.raises(ValueError, match="version must be"):
        SpeechCommands(version="2")


def test_what_is_no_copy_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataNotFound, match="not on this machine .*astlib data fetch speech-commands"):
        SpeechCommands()
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataNotFound, match="not a copy of Speech Commands"):
            SpeechCommands(root)
    with pytest.raises(ValueError, match="split must be one of train, validation, test, all"):
        SpeechCommands(tmp_path, "training")
    root = make_archive(tmp_path / "sc", ("yes", "no"), lists=True)
    (root / "testing_list.txt").unlink()
    with pytest.raises(DataNotFound, match="has only validation_list.txt"):
        SpeechCommands(root)
    (root / "meta.csv").write_text("clip,word,split\nyes/a,yes,dev\n")
    with pytest.raises(DataNotFound, match="columns clip, word and split"):
        SpeechCommands(root)


def test_the_order_of_the_classes_is_the_originals():
    lists = find_data("audioset")
    path = lists and lists / "speechcommands_class_labels_indices.csv"
    if not path or not path.is_file():
        pytest.skip("the original's list of classes not found: set ASTLIB_DATA")
    with path.open() as file:
        assert tuple(row["display_name"] for row in csv.DictReader(file)) == WORDS


def test_items(tmp_path):
    root = make_archive(tmp_path / "sc", ("yes", "no"), lists=True)
    dataset = SpeechCommands(root, "all")
    item = dataset[3]
    assert item["index"] == 3 and item["waveform"].dtype == item["target"].dtype == torch.float32
    assert torch.equal(item["waveform"], dataset.waveform(3)) and len(dataset.sources) == len(dataset.names) == 8
    with pytest.raises(ValueError, match="has no folds"):
        dataset.select(folds=1)
