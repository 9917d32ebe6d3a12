"""Clips that cannot be used: they are listed and skipped, and stop nothing until somebody asks for more."""

import csv
import pickle

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from astlib import audio
from astlib.data import AudioDataset, Loadable, Problem, Report, Targets, collate
from astlib.data.report import KINDS
from astlib.errors import AudioError, DataIncomplete, DataNotFound

problems = st.lists(
    st.builds(Problem, st.text(min_size=1), st.sampled_from(KINDS), st.text()),
    max_size=20,
    unique_by=lambda problem: problem.clip,
)


@given(problems=problems, good=st.integers(0, 30), fraction=st.floats(0, 1))
def test_counts_and_fractions_add_up(problems, good, fraction):
    report = Report("some", len(problems) + good)
    for problem in problems:
        error = AudioError(problem.reason, problem.kind)
        report.update([Problem(problem.clip, "empty", "an earlier one"), Problem.of(problem.clip, error)])
    assert list(report.problems.items()) == [(problem.clip, problem) for problem in problems]
    assert list(report.counts()) == list(KINDS)
    assert sum(report.counts().values()) == len(problems)
    expected = good / report.expected if report.expected else 0
    assert report.usable == pytest.approx(expected) and 0 <= report.usable <= 1
    assert f"some: {good} of {report.expected} clips can be used" in str(report)
    if report.usable < fraction:
        with pytest.raises(DataIncomplete):
            report.require(fraction)
    else:
        report.require(fraction)


@given(problems=problems)
def test_what_is_saved_can_be_read_again(problems, tmp_path_factory):
    report = Report("some", 50)
    report.update(problems)
    path = report.save(tmp_path_factory.getbasetemp() / "report.csv")
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["clip", "kind", "reason"]
    assert [Problem(*row) for row in rows] == problems


def test_the_error_says_how_many_which_and_where(tmp_path):
    report = Report("some", 2000)
    for i in range(5):
        report.update([Problem(f"clip {i}", "missing" if i else "empty", "is gone")])
    report.notes.append("The list is odd.")
    text = (
        r"some: 1,995 of 2,000 clips can be used \(99\.75%\); 4 missing, 1 empty: clip 0, clip 1, clip 2, \.\.\.\. The"
    )
    with pytest.raises(DataNotFound, match=rf"{text} list is odd\. At least 99\.90% are required\. Report\.save"):
        report.require(0.999)
    report.save(tmp_path / "list.csv")
    with pytest.raises(DataIncomplete, match=r"The whole list is in .*list\.csv"):
        report.require(1)


def test_a_copy_can_be_added_to_without_changing_the_first(tmp_path):
    report = Report("some", 10)
    report.update([Problem("a", "missing", "a is gone")])
    report.notes.append("odd")
    report.save(tmp_path / "list.csv")
    copy = report.copy()
    assert (copy.name, copy.expected, copy.problems, copy.notes) == ("some", 10, report.problems, ["odd"])
    assert copy.file is None and report.file is not None
    copy.update([Problem("b", "empty", "b is empty")])
    copy.notes.append("odder")
    assert list(report.problems) == ["a"] and report.notes == ["odd"] and list(copy.problems) == ["a", "b"]


class Files(AudioDataset):
    """Files as they are."""

    name = "files"

    def __init__(self, paths):
        super().__init__(
            ["a", "b"], [path.stem for path in paths], Targets.from_lists([[1]] * len(paths), 2), None, paths
        )

    def read(self, source):
        return audio.load(source)

    def fingerprint(self, source):
        return source.read_bytes()


@pytest.fixture
def files(tmp_path):
    """One good clip, and one for each thing that can be wrong."""
    tone = np.sin(np.arange(16_000) / 9) / 2
    for name in ("good", "cut", "late"):
        soundfile.write(tmp_path / f"{name}.wav", tone, 16_000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:9000])
    soundfile.write(tmp_path / "short.wav", tone[:399], 16_000)
    soundfile.write(tmp_path / "nan.wav", np.r_[tone, np.nan], 16_000, "FLOAT")
    soundfile.write(tmp_path / "exact.wav", tone[:400], 16_000)
    (tmp_path / "empty.wav").touch()
    names = ["good", "cut", "short", "nan", "gone", "exact", "empty"]
    return Files([tmp_path / f"{name}.wav" for name in names])


KIND = {"cut": "unreadable", "short": "empty", "nan": "unreadable", "gone": "missing", "empty": "empty"}


@pytest.mark.parametrize("preloaded", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_check_lists_all_that_is_wrong(files, preloaded, workers):
    if preloaded:
        files.preload(progress=False)
    report = files.check(progress=False, workers=workers)
    assert {name: problem.kind for name, problem in report.problems.items()} == KIND
    assert report.expected == 7 and report.usable == pytest.approx(2 / 7) and not files.report.problems
    for name, problem in report.problems.items():
        assert (
            name == problem.clip and name in problem.reason and ". " in problem.reason
        )  # what is wrong, then what to do


def test_check_begins_with_what_is_known_to_be_missing(files):
    files.report = Report("files", 9)
    files.report.update(Problem(name, "missing", "not there") for name in ("never", "known"))
    files.report.notes = ["odd"]
    report = files.check(progress=False)
    assert report.expected == 9 and len(report.problems) == 7 and report.notes == ["odd"]
    assert report.usable == pytest.approx(2 / 9)


def test_the_data_set_itself_raises(files):
    for data in (files, files.select(rows=[0, 4, 1]).preload(progress=False)):
        assert len(data[0]["waveform"]) == 16_000
        with pytest.raises(AudioError, match=r"gone\.wav: there is no such file") as caught:
            data[data.names.index("gone")]
        assert caught.value.kind == "missing"
        with pytest.raises(AudioError, match=r"cut\.wav: is truncated"):
            data.waveform(data.names.index("cut"))


def test_loaders_get_silence_and_are_told(files):
    (batch,) = DataLoader(Loadable(files), batch_size=7, collate_fn=collate, num_workers=1)
    assert batch.usable.tolist() == [True, False, False, False, False, True, False]
    assert batch.lengths.tolist() == [16_000, 400, 400, 400, 400, 400, 400]
    assert not batch.waveforms[~batch.usable].any() and batch.waveforms[0].any()
    assert [(problem.clip, problem.kind) for problem in batch.problems] == list(KIND.items())
    assert batch.index[~batch.usable].tolist() == [1, 2, 3, 4, 6]
    assert batch.targets.tolist() == [[0, 1]] * 7 and batch.index.tolist() == list(range(7))
    plain = collate([files[0], files[5]])
    assert plain.usable.tolist() == [True, True] and plain.problems == []
    assert Loadable(files)[-1]["index"] == 6
    with pytest.raises(IndexError):
        Loadable(files)[7]


def test_other_errors_are_not_swallowed(files, monkeypatch):
    monkeypatch.setattr(Files, "read", lambda *_: 1 / 0)
    for attempt in (
        lambda: Loadable(files)[0],
        lambda: files.check(progress=False),
        lambda: files.preload(progress=False),
    ):
        with pytest.raises(ZeroDivisionError):
            attempt()


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(AudioError("x.wav: is empty. Copy it again", "empty")))
    assert (str(error), error.kind) == ("x.wav: is empty. Copy it again", "empty")
    assert AudioError("other").kind == "unreadable"


def test_durations_of_files(files):
    seconds = files.durations()
    assert seconds[0] == 1 and seconds[5] == 0.025 and np.isnan(seconds[[1, 3, 4, 6]]).all()


def test_preloaded_clips_are_shared_with_a_selection(files):
    part = files.preload(progress=False).select(rows=[5, 0])
    assert part.waveform(1).data_ptr() == files.waveform(0).data_ptr()
    assert torch.equal(part[0]["waveform"], files[5]["waveform"])
