"""Data sets: the official folds, labels that survive selection, sounds made in code that never change."""

import csv
import hashlib
import shutil

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader

from astlib import data
from astlib.data import ESC50, Folder, Synthetic, collate
from astlib.data.synthetic import SOUNDS, make
from astlib.data.targets import Targets
from astlib.errors import DataNotFound, InvalidInput
from astlib.frontend import LogMel
from astlib.paths import cache, find_data

CATEGORIES = {0: "dog", 1: "rooster", 2: "pig"}


@pytest.fixture
def copy_of_esc50(tmp_path):
    """A folder in ESC-50's layout: 3 classes, 2 clips of each in each fold, in three formats."""
    root = tmp_path / "data" / "esc50"
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for fold in range(1, 6):
        for target in (2, 0, 1):
            for take in "AB":
                name = f"{fold}-{fold}00{target}-{take}-{target}"
                suffix = ("wav", "ogg", "flac")[len(rows) % 3]
                soundfile.write(root / "audio" / f"{name}.{suffix}", 0.1 * rng.standard_normal(8000), 16_000)
                category = CATEGORIES[target]
                rows.append({"filename": f"{name}.wav", "fold": fold, "target": target, "category": category})
    with open(root / "meta" / "esc50.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A machine without any data."""
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


# --- what all data sets share --------------------------------------------------------------------------


def test_items_and_fields(copy_of_esc50):
    for dataset in (Synthetic(), ESC50(copy_of_esc50)):
        item = dataset[3]
        assert set(item) == {"waveform", "target", "index"} and item["index"] == 3
        assert item["waveform"].dtype == item["target"].dtype == torch.float32
        assert torch.equal(item["waveform"], dataset.waveform(3))
        assert torch.equal(item["target"], dataset.targets[3])
        assert len(dataset) == len(dataset.names) == len(dataset.targets) == len(dataset.folds)
        assert len(set(dataset.names)) == len(dataset)
        assert dataset[-1]["index"] == len(dataset) - 1
        with pytest.raises(IndexError):
            dataset[len(dataset)]


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_collate_pads_with_zeros_at_the_end(lengths):
    items = [{"waveform": torch.ones(n), "target": torch.eye(3)[n % 3], "index": 7 + i} for i, n in enumerate(lengths)]
    batch = collate(items)
    assert batch.waveforms.shape == (len(lengths), max(lengths))
    assert batch.lengths.tolist() == lengths == batch.waveforms.sum(1).tolist()
    assert batch.targets.shape == (len(lengths), 3)
    assert batch.index.tolist() == [7 + i for i in range(len(lengths))]
    for row, n in zip(batch.waveforms, lengths, strict=True):
        assert (row[:n] == 1).all() and (row[n:] == 0).all()


def test_select_keeps_order_and_gives_new_targets():
    whole = Synthetic(split="all")
    part = whole.select(labels=["siren", "clicks"], folds=[2, 4])
    assert part.labels == ["siren", "clicks"] and set(part.folds) == {2, 4} and len(part) == 32
    assert part.names == [n for n in whole.names if n[0] in "24" and n.endswith(("siren", "clicks"))]
    for i, name in enumerate(part.names):
        assert part.targets[i].tolist() == [float(name.endswith("siren")), float(name.endswith("clicks"))]
    assert torch.equal(part.waveform(5), whole.waveform(whole.names.index(part.names[5])))
    assert part.counts() == {"siren": 16, "clicks": 16}
    assert len(whole) == 400 and len(whole.labels) == 10  # untouched


@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.sampled_from(list(SOUNDS)), min_size=1, max_size=10, unique=True),
    limit=st.integers(1, 9),
    fold=st.integers(1, 5),
)
def test_select_limits_each_class(labels, limit, fold):
    part = Synthetic(split="all").select(labels=labels, folds=fold, limit_per_class=limit)
    assert part.counts() == {label: min(limit, 8) for label in labels}
    assert set(part.folds) == {fold} and part.targets.sum(1).eq(1).all()


def test_select_knows_clips_with_several_labels():
    class Several(data.AudioDataset):
        name, multi_label = "several", True

    targets = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]])
    dataset = Several(["a", "b", "c"], list("wxyz"), targets, [1, 1, 1, 1], [None] * 4)
    part = dataset.select(labels=["b", "a"])
    assert part.names == ["w", "x", "z"] and part.targets.tolist() == [[1, 1], [1, 0], [0, 1]]
    assert dataset.select(limit_per_class=1).names == ["w", "x"]


def test_one_label_is_a_name_and_not_a_list_of_letters():
    one = Synthetic().select(labels="clicks")
    assert one.labels == ["clicks"] and one.names == Synthetic().select(labels=["clicks"]).names
    assert len(one) == 32 and one.targets.tolist() == [[1.0]] * 32
    with pytest.raises(InvalidInput, match="no label 'sirens'. Did you mean: siren"):
        Synthetic().select(labels="sirens")


@pytest.mark.parametrize("folds", [2, [2], (2, 2), np.int64(2), np.array([2])])
def test_one_fold_or_several(folds):
    assert set(Synthetic().select(folds=folds).folds) == {2}
    with pytest.raises(InvalidInput, match=r"nothing of synthetic is left with labels \['siren'\], folds \[2"):
        Synthetic(2, "test").select(rows=[0]).select(labels="siren", folds=folds)


def test_select_says_what_is_wrong():
    with pytest.raises(ValueError, match="no label 'sirens'. Did you mean: siren"):
        Synthetic().select(labels=["sirens"])
    with pytest.raises(ValueError, match=r"nothing of synthetic.*\[1\]"):
        Synthetic(fold=1, split="train").select(folds=1)
    with pytest.raises(ValueError, match="nothing of synthetic"):
        Synthetic().select(labels=[])


def test_preload_decodes_once(monkeypatch):
    dataset = Synthetic(split="test").select(limit_per_class=1)
    before = [dataset.waveform(i) for i in range(len(dataset))]
    assert dataset.preload(progress=False) is dataset
    part = dataset.select(labels=["engine"])
    monkeypatch.setattr(Synthetic, "read", lambda *_: pytest.fail("decoded again"))
    assert all(torch.equal(dataset.waveform(i), clip) for i, clip in enumerate(before))
    position = [name.endswith("engine") for name in dataset.names].index(True)
    assert part.waveform(0).data_ptr() == dataset.waveform(position).data_ptr()


def write_silence(root, lengths: dict[str, float], clips: int) -> None:
    """As many clips of each class, all of the class's length in seconds."""
    for label, seconds in lengths.items():
        (root / label).mkdir()
        soundfile.write(root / label / "0.wav", np.zeros(int(16_000 * seconds)), 16_000)
        for i in range(1, clips):
            (root / label / f"{i}.wav").hardlink_to(root / label / "0.wav")


def test_memory_is_estimated_from_all_parts_of_the_data_set(tmp_path):
    """The first clips of a folder are all of its first class, which need not be like the others."""
    write_silence(tmp_path, {"a_click": 0.1, "z_rain": 30.0}, 20)
    dataset = Folder(tmp_path, split="all")
    real = 4 * 16_000 * dataset.durations().sum()
    assert dataset.estimated_bytes() == pytest.approx(real)  # of a small data set, all clips are looked at
    assert dataset.estimated_bytes(10) == pytest.approx(real, rel=0.01)
    assert dataset.estimated_bytes(1) > 0
    short = sum(clip.nbytes for clip in dataset.select(labels="a_click").preload(progress=False)._clips)
    assert dataset.select(labels="a_click").estimated_bytes() == short


def test_clips_that_cannot_be_read_do_not_count_in_the_estimate(tmp_path):
    write_silence(tmp_path, {"tone": 1.0}, 6)
    (tmp_path / "tone" / "0.wav").unlink()
    (tmp_path / "tone" / "0.wav").write_bytes(b"RIFF")
    assert Folder(tmp_path, split="all").estimated_bytes() == 6 * 64_000
    for path in (tmp_path / "tone").iterdir():
        path.unlink()
        path.write_bytes(b"RIFF")
    assert Folder(tmp_path, split="all").estimated_bytes() == 0


def test_a_loader_with_workers_gives_the_same(copy_of_esc50):
    dataset = ESC50(copy_of_esc50)
    alone, workers = (next(iter(DataLoader(dataset, batch_size=8, collate_fn=collate, num_workers=n))) for n in (0, 1))
    assert alone.problems == workers.problems == [] and alone.usable.all()
    for field in ("waveforms", "lengths", "targets", "index", "usable"):
        assert torch.equal(getattr(alone, field), getattr(workers, field))


@pytest.mark.parametrize("kind", [Synthetic, ESC50])
@pytest.mark.parametrize(("arguments", "message"), [({"fold": 6}, "1 to 5"), ({"split": "valid"}, "train, test")])
def test_wrong_fold_or_split(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


# --- manifest hash -------------------------------------------------------------------------------------


def test_manifest_hash_follows_the_content(copy_of_esc50, tmp_path):
    first = ESC50(copy_of_esc50).manifest_hash()
    assert first.startswith("sha256:") and len(first) == 71
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(copy_of_esc50, elsewhere)
    assert ESC50(elsewhere).manifest_hash() == first
    clip = ESC50(elsewhere).sources[5]
    clip.write_bytes(clip.read_bytes() + b"\0")
    assert ESC50(elsewhere).manifest_hash() != first


def test_manifest_hash_follows_names_targets_folds_and_order(copy_of_esc50):
    dataset = ESC50(copy_of_esc50, split="all")
    hashes = {dataset.manifest_hash(), ESC50(copy_of_esc50, fold=2).manifest_hash()}
    for field, change in {
        "names": lambda names: [names[1], names[0], *names[2:]],
        "classes": lambda classes: Targets.from_dense(classes.dense().flip(1)),
        "folds": lambda folds: [5, *folds[1:]],
        "labels": lambda labels: labels[::-1],
        "sources": lambda sources: [sources[1], sources[0], *sources[2:]],
    }.items():
        other = ESC50(copy_of_esc50, split="all")
        setattr(other, field, change(getattr(other, field)))
        hashes.add(other.manifest_hash())
    hashes.add(dataset.select(labels=["dog"]).manifest_hash())
    assert len(hashes) == 8


def test_manifest_hash_of_made_sounds():
    assert Synthetic().manifest_hash() == Synthetic().manifest_hash() != Synthetic(seed=1).manifest_hash()


# --- ESC-50 --------------------------------------------------------------------------------------------


def test_folds_and_labels(copy_of_esc50):
    train, test, everything = (ESC50(copy_of_esc50, fold=3, split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (24, 6, 30)
    assert set(test.folds) == {3} and set(train.folds) == {1, 2, 4, 5}
    assert train.labels == ["dog", "rooster", "pig"]  # by target, not by the order of the file
    assert everything.names[:3] == ["1-1002-A-2", "1-1002-B-2", "1-1000-A-0"]
    assert everything.targets[0].tolist() == [0, 0, 1]
    assert not train.is_synthetic and not train.multi_label and train.name == "esc50"
    assert {path.suffix for path in everything.sources} == {".wav", ".ogg", ".flac"}
    assert test[0]["waveform"].shape == (8000,)


def test_a_missing_list(tmp_path):
    with pytest.raises(DataNotFound, match=r"esc50\.csv is not there.*karolpiczak/ESC-50.*ASTLIB_DATA"):
        ESC50(tmp_path)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "filename,fold,target,category\nx.wav,one,0,dog\n"])
def test_a_wrong_list(copy_of_esc50, content):
    (copy_of_esc50 / "meta" / "esc50.csv").write_text(content)
    with pytest.raises(DataNotFound, match="not the official list"):
        ESC50(copy_of_esc50)


def test_missing_clips_are_named(copy_of_esc50):
    for path in sorted((copy_of_esc50 / "audio").glob("2-*"))[:2]:
        path.unlink()
    assert len(ESC50(copy_of_esc50, fold=3, split="test")) == 6  # the other folds do not matter
    with pytest.raises(DataNotFound, match=r"lacks 2 of 24 clips of ESC-50 \(2-2000-A-0, 2-2000-B-0\)"):
        ESC50(copy_of_esc50, fold=1)
    shutil.rmtree(copy_of_esc50 / "audio")
    with pytest.raises(DataNotFound, match=r"lacks 24 of 24 clips.*, \.\.\.\)"):
        ESC50(copy_of_esc50)


def test_the_real_one(esc50_root):
    train, test = ESC50(fold=1), ESC50(fold=1, split="test")
    assert (len(train), len(test), len(train.labels)) == (1600, 400, 50)
    assert set(train.counts().values()) == {32} and set(test.counts().values()) == {8}
    assert train.labels[:3] == ["dog", "rooster", "pig"] and train.labels[49] == "hand_saw"
    for i in (0, 123, 399):
        assert int(test.names[i].split("-")[-1]) == test.targets[i].argmax()
        assert test.waveform(i).shape == (80_000,)


# --- where data is looked for --------------------------------------------------------------------------


def test_finding(no_data, copy_of_esc50, monkeypatch):
    assert find_data("esc50") is None
    with pytest.raises(DataNotFound, match="not on this machine.*cache.*karolpiczak"):
        ESC50()
    assert not (no_data / "cache").exists()  # looking makes no folder
    cached = cache() / "data" / "esc50"
    assert cached == no_data / "cache" / "astlib" / "data" / "esc50"
    cached.mkdir(parents=True)
    assert find_data("esc50") is None  # an empty folder is no data set
    shutil.copytree(copy_of_esc50, cached, dirs_exist_ok=True)
    assert find_data("esc50") == cached and len(ESC50()) == 24
    monkeypatch.setenv("ASTLIB_DATA", str(copy_of_esc50.parent))
    assert find_data("esc50") == copy_of_esc50  # the setting comes before the cache
    assert find_data("audioset") is None


def test_the_stand_in_is_used_only_where_there_is_nothing(no_data, copy_of_esc50, monkeypatch):
    assert data.esc50_or_synthetic(fold=2, split="test").is_synthetic
    monkeypatch.setenv("ASTLIB_DATA", str(copy_of_esc50.parent))
    dataset = data.esc50_or_synthetic(fold=2, split="test")
    assert not dataset.is_synthetic and set(dataset.folds) == {2} and len(dataset) == 6
    shutil.rmtree(copy_of_esc50 / "audio")
    with pytest.raises(DataNotFound):
        data.esc50_or_synthetic()


# --- sounds made in code -------------------------------------------------------------------------------


def test_it_has_the_shape_of_esc50():
    train, test = Synthetic(fold=2), Synthetic(fold=2, split="test")
    assert (len(train), len(test), len(Synthetic(split="all"))) == (320, 80, 400)
    assert set(train.counts().values()) == {32} and set(test.counts().values()) == {8}
    assert set(test.folds) == {2} and not set(train.names) & set(test.names)
    assert test.is_synthetic and test.labels == list(SOUNDS)
    for i in range(0, 80, 7):
        waveform = test.waveform(i)
        assert waveform.shape == (80_000,) and 0.1 < waveform.abs().max() <= 1
        assert waveform.isfinite().all() and waveform.std() > 0.001


def test_a_clip_depends_on_nothing_but_its_place():
    dataset = Synthetic(split="all")
    place = dataset.names.index("3-5-bubbles")
    clip = dataset.waveform(place)
    np.random.seed(1)
    torch.manual_seed(1)
    dataset.waveform(0)
    assert torch.equal(Synthetic(fold=3, split="test").select(labels=["bubbles"]).waveform(5), clip)
    assert not torch.equal(Synthetic(split="all", seed=1).waveform(place), clip)
    assert not torch.equal(dataset.waveform(dataset.names.index("3-6-bubbles")), clip)


def test_the_sounds_have_not_changed():
    """Records name data by the generator's SOUNDS_VERSION: raise it when these numbers change."""
    levels = [make(0, label, 1, 0).std() for label in range(len(SOUNDS))]
    assert levels == pytest.approx(LEVELS, rel=1e-6)
    clips = np.stack([make(0, label, 2, 3) for label in range(len(SOUNDS))])
    assert hashlib.sha256(np.rint(clips * 32767).astype("<i2").tobytes()).hexdigest() == DIGEST


LEVELS = [
    0.16774198, 0.17118563, 0.17459407, 0.01183929, 0.17654610,
    0.03855252, 0.10965526, 0.05034848, 0.07324930, 0.03576547,
]  # fmt: skip
DIGEST = "4b9dba212fc94037b3c31bb690f47f1bd5d7092d762790f8a5fb692764872d7a"


def test_averages_alone_do_not_solve_it():
    """A linear probe on the mean and deviation of every mel must be better than chance, far from perfect."""

    def features(dataset):
        mel = LogMel(64)(torch.stack([dataset.waveform(i) for i in range(len(dataset))]))
        return torch.cat([mel.mean(1), mel.std(1)], 1).numpy(), dataset.targets.argmax(1).numpy()

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    probe.fit(*features(Synthetic(split="train").select(limit_per_class=10)))
    accuracy = probe.score(*features(Synthetic(split="test").select(limit_per_class=4)))
    assert 0.25 < accuracy < 0.8
