"""Search equals brute force, hits do not crowd, and the example is what was asked for."""

import time

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_embeddings import Levels, Others

from astlib.embeddings import Embeddings, embed
from astlib.errors import AudioError, InvalidInput
from astlib.search import Example, find, read_example, similarities


class Spectra(Levels):
    """An encoder that knows pitch: energy in 16 bands."""

    name, digest, dim = "spectra", "2" * 64, 16

    def embed(self, waveforms):
        power = torch.fft.rfft(waveforms, 16_000).abs().square()[:, :8000]
        return power.unflatten(1, (16, 500)).sum(2).log1p()


def tone(hz, seconds):
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 16_000)) / 16_000)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """20 s of quiet noise with a tone of 3,300 Hz at 4 s and at 14 s, a second file with one at 1 s, and an example."""
    folder, random = tmp_path_factory.mktemp("night"), np.random.default_rng(0)
    for name, seconds, at in (("one.wav", 20, (4, 14)), ("two.wav", 6, (1,))):
        sound = 0.001 * random.standard_normal(seconds * 16_000)
        for begin in at:
            sound[begin * 16_000 :][:16_000] += tone(3300, 1)
        soundfile.write(folder / name, sound, 16_000)
    soundfile.write(folder / "example.flac", tone(3250, 1), 16_000)
    out = tmp_path_factory.mktemp("features")
    embed(Spectra(), folder, out, progress=False)
    return folder, Embeddings(out)


@given(seed=st.integers(0, 1000), rows=st.integers(1, 5000), half=st.booleans())
@settings(max_examples=25, deadline=None)
def test_similarities_equal_brute_force(seed, rows, half):
    random = np.random.default_rng(seed)
    features = random.standard_normal((rows, 24)).astype(np.float16 if half else np.float32)
    features[rng_rows := random.integers(0, rows, 3)] = 0  # silence may have a vector of zeros
    vector = torch.from_numpy(random.standard_normal(24))
    double = features.astype(np.float64)
    norms = np.linalg.norm(double, axis=1) * np.linalg.norm(vector)
    wanted = np.divide(double @ vector.numpy(), norms, out=np.zeros(rows), where=norms > 0)
    np.testing.assert_allclose(similarities(features, vector), wanted, atol=1e-6)
    assert not similarities(features, vector)[rng_rows].any()


def test_the_threads_are_given_back():
    before = torch.get_num_threads()
    similarities(np.ones((3, 2), np.float32), torch.ones(2))
    assert torch.get_num_threads() == before


def test_a_planted_sound_is_found_wherever_it_is_and_once(night):
    folder, features = night
    hits = find(features, read_example(Spectra(), folder / "example.flac"), top=3)
    assert {(hit.window.file, hit.window.begin_s) for hit in hits} == {("one.wav", 4), ("one.wav", 14), ("two.wav", 1)}
    assert hits[-1].similarity > 0.5
    assert all(np.diff([hit.similarity for hit in hits]) <= 0)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 100.0])
def test_hits_in_a_file_keep_their_distance(night, apart):
    folder, features = night
    hits = find(features, read_example(Spectra(), folder / "example.flac"), top=200, apart_s=apart)
    begins = {}
    for hit in hits:
        begins.setdefault(hit.window.file, []).append(hit.window.begin_s)
    assert len({hit.row for hit in hits}) == len(hits) and "example.flac" not in begins
    assert all(np.diff(sorted(times)).min(initial=np.inf) >= apart for times in begins.values())
    assert apart or len(hits) == len(features) - 1, "with no distance every window is a hit"


def test_an_example_out_of_a_long_file_leaves_itself_out(night):
    folder, features = night
    example = read_example(Spectra(), f"{folder / 'one.wav'}@4.5")
    assert (example.begin_s, example.end_s) == (4.0, 5.0)
    hits = find(features, example, top=2)
    assert {(hit.window.file, hit.window.begin_s) for hit in hits} == {("one.wav", 14.0), ("two.wav", 1.0)}
    edge = read_example(Spectra(), f"{folder / 'one.wav'}@20")
    assert (edge.begin_s, edge.end_s) == (19.0, 20.0), "the window stays in the file"


def test_what_cannot_be_searched_for(night):
    folder, features = night
    with pytest.raises(InvalidInput, match=r"lasts 20.0 s, and spectra hears 1.0 s at a time.*one.wav@10.0"):
        read_example(Spectra(), folder / "one.wav")
    with pytest.raises(InvalidInput, match="lasts 20.0 s; found second 21"):
        read_example(Spectra(), f"{folder / 'one.wav'}@21")
    with pytest.raises(AudioError, match="no such file"):
        read_example(Spectra(), folder / "nothing.wav")
    with pytest.raises(InvalidInput, match="expected a vector of 16 numbers"):
        find(features, read_example(Others(), folder / "example.flac"))
    with pytest.raises(InvalidInput, match="top must be 1 or more"):
        find(features, Example(torch.ones(16), folder / "example.flac", 0.0, 1.0), top=0)


def test_a_million_windows_in_less_than_a_second_of_one_core(record_property):
    features = np.random.default_rng(0).standard_normal((50_000, 192), dtype=np.float32).astype(np.float16)
    similarities(features[:5000], torch.ones(192))
    begin = time.thread_time()
    similarities(features, torch.ones(192))
    seconds = 20 * (time.thread_time() - begin)
    record_property("figures", f"search: a million windows of 192 numbers take {seconds:.2f} s of one core")
    assert seconds < 1.5
