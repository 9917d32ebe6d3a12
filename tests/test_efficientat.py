"""The teacher: the same answers as its authors' own network, and messages for missing and wrong weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from astlib import efficientat, paths
from astlib.efficientat import EfficientAT, TeacherMel, load_efficientat, mel_filters
from astlib.errors import InvalidInput, WeightsNotFound

REFERENCE = "efficientat_mn04_as_reference.npz"


@pytest.fixture(scope="module")
def weights() -> Path:
    """The file of the teacher's weights."""
    found = efficientat.find_efficientat()
    if found is None:
        pytest.skip("EfficientAT's weights not found: set ASTLIB_WEIGHTS")
    return found


def test_answers_are_those_of_its_authors_network(weights, esc50_root):
    """The reference was computed with the code of github.com/fschmid56/EfficientAT, on seven clips of ESC-50."""
    places = [folder / REFERENCE for folder in paths.weight_folders()]
    reference = next((place for place in places if place.is_file()), None)
    if reference is None:
        pytest.skip(f"{REFERENCE} not found: set ASTLIB_WEIGHTS")
    with np.load(reference) as expected:
        names, logits, features = expected["clips"], expected["logits"], expected["embedding"]
    files = [next(esc50_root.rglob(f"{name}.*")) for name in names]
    clips = np.stack([soundfile.read(file, dtype="float32")[0] for file in files])  # not clamped: as the reference
    found = load_efficientat()(torch.from_numpy(clips))
    assert np.abs(found.features.numpy() - features).max() < 1e-5
    assert np.abs(found.logits.numpy() - logits).max() < 1e-4


def test_every_sound_is_heard_by_itself(weights):
    teacher, sounds = load_efficientat(), torch.randn(3, 16_000).clamp(-1, 1) / 4
    together = teacher(sounds)
    for sound, features, logits in zip(sounds, *together, strict=True):
        alone = teacher(sound[None])
        torch.testing.assert_close(alone.features[0], features, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.logits[0], logits, atol=1e-4, rtol=1e-4)


def test_it_cannot_be_trained_by_accident(weights):
    assert not load_efficientat()(torch.zeros(1, 8000)).features.requires_grad


@pytest.mark.parametrize("hertz", [100.0, 1000.0, 7000.0])
def test_a_tone_is_loudest_in_the_bin_at_its_frequency(hertz):
    seconds = torch.arange(32_000) / 32_000
    mel = TeacherMel()(torch.sin(2 * math.pi * hertz * seconds)[None])  # (1, 1, 128, frames)
    borders = 700 * np.expm1(np.linspace(0, math.log1p(15_000 / 700), 130))
    expected = int(np.abs(borders[1:-1] - hertz).argmin())
    assert abs(int(mel[0, 0, :, 50].argmax()) - expected) <= 1


def test_filters_are_triangles_that_add_up_to_one():
    filters, hertz = mel_filters(), np.arange(513) * 32_000 / 1024
    centres = 700 * np.expm1(np.linspace(0, math.log1p(15_000 / 700), 130))[1:-1]
    between = filters[:, (hertz > centres[0]) & (hertz < centres[-1])].sum(dim=0)  # of the outermost two filters
    torch.testing.assert_close(between, torch.ones_like(between), atol=1e-5, rtol=0)
    assert filters.min() == 0 and filters[:, -1].max() == 0


@pytest.mark.parametrize("shape", [(16_000,), (1, 1, 16_000), (1, 399)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidInput, match="25 ms or more"):
        EfficientAT()(torch.zeros(shape))


def test_missing_weights_say_where_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsNotFound, match="mn04_as_mAP_432.pt"):
        load_efficientat()


def test_other_weights_are_refused(monkeypatch, tmp_path, weights):
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    state = load_file(weights)
    state["classifier.5.bias"] = state["classifier.5.bias"] + 1
    save_file(state, tmp_path / efficientat.FILES[0])
    with pytest.raises(InvalidInput, match="other weights"):
        load_efficientat()


@pytest.mark.parametrize("name", efficientat.FILES)
def test_a_damaged_file_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(InvalidInput, match="is damaged"):
        load_efficientat()


def test_the_authors_own_file_is_read_too(monkeypatch, tmp_path, weights):
    torch.save(load_file(weights), tmp_path / efficientat.FILES[1])
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    assert isinstance(load_efficientat(), EfficientAT)
