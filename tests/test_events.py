"""Windows to events: nothing is lost, nothing is invented, and other programs can read the files."""

import csv
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.data.windows import starts
from astlib.errors import InvalidInput
from astlib.events import Event, Merging, merge, to_audacity, to_csv, to_jsonl, to_raven

LABELS = ("dog", "rain")


@st.composite
def heard(draw):
    """Windows as `predict` makes them, the probabilities of two classes, and thresholds."""
    frames, total = draw(st.integers(2, 20)), draw(st.integers(1, 120))
    begins = starts(total, frames, draw(st.integers(1, frames)))
    spans = torch.tensor([(begin, min(begin + frames, total)) for begin in begins], dtype=torch.float32) / 8
    levels = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    rows = draw(st.lists(st.tuples(levels, levels), min_size=len(begins), max_size=len(begins)))
    return spans, torch.tensor(rows), draw(st.tuples(levels.filter(bool), levels.filter(bool)))


def covered(spans):
    """Every eighth of a second that lies in one of the spans."""
    return {i for begin, end in spans for i in range(round(8 * begin), round(8 * end))}


@settings(deadline=None, max_examples=100)
@given(heard())
def test_events_cover_exactly_the_windows_over_the_threshold(case):
    spans, probabilities, thresholds = case
    events = merge("a.wav", spans, probabilities, LABELS, thresholds)
    assert events == sorted(events, key=lambda event: event.begin_s)
    for c, label in enumerate(LABELS):
        mine = [event for event in events if event.label == label]
        over = probabilities[:, c] >= thresholds[c]
        assert covered((e.begin_s, e.end_s) for e in mine) == covered(spans[over].tolist())
        assert all(a.end_s < b.begin_s for a, b in zip(mine, mine[1:], strict=False)), "apart from each other"
        for event in mine:
            inside = over & (spans[:, 0] >= event.begin_s) & (spans[:, 1] <= event.end_s)
            assert event.score == pytest.approx(probabilities[inside, c].max().item())
    assert all(event.end_s <= spans.max() for event in events)


@settings(deadline=None, max_examples=100)
@given(heard(), st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_gaps_are_closed_short_events_dropped_and_weaker_neighbours_kept(case, gap, least, release):
    spans, probabilities, thresholds = case
    how = Merging(gap_s=gap / 8, least_s=least / 8, release=release)
    events = merge("a.wav", spans, probabilities, LABELS, thresholds, how)
    plain = merge("a.wav", spans, probabilities, LABELS, thresholds, Merging(gap_s=gap / 8, least_s=least / 8))
    for c, label in enumerate(LABELS):
        mine = [event for event in events if event.label == label]
        assert all(b.begin_s - a.end_s > gap / 8 for a, b in zip(mine, mine[1:], strict=False))
        assert all(e.end_s - e.begin_s >= least / 8 and e.score >= thresholds[c] - 1e-6 for e in mine)
        assert covered((e.begin_s, e.end_s) for e in mine) >= covered(
            (e.begin_s, e.end_s) for e in plain if e.label == label
        )


def test_a_weak_window_continues_an_event_and_begins_none():
    spans = torch.tensor([[i, i + 2.0] for i in range(6)])
    p = torch.tensor([0.4, 0.8, 0.4, 0.1, 0.4, 0.4])[:, None]
    (event,) = merge("a", spans, p, ["dog"], [0.5], Merging(release=0.6))
    assert (event.begin_s, event.end_s, event.score) == (0, 4, pytest.approx(0.8))
    (event,) = merge("a", spans, p, ["dog"], [0.5])
    assert (event.begin_s, event.end_s) == (1, 3)


def test_windows_of_no_class_are_in_no_event():
    spans, p = torch.tensor([[0.0, 2], [1, 3], [5, 7]]), torch.full((3, 1), 0.9)
    heard = torch.tensor([True, False, False])
    assert merge("a", spans, p, ["dog"], [0.5], heard=heard) == [Event("a", 0, 2, "dog", pytest.approx(0.9))]
    assert merge("a", spans, p, ["dog"], [0.5], heard=~heard | True)[0].end_s == 3


def test_what_does_not_belong_together_is_refused(tmp_path):
    spans = torch.tensor([[0.0, 1]])
    with pytest.raises(InvalidInput, match="a row of 2 probabilities for each of 1 windows"):
        merge("a", spans, torch.zeros(1, 3), LABELS, [0.5, 0.5])
    with pytest.raises(InvalidInput, match="found -1"):
        Merging(gap_s=-1)
    with pytest.raises(InvalidInput, match="0 to 1; found 2"):
        Merging(release=2)
    for write in (to_audacity, to_raven):
        with pytest.raises(InvalidInput, match="events of one sound file; found 2"):
            write([Event("a", 0, 1, "x", 1), Event("b", 0, 1, "x", 1)], tmp_path / "x.txt")


EVENTS = [Event("night, 1.wav", 0.5, 2.25, 'a "quoted", name', 0.75), Event("night, 1.wav", 3, 4, "tab\there\n", 1.0)]


def test_tables_are_read_back(tmp_path):
    with to_csv(EVENTS, tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "begin_s", "end_s", "label", "score", "low_hz", "high_hz"]
    assert [
        Event(r["file"], float(r["begin_s"]), float(r["end_s"]), r["label"], float(r["score"])) for r in rows
    ] == EVENTS
    lines = to_jsonl(EVENTS, tmp_path / "e.jsonl").read_text().splitlines()
    assert [Event(**json.loads(line)) for line in lines] == EVENTS


def test_a_label_track_for_audacity(tmp_path):
    text = to_audacity(EVENTS, tmp_path / "e.txt").read_text()
    assert text == '0.500000\t2.250000\ta "quoted", name 0.75\n3.000000\t4.000000\ttab here 1.00\n'
    assert to_audacity([], tmp_path / "none.txt").read_text() == ""


def test_a_selection_table_for_raven(tmp_path):
    header, first, second = to_raven(EVENTS, tmp_path / "e.selections.txt").read_text().splitlines()
    columns = header.split("\t")
    assert columns[:7] == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"
    ]  # fmt: skip
    row = dict(zip(columns, second.split("\t"), strict=True))
    assert row["Selection"] == "2" and row["View"] == "Spectrogram 1" and row["Channel"] == "1"
    assert float(row["Begin Time (s)"]) == 3 and float(row["High Freq (Hz)"]) == 8000 and row["Label"] == "tab here"
    assert len(first.split("\t")) == len(columns)


def test_names_that_are_no_unicode_keep_their_bytes(tmp_path):
    name = Path(b"n\xff.wav".decode("utf-8", "surrogateescape"))
    assert b"n\xff.wav" in to_csv([Event(str(name), 0, 1, "dog", 1)], tmp_path / "e.csv").read_bytes()
