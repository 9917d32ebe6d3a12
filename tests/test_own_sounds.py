"""A plan for own sounds: what it chooses, that it obeys, and that nothing of it is silent."""

import math

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.data import Folder, parts
from astlib.data.registry import Parts
from astlib.errors import DataIncomplete
from astlib.frontend import LogMel
from astlib.own_sounds import fitting_frames, length_note, lengths, plan
from astlib.recipes import RECIPES

OWN = RECIPES["own-sounds"].replace(init="scratch")
LOG_MEL = LogMel()


def write_clips(root, seconds, classes=2, rate=16_000):
    """Clips of these lengths in every class."""
    random = np.random.default_rng(0)
    for c in range(classes):
        (root / f"class {c}").mkdir(parents=True)
        for i, length in enumerate(seconds):
            soundfile.write(root / f"class {c}" / f"{i}.wav", random.uniform(-0.1, 0.1, int(length * rate)), rate)
    return parts("folder", root=root)


@settings(deadline=None)
@given(st.lists(st.floats(0.03, 300), min_size=1, max_size=60))
def test_the_input_holds_95_percent_of_the_clips_and_no_frame_too_many(seconds):
    frames, seconds = fitting_frames(np.array(seconds)), np.array(seconds)
    needed = LOG_MEL.frame_count(math.ceil(np.percentile(seconds, 95) * 16_000))
    assert frames % 16 == 0 and 32 <= frames <= 1024
    if 32 < frames < 1024:
        assert frames - 16 < needed <= frames


@pytest.mark.parametrize(
    ("seconds", "frames", "timem", "words"),
    [
        ([0.4] * 10, 48, 18, "clips: median 0.40 s, 95 % up to 0.40 s: input_tdim=48 (was 512), timem=18 (was 96)"),
        ([7.0] * 10, 704, 96, "clips: median 7.0 s, 95 % up to 7.0 s: input_tdim=704 (was 512)"),
        ([0.03] * 10, 32, 12, "clips: median 0.03 s"),
    ],
)
def test_length_and_masks_come_from_the_clips(tmp_path, seconds, frames, timem, words):
    planned = plan(OWN, write_clips(tmp_path, seconds))
    assert (planned.recipe.input_tdim, planned.recipe.timem) == (frames, timem)
    assert sum(words in note for note in planned.notes) == 1


def test_clips_too_long_for_any_input_are_heard_in_windows_and_the_plan_says_so(tmp_path):
    planned = plan(OWN, write_clips(tmp_path, [12.0] * 5))
    assert planned.recipe.input_tdim == 1024 and planned.recipe.windows
    assert any("100% of the clips are longer than the input of 10.3 s: they are heard in windows" in note
               for note in planned.notes)  # fmt: skip


def test_what_was_set_by_hand_stays_and_is_remarked_on(tmp_path):
    there = write_clips(tmp_path, [0.4] * 10)
    kept = plan(OWN.replace(input_tdim=512, epochs=2), there, fixed=("input_tdim", "epochs")).recipe
    assert (kept.input_tdim, kept.timem, kept.epochs) == (512, 96, 2)
    notes = plan(OWN.replace(input_tdim=512), there, fixed=("input_tdim",)).notes
    assert any("92% of the median clip in it is padding; input_tdim=48 and timem=18" in note for note in notes)
    every = plan(OWN, there, fixed=list(OWN.parameters())).recipe
    assert every == OWN


def test_several_labels_make_it_multi_label(tmp_path):
    write_clips(tmp_path, [0.4] * 10)
    lines = [f"class {c}/{i}.wav,{'a|b' if i % 3 else 'ab'[c]}" for c in range(2) for i in range(10)]
    (tmp_path / "clips.csv").write_text("\n".join(["file,labels", *lines]))
    planned = plan(OWN, parts("folder", root=tmp_path))
    assert (planned.recipe.loss, planned.recipe.metric) == ("bce", "mAP")
    assert any("several labels: loss=bce (was ce), metric=mAP (was accuracy)" in note for note in planned.notes)


class Counted(Folder):
    """A folder that says it has more clips than there are."""

    def __init__(self, root, count):
        super().__init__(root)
        self.count = count

    def __len__(self):
        return self.count


@pytest.mark.parametrize(("clips", "epochs"), [(10, 100), (144, 45), (640, 10), (2_400, 10), (16_000, 5), (10**6, 3)])
def test_epochs_come_from_steps_and_the_rate_falls_as_in_the_recipe(tmp_path, monkeypatch, clips, epochs):
    there = write_clips(tmp_path, [0.4] * 2)
    monkeypatch.setattr("astlib.own_sounds.lengths", lambda *_: np.array([0.4]))
    recipe = plan(OWN, Parts(Counted(tmp_path, clips), None, there.test)).recipe
    assert recipe.epochs == epochs
    steps = epochs * -(-clips // 16)
    assert steps >= 400 or epochs == 100, "enough steps"
    assert steps <= 5_400 or epochs == 3, "not too many"
    if epochs >= 10:
        final, usual = recipe.learning_rate(recipe.epochs), OWN.learning_rate(OWN.epochs)
        assert recipe.learning_rate(1) == OWN.lr and final == pytest.approx(usual, rel=0.3)


def test_what_a_start_has_is_taken_over(tmp_path):
    there, start = write_clips(tmp_path, [0.4] * 5), RECIPES["own-sounds"]
    planned = plan(start.replace(mean=0.0, std=1.0, fill="mean"), there)
    assert (planned.recipe.mean, planned.recipe.fill) == (start.mean, start.fill)
    assert any(note.startswith(f"as in the start, {start.init}: mean=") for note in planned.notes)
    assert plan(OWN.replace(mean=0.0), there).recipe.mean == 0.0


def test_lengths_need_one_clip_that_can_be_read(tmp_path):
    there = write_clips(tmp_path, [0.4, 0.5, 0.6])
    assert sorted(lengths(there.train, there.test)) == pytest.approx([0.4, 0.4, 0.5, 0.5, 0.6, 0.6])
    assert len(lengths(there.train, most=2)) == 2
    for file in tmp_path.glob("*/*.wav"):
        file.write_bytes(b"RIFF")
    with pytest.raises(DataIncomplete, match="no clip of folder can be read"):
        lengths(there.train)


@pytest.mark.parametrize(
    ("recipe", "seconds", "words"),
    [
        ("esc50", 5.0, ""),
        ("esc50", 0.4, "92% of the median clip in it is padding; input_tdim=48"),
        ("esc50", 10.0, "100% of the clips are longer than the input of 5.1 s, and only their beginning is used"),
        ("speech-commands", 1.0, ""),
        ("audioset", 10.0, ""),
    ],
)
def test_a_note_where_input_and_clips_do_not_go_together(recipe, seconds, words):
    found = length_note(RECIPES[recipe], np.full(9, seconds))
    assert words in found and bool(words) == bool(found)
