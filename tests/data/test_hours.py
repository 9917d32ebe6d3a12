"""Hours made in code: any part is the same as in the whole, and the stored features belong to the embedded encoder."""

import numpy as np
import pytest
import torch

from astlib import paths
from astlib.data.hours import CALLS, Hour
from astlib.embeddings import Embeddings
from astlib.encoders import open_encoder

SHORT = Hour(3, seconds=120)


@pytest.mark.parametrize(("begin", "end"), [(0, 5), (0.5, 3.25), (37.1, 52), (119, 120)])
def test_a_part_is_cut_from_the_whole(begin, end):
    whole = SHORT.sound()
    assert len(whole) == 120 * 16_000 and whole.abs().max() <= 1
    assert torch.allclose(SHORT.sound(begin, end), whole[round(begin * 16_000) : round(end * 16_000)], atol=1e-6)


def test_an_hour_is_the_same_every_time_and_like_no_other():
    assert Hour(1).sounds == Hour(1).sounds != Hour(2).sounds
    assert torch.equal(Hour(1).sound(10, 12), Hour(1).sound(10, 12))
    assert not torch.equal(Hour(1).sound(10, 12), Hour(1, seed=1).sound(10, 12))


def test_sounds_do_not_overlap_and_all_kinds_are_there():
    hour = Hour(1)
    times = np.array([(call.begin_s, call.end_s) for call in hour.sounds])
    assert (times[1:, 0] >= times[:-1, 1]).all() and times.min() >= 0 and times.max() <= 3600
    assert {call.label for call in hour.calls} == set(CALLS) and len(hour.sounds) > 2 * len(hour.calls)


def test_a_window_is_named_after_the_call_in_it():
    call = SHORT.calls[0]
    assert SHORT.label(call.begin_s - 1, call.end_s + 1) == call.label
    assert SHORT.label(call.begin_s - 5, call.begin_s + 0.5) is None, "less than a second of it"


def test_a_loud_call_is_louder_than_the_noise():
    hour = Hour(1)
    call = max(hour.calls, key=lambda call: call.loudness)
    inside, before = hour.sound(call.begin_s, call.end_s), hour.sound(call.begin_s - 1, call.begin_s)
    assert inside.square().mean() > 3 * before.square().mean()


def test_the_stored_hours_are_those_of_the_embedded_encoder():
    """When the embedded encoder changes, run ci/hours.py again."""
    hours = Embeddings(paths.results() / "hours")
    encoder = open_encoder(hours.plan.encoder)
    assert hours.plan.digest == encoder.digest, "run ci/hours.py again"
    assert len(hours.files) == 5 and hours.plan.root == ""
    row = int(hours.rows[-1])
    file, begin, end = hours.window(row)
    sound = Hour(int(file[4])).sound(begin, end)
    assert torch.allclose(encoder.embed(sound[None])[0], torch.from_numpy(hours.vectors([row])[0]), atol=0.05)
