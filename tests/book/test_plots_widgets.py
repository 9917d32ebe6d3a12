"""The figures and players of the chapters: right shapes in, readable pictures and accessible HTML out."""

import base64
import html
import importlib
import io
import json
import re
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib import LogMel, plots, widgets
from astlib.data import DATASETS
from astlib.errors import MissingPackage
from astlib.frontend import mel_filters

MEL = torch.randn(60, 128, generator=torch.Generator().manual_seed(0)) * 4 - 7

FIGURES = {
    "waveform": lambda: plots.waveform(torch.randn(1600)),
    "mel": lambda: plots.mel(MEL, title="a clip"),
    "filterbank": lambda: plots.filterbank(mel_filters().T, highlight=(3, 40)),
    "patches": lambda: plots.patches(MEL, (10, 10), highlight=(2, 1)),
    "position_similarity": lambda: plots.position_similarity(torch.randn(1, 2 + 8 * 6, 16), (8, 6), 2),
    "curves": lambda: plots.curves({"one": [1, 2, 3], "two": [1.5]}, reference={"paper": 2.5}),
    "confusion": lambda: plots.confusion([[3, 1], [0, 4]], ["dog", "cat"]),
    "ablation": lambda: plots.ablation({"a": ([60.0, 61.0], 0.3), "b": ([], None)}),
    "attention": lambda: plots.attention(MEL, torch.rand(60, 128)),
    "whole_network": lambda: plots.whole_network(
        torch.randn(1600), MEL, 16, torch.randn(13, 26, 8), torch.randn(1, 8), torch.randn(1, 5)
    ),
}


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "astlib.plots")
    with pytest.raises(MissingPackage, match=r'pip install "astlib\[book\]"'):
        importlib.import_module("astlib.plots")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_shows_itself_as_an_opaque_png_of_the_books_width(name):
    figure = FIGURES[name]()
    data = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    width = int.from_bytes(data[16:20], "big")
    assert width == round(plots.WIDTH * plots.STYLE["figure.dpi"])
    assert figure.get_facecolor()[3] == 1, "a transparent figure cannot be read on a dark page"
    for axes in figure.axes:
        assert all(text.get_fontsize() >= 9 for text in axes.texts), "unreadable on a phone"


def test_figures_take_tensors_with_gradients_and_a_batch_of_one():
    plots.mel((MEL * torch.ones(1, requires_grad=True))[None])


def test_an_axes_given_is_drawn_on():
    figure, (left, right) = plots.figure(2.0, 1, 2)
    assert plots.mel(MEL, ax=left, colorbar=False) is figure
    assert len(left.images) == 1 and not right.images


def test_mel_shows_every_value_at_its_time_and_bin():
    axes = plots.mel(MEL).axes[0]
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array(), MEL.T)
    assert image.get_extent() == [0, 0.6, -0.5, 127.5]


def test_frequencies_lie_where_their_filters_have_their_peaks():
    centres = torch.arange(257).double() * 16_000 / 512
    peak = mel_filters()[:, 100].argmax()
    assert abs(plots.mel_bin_of(centres[peak].item()) - 100) < 0.5
    np.testing.assert_allclose(plots.mel_bin_of([20.0, 8000.0]), [-1, 128])


@settings(max_examples=20, deadline=None)  # a figure may be slow to set up on a busy machine
@given(st.integers(16, 64), st.integers(16, 80), st.integers(4, 16), st.integers(4, 16))
def test_patches_outlines_each_patch_once_and_inside(mels, frames, fstride, tstride):
    boxes = plots.patches(np.arange(frames * mels).reshape(frames, mels), (fstride, tstride)).axes[0].patches
    assert len(boxes) == ((mels - 16) // fstride + 1) * ((frames - 16) // tstride + 1)
    assert all(box.get_x() + 16 <= frames and box.get_y() + 16 <= mels for box in boxes)


def test_position_similarity_is_one_at_the_position_itself():
    pos = torch.randn(1, 1 + 4 * 3, 8)
    figure = plots.position_similarity(pos, (4, 3), prefix=1, rows=4, cols=3)
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    rings = [axes.lines[0].get_xydata()[0].astype(int) for axes in figure.axes if axes.images]
    assert sorted(map(tuple, rings)) == [(t, f) for t in range(3) for f in range(4)]
    for values, (t, f) in zip(maps, rings, strict=True):
        assert values.shape == (4, 3) and values[f, t] == pytest.approx(1)


def test_labels_of_curves_do_not_lie_on_each_other():
    runs = {"a": [10.0], "b": [10.0], "c": [10.1]}
    axes = plots.curves(runs, reference={"d": 10.0}, limits=(0, 20)).axes[0]
    heights = sorted(text.xy[1] for text in axes.texts)
    assert np.diff(heights).min() >= 0.075 * 20 - 1e-9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.mel(torch.zeros(2, 60, 128)), "one item of a batch"),
        (lambda: plots.mel(torch.zeros(60)), r"found shape \(60,\)"),
        (lambda: plots.position_similarity(torch.zeros(1, 50, 8), (8, 6), 1), r"1 \+ 8\*6"),
        (lambda: plots.curves({}), "at least one run"),
        (lambda: plots.confusion([[1, 2], [3, 4]], ["only one"]), "1 labels"),
        (lambda: widgets.player(torch.zeros(2, 100)), r"\(2, 100\)"),
        (lambda: widgets.player([]), "one sound"),
        (lambda: widgets.player([0.0, float("nan")]), "finite"),
        (lambda: widgets.flipbook([plots.figure()[0]], ["one"], "Nothing"), "2 to 20"),
        (lambda: widgets.flipbook([plots.figure()[0]] * 3, ["a", "b"], "Nothing"), "3 figures and 2 labels"),
        (lambda: widgets.flipbook([plots.figure()[0]] * 2, ["a", "b"], "Nothing", start=2), "from 0 to 1, found 2"),
        (lambda: widgets.player(torch.ones(800), mel=torch.zeros(2, 60, 128)), "one item of a batch"),
        (lambda: widgets.player(torch.ones(800), mel=torch.zeros(60)), r"found shape \(60,\)"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def sound_of(player) -> tuple[np.ndarray, int]:
    source = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', player._repr_html_()).group(1)
    return soundfile.read(io.BytesIO(base64.b64decode(source)))


def test_player_holds_the_sound_at_its_loudness_and_is_small():
    time = torch.arange(5 * 16_000) / 16_000
    player = widgets.player(0.25 * torch.sin(2 * torch.pi * 440 * time))
    samples, rate = sound_of(player)
    assert rate == 16_000 and abs(len(samples) - 80_000) < 3000
    assert np.abs(samples[8000:72_000]).max() == pytest.approx(0.25, abs=0.02)
    assert len(player._repr_html_()) < 40_000, "a WAV file would be 213 kB"


def test_player_scales_what_is_too_loud_and_escapes_its_label():
    player = widgets.player(3 * torch.sin(torch.arange(16_000) / 5), label='<b onclick="x">dog & cat</b>')
    assert np.abs(sound_of(player)[0]).max() < 1.1
    page = player._repr_html_()
    assert "<b" not in page and 'aria-label="&lt;b onclick=&quot;x&quot;&gt;dog &amp; cat&lt;/b&gt;"' in page
    assert repr(player) == repr(player + player) == "<player>", "the text must not depend on the data"
    assert (player + player)._repr_html_().count("<audio") == 2


TONE = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(2 * 16_000) / 16_000) * (torch.arange(2 * 16_000) > 16_000)


def axes_of(player) -> dict:
    return json.loads(html.unescape(re.search('data-axes="([^"]+)"', player._repr_html_()).group(1)))


def test_a_player_with_a_spectrogram_says_where_its_axes_are_and_what_is_seen():
    mel = LogMel()(TONE)
    player = widgets.player(TONE, label="a <tone>", mel=mel)
    axes = axes_of(player)
    assert axes["seconds"] == pytest.approx(mel.shape[1] * 0.01) and axes["bins"] == 128
    assert axes["hz"] == [20, 8000] and all(0 < part < 1 for part in axes["box"])
    alt = re.search('<img alt="([^"]+)"', player._repr_html_()).group(1)
    assert "a &lt;tone&gt;: log-mel spectrogram of 2.0 s; loudest from 1.0 to 2.0 s" in alt
    assert float(re.search(r"near ([\d,]+) Hz", alt).group(1).replace(",", "")) == pytest.approx(1000, rel=0.03)
    assert sound_of(player)[1] == 16_000, "without its script the sound is still there"


def test_short_loud_parts_are_told_as_points_in_time():
    mel = torch.full((500, 128), -12.0)
    for frame in (50, 151, 300, 420):
        mel[frame : frame + 3] = 0
    alt = re.search('<img alt="([^"]+)"', widgets.player(torch.ones(800), mel=mel)._repr_html_()).group(1)
    assert "4 loud parts, the longest at 0.5 s, at 1.5 s, at 3.0 s" in alt


def test_the_script_comes_once_for_several_players_and_only_if_it_is_needed():
    plain, seen = widgets.player(TONE), widgets.player(TONE, mel=LogMel()(TONE))
    assert "<script" not in plain._repr_html_() and "<script" not in (plain + plain)._repr_html_()
    for page in (seen, seen + plain, plain + seen + seen):
        assert page._repr_html_().count('<script class="astlib-script">') == 1
    assert len(widgets.script()) < 12_000, "it is in every output of a notebook"
    assert "</script" not in widgets.script() and "// " not in widgets.script()


def test_flipbook_begins_where_it_should_and_names_every_picture():
    book = widgets.flipbook([plots.figure()[0] for _ in range(3)], [16, "<12>", 10], "Stride", start=1)
    page = book._repr_html_()
    images = re.findall("<img [^>]*>", page)
    assert re.findall(' alt="([^"]+)"', page) == ["Stride: 16", "Stride: &lt;12&gt;", "Stride: 10"]
    assert [" hidden " in image for image in images] == [True, False, True]
    assert 'max="2" value="1" aria-valuetext="&lt;12&gt;"' in page and "<output>&lt;12&gt;</output>" in page
    assert all("data:image/png;base64,iVBOR" in image for image in images)
    assert repr(book) == "<slider>"


def test_pictures_keep_their_size_and_have_a_palette():
    image = re.search("<img [^>]*>", widgets.player(TONE, mel=LogMel()(TONE))._repr_html_()).group(0)
    data = base64.b64decode(re.search('base64,([^"]+)', image).group(1))
    width, height, colour = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), data[25]
    assert f'width="{width}" height="{height}"' in image and width == round(plots.WIDTH * plots.STYLE["figure.dpi"])
    assert colour == 3, "a PNG with all colours is three times as large"


class Set(list):
    """As much of a data set as the note looks at."""

    def __init__(self, name, is_synthetic):
        super().__init__(range(1600))
        self.name, self.is_synthetic = name, is_synthetic


def test_data_note_is_one_quiet_line_when_all_is_real():
    page = widgets.data_note(Set("esc50", False), weights_found=True)._repr_html_()
    assert "Made with ESC-50 (1,600 clips) and ImageNet weights." in page
    assert "data-note" not in page


@pytest.mark.parametrize(
    ("name", "synthetic", "weights", "said", "unsaid"),
    [
        ("synthetic", True, None, ["sounds made in code", "ASTLIB_DATA"], ["eights"]),
        ("synthetic", True, True, ["sounds made in code", "Made with ImageNet weights"], ["Random weights"]),
        ("esc50", False, False, ["Random weights", "ASTLIB_WEIGHTS", "Made with ESC-50"], ["made in code"]),
        ("synthetic", True, False, ["Random weights", "sounds made in code"], ["Made with"]),
        ("<script>", True, None, ["&lt;script&gt;"], ["<script>"]),
    ],
)
def test_data_note_says_plainly_what_stands_in(name, synthetic, weights, said, unsaid):
    note = widgets.data_note(Set(name, synthetic), weights)
    page = note._repr_html_()
    assert 'class="data-note"' in page
    assert all(words in page for words in said) and not any(words in page for words in unsaid)
    assert repr(note) == "<note on the data of this page>"


def test_data_note_names_the_set_that_is_missing():
    page = widgets.data_note(Set("synthetic", True), wanted="speech-commands")._repr_html_()
    assert "No Speech Commands was found" in page and "<code>astlib data fetch speech-commands</code>" in page


@pytest.mark.parametrize("wanted", DATASETS)
def test_data_note_knows_every_data_set(wanted):
    note = widgets.data_note(Set("synthetic", True), wanted=wanted)
    page = note._repr_html_()
    if wanted == "synthetic":
        assert "Made with synthetic (1,600 clips)" in page and "Stand-in" not in page, "nothing stands in for it"
        return
    get = DATASETS[wanted].get
    code = re.search("<code>(astlib .+?)</code>", page)
    assert "Stand-in sounds" in page and repr(note) == "<note on the data of this page>"
    assert (code.group(1) if "astlib" in get else "") == get.partition("astlib ")[1] + get.partition("astlib ")[2]
    assert f"No {widgets.SPOKEN[wanted]} was found" in page


def test_data_note_refuses_a_data_set_that_is_not_there():
    with pytest.raises(ValueError, match="no data set 'audioset2'. Known: synthetic, esc50"):
        widgets.data_note(Set("synthetic", True), wanted="audioset2")


def test_curves_have_whole_epochs_on_their_axis():
    for epochs in (2, 3, 10, 25, 60):
        ticks = plots.curves({"one": np.arange(epochs)}).axes[0].get_xticks()
        assert (ticks == ticks.round()).all() and np.diff(ticks).min() >= 1
        assert round(np.diff(ticks).min()) in (1, 2, 5, 10, 20)
