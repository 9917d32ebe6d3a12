"""AudioSet from a folder, from Parquet, and as a stream: the same clips, and an account of those that are not there."""

import csv
import io
import itertools
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_audioset import (
    CLIPS,
    LABELS,
    LISTS,
    TYPES,
    datasets,
    flac,
    hide_other_data,
    sound,
    write_lists,
    write_many,
    write_parquet,
)
from torch.utils.data import DataLoader

from astlib import data
from astlib.data import AudioSet, AudioStream, Batch, Loadable, Problem, collate
from astlib.data.audioset import lists
from astlib.data.audioset import parquet as tables
from astlib.errors import DataIncomplete, DataNotFound
from astlib.paths import find_data

GOOGLES = find_data("audioset")  # before a test hides it


@pytest.fixture(autouse=True)
def nothing_else(tmp_path, monkeypatch):
    hide_other_data(tmp_path, monkeypatch)


def numbered(clips=CLIPS) -> dict[str, int]:
    return {name: i for i, name in enumerate(itertools.chain(*clips.values()))}


def cell(number: int) -> dict:
    return {"bytes": flac(number, rate=44_100 if number % 3 == 1 else 48_000), "path": f"{number}.flac"}


@pytest.fixture
def parquet(tmp_path):
    return write_parquet(write_lists(tmp_path / "parquet"), {name: cell(i) for name, i in numbered().items()})


@pytest.fixture
def folder(tmp_path):
    root = write_lists(tmp_path / "folder")
    (root / "audio").mkdir()
    for name, i in numbered().items():
        (root / "audio" / f"{name}.flac").write_bytes(cell(i)["bytes"])
    return root


def assert_is(waveform, number: int):
    """The tone of this number at 16 kHz, whatever the rate of its file was."""
    expected = torch.from_numpy(sound(number, 16_000))
    assert waveform.shape == expected.shape and waveform.dtype == torch.float32
    assert (waveform - expected)[500:-500].abs().max() < 1e-3


# --- the same set in both forms ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "parquet"])
@pytest.mark.parametrize("split", ["balanced", "unbalanced", "full", "eval"])
def test_splits(form, split, request):
    dataset = AudioSet(request.getfixturevalue(form), split)
    wanted = CLIPS["balanced"] | CLIPS["unbalanced"] if split == "full" else CLIPS[split]
    assert sorted(dataset.names) == sorted(wanted) and dataset.multi_label
    assert dataset.labels == [name for _, name in LABELS]
    for i, name in enumerate(dataset.names):
        assert {dataset.mids[column] for column in dataset[i]["target"].nonzero()[:, 0]} == set(wanted[name][1])
        assert_is(dataset.waveform(i), numbered()[name])
    assert dataset.report.expected == len(wanted) and dataset.report.usable == 1 and not dataset.report.notes
    assert dataset.durations().tolist() == [1.0] * len(wanted)
    counts = [sum(mid in mids for _, mids in wanted.values()) for mid, _ in LABELS]
    assert list(dataset.counts().values()) == counts
    with pytest.raises(ValueError, match="balanced, unbalanced, full, eval"):
        AudioSet(request.getfixturevalue(form), "train")


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_selecting(form, request):
    dataset = AudioSet(request.getfixturevalue(form), "full")
    part = dataset.select(labels=["Dog", "Gush"])
    assert set(part.names) == {"--PJHxphWEs", "Y_abc_30_40", "abcdefghijY", "unbalanced2"}
    for i, name in enumerate(part.names):
        assert_is(part.waveform(i), numbered()[name])
    assert part.select(rows=[2, 0]).names.tolist() == [part.names[2], part.names[0]]
    hashes = {dataset.manifest_hash(), part.manifest_hash(), part.select(rows=[1, 0, 2, 3]).manifest_hash()}
    assert len(hashes) == 3
    with pytest.raises(ValueError, match="no folds"):
        dataset.select(folds=1)


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_workers_read_the_same(form, request):
    dataset = AudioSet(request.getfixturevalue(form), "eval")
    alone, workers = (
        list(DataLoader(Loadable(dataset), batch_size=3, collate_fn=collate, num_workers=n)) for n in (0, 2)
    )
    assert sum(len(batch.index) for batch in workers) == 7
    for one, other in zip(alone, workers, strict=True):
        assert torch.equal(one.waveforms, other.waveforms) and torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_manifest_hash_is_that_of_the_content_not_of_the_place(form, request, tmp_path, monkeypatch):
    root = request.getfixturevalue(form)
    first = AudioSet(root, "eval").manifest_hash()
    shutil.copytree(root, tmp_path / "elsewhere")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "another cache"))
    assert AudioSet(tmp_path / "elsewhere", "eval").manifest_hash() == first
    assert AudioSet(root, "balanced").manifest_hash() != first
    if form == "folder":
        (tmp_path / "elsewhere" / "audio" / "evaluation3.flac").write_bytes(flac(12, 48_000, 1.001))
    else:
        shutil.rmtree(tmp_path / "elsewhere" / "data")
        cells = {name: cell(i) for name, i in numbered().items()}
        write_parquet(tmp_path / "elsewhere", cells | {"evaluation3": {"bytes": flac(12, 48_000, 1.001), "path": "x"}})
    assert AudioSet(tmp_path / "elsewhere", "eval").manifest_hash() != first


def test_real_clips_in_both_forms(esc50_root, tmp_path):
    """Clips of ESC-50, raised to 48 and 44.1 kHz and stored as 24 bit FLAC, come back as they were."""
    clips = {"eval": {f"real clip {i:2d}"[-11:].replace(" ", "_"): (0.0, [LABELS[i % 4][0]]) for i in range(6)}}
    waveforms = [data.ESC50(esc50_root, split="test").waveform(i) for i in range(0, 360, 60)]
    cells = {}
    root = write_lists(tmp_path / "both", clips)
    for name, waveform, rate in zip(clips["eval"], waveforms, [48_000, 44_100] * 3, strict=True):
        file = io.BytesIO()
        soundfile.write(file, soxr.resample(waveform.numpy(), 16_000, rate, "VHQ"), rate, "PCM_24", format="FLAC")
        cells[name] = {"bytes": file.getvalue(), "path": None}
        (root / f"Y{name}.flac").write_bytes(file.getvalue())
    from_folder = AudioSet(root, "eval")
    from_parquet = AudioSet(write_parquet(root, cells, clips), "eval")
    assert from_folder._cells is None and from_parquet._cells is not None  # Parquet is preferred where it is
    for i, name in enumerate(from_folder.names):
        ours = from_folder.waveform(i)
        assert torch.equal(ours, from_parquet.waveform(from_parquet.names.tolist().index(name)))
        original = waveforms[list(clips["eval"]).index(name)]
        # What both filters leave alone: the band up to 7 kHz.
        spectra = [torch.fft.rfft(x)[: 7 * len(x) // 16] for x in (ours, original)]
        assert (spectra[0] - spectra[1]).norm() < 0.01 * spectra[1].norm()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.text("aY_-09", min_size=11, max_size=11),
            st.sampled_from(["0.000", "30.000", "7", "12.5", "600.025"]),
            st.lists(st.sampled_from(["/m/a", "/m/0abcd", "/t/dd00088", "/m/none", "x"]), min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=30,
    ),
    block=st.sampled_from([1, 64, 200, 1 << 20]),
    blank=st.sampled_from(["", " "]),
    quote=st.sampled_from(["", '"']),
    end=st.sampled_from(["\n", "\r\n"]),
    headers=st.integers(0, 3),
    last=st.booleans(),
)
def test_lists_are_read_as_the_csv_module_reads_them(
    tmp_path_factory, monkeypatch, rows, block, blank, quote, end, headers, last
):
    quote = quote or '"' * any(len(mids) > 1 for _, _, mids in rows)  # an unquoted field has no commas
    lines = ["# a comment, with commas, and more, of them"] * headers
    lines += [f",{blank}".join([name, start, "99", f"{quote}{','.join(mids)}{quote}"]) for name, start, mids in rows]
    root = tmp_path_factory.mktemp("list")
    (root / "eval_segments.csv").write_bytes((end.join(lines) + end * last).encode())
    monkeypatch.setattr(lists, "LIST_BLOCK", block)
    mids = ["/t/dd00088", "/m/a", "/m/0abcd"]
    ytids, starts, classes, notes = lists.read_lists(root, "eval", mids)

    expected, unknown, listed = {}, Counter(), 0
    with open(root / "eval_segments.csv", newline="") as file:
        for row in csv.reader(file, skipinitialspace=True):
            if row and not row[0].startswith("#"):
                name, start, _, labels = row
                unknown.update(mid for mid in labels.split(",") if mid not in mids)
                listed += 1
                expected.setdefault(name, (float(start), {mid for mid in labels.split(",") if mid in mids}))
    assert [ytid.decode() for ytid in ytids] == list(expected)
    assert starts.tolist() == [start for start, _ in expected.values()]
    for row, (_, labels) in zip(classes.dense(), expected.values(), strict=True):
        assert {mids[column] for column in row.nonzero()[:, 0]} == labels
    assert any("more than once" in note for note in notes) == (listed > len(expected))
    assert sum(f"{sum(unknown.values())} labels are not" in note for note in notes) == bool(unknown)
    shutil.rmtree(root)


# --- a folder: names of files --------------------------------------------------------------------------

PATTERNS = [
    "{id}",
    "Y{id}",
    "{id}_{s}",
    "Y{id}_{s}",
    "{id}_{s}_{end}",
    "{id}_{ms}",
    "Y{id}_{ms}_{msend}",
    "{id}_{s:.3f}",
    "{id}_{s:.3f}_{end:.3f}",
]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clips=st.dictionaries(st.text("Y_-0a3", min_size=11, max_size=11), st.integers(0, 600), min_size=1, max_size=6),
    pattern=st.sampled_from(PATTERNS),
    suffix=st.sampled_from([".flac", ".WAV", ".ogg", ".mp3"]),
    place=st.sampled_from(["", "audio", "eval", "audio/eval"]),
    absent=st.integers(0, 5),
)
def test_every_way_to_name_a_file(tmp_path_factory, clips, pattern, suffix, place, absent):
    root = tmp_path_factory.mktemp("names")
    write_lists(root, {"eval": {name: (float(start), ["/m/0bt9lr"]) for name, start in clips.items()}})
    (root / place).mkdir(parents=True, exist_ok=True)
    there = {name: i for i, name in enumerate(clips) if i != absent}
    for name, i in there.items():
        start = clips[name]
        stem = pattern.format(id=name, s=start, end=start + 10, ms=1000 * start, msend=1000 * start + 10_000)
        (root / place / f"{stem}{suffix}").write_text(str(i))
    if not there:
        with pytest.raises(DataNotFound, match="none of the 1 clips"):
            AudioSet(root, "eval")
        return
    dataset = AudioSet(root, "eval")
    assert dataset.names.tolist() == list(there)
    for name, source in zip(dataset.names, dataset.sources, strict=True):
        assert Path(dataset._path(source)).read_text() == str(there[name])
    assert list(dataset.report.problems) == [name for name in clips if name not in there]
    shutil.rmtree(root)


def test_what_is_no_clip_of_the_list(folder):
    """Files of another part of a video, of no video, hidden ones, and one that is there twice."""
    audio = folder / "audio"
    (audio / "evaluation2.flac").rename(audio / "evaluation2_30.flac")  # the list says 20 s
    shutil.copy(audio / "evaluation3.flac", audio / "evaluation3.wav")
    for name in (".evaluation2.flac", "evaluation2.txt", "something else.wav", "evaluation2_20_30_40.flac", "_20.flac"):
        shutil.copy(audio / "evaluation1.flac", audio / name)
    (audio / "evaluation2").mkdir()
    dataset = AudioSet(folder, "eval")
    assert dataset.names.tolist() == [f"evaluation{i}" for i in (0, 1, 3, 4, 5, 6)]
    assert dataset.sources[2] == b"audio/evaluation3.flac"
    assert dataset.report.problems == {
        "evaluation2": Problem("evaluation2", "missing", f"there is no file for it in {folder}")
    }


def test_lists_may_lie_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
    elsewhere = tmp_path / "audioset"
    elsewhere.mkdir()
    for file in folder.glob("*.csv"):
        file.rename(elsewhere / file.name)
    assert len(AudioSet(folder, "full")) == 7
    with pytest.raises(DataNotFound, match="none of the 7 clips.*agkphysics/AudioSet"):
        AudioSet(split="eval")  # lists alone are no data set
    shutil.move(folder / "audio", elsewhere / "audio")
    assert len(AudioSet(split="eval")) == 7


# --- a list of what is wrong ---------------------------------------------------------------------------


def test_missing_clips_are_counted_and_named(folder, tmp_path):
    for i in (1, 4):
        (folder / "audio" / f"evaluation{i}.flac").unlink()
    dataset = AudioSet(folder, "eval")
    report = dataset.report
    assert len(dataset) == 5 and report.counts() == {"missing": 2, "unreadable": 0, "empty": 0}
    assert report.usable == 5 / 7 and report.expected == 7
    report.require(0.7)
    with pytest.raises(DataIncomplete, match=r"5 of 7 clips.*71\.43%.*2 missing: evaluation1, evaluation4.*90\.00%"):
        report.require(0.9)
    report.save(tmp_path / "missing.csv")
    assert (tmp_path / "missing.csv").read_text().splitlines()[:2] == [
        "clip,kind,reason",
        f"evaluation1,missing,there is no file for it in {folder}",
    ]
    with pytest.raises(DataIncomplete, match="missing.csv"):
        report.require(0.9)


def test_parquet_lacks_what_google_lists(tmp_path):
    cells = {name: cell(i) for name, i in numbered().items() if name != "evaluation5"}
    root = write_parquet(write_lists(tmp_path), cells)
    dataset = AudioSet(root, "eval")
    assert list(dataset.report.problems) == ["evaluation5"] and dataset.report.expected == 7 and len(dataset) == 6
    (root / "eval_segments.csv").unlink()
    dataset = AudioSet(root, "eval")
    assert dataset.report.expected == 6 and "not known" in str(dataset.report)


BAD = {
    "cut": ("unreadable", "truncated"),
    "nan": ("unreadable", "NaN"),
    "empty": ("empty", "0 bytes"),
    "no samples": ("empty", "no samples"),
    "short": ("empty", "25 ms"),
    "text": ("unreadable", "not a sound file"),
}


def bad(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "cut":
        return flac(3)[:-2000]
    if kind in ("nan", "no samples", "short"):
        samples = {"nan": np.r_[np.zeros(999), np.nan], "no samples": np.zeros(0), "short": np.ones(399) / 2}[kind]
        soundfile.write(file, samples, 16_000, "FLOAT", format="WAV")
        return file.getvalue()
    return b"" if kind == "empty" else b"no sound at all " * 99


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_bad_clips_stop_nothing_and_are_listed(form, tmp_path):
    clips = {"eval": {f"clip_number{i}"[-11:]: (0.0, ["/m/0bt9lr"]) for i in range(len(BAD) + 1)}}
    contents = dict(zip(clips["eval"], [flac(0), *map(bad, BAD)], strict=True))
    root = write_lists(tmp_path / "bad", clips)
    if form == "folder":
        for name, content in contents.items():
            (root / f"{name}.wav").write_bytes(content)
    else:
        write_parquet(root, {name: {"bytes": content, "path": None} for name, content in contents.items()}, clips, 1)
    dataset = AudioSet(root, "eval")
    assert len(dataset) == 7
    report = dataset.check(progress=False)
    assert list(report.problems) == list(clips["eval"])[1:] and not dataset.report.problems
    for (kind, message), name in zip(BAD.values(), report.problems, strict=True):
        problem = report.problems[name]
        assert problem.kind == kind and message in problem.reason
        assert name in problem.reason  # also where the clip is a cell of a table
    assert report.counts() == {"missing": 0, "unreadable": 3, "empty": 3}
    assert dataset.check(progress=False, workers=2).problems == report.problems
    batch = collate([Loadable(dataset)[i] for i in range(7)])
    assert batch.usable.tolist() == [True] + [False] * 6 and len(batch.problems) == 6
    assert batch.lengths.tolist() == [16_000] + [400] * 6 and not batch.waveforms[1:].any()
    assert batch.targets.equal(dataset.targets)
    dataset.preload(progress=False)
    assert dataset.check(progress=False).problems == report.problems
    seconds = dataset.durations()
    assert seconds[0] == 1 and np.isnan(seconds[[1, 3, 4, 6]]).all()


def test_a_row_without_sound(tmp_path):
    cells = {name: cell(i) for name, i in numbered().items()}
    soundfile.write(tmp_path / "apart.flac", sound(8), 48_000)
    cells |= {"evaluation0": {"bytes": None, "path": None}, "evaluation1": None}
    cells |= {"evaluation2": {"bytes": None, "path": str(tmp_path / "apart.flac")}}
    dataset = AudioSet(write_parquet(write_lists(tmp_path / "root"), cells), "eval")
    problems = dataset.check(progress=False).problems
    kinds = {name: problem.kind for name, problem in problems.items()}
    assert kinds == {"evaluation0": "missing", "evaluation1": "missing"}
    assert_is(dataset.waveform(dataset.names.tolist().index("evaluation2")), 8)


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_labels_that_google_does_not_know(form, tmp_path, monkeypatch):
    clips = {"eval": {"onlyunknown": (0.0, ["/m/none"]), "halfunknown": (0.0, ["/m/0bt9lr", "/m/none", "/m/none2"])}}
    root = write_lists(tmp_path / "unknown", clips)
    if form == "folder":
        for name in clips["eval"]:
            (root / f"{name}.flac").write_bytes(flac(1))
    else:
        write_parquet(root, {name: cell(1) for name in clips["eval"]}, clips)
    dataset = AudioSet(root, "eval")
    assert dataset.targets.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert "3 labels are not in class_labels_indices.csv" in str(dataset.report) and "/m/none" in str(dataset.report)
    assert dataset.report.usable == 1
    if form == "parquet":
        rows = datasets.load_dataset("parquet", data_files=str(root / "data" / "eval" / "*.parquet"), split="train")
        order = [rows["video_id"].index(name) for name in ("onlyunknown", "halfunknown", "onlyunknown")]
        monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
        root.rename(tmp_path / "audioset")
        assert AudioSet(rows.select(order), "eval").report.notes[0].startswith("4 labels are not in")
        assert not AudioSet(rows.select([]), "eval").report.notes


def test_odd_lists(folder):
    path = folder / "eval_segments.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[4]]))  # one line lost, one twice
    dataset = AudioSet(folder, "eval")
    assert len(dataset) == 6
    assert dataset.report.notes == ["1 YTIDs are listed more than once; the first line of each counts."]
    path.write_text("\n".join(lines[:-2]))
    assert AudioSet(folder, "eval").report.notes == ["eval_segments.csv announces 7 clips and lists 5."]
    path.write_text("\n".join([*lines, "a line, of another, file"]))
    with pytest.raises(DataNotFound, match=r"eval_segments\.csv, line 11: expected YTID, start, end.*googleapis"):
        AudioSet(folder, "eval")
    path.unlink()
    with pytest.raises(DataNotFound, match=r"eval_segments\.csv is not in .*folder\. Get it from http"):
        AudioSet(folder, "eval")


def test_without_the_table(folder, tmp_path):
    (folder / "class_labels_indices.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataNotFound, match="not Google's table"):
        AudioSet(folder, "eval")
    (folder / "class_labels_indices.csv").unlink()
    with pytest.raises(DataNotFound, match=r"class_labels_indices\.csv is not in .*us_audioset.*class_labels"):
        AudioSet(folder, "eval")


def test_nothing_there(tmp_path, monkeypatch):
    for root in (None, tmp_path / "nowhere", "not a name"):
        with pytest.raises(DataNotFound, match="agkphysics/AudioSet"):
            AudioSet(root)
    write_lists(tmp_path / "lists")
    with pytest.raises(DataNotFound, match=r"none of the 5 clips of AudioSet's balanced"):
        AudioSet(tmp_path / "lists")
    with pytest.raises(DataNotFound, match="only Parquet can be streamed"):
        AudioStream(tmp_path / "lists")


def test_googles_own_lists(tmp_path):
    """Its two lists that are small, with a file for all but every tenth clip: the rows that their headers announce."""
    if not GOOGLES or not all((GOOGLES / name).is_file() for name in LISTS.values() if "unbalanced" not in name):
        pytest.skip("Google's lists not found: set ASTLIB_DATA")
    for split, announced, positives in (("balanced", 22_160, 52_882), ("eval", 20_371, 51_804)):
        root = tmp_path / split
        root.mkdir()
        for name in ("class_labels_indices.csv", LISTS[split]):
            shutil.copy(GOOGLES / name, root / name)
        lines = (root / LISTS[split]).read_text().splitlines()[3:]
        for i, line in enumerate(lines):
            if i % 10:
                ytid, start, _ = line.split(", ", 2)
                (root / f"{ytid}_{1000 * float(start):.0f}.flac").touch()
        dataset = AudioSet(root, split)
        assert dataset.report.expected == announced and len(dataset) == announced - len(lines[::10])
        assert not dataset.report.notes and len(dataset.labels) == 527 and dataset.labels[0] == "Speech"
        present = [line.partition('"')[2].count(",") + 1 for i, line in enumerate(lines) if i % 10]
        assert sum(dataset.counts().values()) == sum(present) and sum(present) < positives


# --- datasets ------------------------------------------------------------------------------------------


def test_a_data_set_that_is_open_already(parquet, monkeypatch):
    files = [str(file) for file in sorted((parquet / "data" / "eval").iterdir())]
    rows = datasets.load_dataset("parquet", data_files=files, split="train")
    monkeypatch.setenv("ASTLIB_DATA", str(parquet.parent))
    parquet.rename(parquet.parent / "audioset")
    dataset = AudioSet(rows.select([3, 1, 3]), "eval")  # any part, in any order
    assert dataset.names.tolist() == [rows["video_id"][i] for i in (3, 1, 3)]
    assert dataset.report.expected == 3 and dataset.report.usable == 1
    for i, name in enumerate(dataset.names):
        assert_is(dataset.waveform(i), numbered()[name])
        assert [dataset.mids[c] for c in dataset.classes[i].nonzero()[:, 0]] == CLIPS["eval"][name][1]
    with pytest.raises(ValueError, match="no random access.*AudioStream"):
        AudioSet(rows.to_iterable_dataset(), "eval")
    with pytest.raises(ValueError, match="expected the columns audio, labels, video_id, found"):
        AudioSet(rows.remove_columns("labels"), "eval")


PAGE = """---
configs:
- config_name: full
  data_files:
  - {split: bal_train, path: data/bal_train/*.parquet}
  - {split: unbal_train, path: data/unbal_train/*.parquet}
  - {split: eval, path: data/eval/*.parquet}
dataset_info:
  config_name: full
  features:
  - {name: video_id, dtype: string}
  - {name: audio, dtype: audio}
  - {name: labels, sequence: string}
  - {name: human_labels, sequence: string}
  splits:
  - {name: bal_train, num_bytes: 1, num_examples: 5}
  - {name: unbal_train, num_bytes: 1, num_examples: 2}
  - {name: eval, num_bytes: 1, num_examples: 7}
---
"""


@pytest.fixture
def hub(parquet, monkeypatch, tmp_path):
    """A folder answers in place of the hub; the list is of what it was asked for."""
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
    write_lists(tmp_path / "audioset")
    load, build, asked = datasets.load_dataset, datasets.load_dataset_builder, []

    def answer(name, data_files, revision, **rest):
        asked.append((name, data_files, revision, rest))
        return load(str(parquet), data_files=data_files, **rest)

    monkeypatch.setattr(datasets, "load_dataset", answer)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda _, config, revision: build(str(parquet), config))
    return asked


def test_a_name_on_the_hub(hub, monkeypatch):
    dataset = AudioSet("agkphysics/AudioSet", "full", revision="abc123")
    assert sorted(dataset.names) == sorted(CLIPS["balanced"] | CLIPS["unbalanced"])
    files = {"train": ["data/bal_train/*.parquet", "data/unbal_train/*.parquet"]}
    assert hub == [("agkphysics/AudioSet", files, "abc123", {"split": "train", "streaming": False})]

    def refuse(*_, **__):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataNotFound, match="agkphysics/AudioSet cannot be opened .Couldn't reach the Hub"):
        AudioSet("agkphysics/AudioSet")


@pytest.mark.parametrize("page", [PAGE, None, PAGE.replace("dataset_info", "something_else")])
def test_a_stream_from_the_hub(hub, parquet, page):
    """Its length is what the page there says, if it says it."""
    if page:
        (parquet / "README.md").write_text(page)
    stream = AudioStream("agkphysics/AudioSet", "full", revision="abc123")
    assert hub[0][2:] == ("abc123", {"split": "train", "streaming": True})
    batches = list(stream.batches(3, seed=0, epoch=1))
    assert sum(len(batch.index) for batch in batches) == 7
    if page == PAGE:
        assert len(stream) == 7 and len(AudioStream("agkphysics/AudioSet", "eval")) == 7
    else:
        with pytest.raises(TypeError, match="agkphysics/AudioSet"):
            len(stream)
    assert stream.manifest_hash() != AudioStream("agkphysics/AudioSet", "full", revision="def").manifest_hash()


def test_parquet_that_datasets_did_not_write(tmp_path):
    """Without the notes that datasets puts into a file's schema, as other tools write it."""
    root = write_parquet(write_lists(tmp_path), {name: cell(i) for name, i in numbered().items()}, schema=TYPES)
    dataset = AudioSet(root, "eval")
    assert_is(dataset.waveform(2), numbered()[dataset.names[2]])
    assert sum(len(batch.index) for batch in AudioStream(root, "eval").batches(3, 0, 0)) == 7


def test_damaged_parquet(parquet):
    file = parquet / "data" / "eval" / "01.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataNotFound, match="cannot be opened"):
        AudioSet(parquet, "eval")


def test_without_the_package(parquet, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r'pip install "astlib\[hub\]"'):
        AudioSet(parquet, "eval")


# --- streams -------------------------------------------------------------------------------------------


def together(shares: list[list[Batch]]) -> list[dict]:
    """The batches of all processes, step by step, as one process would have them."""
    steps = []
    for parts in zip(*shares, strict=True):
        steps.append(
            {
                "index": torch.cat([part.index for part in parts]),
                "targets": torch.cat([part.targets for part in parts]),
                "waveforms": [row[:n] for part in parts for row, n in zip(part.waveforms, part.lengths, strict=True)],
            }
        )
    return steps


@pytest.fixture
def many(tmp_path):
    return write_many(tmp_path / "many")


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [4, 7, 30])
def test_processes_share_a_stream(many, world, batch):
    stream = AudioStream(many, "eval")
    assert len(stream) == 23 and stream.multi_label
    alone = together([list(stream.batches(batch, seed=1, epoch=2))])
    shares = [list(AudioStream(many, "eval").batches(batch, 1, 2, rank, world)) for rank in range(world)]
    assert len(alone) == -(-23 // batch)
    for one, other in zip(alone, together(shares), strict=True):
        assert torch.equal(one["index"], other["index"]) and torch.equal(one["targets"], other["targets"])
        assert all(torch.equal(a, b) for a, b in zip(one["waveforms"], other["waveforms"], strict=True))
    assert torch.cat([step["index"] for step in alone]).tolist() == list(range(23))
    for share in shares:  # a process without a clip has everything else
        for part in share:
            assert part.waveforms.ndim == 2 and part.targets.shape == (len(part), 4)
            assert len(part.waveforms) == len(part.lengths) == len(part.usable) == len(part)
            for field in ("waveforms", "lengths", "targets", "index", "usable"):
                assert getattr(part, field).dtype == getattr(share[0], field).dtype


def pitches(batches) -> list[int]:
    """Which clips these are, told by their sound."""
    clips = [row[:n] for batch in batches for row, n in zip(batch.waveforms, batch.lengths, strict=True)]
    return [round((10 * float(torch.fft.rfft(clip).abs().argmax()) - 300) / 100) for clip in clips]


def test_order_of_a_stream(many):
    stream = AudioStream(many, "eval", buffer=8)
    files = [i for start in range(3) for i in range(start, 23, 3)]
    assert pitches(stream.batches(5, 0, 0, shuffle=False)) == files
    orders = {(seed, epoch): pitches(stream.batches(5, seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}
    assert all(sorted(order) == list(range(23)) and order != files for order in orders.values())
    assert len(set(map(tuple, orders.values()))) == 4
    assert orders[1, 2] == pitches(AudioStream(many, "eval", buffer=8).batches(5, 1, 2))


def test_a_resumed_stream_leaves_out_what_was_seen(many, monkeypatch):
    stream = AudioStream(many, "eval")
    whole = list(stream.batches(5, 3, 1))
    decoded, decode = [], tables.decode
    monkeypatch.setattr(tables, "decode", lambda *rest: decoded.append(1) or decode(*rest))
    rest = list(stream.batches(5, 3, 1, skip=2))
    assert [b.index.tolist() for b in rest] == [b.index.tolist() for b in whole[2:]]
    assert all(torch.equal(a.waveforms, b.waveforms) for a, b in zip(rest, whole[2:], strict=True))
    assert len(decoded) == 13  # what is skipped, and what others decode, is not decoded
    decoded.clear()
    list(stream.batches(6, 3, 1, rank=1, world=3))
    assert len(decoded) == 3 * 2 + 2
    assert list(stream.batches(5, 3, 1, skip=5)) == []


def test_bad_rows_of_a_stream(tmp_path):
    clips = {"eval": {f"clip_number{i}"[-11:]: (0.0, ["/m/0bt9lr", "/m/none"]) for i in range(len(BAD) + 1)}}
    contents = dict(zip(clips["eval"], [flac(0), *map(bad, BAD)], strict=True))
    cells = {name: {"bytes": content, "path": None} for name, content in contents.items()}
    stream = AudioStream(write_parquet(write_lists(tmp_path / "bad", clips), cells, clips, 1), "eval")
    first, second = stream.batches(4, 0, 0, shuffle=False)
    assert first.usable.tolist() == [True, False, False, False] and not second.usable.any()
    assert second.index.tolist() == [4, 5, 6]
    assert [problem.clip for problem in second.problems] == list(clips["eval"])[4:]
    assert [problem.kind for problem in stream.report.problems.values()] == [kind for kind, _ in BAD.values()]
    assert first.targets.tolist() == [[0, 0, 0, 1]] * 4 and stream.unknown == {"/m/none": 7}
    assert stream.report.usable == pytest.approx(1 / 7)


def test_streams_of_other_kinds(parquet, many, monkeypatch, tmp_path):
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
    write_lists(tmp_path / "audioset")
    files = [str(file) for file in (parquet / "data" / "eval").iterdir()]
    rows = datasets.load_dataset("parquet", data_files=files, split="train")
    opened = AudioStream(rows, "eval")
    assert len(opened) == 7 and sum(len(b.index) for b in opened.batches(3, 0, 0)) == 7
    endless = AudioStream(rows.to_iterable_dataset(), "eval")
    with pytest.raises(TypeError, match="not known before they are read"):
        len(endless)
    assert sum(len(b.index) for b in endless.batches(3, 0, 0)) == 7
    hashes = [AudioStream(parquet, split).manifest_hash() for split in ("eval", "balanced", "full")]
    assert len({*hashes, AudioStream(many, "eval").manifest_hash()}) == 4
    assert AudioStream(parquet, "eval").manifest_hash() == hashes[0]
