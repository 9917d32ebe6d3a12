"""Targets as compressed rows: nothing but a table in less space."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astlib.data import Synthetic
from astlib.data.base import AudioDataset
from astlib.data.targets import Targets

tables = st.tuples(st.integers(0, 12), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)


@settings(max_examples=200)
@given(table=tables, data=st.data())
def test_it_is_the_table(table, data):
    targets = Targets.from_dense(table)
    assert len(targets) == len(table) and targets.classes == table.shape[1]
    assert targets.dense().dtype == torch.float32 and np.array_equal(targets.dense(), table)
    assert np.array_equal(targets.counts(), table.sum(0)) and targets.counts().dtype == np.int64
    for i in range(-len(table), len(table)):
        assert np.array_equal(targets[i], table[i]) and targets[i].dtype == torch.float32
    for i in (len(table), -len(table) - 1):
        with pytest.raises(IndexError):
            targets[i]
    if len(table):
        rows = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=20))
        assert np.array_equal(targets.take(rows).dense(), table[rows])
        assert np.array_equal(targets.take(rows).counts(), table[rows].sum(0))
    assert [table[:, c].nonzero()[0].tolist() for c in range(table.shape[1])] == [
        targets.rows()[targets.columns == c].tolist() for c in range(table.shape[1])
    ]


@given(lists=st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=10))
def test_from_lists_in_any_order_and_with_repetitions(lists):
    targets = Targets.from_lists(lists, 5)
    assert [row.nonzero()[:, 0].tolist() for row in targets.dense()] == [sorted(set(row)) for row in lists]
    assert targets.offsets.dtype == np.int64 and targets.columns.dtype == np.int32
    assert targets.counts().sum() == len(targets.columns) == sum(len(set(row)) for row in lists)


@pytest.mark.parametrize(("lists", "message"), [([[0], [5]], "no class 5.* 0 to 4"), ([[-1]], "no class -1")])
def test_classes_that_are_not_there(lists, message):
    with pytest.raises(ValueError, match=message):
        Targets.from_lists(lists, 5)
    with pytest.raises(ValueError, match="no clip 3"):
        Targets.from_pairs([3], [0], 3, 5)


@pytest.mark.parametrize("table", [np.full((2, 2), 0.5), np.zeros(3), torch.full((1, 2), float("nan"))])
def test_soft_targets_are_no_targets(table):
    with pytest.raises(ValueError, match="0 and 1"):
        Targets.from_dense(table)


def test_two_million_clips_take_little_room_and_no_table():
    rng = np.random.default_rng(0)
    targets = Targets.from_pairs(np.repeat(np.arange(2_000_000), 2), rng.integers(0, 527, 4_000_000), 2_000_000, 527)
    assert targets.offsets.nbytes + targets.columns.nbytes < 50e6
    with pytest.raises(ValueError, match=r"2000000 clips and 527 classes takes 4\.2 GB.*counts\(\).*select\(\)"):
        targets.dense()

    class Large(AudioDataset):
        name, multi_label = "large", True

    places = np.arange(2_000_000)
    dataset = Large([str(c) for c in range(527)], places.astype(str), targets, None, places)
    with pytest.raises(ValueError, match="GB"):
        _ = dataset.targets
    part = dataset.select(labels=["5", "7"], limit_per_class=1000)
    assert part.counts()["5"] >= 1000 and len(part) < 2001 and part.targets.shape == (len(part), 2)
    for i in range(0, len(part), 97):
        assert part.targets[i].tolist() == targets[int(part.names[i])][[5, 7]].tolist() and part.targets[i].any()


@settings(deadline=None, max_examples=100)
@given(table=tables.filter(len), limit=st.integers(1, 4), data=st.data())
def test_select_as_one_would_do_it_by_hand(table, limit, data):
    """Clip after clip: it stays while one of its classes has room."""

    class Several(AudioDataset):
        name, multi_label = "several", True

    names = [str(i) for i in range(len(table))]
    labels = [chr(97 + c) for c in range(table.shape[1])]
    folds = data.draw(st.lists(st.integers(1, 3), min_size=len(table), max_size=len(table)))
    wanted = data.draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
    fold = data.draw(st.integers(1, 3))
    dataset = Several(labels, names, Targets.from_dense(table), folds, names)
    columns = [labels.index(label) for label in wanted]
    seen, expected = np.zeros(len(columns)), []
    for i, row in enumerate(table[:, columns]):
        if folds[i] == fold and (seen[row > 0] < limit).any():
            seen += row
            expected.append(str(i))
    if not expected:
        with pytest.raises(ValueError, match="nothing of several"):
            dataset.select(labels=wanted, folds=fold, limit_per_class=limit)
        return
    part = dataset.select(labels=wanted, folds=fold, limit_per_class=limit)
    assert part.names == part.sources == expected and part.labels == wanted and set(part.folds) == {fold}
    assert np.array_equal(part.targets, table[[int(name) for name in expected]][:, columns])


def test_select_rows():
    whole = Synthetic(split="test")
    part = whole.select(rows=[7, 3, 3])
    assert part.names == [whole.names[i] for i in (7, 3, 3)] and torch.equal(part.targets[0], whole.targets[7])
    assert part.select(rows=np.array([1])).names == [whole.names[3]]
    for wrong in ([80], [-1], [0.5], [[1]], [True]):
        with pytest.raises(ValueError, match="0 to 79"):
            whole.select(rows=wrong)
    with pytest.raises(ValueError, match="nothing of synthetic"):
        whole.select(rows=[])
