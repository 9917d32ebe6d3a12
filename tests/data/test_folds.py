"""Folds: what belongs together stays together, and each class is spread as far as its groups go."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.data import Folder, notes_of, parts
from astlib.data.folds import TELLING_COLUMNS, deal, deal_groups, divide, grouping
from astlib.data.tables import Clip, plain
from astlib.errors import InvalidInput

recordings = st.lists(  # of each recording: the classes of its clips
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=2, max_size=14
)


def clips_of(found, **columns):
    """One clip for each label of each recording."""
    return [
        Clip(f"{label}/{number}_{i}.wav", Path(), (label,), None, {"file": "x", **columns, "speaker": str(number)})
        for number, labels in enumerate(found)
        for i, label in enumerate(labels)
    ]


@settings(deadline=None, max_examples=30)
@given(found=recordings, folds=st.integers(2, 7), seed=st.integers(0, 3))
def test_a_group_is_in_one_fold(found, folds, seed):
    clips = clips_of(found)
    dealt = deal_groups([clip.labels for clip in clips], [clip.columns["speaker"] for clip in clips], folds, seed)
    where = {}
    for clip, fold in zip(clips, dealt, strict=True):
        where.setdefault(clip.columns["speaker"], set()).add(fold)
    assert all(len(places) == 1 for places in where.values())
    used = set(dealt) - {0}
    assert used == set(range(1, len(used) + 1)) and len(used) <= folds, "folds have numbers without a gap"


@settings(deadline=None, max_examples=30)
@given(groups=st.lists(st.integers(1, 6), min_size=2, max_size=6), size=st.integers(1, 5), seed=st.integers(0, 3))
def test_recordings_of_one_class_each_are_spread(groups, size, seed):
    """As in a collection of samples, where a pack has one kind of sound: each class reaches as many folds as it can."""
    labels = [(str(c),) for c, count in enumerate(groups) for _ in range(count * size)]
    packs = [f"{c}-{i // size}" for c, count in enumerate(groups) for i in range(count * size)]
    if sum(count for count in groups if count > 1) < 2:
        return
    dealt = deal_groups(labels, packs, 3, seed)
    for c, count in enumerate(groups):
        places = {fold for label, fold in zip(labels, dealt, strict=True) if label == (str(c),)}
        assert places == {0} if count == 1 else len(places) >= 2 and 0 not in places


def test_speakers_who_say_everything_are_spread_evenly():
    labels = [(word,) for word in "abcdefghij" for _ in range(6) for _ in range(5)]
    speakers = [str(s) for _ in "abcdefghij" for s in range(6) for _ in range(5)]
    dealt = np.array(deal_groups(labels, speakers, 6, 0))
    assert np.bincount(dealt).tolist() == [0] + [50] * 6
    assert np.bincount(deal_groups(labels, speakers, 3, 0)).tolist() == [0] + [100] * 3
    assert deal_groups(labels, speakers, 3, 0) != deal_groups(labels, speakers, 3, 1)


def test_too_few_groups_for_anything():
    assert deal_groups([("a",)] * 4, ["one"] * 4, 5, 0) == [0] * 4
    assert deal_groups([("a",), ("b",), ("c",)], ["1", "2", "3"], 5, 0) == [0, 0, 0]
    apart = deal_groups([("a",), ("b",)] * 4, ["1", "2"] * 4, 5, 0)  # each class in one group, and nothing else there
    assert sorted(set(apart)) == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn's warnings do not reach the user
        deal_groups([("a",), ("a",), ("b",), ("b",), ("b",)], ["1", "2", "1", "2", "3"], 3, 0)


def test_several_labels_count_as_the_rarest():
    labels = [("x", "rare")] * 4 + [("x",)] * 40
    dealt = deal(labels, 4, 0)
    assert sorted(dealt[:4]) == [1, 2, 3, 4]
    grouped = deal_groups(labels, [str(i) for i in range(44)], 4, 0)
    assert sorted(grouped[:4]) == [1, 2, 3, 4] and np.bincount(grouped)[1:].tolist() == [11] * 4


# --- which clips belong together -----------------------------------------------------------------------


def test_a_column_or_an_expression():
    clips = clips_of(["ab", "ba", "a"])
    by_column, by_name = grouping(clips, "Speaker"), grouping(clips, r"/([0-9]+)_")
    assert by_column.groups == by_name.groups == ("0", "0", "1", "1", "2")
    assert by_column.sizes == {"0": 2, "1": 2, "2": 1} and by_column.by == "speaker"
    assert grouping(clips, None) is None and grouping(clips, "") is None
    assert grouping(clips_of(["ab"], group="g"), None).groups == ("g", "g")


def test_clips_without_a_group_stand_alone():
    clips = clips_of(["ab", "ba"])
    found = grouping(clips, r"(a)/")
    assert found.groups == ("a", "/b/0_1.wav", "/b/1_0.wav", "a")
    assert found.notes == ("2 of 4 clips have no group by (a)/ and stand alone: b/0_1.wav, b/1_0.wav.",)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("spaeker", r"a column of the list \(file, speaker\) or a regular expression with one pair"),
        ("([", "no regular expression"),
        ("(a)(b)", "one pair of parentheses"),
        (r"(nowhere)", "gives none of the clips a group; the first clip is called a/0_0.wav"),
    ],
)
def test_groups_that_are_none(by, message):
    with pytest.raises(InvalidInput, match=message):
        grouping(clips_of(["ab"]), by)


# --- notes ---------------------------------------------------------------------------------------------


def test_a_column_that_looks_like_groups_is_pointed_out():
    (note,) = divide(clips_of(["ab", "ab"]), 5, 0, None).notes
    assert note.startswith("The column speaker is not used") and note.endswith("keep them together: --group speaker.")
    assert not divide(clips_of(["a", "b"]), 5, 0, None).notes, "as many speakers as clips are no groups"
    assert all(plain(name) == name for name in TELLING_COLUMNS)


def test_a_given_division_that_tears_groups_apart_is_pointed_out():
    clips = clips_of(["ab", "ab", "a"])
    folds = [1, 2, 1, 1, 2]
    given = [
        Clip(clip.name, clip.path, clip.labels, fold, clip.columns) for clip, fold in zip(clips, folds, strict=True)
    ]
    (note,) = divide(given, 5, 0, None).notes
    assert note.startswith("1 of 3 groups by speaker have clips in several folds (0)")
    (note,) = divide(given, 5, 0, grouping(given, "^([ab])/")).notes
    assert note.startswith("2 of 2 groups")


def test_fewer_groups_than_folds_and_groups_that_only_train_are_pointed_out():
    clips = clips_of(["ab", "ab", "abc", "ab"])
    division = divide(clips, 5, 0, grouping(clips, "speaker"))
    assert division.parts.count(0) == 3 and set(division.parts) == {0, 1, 2, 3}
    assert division.notes == (
        "There are 3 folds and not 5, because by speaker there are too few groups.",
        "3 clips are for training only, because a class of theirs is in one group alone by speaker: a, b, c.",
    )
    with pytest.raises(InvalidInput, match="folds must be 2 or more"):
        divide(clips, 1, 0, None)


# --- through a folder ----------------------------------------------------------------------------------


def test_speakers_of_a_folder(tmp_path):
    for word in ("yes", "no"):
        for speaker in ("ann", "bob", "cyd", "dan", "eve", "fay"):
            for take in range(2):
                path = tmp_path / word / f"{take}_{speaker}_x.wav"
                path.parent.mkdir(exist_ok=True)
                soundfile.write(path, np.full(800, len(str(path)) / 1000), 16_000)
    seen = []
    for fold in range(1, 7):
        train, _, test = parts("folder", fold, False, tmp_path, "_(.+)_", 6)
        assert len(test) == 4 and len(train) == 20 and test.counts() == {"no": 2, "yes": 2}
        assert len({name.split("_")[1] for name in test.names}) == 1
        seen += test.names
        assert not notes_of((train, None, test))
    assert len(set(seen)) == 24
    whole = Folder(tmp_path, split="all", group="_(.+)_", folds=6)
    assert whole.grouping.sizes == dict.fromkeys(["ann", "bob", "cyd", "dan", "eve", "fay"], 4)
    with pytest.raises(InvalidInput, match="fold must be one of 1, 2, 3, 4, 5, 6, got 7"):
        Folder(tmp_path, 7, group="_(.+)_", folds=6)
    with pytest.raises(InvalidInput, match=r"nothing of .* can be tested"):
        Folder(tmp_path, group="(x)")
