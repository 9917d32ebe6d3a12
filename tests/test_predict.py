"""Predictions do not depend on the mode that a network was left in, nor on how a sound arrives, nor on its company."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.cnn import CNNConfig
from astlib.decisions import Decision, to_probabilities
from astlib.errors import InvalidInput
from astlib.frontend import Features, LogMel
from astlib.model import ASTConfig
from astlib.networks import build
from astlib.predict import best, choose_device, cut, evaluating, heard, listen, predict, probabilities, starts, timeline

SETTINGS = {
    "cnn-mlp": CNNConfig("cnn-mlp", label_dim=4, input_fdim=32, input_tdim=64, labels=tuple("abcd"), multi_label=False),
    "psla": CNNConfig("psla", label_dim=4, input_fdim=32, input_tdim=64, labels=tuple("abcd")),
    "ast": ASTConfig(label_dim=4, model_size="tiny224", input_fdim=32, input_tdim=64, labels=tuple("abcd")),
}
LONG = 0.3 * torch.randn(16_000, generator=torch.Generator().manual_seed(1))  # 98 frames: three windows of 64


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def modes(network):
    return {name: module.training for name, module in network.named_modules()}


@pytest.fixture(params=SETTINGS)
def network(request):
    """A network whose batch norms have seen sound, so that their statistics differ from those of any one batch."""
    torch.manual_seed(0)
    network = build(SETTINGS[request.param]).train()
    with torch.no_grad():
        for _ in range(3):
            network(0.5 * torch.randn(4, 64, 32) - 1)
    return network


ASK = {
    "timeline": lambda network: timeline(network, LONG)[1],
    "probabilities": lambda network: probabilities(network, LONG),
    "predict": lambda network: torch.tensor([value for _, value in sorted(predict(network, LONG, top=4))]),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_network_left_in_training_mode_says_the_same_and_stays_as_it_is(network, ask):
    expected = ask(copy.deepcopy(network).eval())
    before, mode_before = state(network), modes(network)
    assert torch.equal(ask(network), expected)
    assert modes(network) == mode_before and network.training
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "no statistic has moved"


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_network_in_eval_mode_stays_in_it(network, ask):
    network.eval()
    ask(network)
    assert not any(modes(network).values())


def test_a_part_that_was_frozen_stays_frozen(network):
    part = next(module for name, module in network.named_modules() if name.count(".") == 1)
    part.eval()
    before = modes(network)
    assert set(before.values()) == {True, False}
    with evaluating(network):
        assert not any(modes(network).values())
    assert modes(network) == before


def test_an_error_inside_gives_the_mode_back(network):
    with pytest.raises(ZeroDivisionError), evaluating(network):
        raise ZeroDivisionError
    assert all(modes(network).values())


@torch.inference_mode()
def test_windows_are_the_networks_answers_to_their_own_piece_of_sound(network):
    network.eval()
    cfg, features = network.cfg, Features(network.cfg)
    spans, found = timeline(network, LONG)
    samples = 63 * 160 + 400
    assert spans.tolist() == [
        pytest.approx([begin / 16_000, (begin + samples) / 16_000]) for begin in (0, 32 * 160, 34 * 160)
    ]
    for (begin, _), row in zip(spans.tolist(), found, strict=True):
        first = round(begin * 16_000)
        alone = to_probabilities(network(features(LONG[None, first : first + samples])), cfg.multi_label)[0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(probabilities(network, LONG), found.mean(dim=0))
    assert found.dtype == torch.float32 and not found.requires_grad


@pytest.mark.parametrize(
    ("total", "frames", "expected"),
    [(1, 64, [0]), (64, 64, [0]), (65, 64, [0, 1]), (98, 64, [0, 32, 34]), (128, 64, [0, 32, 64])],
)
def test_windows_overlap_by_half_and_end_with_the_sound(total, frames, expected):
    assert starts(total, frames) == expected


@pytest.mark.parametrize("waveform", [torch.zeros(399), torch.zeros(2, 16_000), torch.zeros(0)])
def test_what_is_not_one_sound_is_refused(network, waveform):
    with pytest.raises(ValueError, match=r"one mono sound of 25 ms or more.*found shape"):
        timeline(network, waveform)
    assert network.training, "refused, and still left as it was"


def test_best_names_the_largest_first():
    network = build(SETTINGS["cnn-mlp"])
    values = torch.tensor([0.1, 0.6, 0.05, 0.25])
    assert best(network, values, 2) == [("b", pytest.approx(0.6)), ("d", pytest.approx(0.25))]
    unnamed = build(SETTINGS["cnn-mlp"].replace(labels=None))
    assert [name for name, _ in best(unnamed, values, 9)] == ["class 1", "class 3", "class 0", "class 2"]
    with pytest.raises(ValueError, match="top must be 1 or more; found 0"):
        best(network, values, 0)


# --- a sound in blocks, many sounds together --------------------------------------------------------------------------

LOG_MEL = LogMel(n_mels=32)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), samples=st.integers(400, 40_000), frames=st.integers(1, 60))
def test_windows_of_blocks_are_the_windows_of_the_whole(data, samples, frames):
    hop = data.draw(st.integers(1, frames))
    whole = torch.arange(samples, dtype=torch.float32)
    cuts = sorted(data.draw(st.sets(st.integers(0, samples), max_size=6)))
    blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, samples], strict=True)]
    expected = [160 * first for first in starts(LOG_MEL.frame_count(samples), frames, hop)]
    found = list(cut(blocks, LOG_MEL, frames, hop))
    assert [piece.begin for piece in found] == expected
    length = LOG_MEL.sample_count(frames)
    assert all(torch.equal(piece.samples, whole[piece.begin : piece.begin + length]) for piece in found)


def test_many_sounds_are_heard_as_each_alone(network):
    """Short and long ones, in blocks, with one that fails in the middle: in their order, each with its own answer."""
    generator = torch.Generator().manual_seed(2)
    sounds = [0.2 * torch.randn(n, generator=generator) for n in (5000, 16_000, 400, 37_000, 10_560, 900, 120_000)]

    def breaks():
        yield sounds[0]
        raise InvalidInput("the disk is gone")

    *first, error, last = listen(network, [*([*s.split(3000)] for s in sounds[:-1]), breaks(), [sounds[-1]]])
    assert isinstance(error, InvalidInput) and "disk" in str(error)
    for sound, found in zip(sounds, [*first, last], strict=True):
        alone = heard(network, sound)
        assert torch.equal(found.spans, alone.spans) and found.seconds == len(sound) / 16_000
        torch.testing.assert_close(found.logits, alone.logits, atol=1e-4, rtol=1e-4)
        assert found.spans.max() <= found.seconds


def test_the_hop_can_be_chosen(network):
    spans, _ = timeline(network, LONG, hop=0.1)
    assert spans[:, 0].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.34])
    for hop in (0, 0.65, -1):
        with pytest.raises(InvalidInput, match=r"0.01 to 0.64 s after each other.*found a hop of"):
            timeline(network, LONG, hop=hop)


def test_what_other_libraries_return_is_one_sound_or_the_message_says_how(network):
    assert predict(network, LONG[None]) == predict(network, LONG), "(channels, samples) of torchaudio"
    with pytest.raises(InvalidInput, match=r"waveform.mean\(0\).*several sounds to astlib.predict.listen"):
        predict(network, torch.stack([LONG, LONG]))
    with pytest.raises(InvalidInput, match="found torch.int16. Divide 16-bit integers by 32768"):
        predict(network, (LONG * 9000).to(torch.int16))
    with pytest.raises(InvalidInput, match="samples up to .*divide them by 32768"):
        predict(network, LONG * 9000)
    with pytest.raises(InvalidInput, match="NaN"):
        predict(network, torch.full((1000,), float("nan")))


def test_half_precision_says_nearly_the_same():
    network = build(SETTINGS["ast"])
    expected = probabilities(network, LONG)
    for dtype in (torch.bfloat16, torch.float16):
        found = probabilities(copy.deepcopy(network).to(dtype), LONG)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_the_temperature_of_the_decision_counts(network):
    expected = probabilities(network, LONG)
    network.decision = Decision(temperature=100.0)
    flat = probabilities(network, LONG)
    assert (flat.max() - flat.min()) < 0.2 * (expected.max() - expected.min())


def test_a_device_that_is_not_there_is_named():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("cuda:99", "gpu"):
        with pytest.raises(InvalidInput, match=f"auto, cpu or a GPU of this machine; found '{name}'"):
            choose_device(name)
