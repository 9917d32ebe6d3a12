"""The drawings of chapter 01 show the numbers that they are given, at the right places."""

import json
import re

import numpy as np
import pytest
import torch

from astlib.drawings import sound as drawings
from astlib.frontend import LogMel, hz_to_mel, mel_filters

RATE = 16_000
TIME = torch.arange(RATE) / RATE
CLIP = 0.4 * torch.sin(2 * torch.pi * 1000 * TIME) * (TIME > 0.5)  # silence, then a tone
MEL = LogMel()(CLIP)[0]  # (98, 128)
FRAMES = CLIP.unfold(0, 400, 160) * torch.hann_window(400, periodic=False)  # (98, 400)
POWER = torch.fft.rfft(FRAMES, n=512).abs() ** 2  # (98, 257)


def corners():
    low, high = hz_to_mel(torch.tensor([20.0, 8000.0], dtype=torch.float64))
    return torch.linspace(low, high, 130, dtype=torch.float64)


def test_every_text_is_large_enough():
    figures = [
        drawings.waveform_above(CLIP, MEL),
        drawings.zoom(CLIP, RATE, 8000),
        drawings.window_length(CLIP, 25),
        drawings.products({"fits": (CLIP[:400], CLIP[:400])} | {"not": (CLIP[:400], -CLIP[:400])}),
        drawings.frame_spectrum(FRAMES[60], POWER[60]),
        drawings.preparation({"one": CLIP[9000:9400], "two": FRAMES[60]}),
        drawings.leakage({"none": POWER[60], "Hann": POWER[61]}),
        drawings.mel_curve(corners(), [(200, 300)]),
        drawings.mel_filters(corners(), mel_filters()),
        drawings.lowest_bins(MEL, MEL),
        drawings.frame_to_column(CLIP, FRAMES, POWER, MEL, 51, (45, 60)),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]
            assert all(text.get_fontsize() >= 9 for text in labels)


def test_the_waveform_stands_exactly_above_the_spectrogram_of_its_player():
    page = drawings.sound_and_pictures(CLIP, MEL, RATE, "a tone")._repr_html_()
    below = json.loads(re.search(r'data-axes="([^"]+)"', page)[1].replace("&quot;", '"'))
    axes = drawings.waveform_above(CLIP, MEL).axes[0]
    assert axes.get_position().x0 == pytest.approx(below["box"][0], abs=1e-4)
    assert axes.get_position().width == pytest.approx(below["box"][2], abs=1e-4)
    assert axes.get_xlim() == (0, pytest.approx(below["seconds"]))
    assert page.index("<img") < page.index('class="player"')
    assert 'alt="a tone: its waveform, 1.0 s of it"' in page


def test_a_zoom_shows_the_samples_around_the_centre_and_stays_inside():
    whole, short = drawings.zoom(CLIP, RATE, centre=10_000, lengths=(1600, 160)).axes
    np.testing.assert_array_equal(short.lines[0].get_ydata(), CLIP[9920:10_080])
    assert len(whole.lines[0].get_ydata()) == 1600 and short.lines[0].get_marker() == "."
    at_the_end = drawings.zoom(CLIP, RATE, centre=RATE - 1).axes[1]
    np.testing.assert_array_equal(at_the_end.lines[0].get_ydata(), CLIP[-160:])


def test_long_windows_separate_tones_that_short_ones_blur():
    two = torch.sin(2 * torch.pi * 1000 * TIME) + torch.sin(2 * torch.pi * 1150 * TIME)

    def dip(ms):
        image = drawings.window_length(two, ms).axes[0].images[0].get_array()
        middle = image[:, image.shape[1] // 2 - 60 : image.shape[1] // 2 + 60].mean(axis=1)
        hz = np.linspace(0, 2000, len(middle))
        valley = middle[(hz > 1050) & (hz < 1100)].mean()
        return middle[np.abs(hz - 1000) < 10].mean() - valley

    assert dip(90) > 2 > dip(8)


def test_products_are_drawn_with_their_sums():
    n = torch.arange(400)
    wave = {k: torch.cos(2 * torch.pi * k * n / 400) for k in (5, 7)}
    late = torch.sin(2 * torch.pi * 5 * n / 400)
    figure = drawings.products({"a": (wave[5], wave[5]), "b": (wave[5], wave[7]), "c": (late, wave[5])})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["a", "b", "c", "sum 200", "sum 0", "sum 0"]
    np.testing.assert_allclose(figure.axes[1].lines[1].get_ydata(), wave[7], atol=1e-6)


def test_the_strongest_bin_is_named():
    right = drawings.frame_spectrum(FRAMES[60], POWER[60]).axes[1]
    assert right.texts[0].get_text() == "bin 32: 1,000 Hz"
    assert right.lines[0].get_ydata().max() == 0


def test_each_step_is_drawn_over_the_spectrum_of_the_step_before():
    figure = drawings.preparation({"raw": CLIP[9000:9400], "windowed": FRAMES[60]})
    first, second = figure.axes[2:]
    assert len(first.lines) == 1 and len(second.lines) == 2
    np.testing.assert_array_equal(second.lines[0].get_ydata(), first.lines[0].get_ydata())
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["raw", "windowed"]


def test_leakage_is_in_decibels_below_the_maximum():
    left = drawings.leakage({"none": torch.tensor([1.0, 100.0, 0.1])}).axes[0]
    np.testing.assert_allclose(left.lines[0].get_ydata(), [-20, 0, -30], atol=1e-5)


def test_the_mel_curve_has_the_marked_distances():
    axes = drawings.mel_curve(corners(), [(200, 300), (7000, 7100)]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["200 to 300 Hz:\n119 mel", "7,000 to 7,100 Hz:\n15 mel"]
    hz, mel = axes.lines[0].get_data()
    np.testing.assert_allclose(mel, hz_to_mel(torch.from_numpy(hz)))


def test_triangles_have_their_full_height_and_dots_where_they_catch_a_bin():
    bank = mel_filters()
    top, middle, bottom = drawings.mel_filters(corners(), bank).axes
    assert len(top.lines) == len(middle.lines) == 16
    assert all(line.get_ydata().max() == pytest.approx(1) for axes in (top, middle) for line in axes.lines)
    widths = [np.ptp(line.get_xdata()) for line in middle.lines]
    assert np.ptp(widths) < 1e-9, "on the mel axis all are equally wide"
    dots = [line.get_xydata() for line in bottom.lines if line.get_marker() == "o"]
    assert [len(points) for points in dots] == (bank[:, :7] > 0).sum(dim=0).tolist()
    assert len(dots[3]) == 0, "filter 3 catches nothing"
    np.testing.assert_allclose(dots[0], [[31.25, bank[1, 0]]])


def test_the_lowest_bins_are_drawn_with_colours_of_their_own():
    figure = drawings.lowest_bins(MEL, MEL[:50], count=13)
    low = next(axes for axes in figure.axes if axes.get_title(loc="left") == "noise, the lowest bins")
    np.testing.assert_array_equal(low.images[0].get_array(), MEL[:50, :13].T)
    assert 3 in low.get_yticks()


def test_a_frame_becomes_the_column_under_its_middle():
    figure = drawings.frame_to_column(CLIP, FRAMES, POWER, MEL, 51, (45, 60))
    sound, frame, _spectrum, mel, column = figure.axes
    box, lit = sound.patches[0], mel.patches[0]
    assert (box.get_x(), box.get_width()) == (pytest.approx(0.51), pytest.approx(0.025))
    assert box.get_x() + box.get_width() / 2 == pytest.approx(lit.get_x() + lit.get_width() / 2)
    np.testing.assert_array_equal(frame.lines[0].get_ydata(), FRAMES[51])
    np.testing.assert_array_equal(column.lines[0].get_xdata(), MEL[51])
    shown = np.ma.filled(mel.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown[:, :7], MEL[45:52].T)
    assert np.isnan(shown[:, 7:]).all(), "later columns are not there yet"
    assert mel.get_xlim() == sound.get_xlim(), "the box and the column are on one time axis"


def test_pages_of_one_section_have_equal_axes():
    pages = [drawings.frame_to_column(CLIP, FRAMES, POWER, MEL, frame, (45, 60)) for frame in (45, 59)]
    for first, last in zip(*(page.axes for page in pages), strict=True):
        assert first.get_position().bounds == last.get_position().bounds
        assert (first.get_xlim(), first.get_ylim()) == (last.get_xlim(), last.get_ylim())
