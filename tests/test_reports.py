"""Reports: the numbers against scikit-learn, what they warn of, and the files that a person opens."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from astlib.data.base import AudioDataset
from astlib.data.registry import Parts
from astlib.data.report import Problem
from astlib.decisions import Decision
from astlib.errors import CheckpointError, InvalidInput
from astlib.frontend import LogMel
from astlib.reports import Answers, BaselineScores, answers, pool, report, report_run, simple_baseline, summary
from astlib.reports import write_report as write
from astlib.reports.baseline import BLOCK, mel_statistics
from astlib.reports.page import STYLE, shown_classes
from astlib.scores import save_scores


def made(truth, scores, **more):
    """Answers with one label per clip, from numbers of classes and scores."""
    scores = np.asarray(scores, float)
    classes = scores.shape[1]
    plain = {
        "labels": tuple("abcdefghij"[:classes]),
        "names": tuple(f"{i}.wav" for i in range(len(scores))),
        "targets": np.eye(classes, dtype=bool)[truth],
        "scores": scores,
        "given": np.eye(classes, dtype=bool)[scores.argmax(1)],
        "multi_label": False,
        "thresholds": None,
        "refused": np.zeros(len(scores), bool),
    }
    return Answers(**{**plain, **more})


def tags(targets, scores, **more):
    """Answers with any number of labels per clip."""
    targets, scores = np.asarray(targets, bool), np.asarray(scores, float)
    table = {"targets": targets, "given": scores >= 0.5, "multi_label": True, "thresholds": (0.5,) * scores.shape[1]}
    return made(np.zeros(len(scores), int), scores, **{**table, **more})


def certain(given_classes, classes, share=0.8):
    """Scores that give these classes."""
    rest = (1 - share) / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[given_classes], share, rest)


class Tones(AudioDataset):
    """Short tones in noise, whose pitch is their class."""

    name = "tones"

    def __init__(self, part, clips=4, classes=3):
        numbers = [(pitch, clip) for pitch in range(classes) for clip in range(clips)]
        targets = torch.eye(classes)[[pitch for pitch, _ in numbers]]
        names = [f"{part}-{pitch}-{clip}" for pitch, clip in numbers]
        super().__init__(list("abcdefgh"[:classes]), names, targets, None, [(part, *number) for number in numbers])

    def read(self, source):
        part, pitch, clip = source
        noise = torch.randn(4000, generator=torch.Generator().manual_seed(len(part) * 1000 + clip))
        tone = torch.sin(2 * torch.pi * 300 * 2**pitch * torch.arange(4000) / 16_000)
        return 0.02 * noise + 0.1 * (1 + clip) * tone

    def fingerprint(self, source):
        return repr(source).encode()


def tones(**sizes):
    return [Tones(part, **sizes) for part in ("train", "test")]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_case_by_hand():
    truth, said = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0]
    scores = certain(said, 3)
    scores[5] = (0.9, 0.05, 0.05)  # the most certain of two mistakes for a
    found = report(made(truth, scores, trained=(30, 20, 10)), "by hand")
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert [(row.clips, row.given, row.hits, row.trained) for row in found.classes] == [
        (3, 4, 2, 30), (2, 2, 1, 20), (1, 0, 0, 10)]  # fmt: skip
    assert [row.recall.value for row in found.classes] == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.classes[2].precision is None and found.classes[2].f1 == 0
    assert found.accuracy.value == 0.5 and found.balanced_accuracy.value == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert (found.majority, found.majority_share) == ("a", 0.5)
    assert [(pair.truth, pair.given, [clip.name for clip in pair.clips]) for pair in found.confused] == [
        ("a", "b", ["2.wav"]), ("b", "a", ["4.wav"]), ("c", "a", ["5.wav"])]  # fmt: skip
    assert [clip.right for clip in found.rows] == [True, True, False, True, False, False]
    assert found.rows[5].probability == 0.9
    assert "worst classes            c 0 of 1, b 1 of 2, a 2 of 3" in summary(found)


@patch("astlib.reports.compute.DRAWS", 10)
@settings(deadline=None, max_examples=40)
@given(st.integers(2, 4), st.booleans(), st.data())
def test_classes_are_scikit_learns(classes, multi_label, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    clips = data.draw(st.integers(1, 30))
    scores = rng.dirichlet([1] * classes, clips)
    if multi_label:
        targets = rng.random((clips, classes)) < 0.4
        found = report(tags(targets, scores), "tags")
        truth, said = targets.astype(int), (scores >= 0.5).astype(int)
    else:
        truth, said = rng.integers(classes, size=clips), scores.argmax(1)
        found = report(made(truth, scores), "one label")
        if len(set(truth)) > 1 and np.isin(said, truth).all():  # else scikit-learn warns
            assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, said))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, said, labels=range(classes), average=None, zero_division=0
    )
    for k, row in enumerate(found.classes):
        assert row.clips == support[k]
        assert (row.recall.value if row.recall else 0) == pytest.approx(recall[k])
        assert (row.precision.value if row.precision else 0) == pytest.approx(precision[k])
        assert row.f1 is None or row.f1 == pytest.approx(f1[k])
        for estimate in filter(None, (row.recall, row.precision)):
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1 and estimate.low < estimate.high


def test_thresholds_and_refusals_come_from_the_decision():
    test = Tones("test", clips=3, classes=2)
    scores = torch.full((6, 2), 0.4)
    given = answers(test, test.names, scores, True, Decision(thresholds=(0.3, 0.5)), torch.tensor([True] + [False] * 5))
    found = report(given, "tags")
    assert [row.given for row in found.classes] == [6, 0] and found.classes[0].threshold == 0.3
    assert found.refused == 1 and "none of the classes" in summary(found)


def test_answers_need_a_score_for_every_clip_and_class():
    test = Tones("test")
    with pytest.raises(InvalidInput, match="expected scores of 12 clips, one or more, and 3 classes"):
        answers(test, test.names, torch.zeros(11, 3), False)
    with pytest.raises(InvalidInput, match="no clip of tones"):
        answers(test, ["a", "b"], torch.zeros(2, 3), False)


def test_folds_together_are_one_report_on_all_clips():
    truth, scores = np.arange(12) % 3, np.random.default_rng(0).dirichlet([1, 1, 1], 12)
    whole = made(truth, scores, baseline=BaselineScores(scores, 40), groups=tuple("uuuuuuvvvvvv"))
    halves = [
        made(truth[half], scores[half], names=whole.names[half], baseline=BaselineScores(scores[half], 40),
             groups=whole.groups[half], trained=(1, 2, 3))
        for half in (slice(0, 6), slice(6, 12))
    ]  # fmt: skip
    together, expected = report(pool(halves), "t"), report(whole, "t")
    assert summary(together) == summary(expected) and together.rows == expected.rows
    assert pool(halves[:1]) is halves[0]
    with pytest.raises(InvalidInput, match="6 clips were tested in more than one run, such as 0.wav"):
        pool([halves[0], halves[0]])
    with pytest.raises(InvalidInput, match="different ones"):
        pool([halves[0], replace(halves[1], labels=("x", "y", "z"))])
    with pytest.raises(InvalidInput, match="no answers"):
        pool([])


def test_groups_make_the_interval_wider_and_never_narrower():
    """Speakers of whom some are always understood and some never: 200 clips are not 200 independent ones."""
    speakers = np.repeat(np.arange(10), 20)
    said = np.where(speakers < 5, 0, 1)
    names = tuple(f"speaker {i}" for i in speakers)
    alone = report(made([0] * 200, certain(said, 2)), "clips").accuracy
    grouped = report(made([0] * 200, certain(said, 2), groups=names), "speakers")
    assert grouped.accuracy.high - grouped.accuracy.low > 2 * (alone.high - alone.low)
    assert [row.right.value for row in grouped.groups] == [0] * 5 + [1] * 5
    perfect = report(made([0] * 200, certain([0] * 200, 2), groups=names), "speakers").accuracy
    assert perfect.low < 1


# --- what a report warns of -------------------------------------------------------------------------------------------

GOOD = made(np.arange(400) % 2, certain(np.arange(400) % 2, 2), baseline=BaselineScores(certain([0] * 400, 2), 500))


def test_a_good_run_on_many_clips_is_not_doubted():
    found = report(GOOD, "good")
    assert found.warnings == () and "worst classes" not in summary(found)


@pytest.mark.parametrize(
    ("doubtful", "words"),
    [
        (made([0] * 77 + [1] * 21, certain([0] * 98, 2)), 'that of always answering "a", 78.6 %'),
        (made([0] * 77 + [1] * 21, certain([0] * 98, 2)), "b never recognised: no test clip was given it"),
        (replace(GOOD, baseline=BaselineScores(GOOD.scores, 9)), "the simple baseline may be as good: 0 clips only"),
        (made([0, 1] * 18, certain([0, 1] * 15 + [1, 0] * 3, 2)), "the test part has 36 clips, so accuracy is known"),
        (made([0, 1, 1] * 5, certain([0, 1, 1] * 5, 2)), "fewer than 10 test clips: a. Their recall"),
        (replace(GOOD, groups=("george",) * 400), "are of one group (george): the intervals are about more clips of"),
        (replace(GOOD, groups=("george", "lucas") * 200), "are of 2 groups (george, lucas), from 100.0 % right to"),
        (made([0] * 300, certain([0] * 300, 2)), "no test clip: b. Nothing is known about it"),
        (replace(GOOD, unusable=(Problem("x.wav", "empty", "x.wav is empty"),)), "1 of 401 test clips could not"),
        (tags([[1, 0], [0, 1]] * 20, [[0.9, 0.1], [0.1, 0.4]] * 20), "astlib calibrate chooses a threshold"),
        (tags([[1, 0], [0, 1]] * 20, [[0.1, 0.9]] * 40, baseline=BaselineScores(GOOD.scores[:40], 9)), "a higher mAP"),
    ],
)  # fmt: skip
def test_what_makes_numbers_doubtful_is_said(doubtful, words):
    found = report(doubtful, "doubtful")
    assert any(words in warning for warning in found.warnings), found.warnings
    assert f"careful: {found.warnings[0]}" in summary(found)


# --- the simple baseline ----------------------------------------------------------------------------------------------


def test_statistics_of_a_long_clip_are_those_of_its_blocks():
    waveform, log_mel = 0.1 * torch.randn(BLOCK + 16_000, generator=torch.Generator().manual_seed(0)), LogMel()
    mel = torch.cat([log_mel(waveform[:BLOCK])[0], log_mel(waveform[BLOCK:])[0]]).double()
    expected = torch.cat([mel.mean(0), mel.std(0, correction=0)])
    torch.testing.assert_close(torch.from_numpy(mel_statistics(waveform, log_mel)), expected, rtol=1e-6, atol=1e-6)
    short = mel_statistics(waveform[:400], log_mel)  # one frame
    assert np.isfinite(short).all() and (short[128:] < 1e-3).all()


def test_the_baseline_learns_what_a_mean_spectrum_can_tell():
    train, test = tones()
    names = [str(name) for name in test.names][1:]
    found = simple_baseline(train, test, names, multi_label=False, progress=False)
    assert found.clips == len(train) and found.scores.shape == (len(names), 3)
    assert found.scores.sum(axis=1) == pytest.approx(1)
    assert (found.scores.argmax(1) == test.targets[1:].argmax(1).numpy()).all()
    each = simple_baseline(train, test, names, multi_label=True, progress=False).scores
    assert ((each >= 0) & (each <= 1)).all() and (each.argmax(1) == found.scores.argmax(1)).all()


def test_a_baseline_that_cannot_be_trained_says_why():
    train, test = tones()
    only = train.select(rows=np.flatnonzero(train.targets[:, 0]))
    with pytest.raises(InvalidInput, match="of one class"):
        simple_baseline(only, test, test.names, multi_label=False, progress=False)
    with pytest.raises(InvalidInput, match="other classes"):
        simple_baseline(train.select(labels=train.labels[:2]), test, test.names, multi_label=False, progress=False)


# --- files ------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what a page loads and how its tables are built."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.links, self.tables = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loads += [value for name, value in attributes if name in ("src", "srcset", "data")]
        self.links += [values["href"]] if tag == "a" else []
        if tag == "table":
            self.tables.append([])
        if self.tables and "table" in self.open:
            self.tables[-1].append((tag, values.get("scope")))
        if tag not in ("meta", "link", "rect", "line", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_a_page_and_tables(tmp_path):
    folder = tmp_path / "run" / "report"
    files = tuple(str(tmp_path / f"clip {i} ü#.wav") for i in range(6))
    scores = certain([0, 0, 1, 1, 0, 0], 3)
    labels = ("a", "<script>alert(1)</script>", 'c "quoted", with a comma')
    given = made([0, 0, 0, 1, 1, 2], scores, labels=labels, files=files, groups=tuple("xxxyyy"),
                 unusable=(Problem("bad.wav", "empty", "bad.wav is <empty>"),))  # fmt: skip
    found = report(given, "by hand & more")
    assert write(folder, found) == folder / "report.html"

    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == [] and "<script" not in text and "http" not in text
    assert all(("caption", None) in table and ("th", "row") in table for table in page.tables) and len(page.tables) == 6
    assert "../../clip%202%20%C3%BC%23.wav" in page.links
    assert {link for link in page.links if ".." not in link} == {
        "classes.csv", "clips.csv", "confusion.csv", "report.json"}  # fmt: skip

    with (folder / "classes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(labels)
    assert float(rows[0]["recall"]) == pytest.approx(2 / 3) and rows[2]["precision"] == ""
    with (folder / "confusion.csv").open(newline="", encoding="utf-8") as file:
        matrix = list(csv.reader(file))
    assert [row[1:] for row in matrix[1:]] == [["2", "1", "0"], ["1", "1", "0"], ["1", "0", "0"]]
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
        clips = list(csv.DictReader(file))
    assert [row["right"] for row in clips] == list("110100") and clips[5]["truth"] == labels[2]
    content = json.loads((folder / "report.json").read_text())
    assert content["accuracy"]["value"] == 0.5 and content["confusion"][0] == [2, 1, 0]
    assert content["unusable"][0]["clip"] == "bad.wav" and content["confused"][0]["clips"] == ["2.wav"]


def test_a_multi_label_report_has_no_confusion_matrix(tmp_path):
    targets = np.random.default_rng(0).random((40, 3)) < 0.4
    found = report(tags(targets, np.clip(targets * 0.6 + 0.2, 0, 1)), "tags")
    write(tmp_path, found)
    assert not (tmp_path / "confusion.csv").exists() and "What was taken for what" not in (
        tmp_path / "report.html").read_text()  # fmt: skip
    assert found.mean_average_precision.value == 1 and found.accuracy is None and "mean F1" in summary(found)


def test_of_many_classes_those_with_mistakes_are_shown():
    counts = 5 * np.eye(60, dtype=int)
    counts[50, 3], counts[59, 58] = 9, 4
    shown = shown_classes(counts)
    assert len(shown) == 40 and {3, 50, 58, 59} <= set(shown) and shown == sorted(shown)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_every_number_can_be_read_on_its_ground(mode):
    """WCAG's contrast of 4.5, in both modes."""
    block = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[mode]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    pairs = [(name, "page") for name in ("text", "quiet", "link")] + [("text", "note")]
    pairs += [("few" if shade < 4 else "many", f"{kind}-{shade}") for kind in ("right", "wrong") for shade in range(6)]
    for text, ground in pairs:
        dark, light = sorted((luminance(colour[text]), luminance(colour[ground])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


# --- a finished run ---------------------------------------------------------------------------------------------------


def test_the_report_of_a_run_needs_its_scores_and_no_network(tmp_path):
    train, test = tones()
    names = [str(name) for name in test.names][1:]
    save_scores(tmp_path / "scores.npz", 9 * test.targets[1:], names, False)
    (tmp_path / "unusable-test.csv").write_text(f"clip,kind,reason\n{test.names[0]},empty,it is empty\n")
    found = report_run(tmp_path, Parts(train, None, test), progress=False)
    assert found.accuracy.value == 1 and found.clips == len(test) - 1
    assert [problem.reason for problem in found.unusable] == ["it is empty"]
    assert found.classes[0].trained == 4 and not isinstance(found.baseline, str)
    assert (tmp_path / "report" / "report.html").is_file()
    with pytest.raises(CheckpointError, match="not a file of scores"):
        report_run(tmp_path / "none", Parts(train, None, test))
